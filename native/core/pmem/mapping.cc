#include "core/pmem/mapping.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/huge_pages.h"

namespace paste {

Mapping::~Mapping() {
  guard_.reset();
  if (base_ != nullptr) munmap(base_, info_.size_bytes);
  // The lock would go with the last descriptor: a process that is just being started has copies of them all until it executes its program.
  flock(descriptor_, LOCK_UN);
  close(descriptor_);
}

Status Mapping::map(bool writable) {
  const size_t size = info_.size_bytes;
  const bool device = info_.medium == Medium::kDeviceDax;
  // On a disk a writer only reads through the mapping: it writes with pwrite.
  bool stores = writable && info_.medium != Medium::kDisk;
  // A device's pages, and those of hugetlbfs, have places of their own.
  const auto map_all = [&](int protection, int flags) {
    return info_.page_bytes < kHugePageBytes ? map_at_huge_page(size, protection, flags, descriptor_)
                                             : mmap(nullptr, size, protection, flags, descriptor_, 0);
  };
  void* address = MAP_FAILED;
#ifdef MAP_SYNC
  if (!device && info_.medium == Medium::kDisk) {
    address = map_all(writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC);
    if (address != MAP_FAILED) {
      info_.medium = Medium::kDaxFile;
      stores = writable;
    }
  }
#endif
  if (address == MAP_FAILED) address = map_all(stores ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED);
  if (address == MAP_FAILED) {
    const int reason = errno;
    const Code code = reason == ENOMEM ? Code::kResource : reason == EACCES ? Code::kPrivilege : Code::kStore;
    return {code, path_ + ": cannot map " + std::to_string(size) + " bytes: " + std::strerror(reason)};
  }
  base_ = static_cast<uint8_t*>(address);
  if (!writable) guard_ = std::make_unique<FaultGuard>(base_, size, info_.page_bytes);
  struct stat file;
  has_holes_ = !device && fstat(descriptor_, &file) == 0 && static_cast<uint64_t>(file.st_blocks) * 512 < size;
  // Advice only, each may be unknown to the kernel: huge pages where tmpfs offers them, and no store in core dumps.
  if (info_.medium == Medium::kMemory && stores) madvise(base_, size, MADV_HUGEPAGE);
  madvise(base_, size, MADV_DONTDUMP);
  return {};
}

bool Mapping::reserve(uint64_t offset, uint64_t size_bytes) const {
  if (!has_holes_) return true;
  if (info_.medium == Medium::kMemory) fill_with_huge_pages(offset, offset + size_bytes);
  int result;
  do result = fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), static_cast<off_t>(size_bytes));
  while (result != 0 && errno == EINTR);
  // A file system that cannot reserve (zfs, nfs before 4.2) says no more than that.
  return result == 0 || errno == EOPNOTSUPP || errno == ENOSYS;
}

// Only where there is no page yet: what is in use already would have to be copied while others wait.
void Mapping::fill_with_huge_pages(uint64_t from, uint64_t to) const {
  to = std::min((to + kHugePageBytes - 1) / kHugePageBytes, info_.size_bytes / kHugePageBytes) * kHugePageBytes;
  for (uint64_t at = from / kHugePageBytes * kHugePageBytes; at < to; at += kHugePageBytes) {
    const off_t data = lseek(descriptor_, static_cast<off_t>(at), SEEK_DATA);
    const bool is_hole = data < 0 ? errno == ENXIO : static_cast<uint64_t>(data) >= at + kHugePageBytes;
    if (is_hole && !make_huge_page(descriptor_, at, base_ + at)) return;
  }
}

bool Mapping::intact() const {
  if (guard() && guard()->struck()) return false;
  if (info_.medium == Medium::kDeviceDax) return true;
  struct stat file;
  return fstat(descriptor_, &file) == 0 && static_cast<uint64_t>(file.st_size) >= info_.size_bytes;
}

}  // namespace paste
