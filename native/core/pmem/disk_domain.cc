#include "core/pmem/disk_domain.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace paste {
namespace {

constexpr uint64_t kPage = 4096;

uint64_t page_down(uint64_t value) { return value & ~(kPage - 1); }
uint64_t page_up(uint64_t value) { return page_down(value + kPage - 1); }

void release_memory(uint8_t* memory) { std::free(memory); }

}  // namespace

bool DiskDomain::Window::contains(const void* address, size_t bytes) const {
  const auto* at = static_cast<const uint8_t*>(address);
  return at >= memory.get() && at < memory.get() + size && bytes <= size - static_cast<size_t>(at - memory.get());
}

uint8_t* DiskDomain::open_window(uint64_t offset, uint64_t size_bytes) {
  PASTE_CHECK(offset % kPage == 0 && size_bytes > 0);
  auto window = std::make_shared<Window>();
  window->offset = offset;
  window->size = page_up(size_bytes);
  auto* memory = static_cast<uint8_t*>(std::aligned_alloc(kPage, window->size));
  PASTE_CHECK(memory != nullptr);
  std::memset(memory, 0, window->size);  // also makes its pages present
  window->memory = {memory, release_memory};
  const std::lock_guard guard(mutex_);
  for (const auto& other : windows_)
    PASTE_CHECK(other->offset + other->size <= window->offset || window->offset + window->size <= other->offset);
  // What an earlier window of this range flushed must be synced by now, else two writes of one range would race.
  for (const Dirty& range : dirty_) PASTE_CHECK(range.end <= window->offset || window->offset + window->size <= range.start);
  windows_.push_back(std::move(window));
  return memory;
}

void DiskDomain::close_window(uint64_t offset) {
  const std::lock_guard guard(mutex_);
  std::erase_if(windows_, [offset](const auto& window) { return window->offset == offset; });
}

void DiskDomain::store(void* to, const void* from, size_t size_bytes) { std::memcpy(to, from, size_bytes); }

void DiskDomain::stream(void* to, const void* from, size_t lines) { std::memcpy(to, from, lines * 64); }

void DiskDomain::note(const std::shared_ptr<Window>& window, uint64_t start, uint64_t end) {
  if (!dirty_.empty()) {
    Dirty& last = dirty_.back();
    if (last.window == window && start <= last.end && last.start <= end) {  // a log grows at its end: one range for all of it
      last.start = std::min(last.start, start);
      last.end = std::max(last.end, end);
      return;
    }
  }
  dirty_.push_back({start, end, window});
}

// Whole pages are written, so that the kernel never has to read one from the disk to change a part of it.
void DiskDomain::flush(const void* from, size_t size_bytes) {
  if (size_bytes == 0) return;
  const std::lock_guard guard(mutex_);
  if (!failure_.ok()) return;  // nothing will be written any more
  for (const auto& window : windows_) {
    if (!window->contains(from, size_bytes)) continue;
    const uint64_t start = window->offset + static_cast<uint64_t>(static_cast<const uint8_t*>(from) - window->memory.get());
    note(window, page_down(start), page_up(start + size_bytes));
    return;
  }
  PASTE_CHECK(!"flush of an address that stands for no part of the file");
}

Status DiskDomain::write_all(const uint8_t* from, uint64_t offset, uint64_t size_bytes) {
  while (size_bytes > 0) {
    const ssize_t written = pwrite(descriptor_, from, size_bytes, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int reason = written < 0 ? errno : ENOSPC;
      return {reason == ENOSPC || reason == EDQUOT ? Code::kResource : Code::kStore,
              path_ + ": writing " + std::to_string(size_bytes) + " bytes at " + std::to_string(offset) + ": " +
                  std::strerror(reason) + "; nothing is acknowledged any more: make room or replace the disk, then reopen"};
    }
    from += written;
    offset += static_cast<uint64_t>(written);
    size_bytes -= static_cast<uint64_t>(written);
  }
  return {};
}

Status DiskDomain::failure() const {
  const std::lock_guard guard(mutex_);
  return failure_;
}

void DiskDomain::fail(const Status& status) {
  const std::lock_guard guard(mutex_);
  if (failure_.ok()) failure_ = status;
  dirty_.clear();
}

void DiskDomain::write_now(uint64_t offset, uint64_t size_bytes) {
  std::shared_ptr<Window> window;
  {
    const std::lock_guard guard(mutex_);
    for (const auto& open : windows_)
      if (open->offset <= offset && offset + size_bytes <= open->offset + open->size) window = open;
  }
  PASTE_CHECK(window != nullptr);
  const Status written = write_all(window->memory.get() + (offset - window->offset), offset, size_bytes);
  if (!written.ok()) fail(written);
}

// A failed fdatasync may have dropped the pages it could not write, and a second one would report success (Rebello et al.,
// "Can applications recover from fsync failures?", ATC 2020): so the first failure is the answer for ever.
Status DiskDomain::sync() {
  const std::lock_guard one_at_a_time(syncing_);
  std::vector<Dirty> ranges;
  {
    const std::lock_guard guard(mutex_);
    if (!failure_.ok()) return failure_;
    ranges.swap(dirty_);
  }
  if (ranges.empty()) return {};
  std::sort(ranges.begin(), ranges.end(), [](const Dirty& a, const Dirty& b) { return a.start < b.start; });
  for (size_t i = 0; i < ranges.size();) {
    const Window& window = *ranges[i].window;
    const uint64_t start = ranges[i].start;
    uint64_t end = ranges[i].end;
    for (++i; i < ranges.size() && ranges[i].window.get() == &window && ranges[i].start <= end; ++i)
      end = std::max(end, ranges[i].end);
    const Status written = write_all(window.memory.get() + (start - window.offset), start, end - start);
    if (!written.ok()) {
      fail(written);
      return failure();
    }
  }
  if (fdatasync(descriptor_) != 0) {
    fail({Code::kStore, path_ + ": fdatasync: " + std::strerror(errno) +
                            "; nothing is acknowledged any more: check the disk, then reopen the store"});
  }
  return failure();
}

}  // namespace paste
