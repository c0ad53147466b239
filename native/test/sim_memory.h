// Memory that forgets: what a crash leaves of a store, line by line. It keeps what the processor sees and what is surely
// persistent, and for every line in between all contents that it had since, because any of them may have been written back early.
//
// The adversary: a fence makes persistent what was flushed before it. Every other line may be persistent or not, with any of the
// contents it has had, and torn: each aligned 8-byte word is chosen by itself.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace paste::test {

// Parts of a store, as far as faults tell them apart.
enum class Part : uint8_t { kSuperblock, kLive, kWord, kHeld, kEntry, kSeal, kBlock };

// What is deliberately broken. A mask of 1 << Part.
struct SimFaults {
  uint32_t drop_flushes = 0;  // flushes (and streams' own write-back) of these parts do nothing
  uint32_t drop_fences = 0;   // a fence does nothing when a line waits for it that lies in one of these parts
};

// How a crash image is chosen from the lines in between.
enum class Subset : uint32_t { kNone, kAll, kLines, kWords, kAllButOne, kOnlyOne, kCount };

class SimMemory {
 public:
  // Starts persistent with these contents. `blocks_offset` is where the store's blocks begin.
  SimMemory(const std::vector<uint8_t>& contents, uint64_t blocks_offset);

  uint8_t* base() { return now_.get(); }
  const uint8_t* base() const { return now_.get(); }
  uint64_t size_bytes() const { return size_; }
  bool contains(const void* address) const;
  uint64_t offset_of(const void* address) const;
  Part part_at(uint64_t offset) const;

  void store(uint64_t offset, const void* from, uint64_t size_bytes);
  void store64(uint64_t offset, uint64_t value);
  void flush(uint64_t offset, uint64_t size_bytes);
  void fence();
  uint64_t fences() const { return fences_; }
  uint64_t pending_lines() const { return pending_.size(); }

  // What a crash at this moment leaves.
  std::vector<uint8_t> image(Subset subset, std::mt19937_64& random) const;
  // A device (or a port's snapshot) wrote this range of `base()` by itself: dirty lines, as after an ordinary store.
  void written(uint64_t offset, uint64_t size_bytes);
  // Offset of the first line that was changed past all of these, and so would not be crash-tested; ~0 = none. The live page
  // is exempt: recovery never trusts it.
  uint64_t untracked() const;

  SimFaults faults;

 private:
  using Line = std::array<uint8_t, 64>;
  struct Pending {
    uint32_t line = 0;
    int32_t flushed = -1;         // version that the next fence makes persistent
    std::vector<Line> versions;   // oldest first, the last is what the processor sees
  };
  void changed(uint64_t offset, uint64_t size_bytes);
  void note(uint32_t line);

  uint64_t size_;
  uint64_t blocks_offset_;
  std::unique_ptr<uint8_t[], void (*)(void*)> now_;  // page-aligned
  std::vector<uint8_t> tracked_;     // `now_` as it is by tracked stores alone
  std::vector<uint8_t> persistent_;
  std::vector<uint32_t> index_;      // line -> 1 + its place in pending_, 0 = none
  std::vector<Pending> pending_;
  uint64_t fences_ = 0;
};

}  // namespace paste::test
