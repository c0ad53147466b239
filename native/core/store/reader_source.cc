#include "core/store/reader_source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace paste {

Status ReaderSource::open(const std::string& path, std::unique_ptr<ReaderSource>* source) {
  std::unique_ptr<ReaderSource> opened(new ReaderSource);
  Status status = Region::open(path, Region::Access::kRead, &opened->region_);
  if (!status.ok()) return status;
  opened->size_bytes_ = opened->region_->size_bytes();
  opened->descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened->descriptor_ < 0)
    return Status(errno == EACCES ? Code::kPrivilege : Code::kStore, path + ": cannot be opened for reading: " + strerror(errno));
  if (opened->region_->medium() == Medium::kDeviceDax) opened->mapped_ = opened->region_->base();
  *source = std::move(opened);
  return Status();
}

ReaderSource::~ReaderSource() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool ReaderSource::fail(Code code, const std::string& what) {
  if (status_.ok()) status_ = Status(code, region_->path() + ": " + what);
  return false;
}

bool ReaderSource::read(uint64_t offset, void* to, size_t size_bytes) {
  if (offset > size_bytes_ || size_bytes > size_bytes_ - offset)
    return fail(Code::kStore, "refers to bytes behind its end: the store is damaged (`store verify` says where)");
  if (mapped_) {
    memcpy(to, mapped_ + offset, size_bytes);
    return true;
  }
  auto* at = static_cast<uint8_t*>(to);
  while (size_bytes > 0) {
    const ssize_t count = pread(descriptor_, at, size_bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(Code::kStore, std::string("reading failed: ") + strerror(errno));
    if (count == 0) return fail(Code::kStore, "became shorter while it was read: somebody truncated the file");
    at += count;
    offset += static_cast<uint64_t>(count);
    size_bytes -= static_cast<size_t>(count);
  }
  return true;
}

uint64_t ReaderSource::word(uint64_t offset) {
  uint64_t value = 0;
  std::atomic_thread_fence(std::memory_order_acquire);
  if (mapped_ && offset + 8 <= size_bytes_) {
    value = __atomic_load_n(reinterpret_cast<const uint64_t*>(mapped_ + offset), __ATOMIC_ACQUIRE);
  } else if (!read(offset, &value, sizeof value)) {
    value = 0;
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  return value;
}

bool ReaderSource::lock_listed() const {
  struct stat info;
  if (fstat(descriptor_, &info) != 0) return false;
  FILE* locks = fopen("/proc/locks", "re");
  if (!locks) return false;
  // "1: FLOCK  ADVISORY  WRITE 1234 08:01:12345 0 EOF": major and minor in hexadecimal, the inode in decimal.
  bool found = false;
  char line[256];
  while (!found && fgets(line, sizeof line, locks)) {
    unsigned major_number, minor_number;
    uint64_t inode;
    if (sscanf(line, "%*s %*s %*s WRITE %*d %x:%x:%" SCNu64, &major_number, &minor_number, &inode) != 3) continue;
    found = inode == info.st_ino && major_number == major(info.st_dev) && minor_number == minor(info.st_dev);
  }
  fclose(locks);
  return found;
}

}  // namespace paste
