// What ids mean to one lane: the descriptions that it repeats in each block before the first record that needs them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/store/layout.h"

namespace paste {

struct Description {
  uint32_t id = 0;                // 0 = slot unused
  uint32_t rule_set = 0;
  layout::RecordType type = layout::kEnd;
  uint32_t payload_crc = 0;
  // Ordinals of the newest block of the lane that is planned to hold it, and that does.
  uint64_t planned = 0, written = 0;
  std::vector<uint8_t> payload;   // zero-padded to whole lines
  uint32_t payload_bytes = 0;

  uint32_t lines() const { return 1 + static_cast<uint32_t>(payload.size() / layout::kLine); }
};

// Open addressing, at most half full: a look-up is one or two compares. Changes allocate; they are made per port and rule.
class DescriptionTable {
 public:
  DescriptionTable();

  Description* find(uint32_t id) {
    for (uint32_t i = hash(id);; i = (i + 1) & mask_) {
      if (slots_[i].id == id) return id == 0 ? nullptr : &slots_[i];
      if (slots_[i].id == 0) return nullptr;
    }
  }
  void put(Description description);
  template <typename Predicate>
  void remove_if(Predicate predicate) {
    std::vector<Description> kept;
    for (Description& slot : slots_)
      if (slot.id != 0 && !predicate(slot)) kept.push_back(std::move(slot));
    rebuild(std::move(kept));
  }
  // Plans are void: only what was written counts.
  void forget_plans() {
    for (Description& slot : slots_) slot.planned = slot.written;
    recent_.fill({});
  }

  // Whether the block with this ordinal is known to hold the id's description or to need none: one compare for nearly every frame,
  // where finding the description costs 25 instructions. Says no where it does not know.
  bool recalls(uint32_t id, uint64_t ordinal) const {
    const Recent& recent = recent_[id % kRecent];
    return recent.id == id && recent.ordinal == ordinal;
  }
  void recall(uint32_t id, uint64_t ordinal) { recent_[id % kRecent] = {ordinal, id}; }

 private:
  struct Recent {
    uint64_t ordinal = 0;         // of a lane's block; they start at 1
    uint32_t id = 0;
  };
  static constexpr uint32_t kRecent = 256;

  uint32_t hash(uint32_t id) const { return (id * 0x9e3779b1u >> 8) & mask_; }
  void rebuild(std::vector<Description> descriptions);

  std::vector<Description> slots_;
  uint32_t mask_ = 0;
  uint32_t used_ = 0;
  std::array<Recent, kRecent> recent_{};
};

}  // namespace paste
