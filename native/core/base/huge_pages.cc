#include "core/base/huge_pages.h"

#include <fcntl.h>
#include <sys/mman.h>

namespace paste {
namespace {

constexpr int kCollapse = 25;  // MADV_COLLAPSE (Linux 6.1): newer than some C libraries

}  // namespace

// A place is looked for, given back and asked for. Taking it with MAP_FIXED would leave a hole where the file refuses (ext4 refuses
// MAP_SYNC when the place is its own already), and what another thread maps there meanwhile would be unmapped with the rest. Who comes
// before us here costs us the huge pages only.
void* map_at_huge_page(uint64_t bytes, int protection, int flags, int fd) {
  void* place = nullptr;
  const uint64_t room_bytes = bytes + kHugePageBytes;
  void* const room = mmap(nullptr, room_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room != MAP_FAILED) {
    place = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(room) + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes);
    munmap(room, room_bytes);
  }
  return mmap(place, bytes, protection, flags, fd, 0);
}

// The kernel makes none where no page is there at all: one byte brings the first.
bool make_huge_page(int fd, uint64_t offset, uint8_t* memory) {
  return fallocate(fd, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), 1) == 0 &&
         madvise(memory, kHugePageBytes, kCollapse) == 0;
}

}  // namespace paste
