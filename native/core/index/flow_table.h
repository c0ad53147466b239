// The flows of a run under way: open addressing from keys to numbers that count up.
#pragma once

#include <cstdint>
#include <vector>

#include "core/index/flow_key.h"

namespace paste::index {

struct Flow {
  FlowKey key;
  uint32_t terms;                // offset of its further terms
  uint32_t hash;                 // the low half
  uint32_t community;            // the digest's first four bytes
  uint32_t count : 31;           // records
  uint32_t has_community : 1;
};
static_assert(sizeof(Flow) == 64);

class FlowTable {
 public:
  explicit FlowTable(uint64_t seed);

  uint64_t hash(const FlowKey& key, const uint8_t* terms) const;
  void prefetch(uint64_t hash) const { __builtin_prefetch(&slots_[hash & mask_]); }
  void prefetch_flow(uint64_t hash) const {
    const Slot& slot = slots_[hash & mask_];
    if (slot.flow != 0) __builtin_prefetch(&flows_[slot.flow - 1]);
  }
  // The number of the flow; *fresh says that it is new.
  uint32_t take(const FlowKey& key, const uint8_t* terms, uint64_t hash, bool* fresh);

  std::vector<Flow>& flows() { return flows_; }
  const std::vector<Flow>& flows() const { return flows_; }
  const uint8_t* terms(const Flow& flow) const { return terms_.data() + flow.terms; }
  uint64_t memory_bytes() const { return flows_.size() * sizeof(Flow) + terms_.size() + slots_.size() * sizeof(Slot); }
  void clear();

 private:
  struct Slot {
    uint32_t tag;   // the high half of the hash
    uint32_t flow;  // its number + 1; 0 = free
  };
  bool equal(const Flow& flow, const FlowKey& key, const uint8_t* terms) const;
  void grow();

  static constexpr size_t kSlotsAtFirst = 4096, kFlowsKept = 1u << 19, kTermsKept = 64u << 20;
  const uint64_t seed_;
  uint64_t secrets_[8];
  uint64_t mask_ = 0;
  std::vector<Slot> slots_;
  std::vector<Flow> flows_;
  std::vector<uint8_t> terms_;
};

}  // namespace paste::index
