// A region on an ordinary file, opened for writing: read through the mapping, written through a DiskDomain.
#pragma once

#include <memory>
#include <string>

#include "core/pmem/disk_domain.h"
#include "core/pmem/mapping.h"
#include "core/pmem/region.h"

namespace paste {

class DiskRegion final : public Region {
 public:
  explicit DiskRegion(std::unique_ptr<Mapping> mapping)
      : mapping_(std::move(mapping)), domain_(mapping_->descriptor(), mapping_->path()) {}

  uint64_t size_bytes() const override { return mapping_->info().size_bytes; }
  bool intact() const override { return mapping_->intact(); }
  Medium medium() const override { return Medium::kDisk; }
  const char* file_system() const override { return mapping_->info().file_system.c_str(); }
  Domain& domain() override { return domain_; }
  const std::string& path() const override { return mapping_->path(); }
  const FaultGuard* guard() const override { return mapping_->guard(); }
  const uint8_t* base() const override { return mapping_->base(); }
  uint8_t* writable_head(uint64_t extent_bytes) override;
  uint8_t* acquire_staging(uint64_t offset, uint32_t size_bytes) override;
  void release_staging(uint64_t offset) override { domain_.close_window(offset); }
  bool populate(uint64_t offset, uint64_t size_bytes) override { return mapping_->reserve(offset, size_bytes); }
  void publish(uint64_t offset, uint32_t size_bytes) override { domain_.write_now(offset, size_bytes); }

 private:
  std::unique_ptr<Mapping> mapping_;  // outlives the domain
  DiskDomain domain_;
  uint8_t* head_ = nullptr;
  uint64_t head_bytes_ = 0;
};

}  // namespace paste
