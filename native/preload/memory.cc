// An attachment's memory: our own mapping, and the program's.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/netmap_file.h"

namespace paste::preload {

namespace {

constexpr uint64_t kHugePage = 2u << 20;

// Where a huge page may begin, so that the program can have huge pages where the daemon has.
void* map_aligned(uint64_t bytes, int protection, int flags, int fd) {
  void* room = sys::map(nullptr, bytes + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return room;
  const auto start = reinterpret_cast<uintptr_t>(room);
  const uintptr_t aligned = (start + kHugePage - 1) / kHugePage * kHugePage;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t end = aligned + (bytes + page - 1) / page * page;
  void* mapped = sys::map(reinterpret_cast<void*>(aligned), bytes, protection, flags | MAP_FIXED, fd, 0);
  if (mapped == MAP_FAILED) {
    const sys::KeepErrno keep;
    sys::unmap(room, bytes + kHugePage);
    return mapped;
  }
  if (aligned > start) sys::unmap(room, aligned - start);
  if (start + bytes + kHugePage > end) sys::unmap(reinterpret_cast<void*>(end), start + bytes + kHugePage - end);
  return mapped;
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
