#include "core/pmem/mapped_region.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "core/base/status.h"

namespace paste {

Domain& MappedRegion::domain() {
  PASTE_CHECK(domain_ != nullptr);  // readers have none
  return *domain_;
}

uint8_t* MappedRegion::writable_head(uint64_t extent_bytes) {
  PASTE_CHECK(domain_ != nullptr && extent_bytes <= size_bytes());
  return mapping_->base();
}

uint8_t* MappedRegion::acquire_staging(uint64_t offset, uint32_t size_bytes) {
  PASTE_CHECK(domain_ != nullptr && offset <= this->size_bytes() && size_bytes <= this->size_bytes() - offset);
  return mapping_->base() + offset;
}

bool MappedRegion::populate(uint64_t offset, uint64_t size_bytes) {
  if (domain_ == nullptr || offset >= this->size_bytes()) return true;
  const uint64_t page = mapping_->info().page_bytes;
  const uint64_t start = offset / page * page;
  const uint64_t end = std::min(offset + size_bytes, this->size_bytes());
  uint8_t* const base = mapping_->base();
  if (!mapping_->reserve(start, end - start)) return false;
#ifdef MADV_POPULATE_WRITE
  if (madvise(base + start, end - start, MADV_POPULATE_WRITE) == 0) return true;
  if (errno == EFAULT || errno == ENOMEM) return false;  // a store there would raise SIGBUS
#endif
  if (!mapping_->intact()) return false;
  // Before Linux 5.14: an atomic that changes nothing makes each page present and writable, beside whoever else writes there.
  for (uint64_t at = start; at < end; at += page)
    __atomic_fetch_or(reinterpret_cast<uint64_t*>(base + at), uint64_t{0}, __ATOMIC_RELAXED);
  return true;
}

}  // namespace paste
