#include "core/base/lent_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

namespace paste {
namespace {

// Another open file on the same memory.
int open_again(int fd, int access) { return open(("/proc/self/fd/" + std::to_string(fd)).c_str(), access | O_CLOEXEC); }

}  // namespace

LentMemory::~LentMemory() {
  if (fd_ >= 0) close(fd_);
}

bool LentMemory::make(const char* name) {
  const int fresh = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fresh < 0) return false;
  const bool made = take_over(fresh);
  const int why = errno;
  close(fresh);
  errno = why;
  return made;
}

// The kernel does not count the open file that memfd_create() made, and held() needs that of the memory only one is ours.
bool LentMemory::take_over(int fd) {
  fd_ = open_again(fd, O_RDWR);
  // See held(): the signal for who opens the memory under the lease would end the process; one that is ignored takes its place.
  return fd_ >= 0 && fcntl(fd_, F_SETSIG, SIGURG) == 0;
}

int LentMemory::lend(int access) const { return open_again(fd_, access); }

// A write lease is for who alone has a file open (fcntl(2)): it is asked for, and given back.
bool LentMemory::held() const {
  if (fcntl(fd_, F_SETLEASE, F_WRLCK) != 0) return errno == EAGAIN;
  fcntl(fd_, F_SETLEASE, F_UNLCK);
  return false;
}

}  // namespace paste
