// Opening, closing, duplicating, mapping and asking: what the program calls instead of the C library.
#include <cstdarg>
#include <cstring>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "preload/control.h"
#include "preload/interpose.h"
#include "preload/libc.h"
#include "preload/netmap_file.h"

namespace paste::preload {

namespace {

constexpr unsigned kMiscMajor = 10, kNetmapMinor = 61;  // a misc device's; which minor it gets differs from system to system
constexpr int kCloseRangeCloexec = 4;

bool same(const char* a, const char* b) { return std::strcmp(a, b) == 0; }

// Whether an open of `path` means the device. Only a path that ends in its name costs more than a look.
bool is_device(int folder, const char* path) {
  if (!path) return false;
  const char* last = std::strrchr(path, '/');
  if (!same(last ? last + 1 : path, "netmap")) return false;
  if (same(path, "/dev/netmap")) return true;
  if (last) return false;
  const sys::KeepErrno keep;
  char link[32] = "/proc/self/cwd", where[8] = {};
  if (folder != AT_FDCWD) {
    char digits[12];
    size_t count = 0;
    for (unsigned n = static_cast<unsigned>(folder); count == 0 || n > 0; n /= 10)
      digits[count++] = static_cast<char>('0' + n % 10);
    std::strcpy(link, "/proc/self/fd/");
    size_t end = std::strlen(link);
    while (count > 0) link[end++] = digits[--count];
    link[end] = 0;
  }
  const long bytes = ::syscall(SYS_readlinkat, AT_FDCWD, link, where, sizeof where - 1);
  return bytes == 4 && same(where, "/dev");
}

int open_any(int folder, const char* path, int flags, mode_t mode) {
  if (is_device(folder, path)) return open_netmap(flags & O_CLOEXEC);
  const Libc* c = libc();
  if (c && c->openat) return c->openat(folder, path, flags, mode);
  return static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode));
}

int bad_descriptor() {
  errno = EBADF;
  return -1;
}

// A descriptor has come to name the same as `from`.
int duplicated(int from, int made) {
  if (made < 0 || nothing_is_ours() || in_borrowed_memory()) return made;
  if (made != from) unbind_descriptor(made);  // what was there was closed
  if (Object* object = hold_object(from)) {
    if (made != from) bind_descriptor(made, object);
    let_go(object);
  }
  return made;
}

int close_one(int fd) {
  if (!nothing_is_ours()) {
    if (is_internal(fd)) return bad_descriptor();
    // Ours first, so that a file's last use ends while its connection still stands.
    if (!in_borrowed_memory()) unbind_descriptor(fd);
  }
  const Libc* c = libc();
  return c && c->close ? c->close(fd) : sys::close(fd);
}

struct Range {
  unsigned first, last;
};
void forget_in_range(int fd, void* argument) {
  const auto* range = static_cast<const Range*>(argument);
  const auto n = static_cast<unsigned>(fd);
  if (n >= range->first && n <= range->last && !is_internal(fd)) unbind_descriptor(fd);
}
struct Gap {
  unsigned from, last, next;
};
void next_internal(int fd, void* argument) {
  auto* gap = static_cast<Gap*>(argument);
  const auto n = static_cast<unsigned>(fd);
  if (n >= gap->from && n <= gap->last && n < gap->next && is_internal(fd)) gap->next = n;
}

// Everything in the range but what is the library's own.
int close_many(unsigned first, unsigned last, int flags) {
  if (first > last) {
    errno = EINVAL;
    return -1;
  }
  if (!nothing_is_ours() && !(flags & kCloseRangeCloexec) && !in_borrowed_memory()) {
    Range range = {first, last};
    visit_descriptors(nullptr, forget_in_range, &range);
  }
  for (unsigned from = first;;) {
    Gap gap = {from, last, ~0u};
    if (!nothing_is_ours()) visit_descriptors(nullptr, next_internal, &gap);
    const bool more = gap.next != ~0u;
    if (!more || gap.next > from)
      if (::syscall(SYS_close_range, from, more ? gap.next - 1 : last, flags) != 0) return -1;
    if (!more || gap.next == last) return 0;
    from = gap.next + 1;
  }
}

int stat_device(struct stat* info) {
  std::memset(info, 0, sizeof *info);
  info->st_mode = S_IFCHR | 0600;
  info->st_nlink = 1;
  info->st_rdev = makedev(kMiscMajor, kNetmapMinor);
  info->st_blksize = 4096;
  return 0;
}

// What the kernel does for every descriptor, whatever is behind it.
bool is_every_files(unsigned long command) {
  return command == FIOCLEX || command == FIONCLEX || command == FIONBIO || command == FIOASYNC;
}

