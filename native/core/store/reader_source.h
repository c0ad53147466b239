// The bytes of a store as a reader gets at them: copies, and windows to read in place. Each may fail without harm.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/pmem/region.h"
#include "core/store/layout.h"

namespace paste {

class ReaderSource {
 public:
  static Status open(const std::string& path, std::unique_ptr<ReaderSource>* source);
  ~ReaderSource();
  ReaderSource(const ReaderSource&) = delete;
  ReaderSource& operator=(const ReaderSource&) = delete;

  // Copies [offset, offset + size_bytes). False, and status() says why, when the store does not have them (any more).
  bool read(uint64_t offset, void* to, size_t size_bytes);
  // The same without a call where the store lies in memory: for bytes that have been written (what has no page yet would get one).
  // From a disk's cache, in pages of 4 KiB, a call takes less time than a fault.
  bool copy(uint64_t offset, void* to, size_t size_bytes);
  // The bytes as they lie in the store, to be read in place while the source lives: they may change at any time. Null: not to be
  // had here, take a copy. They count only if intact() says so after they were read.
  const uint8_t* window(uint64_t offset, size_t size_bytes);
  // False, and status() says why, when a window's bytes were gone (somebody truncated the file, the medium failed).
  bool intact();
  // One aligned 8-byte word; 0 when it cannot be read. Ordered against reads before and after it. Kernels copy aligned words
  // whole, so it is not torn; whatever follows from it is covered by a checksum anyway.
  uint64_t word(uint64_t offset);

  // Whether a writer's lock on the file is to be seen (/proc/locks; looking takes no lock). False also when the lock's owner
  // lives in another process namespace.
  bool lock_listed() const;

  const Status& status() const { return status_; }
  Region& region() { return *region_; }

 private:
  ReaderSource() = default;
  bool fail(Code code, const std::string& what);
  bool copy_mapped(uint64_t offset, void* to, size_t size_bytes);
  uint64_t present_step() const;
  void make_present(uint64_t offset, uint64_t size_bytes);

  std::unique_ptr<Region> region_;
  const uint8_t* mapped_ = nullptr;  // null: reading there could end the process
  bool is_device_ = false;           // device-DAX has no pread
  bool in_memory_ = false;           // mapped_ is persistent memory or tmpfs, mostly in huge pages
  // A bit for every 4 KiB.
  std::vector<uint64_t> present_;    // a window has made it present
  uint64_t present_count_ = 0;
  uint64_t present_step_ = 1;        // so many are made present at once
  uint64_t size_bytes_ = 0;
  int descriptor_ = -1;
  Status status_;
};

}  // namespace paste
