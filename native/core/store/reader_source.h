// The bytes of a store as a reader gets at them: copies, each of which may fail without harm.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

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

  std::unique_ptr<Region> region_;
  const uint8_t* mapped_ = nullptr;  // device-DAX only
  uint64_t size_bytes_ = 0;
  int descriptor_ = -1;
  Status status_;
};

}  // namespace paste
