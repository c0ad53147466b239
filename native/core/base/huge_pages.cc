#include "core/base/huge_pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace paste {
namespace {

constexpr int kCollapse = 25;  // MADV_COLLAPSE (Linux 6.1): newer than some C libraries

constexpr uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

}  // namespace

void* map_at_huge_page(uint64_t bytes, int protection, int flags, int fd) {
  const uint64_t mapped = round_up(bytes, static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
  const uint64_t span = mapped + kHugePageBytes;
  void* const room = mmap(nullptr, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return room;
  auto* const start = static_cast<uint8_t*>(room);
  auto* const aligned = reinterpret_cast<uint8_t*>(round_up(reinterpret_cast<uintptr_t>(start), kHugePageBytes));
  void* const memory = mmap(aligned, bytes, protection, flags | MAP_FIXED, fd, 0);
  if (memory == MAP_FAILED) {
    const int reason = errno;
    munmap(room, span);
    errno = reason;
    return memory;
  }
  if (aligned > start) munmap(start, static_cast<size_t>(aligned - start));
  munmap(aligned + mapped, static_cast<size_t>(start + span - (aligned + mapped)));
  return memory;
}

// The kernel makes none where no page is there at all: one byte brings the first.
bool make_huge_page(int fd, uint64_t offset, uint8_t* memory) {
  return fallocate(fd, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), 1) == 0 &&
         madvise(memory, kHugePageBytes, kCollapse) == 0;
}

}  // namespace paste
