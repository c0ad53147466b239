#include "preload/libc.h"

#include <atomic>
#include <dlfcn.h>

namespace paste::preload {

namespace {

// The state of a library that is a process's: looked up once, by whichever thread comes first; two that come at once write the
// same pointers.
Libc table;
std::atomic<bool> ready{false};
thread_local bool looking_up __attribute__((tls_model("initial-exec"))) = false;

template <typename Function>
void find(Function*& function, const char* name) {
  function = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

void look_up() {
  find(table.openat, "openat");
  find(table.openat64, "openat64");
  find(table.close, "close");
  find(table.close_range, "close_range");
  find(table.closefrom, "closefrom");
  find(table.dup, "dup");
  find(table.dup2, "dup2");
  find(table.dup3, "dup3");
  find(table.fcntl, "fcntl64");
  if (!table.fcntl) find(table.fcntl, "fcntl");
  find(table.ioctl, "ioctl");
  find(table.mmap, "mmap");
  find(table.read, "read");
  find(table.write, "write");
  find(table.readv, "readv");
  find(table.writev, "writev");
  find(table.poll, "poll");
  find(table.ppoll, "ppoll");
  find(table.select, "select");
  find(table.pselect, "pselect");
  find(table.epoll_ctl, "epoll_ctl");
  find(table.epoll_wait, "epoll_wait");
  find(table.epoll_pwait, "epoll_pwait");
  find(table.fstat, "fstat");
  find(table.fxstat, "__fxstat");
  find(table.stat, "stat");
  find(table.xstat, "__xstat");
  find(table.lstat, "lstat");
  find(table.lxstat, "__lxstat");
  find(table.fstatat, "fstatat");
  find(table.access, "access");
}

}  // namespace

const Libc* libc() {
  if (ready.load(std::memory_order_acquire)) return &table;
  if (looking_up) return nullptr;
  looking_up = true;
  look_up();
  ready.store(true, std::memory_order_release);
  looking_up = false;
  return &table;
}

}  // namespace paste::preload
