// An attachment's memory: our own mapping, and the program's.
#include <sys/mman.h>
#include <sys/stat.h>

#include "preload/netmap_file.h"

namespace paste::preload {

namespace {

constexpr uint64_t kHugePage = 2u << 20;

// Where a huge page may begin, so that the program can have huge pages where the daemon has (core/base/huge_pages.cc says why without
// MAP_FIXED).
void* map_aligned(uint64_t bytes, int protection, int flags, int fd) {
  void* place = nullptr;
  void* const room = sys::map(nullptr, bytes + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room != MAP_FAILED) {
    place = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(room) + kHugePage - 1) / kHugePage * kHugePage);
    sys::unmap(room, bytes + kHugePage);
  }
  return sys::map(place, bytes, protection, flags, fd, 0);
}

}  // namespace

void drop_memory(NetmapFile& file) {
  if (file.memory) sys::unmap(file.memory, file.memory_bytes);
  close_internal(file.memory_fd);
  file.memory = nullptr;
  file.memory_fd = -1;
  file.memory_bytes = 0;
  file.tx_count = file.rx_count = 0;
}

bool take_memory(NetmapFile& file, int fd, uint64_t bytes) {
  struct stat info;
  if (::syscall(SYS_fstat, fd, &info) != 0 || static_cast<uint64_t>(info.st_size) < bytes || bytes == 0)
    return false;
  void* memory = map_aligned(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
  if (memory == MAP_FAILED) return false;
  drop_memory(file);
  file.memory = static_cast<uint8_t*>(memory);
  file.memory_bytes = bytes;
  file.memory_fd = make_internal(sys::control(fd, F_DUPFD_CLOEXEC, 3));
  return file.memory_fd >= 0;
}

void* map_netmap(NetmapFile& file, void* address, size_t bytes, int protection, int flags, int64_t offset) {
  const Hold hold(file.lock);
  const auto failed = [](int error) {
    errno = error;
    return MAP_FAILED;
  };
  if (!hold) return failed(EBUSY);
  if (!file.memory) return failed(EINVAL);
  if (offset < 0 || bytes == 0 || static_cast<uint64_t>(offset) + bytes > (file.memory_bytes + 4095) / 4096 * 4096)
    return failed(EINVAL);
  if (address == nullptr && offset == 0) return map_aligned(bytes, protection, flags | MAP_POPULATE, file.memory_fd);
  return sys::map(address, bytes, protection, flags, file.memory_fd, offset);
}

}  // namespace paste::preload
