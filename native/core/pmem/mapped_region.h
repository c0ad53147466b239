// A region whose mapping is written in place: DAX, device-DAX, tmpfs, hugetlbfs. Also any region opened for reading.
#pragma once

#include <memory>
#include <string>

#include "core/pmem/mapping.h"
#include "core/pmem/region.h"

namespace paste {

class MappedRegion final : public Region {
 public:
  // `domain` is null for readers.
  MappedRegion(std::unique_ptr<Mapping> mapping, std::unique_ptr<Domain> domain)
      : mapping_(std::move(mapping)), domain_(std::move(domain)) {}

  uint64_t size_bytes() const override { return mapping_->info().size_bytes; }
  bool intact() const override { return mapping_->intact(); }
  Medium medium() const override { return mapping_->info().medium; }
  const char* file_system() const override { return mapping_->info().file_system.c_str(); }
  Domain& domain() override;
  const std::string& path() const override { return mapping_->path(); }
  int descriptor() const override { return mapping_->descriptor(); }
  uint64_t page_bytes() const override { return mapping_->info().page_bytes; }
  const FaultGuard* guard() const override { return mapping_->guard(); }
  const uint8_t* base() const override { return mapping_->base(); }
  uint8_t* writable_head(uint64_t extent_bytes) override;
  uint8_t* acquire_staging(uint64_t offset, uint32_t size_bytes) override;
  void release_staging(uint64_t offset) override { (void)offset; }
  bool populate(uint64_t offset, uint64_t size_bytes) override;
  void publish(uint64_t offset, uint32_t size_bytes) override { (void)offset, (void)size_bytes; }

 private:
  std::unique_ptr<Mapping> mapping_;
  std::unique_ptr<Domain> domain_;
};

}  // namespace paste