bool is_netmap(int fd) {
  NetmapFile* file = hold_netmap(fd);
  if (file) let_go(file);
  return file != nullptr;
}

int fcntl_any(int fd, int command, void* argument) {
  const bool copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
  if (!nothing_is_ours() && is_internal(fd)) return bad_descriptor();
  const Libc* c = libc();
  const int result = c && c->fcntl ? c->fcntl(fd, command, argument)
                                   : sys::control(fd, command, reinterpret_cast<long>(argument));
  return copies ? duplicated(fd, result) : result;
}

int dup_onto(int from, int to, int flags, bool two) {
  if (!nothing_is_ours() && (is_internal(from) || is_internal(to))) {
    errno = is_internal(from) ? EBADF : EBUSY;
    return -1;
  }
  const Libc* c = libc();
  int made;
  if (two)
    made = c && c->dup2 ? c->dup2(from, to) : from == to ? from : static_cast<int>(::syscall(SYS_dup3, from, to, 0));
  else
    made = c && c->dup3 ? c->dup3(from, to, flags) : static_cast<int>(::syscall(SYS_dup3, from, to, flags));
  return duplicated(from, made);
}

void* map_any(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) {
  NetmapFile* file = nullptr;
  if (fd >= 0 && !(flags & MAP_ANONYMOUS)) {
    file = hold_netmap(fd);
    if (!file && offset == 0 && (flags & MAP_SHARED)) file = adopt_descriptor(fd);
  }
  if (!file) {
    const Libc* c = libc();
    return c && c->mmap ? c->mmap(address, bytes, protection, flags, fd, offset)
                        : sys::map(address, bytes, protection, flags, fd, offset);
  }
  void* mapped = map_netmap(*file, address, bytes, protection, flags, offset);
  let_go(file);
  return mapped;
}

ssize_t not_readable() {
  errno = EINVAL;
  return -1;
}

}  // namespace

extern "C" {

int paste_open(const char* path, int flags, ...) PASTE_INSTEAD_OF(open);
int paste_open64(const char* path, int flags, ...) PASTE_INSTEAD_OF(open64);
int paste_openat(int folder, const char* path, int flags, ...) PASTE_INSTEAD_OF(openat);
int paste_openat64(int folder, const char* path, int flags, ...) PASTE_INSTEAD_OF(openat64);
int paste_open_2(const char* path, int flags) PASTE_INSTEAD_OF(__open_2);
int paste_open64_2(const char* path, int flags) PASTE_INSTEAD_OF(__open64_2);
int paste_openat_2(int folder, const char* path, int flags) PASTE_INSTEAD_OF(__openat_2);
int paste_openat64_2(int folder, const char* path, int flags) PASTE_INSTEAD_OF(__openat64_2);
int paste_close(int fd) PASTE_INSTEAD_OF(close);
int paste_close_range(unsigned first, unsigned last, int flags) PASTE_INSTEAD_OF(close_range);
void paste_closefrom(int first) PASTE_INSTEAD_OF(closefrom);
int paste_dup(int fd) PASTE_INSTEAD_OF(dup);
int paste_dup2(int from, int to) PASTE_INSTEAD_OF(dup2);
int paste_dup3(int from, int to, int flags) PASTE_INSTEAD_OF(dup3);
int paste_fcntl(int fd, int command, ...) PASTE_INSTEAD_OF(fcntl);
int paste_fcntl64(int fd, int command, ...) PASTE_INSTEAD_OF(fcntl64);
int paste_ioctl(int fd, unsigned long command, ...) PASTE_INSTEAD_OF(ioctl);
void* paste_mmap(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) PASTE_INSTEAD_OF(mmap);
void* paste_mmap64(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) PASTE_INSTEAD_OF(mmap64);
ssize_t paste_read(int fd, void* to, size_t bytes) PASTE_INSTEAD_OF(read);
ssize_t paste_write(int fd, const void* from, size_t bytes) PASTE_INSTEAD_OF(write);
ssize_t paste_readv(int fd, const iovec* parts, int count) PASTE_INSTEAD_OF(readv);
ssize_t paste_writev(int fd, const iovec* parts, int count) PASTE_INSTEAD_OF(writev);
int paste_fstat(int fd, struct stat* info) PASTE_INSTEAD_OF(fstat);
int paste_fstat64(int fd, struct stat* info) PASTE_INSTEAD_OF(fstat64);
int paste_fxstat(int version, int fd, struct stat* info) PASTE_INSTEAD_OF(__fxstat);
int paste_fxstat64(int version, int fd, struct stat* info) PASTE_INSTEAD_OF(__fxstat64);
int paste_stat(const char* path, struct stat* info) PASTE_INSTEAD_OF(stat);
int paste_stat64(const char* path, struct stat* info) PASTE_INSTEAD_OF(stat64);
int paste_xstat(int version, const char* path, struct stat* info) PASTE_INSTEAD_OF(__xstat);
int paste_xstat64(int version, const char* path, struct stat* info) PASTE_INSTEAD_OF(__xstat64);
int paste_lstat(const char* path, struct stat* info) PASTE_INSTEAD_OF(lstat);
int paste_lstat64(const char* path, struct stat* info) PASTE_INSTEAD_OF(lstat64);
int paste_lxstat(int version, const char* path, struct stat* info) PASTE_INSTEAD_OF(__lxstat);
int paste_lxstat64(int version, const char* path, struct stat* info) PASTE_INSTEAD_OF(__lxstat64);
int paste_fstatat(int folder, const char* path, struct stat* info, int flags) PASTE_INSTEAD_OF(fstatat);
int paste_fstatat64(int folder, const char* path, struct stat* info, int flags) PASTE_INSTEAD_OF(fstatat64);
ssize_t paste_read_chk(int fd, void* to, size_t bytes, size_t room) PASTE_INSTEAD_OF(__read_chk);
int paste_access(const char* path, int mode) PASTE_INSTEAD_OF(access);

#define PASTE_MODE(flags)                                   \
  mode_t mode = 0;                                          \
  if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) { \
    va_list more;                                           \
    va_start(more, flags);                                  \
    mode = static_cast<mode_t>(va_arg(more, int));          \
    va_end(more);                                           \
  }

