// The C library's own functions, behind ours.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

namespace paste::preload {

struct Libc {
  int (*openat)(int, const char*, int, ...);
  int (*openat64)(int, const char*, int, ...);
  int (*close)(int);
  int (*close_range)(unsigned, unsigned, int);
  void (*closefrom)(int);
  int (*dup)(int);
  int (*dup2)(int, int);
  int (*dup3)(int, int, int);
  int (*fcntl)(int, int, ...);
  int (*ioctl)(int, unsigned long, ...);
  void* (*mmap)(void*, size_t, int, int, int, off_t);
  ssize_t (*read)(int, void*, size_t);
  ssize_t (*write)(int, const void*, size_t);
  ssize_t (*readv)(int, const iovec*, int);
  ssize_t (*writev)(int, const iovec*, int);
  int (*poll)(pollfd*, nfds_t, int);
  int (*ppoll)(pollfd*, nfds_t, const timespec*, const sigset_t*);
  int (*select)(int, fd_set*, fd_set*, fd_set*, timeval*);
  int (*pselect)(int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*);
  int (*epoll_ctl)(int, int, int, epoll_event*);
  int (*epoll_wait)(int, epoll_event*, int, int);
  int (*epoll_pwait)(int, epoll_event*, int, int, const sigset_t*);
  int (*fstat)(int, struct stat*);               // null before glibc 2.33, which has __fxstat only
  int (*fxstat)(int, int, struct stat*);
  int (*stat)(const char*, struct stat*);
  int (*xstat)(int, const char*, struct stat*);
  int (*lstat)(const char*, struct stat*);
  int (*lxstat)(int, const char*, struct stat*);
  int (*fstatat)(int, const char*, struct stat*, int);
  int (*access)(const char*, int);
};

// Null while they are being looked up in this thread (looking up may allocate, and an allocator may come here): then the
// caller makes the system call itself. A member is null when this C library has no such function.
const Libc* libc();

}  // namespace paste::preload
