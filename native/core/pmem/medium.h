// What a path stands on: the file system or device below a descriptor, by what the kernel says of it.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"
#include "core/pmem/domain.h"

namespace paste {

struct MediumInfo {
  Medium medium = Medium::kDisk;
  std::string file_system;       // "tmpfs", "ext4", "devdax", ... or "0x1234" for one that has no name here
  uint64_t size_bytes = 0;       // of the file or device
  uint64_t page_bytes = 4096;    // granularity of mappings: more on hugetlbfs and device-DAX
  uint64_t free_bytes = 0;       // for this user; ~0 where the file system sets no limit
};

// A regular file on a file system, or a device-DAX node; anything else is refused (kStore). A file system that could be
// fs-DAX is reported as kDisk here: only a MAP_SYNC mapping proves DAX, and Region::open tries one.
Status detect_medium(int descriptor, const std::string& path, MediumInfo* info);

}  // namespace paste
