#include "core/store/reader_source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "core/base/huge_pages.h"

namespace paste {
namespace {
// What is present of a mapping costs 8 bytes of page table for every 4 KiB, and looks like memory in use to whoever watches.
constexpr uint64_t kPresentMax = 8ull << 30;
constexpr uint64_t kPageBytes = 4096;
constexpr char kShorter[] = "became shorter while it was read: somebody truncated the file";

bool has(const std::vector<uint64_t>& bits, uint64_t page) { return bits[page / 64] >> page % 64 & 1; }
}  // namespace

Status ReaderSource::open(const std::string& path, std::unique_ptr<ReaderSource>* source) {
  std::unique_ptr<ReaderSource> opened(new ReaderSource);
  Status status = Region::open(path, Region::Access::kRead, &opened->region_);
  if (!status.ok()) return status;
  opened->size_bytes_ = opened->region_->size_bytes();
  opened->descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened->descriptor_ < 0)
    return Status(errno == EACCES ? Code::kPrivilege : Code::kStore, path + ": cannot be opened for reading: " + strerror(errno));
  opened->is_device_ = opened->region_->medium() == Medium::kDeviceDax;
  if (opened->is_device_ || opened->region_->guard()) opened->mapped_ = opened->region_->base();
  opened->in_memory_ = opened->mapped_ && opened->region_->medium() != Medium::kDisk;
  opened->present_step_ = opened->present_step();
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
  if (is_device_) return copy_mapped(offset, to, size_bytes);
  auto* at = static_cast<uint8_t*>(to);
  while (size_bytes > 0) {
    const ssize_t count = pread(descriptor_, at, size_bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(Code::kStore, std::string("reading failed: ") + strerror(errno));
    if (count == 0) return fail(Code::kStore, kShorter);
    at += count;
    offset += static_cast<uint64_t>(count);
    size_bytes -= static_cast<size_t>(count);
  }
  return true;
}

const uint8_t* ReaderSource::window(uint64_t offset, size_t size_bytes) {
  if (!mapped_ || offset > size_bytes_ || size_bytes > size_bytes_ - offset) return nullptr;
  if (size_bytes > 0) make_present(offset, size_bytes);
  return mapped_ + offset;
}

bool ReaderSource::copy(uint64_t offset, void* to, size_t size_bytes) {
  if (!in_memory_ || offset > size_bytes_ || size_bytes > size_bytes_ - offset) return read(offset, to, size_bytes);
  return copy_mapped(offset, to, size_bytes);
}

// The kernel keeps two calls in order. Two copies without one stay in order by the fences: what an entry says of a block is loaded
// before the block's bytes.
bool ReaderSource::copy_mapped(uint64_t offset, void* to, size_t size_bytes) {
  std::atomic_thread_fence(std::memory_order_acquire);
  memcpy(to, mapped_ + offset, size_bytes);
  std::atomic_thread_fence(std::memory_order_acquire);
  return intact();
}

// In pages of kPageBytes. What lies in memory and has no hole, where reading would make a page, is made present a huge page at a time:
// mostly it is one, and the call takes longer than the mapping of it.
uint64_t ReaderSource::present_step() const {
  struct stat file;
  const bool whole = in_memory_ && fstat(descriptor_, &file) == 0 && static_cast<uint64_t>(file.st_blocks) * 512 >= size_bytes_;
  return std::max(region_->page_bytes(), whole ? kHugePageBytes : kPageBytes) / kPageBytes;
}

// One call instead of a fault for every few pages, once. What it cannot do (an older kernel, pages that are gone) reading will show.
void ReaderSource::make_present(uint64_t offset, uint64_t size_bytes) {
#ifdef MADV_POPULATE_READ
  auto* const base = const_cast<uint8_t*>(mapped_);
  if (present_.empty()) present_.resize(size_bytes_ / kPageBytes / 64 + 1);
  if (present_count_ * kPageBytes > kPresentMax) {
    madvise(base, size_bytes_, MADV_DONTNEED);
    std::fill(present_.begin(), present_.end(), 0);
    present_count_ = 0;
  }
  uint64_t first = offset / kPageBytes;
  uint64_t end = (offset + size_bytes - 1) / kPageBytes + 1;
  while (first < end && has(present_, first)) first += first % 64 == 0 && present_[first / 64] == ~0ull ? 64 : 1;
  while (end > first && has(present_, end - 1)) --end;
  if (first >= end) return;
  first = first / present_step_ * present_step_;
  end = std::min((end + present_step_ - 1) / present_step_ * present_step_, (size_bytes_ + kPageBytes - 1) / kPageBytes);
  madvise(base + first * kPageBytes, (end - first) * kPageBytes, MADV_POPULATE_READ);
  present_count_ += end - first;
  for (uint64_t page = first; page < end; ++page) present_[page / 64] |= 1ull << page % 64;
#endif
}

bool ReaderSource::intact() {
  const FaultGuard* guard = region_->guard();
  if (!guard || !guard->struck()) return true;
  struct stat info;
  const bool shorter = !is_device_ && fstat(descriptor_, &info) == 0 && static_cast<uint64_t>(info.st_size) < size_bytes_;
  return fail(Code::kStore, shorter ? kShorter : "reading failed: the medium has lost what lies there (Input/output error)");
}

uint64_t ReaderSource::word(uint64_t offset) {
  uint64_t value = 0;
  std::atomic_thread_fence(std::memory_order_acquire);
  if (in_memory_ && offset + sizeof value <= size_bytes_) {
    value = __atomic_load_n(reinterpret_cast<const uint64_t*>(mapped_ + offset), __ATOMIC_ACQUIRE);
    if (!intact()) value = 0;
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
