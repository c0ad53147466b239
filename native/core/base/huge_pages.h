// Huge pages below shared memory in DRAM (tmpfs, memfd), whatever the file system was mounted for. A page of 4 KiB costs a fault of
// its own in each process that touches it, and takes a place of its own in the TLB; 512 of them side by side cost one of each.
#pragma once

#include <cstdint>

namespace paste {

inline constexpr uint64_t kHugePageBytes = 2u << 20;

// mmap() of the file's first `bytes`, at an address where a huge page may begin if there is one. MAP_FAILED with errno.
void* map_at_huge_page(uint64_t bytes, int protection, int flags, int fd);

// Lets one huge page stand for the file's bytes [offset, offset + kHugePageBytes), which lie at `memory` in a mapping of the above
// kind; what they hold stays. Far cheaper where few of the small pages are there yet. False, and nothing is lost, where there is none
// to be had: the kernel is older than 6.1 or was told to give none, memory is in too small pieces, or the file system is full.
bool make_huge_page(int fd, uint64_t offset, uint8_t* memory);

}  // namespace paste
