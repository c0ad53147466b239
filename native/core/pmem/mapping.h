// An open store file: descriptor and mapping, closed and unmapped together.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/pmem/fault_guard.h"
#include "core/pmem/medium.h"

namespace paste {

class Mapping {
 public:
  Mapping(int descriptor, std::string path, MediumInfo info)
      : descriptor_(descriptor), path_(std::move(path)), info_(std::move(info)) {}
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  // Maps everything. Tries MAP_SYNC on a file that may be fs-DAX, and corrects info().medium when it is.
  Status map(bool writable);

  int descriptor() const { return descriptor_; }
  uint8_t* base() const { return base_; }
  const MediumInfo& info() const { return info_; }
  const std::string& path() const { return path_; }
  bool intact() const;  // the file is still as long as it was
  // Of a mapping for reading only; null: none was to be had, or it is a writer's.
  const FaultGuard* guard() const { return guard_ && guard_->armed() ? guard_.get() : nullptr; }
  // Space for a range of the file where it has none yet; false when the file system has none left.
  [[nodiscard]] bool reserve(uint64_t offset, uint64_t size_bytes) const;

 private:
  void fill_with_huge_pages(uint64_t from, uint64_t to) const;

  int descriptor_;
  std::string path_;
  MediumInfo info_;
  uint8_t* base_ = nullptr;
  std::unique_ptr<FaultGuard> guard_;
  bool has_holes_ = false;  // when it was mapped: a sparse file, or a copy that left out what was zero
};

}  // namespace paste
