#include "core/pmem/disk_region.h"

#include <cstring>

namespace paste {

uint8_t* DiskRegion::writable_head(uint64_t extent_bytes) {
  PASTE_CHECK(extent_bytes > 0 && extent_bytes <= size_bytes());
  if (head_ != nullptr) {
    PASTE_CHECK(extent_bytes == head_bytes_);
    return head_;
  }
  head_ = domain_.open_window(0, extent_bytes);
  head_bytes_ = extent_bytes;
  // Whole pages are written, so the rest of the last one is taken over too. Size is a multiple of 4 KiB (Region::create).
  const uint64_t whole = std::min((extent_bytes + 4095) / 4096 * 4096, size_bytes());
  std::memcpy(head_, mapping_->base(), whole);
  return head_;
}

uint8_t* DiskRegion::acquire_staging(uint64_t offset, uint32_t size_bytes) {
  PASTE_CHECK(offset >= head_bytes_ && offset <= this->size_bytes() && size_bytes <= this->size_bytes() - offset);
  return domain_.open_window(offset, size_bytes);
}

}  // namespace paste
