// The program's memory, read and written as the kernel would: a bad address is an error, not a fault.
#pragma once

#include <cerrno>
#include <cstring>
#include <sys/uio.h>

#include "preload/sys.h"

namespace paste::preload {

// False when the address is bad. Where the kernel does not let a process read itself this way (some sandboxes), the address is
// trusted, as any function of the C library would trust it.
inline bool copy_user(void* ours, uint64_t theirs, size_t bytes, bool out) {
  if (bytes == 0) return true;
  if (theirs == 0) return false;
  const sys::KeepErrno keep;
  const iovec here = {ours, bytes};
  const iovec there = {reinterpret_cast<void*>(theirs), bytes};
  const long call = out ? SYS_process_vm_writev : SYS_process_vm_readv;
  const long moved = ::syscall(call, sys::process(), &here, 1UL, &there, 1UL, 0UL);
  if (moved == static_cast<long>(bytes)) return true;
  if (moved >= 0 || errno == EFAULT) return false;
  if (out)
    std::memcpy(reinterpret_cast<void*>(theirs), ours, bytes);
  else
    std::memcpy(ours, reinterpret_cast<const void*>(theirs), bytes);
  return true;
}
inline bool copy_in(void* ours, uint64_t theirs, size_t bytes) { return copy_user(ours, theirs, bytes, false); }
inline bool copy_out(uint64_t theirs, const void* ours, size_t bytes) {
  return copy_user(const_cast<void*>(ours), theirs, bytes, true);
}

}  // namespace paste::preload
