// System calls without the C library between: safe in signal handlers, and never our own interposed functions. Each returns
// what the kernel returned, or -1 with errno set.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

namespace paste::preload::sys {

inline constexpr size_t kSignalSetBytes = 8;  // the kernel's sigset_t

inline int close(int fd) { return static_cast<int>(::syscall(SYS_close, fd)); }
inline int control(int fd, int command, long argument) {
  return static_cast<int>(::syscall(SYS_fcntl, fd, command, argument));
}
inline ssize_t read(int fd, void* to, size_t bytes) { return ::syscall(SYS_read, fd, to, bytes); }
inline ssize_t write(int fd, const void* from, size_t bytes) { return ::syscall(SYS_write, fd, from, bytes); }
inline void* map(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) {
  return reinterpret_cast<void*>(::syscall(SYS_mmap, address, bytes, protection, flags, fd, offset));
}
inline int unmap(void* address, size_t bytes) { return static_cast<int>(::syscall(SYS_munmap, address, bytes)); }
inline int poll(pollfd* fds, nfds_t count, const timespec* timeout, const void* mask = nullptr) {
  timespec left;
  if (timeout) left = *timeout;  // the kernel writes what remained
  return static_cast<int>(::syscall(SYS_ppoll, fds, count, timeout ? &left : nullptr, mask, kSignalSetBytes));
}
inline int poll_ms(pollfd* fds, nfds_t count, int ms) {
  const timespec timeout = {ms / 1000, (ms % 1000) * 1'000'000L};
  return poll(fds, count, &timeout);
}
inline int process() { return static_cast<int>(::syscall(SYS_getpid)); }
inline int thread() { return static_cast<int>(::syscall(SYS_gettid)); }
inline long futex(const void* word, int operation, uint32_t value) {
  return ::syscall(SYS_futex, word, operation, value, nullptr, nullptr, 0);
}

inline int64_t now_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

// errno as it was, for functions that must not change it.
class KeepErrno {
 public:
  KeepErrno() : errno_(errno) {}
  ~KeepErrno() { errno = errno_; }

 private:
  int errno_;
};

}  // namespace paste::preload::sys
