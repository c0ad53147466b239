// A region whose memory is a SimMemory: byte-addressable (as DAX), or a disk with its page cache and its staging buffers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/pmem/region.h"
#include "test/sim_memory.h"

namespace paste::test {

// Looks at what happens while it happens: crash images are taken from inside these calls.
struct SimObserver {
  std::function<void()> before_fence;  // on a disk: inside sync(), when everything is written and nothing yet synced
  // Whole lines were streamed to this offset (on a disk: into the staging buffer that stands for it).
  std::function<void(uint64_t offset, const uint8_t* lines, size_t count)> streamed;
};

class SimRegion final : public Region {
 public:
  // The memory outlives the region, as a machine's outlives a process.
  SimRegion(SimMemory& memory, bool disk, SimObserver observer = {});

  uint64_t size_bytes() const override { return memory_.size_bytes(); }
  bool intact() const override { return true; }
  Medium medium() const override { return Medium::kSimulated; }
  const char* file_system() const override { return "simulated"; }
  Domain& domain() override { return domain_; }
  const std::string& path() const override { return path_; }
  const uint8_t* base() const override { return memory_.base(); }
  // The directory and superblock as the writer sees them now.
  const uint8_t* head() const { return disk_ && windows_.contains(0) ? windows_.at(0)->memory.get() : memory_.base(); }
  uint8_t* writable_head(uint64_t extent_bytes) override;
  uint8_t* acquire_staging(uint64_t offset, uint32_t size_bytes) override;
  void release_staging(uint64_t offset) override;
  bool populate(uint64_t offset, uint64_t size_bytes) override {
    (void)offset, (void)size_bytes;
    return true;
  }
  void publish(uint64_t offset, uint32_t size_bytes) override;

 private:
  class SimDomain final : public Domain {
   public:
    explicit SimDomain(SimRegion& region) : region_(region) {}
    bool immediate() const override { return !region_.disk_; }
    const char* name() const override { return "simulated"; }
    void store(void* to, const void* from, size_t size_bytes) override;
    void store64(void* to, uint64_t value) override;
    void stream(void* to, const void* from, size_t lines) override;
    void flush(const void* from, size_t size_bytes) override;
    void fence() override;
    Status sync() override;

   private:
    SimRegion& region_;
  };
  struct Window {
    uint64_t offset = 0, size = 0;
    std::unique_ptr<uint8_t[], void (*)(void*)> memory{nullptr, nullptr};
  };
  struct Dirty {
    uint64_t start = 0;
    std::shared_ptr<Window> window;
    uint64_t end = 0;
  };
  std::shared_ptr<Window> window_of(const void* address) const;
  uint64_t offset_of(const void* address) const;
  uint8_t* open_window(uint64_t offset, uint64_t size_bytes);

  SimMemory& memory_;
  const bool disk_;
  SimObserver observer_;
  SimDomain domain_{*this};
  std::string path_ = "simulated.store";
  std::map<uint64_t, std::shared_ptr<Window>> windows_;  // by offset; disk only
  std::vector<Dirty> dirty_;
};

}  // namespace paste::test