int paste_open(const char* path, int flags, ...) {
  PASTE_MODE(flags)
  return open_any(AT_FDCWD, path, flags, mode);
}
int paste_open64(const char* path, int flags, ...) {
  PASTE_MODE(flags)
  return open_any(AT_FDCWD, path, flags, mode);
}
int paste_openat(int folder, const char* path, int flags, ...) {
  PASTE_MODE(flags)
  return open_any(folder, path, flags, mode);
}
int paste_openat64(int folder, const char* path, int flags, ...) {
  PASTE_MODE(flags)
  return open_any(folder, path, flags, mode);
}
int paste_open_2(const char* path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int paste_open64_2(const char* path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int paste_openat_2(int folder, const char* path, int flags) { return open_any(folder, path, flags, 0); }
int paste_openat64_2(int folder, const char* path, int flags) { return open_any(folder, path, flags, 0); }

int paste_close(int fd) { return close_one(fd); }
int paste_close_range(unsigned first, unsigned last, int flags) { return close_many(first, last, flags); }
void paste_closefrom(int first) { close_many(first < 0 ? 0 : static_cast<unsigned>(first), ~0u, 0); }
int paste_dup(int fd) {
  if (!nothing_is_ours() && is_internal(fd)) return bad_descriptor();
  const Libc* c = libc();
  return duplicated(fd, c && c->dup ? c->dup(fd) : static_cast<int>(::syscall(SYS_dup, fd)));
}
int paste_dup2(int from, int to) { return dup_onto(from, to, 0, true); }
int paste_dup3(int from, int to, int flags) { return dup_onto(from, to, flags, false); }

int paste_fcntl(int fd, int command, ...) {
  va_list more;
  va_start(more, command);
  void* argument = va_arg(more, void*);
  va_end(more);
  return fcntl_any(fd, command, argument);
}
int paste_fcntl64(int fd, int command, ...) {
  va_list more;
  va_start(more, command);
  void* argument = va_arg(more, void*);
  va_end(more);
  return fcntl_any(fd, command, argument);
}

int paste_ioctl(int fd, unsigned long command, ...) {
  va_list more;
  va_start(more, command);
  void* argument = va_arg(more, void*);
  va_end(more);
  NetmapFile* file = is_every_files(command) ? nullptr : hold_netmap(fd);
  if (!file && is_netmap_ioctl(command)) file = adopt_descriptor(fd);
  if (file) {
    const int result = netmap_ioctl(*file, command, reinterpret_cast<uint64_t>(argument));
    let_go(file);
    return result;
  }
  const Libc* c = libc();
  return c && c->ioctl ? c->ioctl(fd, command, argument) : static_cast<int>(::syscall(SYS_ioctl, fd, command, argument));
}

void* paste_mmap(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) {
  return map_any(address, bytes, protection, flags, fd, offset);
}
void* paste_mmap64(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) {
  return map_any(address, bytes, protection, flags, fd, offset);
}

// A netmap descriptor cannot be read or written; the socket behind it must not be.
ssize_t paste_read(int fd, void* to, size_t bytes) {
  if (!nothing_is_ours() && is_netmap(fd)) return not_readable();
  const Libc* c = libc();
  return c && c->read ? c->read(fd, to, bytes) : sys::read(fd, to, bytes);
}
ssize_t paste_read_chk(int fd, void* to, size_t bytes, size_t room) {
  if (bytes > room) __builtin_trap();
  return paste_read(fd, to, bytes);
}
ssize_t paste_write(int fd, const void* from, size_t bytes) {
  if (!nothing_is_ours() && is_netmap(fd)) return not_readable();
  const Libc* c = libc();
  return c && c->write ? c->write(fd, from, bytes) : sys::write(fd, from, bytes);
}
ssize_t paste_readv(int fd, const iovec* parts, int count) {
  if (!nothing_is_ours() && is_netmap(fd)) return not_readable();
  const Libc* c = libc();
  return c && c->readv ? c->readv(fd, parts, count) : ::syscall(SYS_readv, fd, parts, count);
}
ssize_t paste_writev(int fd, const iovec* parts, int count) {
  if (!nothing_is_ours() && is_netmap(fd)) return not_readable();
  const Libc* c = libc();
  return c && c->writev ? c->writev(fd, parts, count) : ::syscall(SYS_writev, fd, parts, count);
}

int paste_fxstat(int version, int fd, struct stat* info) {
  if (!nothing_is_ours() && is_netmap(fd)) return stat_device(info);
  const Libc* c = libc();
  if (c && c->fxstat) return c->fxstat(version, fd, info);
  return static_cast<int>(::syscall(SYS_fstat, fd, info));
}
int paste_fxstat64(int version, int fd, struct stat* info) { return paste_fxstat(version, fd, info); }
int paste_fstat(int fd, struct stat* info) {
  if (!nothing_is_ours() && is_netmap(fd)) return stat_device(info);
  const Libc* c = libc();
  if (c && c->fstat) return c->fstat(fd, info);
  return static_cast<int>(::syscall(SYS_fstat, fd, info));
}
int paste_fstat64(int fd, struct stat* info) { return paste_fstat(fd, info); }
int paste_stat(const char* path, struct stat* info) {
  if (is_device(AT_FDCWD, path)) return stat_device(info);
  const Libc* c = libc();
  if (c && c->stat) return c->stat(path, info);
  return static_cast<int>(::syscall(SYS_newfstatat, AT_FDCWD, path, info, 0));
}
int paste_stat64(const char* path, struct stat* info) { return paste_stat(path, info); }
int paste_xstat(int version, const char* path, struct stat* info) {
  if (is_device(AT_FDCWD, path)) return stat_device(info);
  const Libc* c = libc();
  if (c && c->xstat) return c->xstat(version, path, info);
  return static_cast<int>(::syscall(SYS_newfstatat, AT_FDCWD, path, info, 0));
}
int paste_xstat64(int version, const char* path, struct stat* info) { return paste_xstat(version, path, info); }
int paste_lstat(const char* path, struct stat* info) {
  if (is_device(AT_FDCWD, path)) return stat_device(info);
  const Libc* c = libc();
  if (c && c->lstat) return c->lstat(path, info);
  return static_cast<int>(::syscall(SYS_newfstatat, AT_FDCWD, path, info, AT_SYMLINK_NOFOLLOW));
}
int paste_lstat64(const char* path, struct stat* info) { return paste_lstat(path, info); }
int paste_lxstat(int version, const char* path, struct stat* info) {
  if (is_device(AT_FDCWD, path)) return stat_device(info);
  const Libc* c = libc();
  if (c && c->lxstat) return c->lxstat(version, path, info);
  return static_cast<int>(::syscall(SYS_newfstatat, AT_FDCWD, path, info, AT_SYMLINK_NOFOLLOW));
}
int paste_lxstat64(int version, const char* path, struct stat* info) { return paste_lxstat(version, path, info); }
int paste_fstatat(int folder, const char* path, struct stat* info, int flags) {
  if (is_device(folder, path)) return stat_device(info);
  if (path && *path == 0 && (flags & AT_EMPTY_PATH) && !nothing_is_ours() && is_netmap(folder)) return stat_device(info);
  const Libc* c = libc();
  if (c && c->fstatat) return c->fstatat(folder, path, info, flags);
  return static_cast<int>(::syscall(SYS_newfstatat, folder, path, info, flags));
}
int paste_fstatat64(int folder, const char* path, struct stat* info, int flags) {
  return paste_fstatat(folder, path, info, flags);
}
int paste_access(const char* path, int mode) {
  if (is_device(AT_FDCWD, path)) return 0;
  const Libc* c = libc();
  if (c && c->access) return c->access(path, mode);
  return static_cast<int>(::syscall(SYS_faccessat, AT_FDCWD, path, mode));
}

}  // extern "C"

}  // namespace paste::preload
