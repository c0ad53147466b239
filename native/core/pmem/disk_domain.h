// Persistence on an ordinary file: stores go to buffers in DRAM that stand for ranges of the file; flush() notes what was
// stored, sync() writes it with pwrite and makes it durable with fdatasync.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/pmem/domain.h"

namespace paste {

class DiskDomain final : public Domain {
 public:
  // The descriptor stays the caller's and must outlive this.
  DiskDomain(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}

  // A buffer of whole pages that stands for [offset, offset + size) of the file. Windows never overlap.
  uint8_t* open_window(uint64_t offset, uint64_t size_bytes);
  void close_window(uint64_t offset);
  // Writes a piece of an open window at once, unsynced; a failure is kept for sync().
  void write_now(uint64_t offset, uint64_t size_bytes);

  bool immediate() const override { return false; }
  const char* name() const override { return "pwrite+fdatasync"; }
  void store(void* to, const void* from, size_t size_bytes) override;
  void store64(void* to, uint64_t value) override { __atomic_store_n(static_cast<uint64_t*>(to), value, __ATOMIC_RELEASE); }
  void stream(void* to, const void* from, size_t lines) override;  // needs a flush() here as well, see below
  void flush(const void* from, size_t size_bytes) override;
  void fence() override { std::atomic_thread_fence(std::memory_order_release); }
  Status sync() override;

 private:
  struct Window {
    uint64_t offset = 0, size = 0;
    std::unique_ptr<uint8_t[], void (*)(uint8_t*)> memory{nullptr, nullptr};
    bool contains(const void* address, size_t bytes) const;
  };
  // Holds its window's memory, so that a window may be closed before its last sync.
  struct Dirty {
    uint64_t start = 0, end = 0;  // of the file, whole pages
    std::shared_ptr<Window> window;
  };
  Status write_all(const uint8_t* from, uint64_t offset, uint64_t size_bytes);
  void note(const std::shared_ptr<Window>& window, uint64_t start, uint64_t end);
  Status failure() const;
  void fail(const Status& status);

  const int descriptor_;
  const std::string path_;
  mutable std::mutex mutex_;  // guards what follows, never held across a system call
  std::vector<std::shared_ptr<Window>> windows_;
  std::vector<Dirty> dirty_;
  Status failure_;
  std::mutex syncing_;        // one sync at a time
};

}  // namespace paste
