#include "core/index/flow_table.h"

#include "core/index/mix.h"

namespace paste::index {

// Every factor has a secret of its own: one that a sender could make zero would make the other needless.
FlowTable::FlowTable(uint64_t seed) : seed_(seed) {
  for (uint32_t i = 0; i < 8; i++)
    secrets_[i] = fold(seed ^ 0x9e3779b97f4a7c15 * (i + 1), 0xd6e8feb86659fd93 ^ seed >> 7);
  clear();
}

uint64_t FlowTable::hash(const FlowKey& key, const uint8_t* terms) const {
  const uint8_t* at = reinterpret_cast<const uint8_t*>(&key);
  const uint64_t low = fold(load64(at) ^ secrets_[0], load64(at + 8) ^ secrets_[1]);
  const uint64_t middle = fold(load64(at + 16) ^ secrets_[2], load64(at + 24) ^ secrets_[3]);
  const uint64_t high = fold(load64(at + 32) ^ secrets_[4], load64(at + 40) ^ secrets_[5]);
  const uint64_t all = fold(low ^ secrets_[6], middle ^ secrets_[7]) ^ high;
  return fold(all, seed_ | 1) ^ (key.term_bytes == 0 ? 0 : hash_bytes(seed_, terms, key.term_bytes));
}

bool FlowTable::equal(const Flow& flow, const FlowKey& key, const uint8_t* terms) const {
  return std::memcmp(&flow.key, &key, sizeof key) == 0 &&
         (key.term_bytes == 0 || std::memcmp(this->terms(flow), terms, key.term_bytes) == 0);
}

uint32_t FlowTable::take(const FlowKey& key, const uint8_t* terms, uint64_t hash, bool* fresh) {
  const uint32_t tag = static_cast<uint32_t>(hash >> 32);
  uint64_t at = hash & mask_;
  for (; slots_[at].flow != 0; at = (at + 1) & mask_) {
    if (slots_[at].tag != tag) continue;
    const uint32_t number = slots_[at].flow - 1;
    if (!equal(flows_[number], key, terms)) continue;
    *fresh = false;
    return number;
  }
  *fresh = true;
  const uint32_t number = static_cast<uint32_t>(flows_.size());
  slots_[at] = {tag, number + 1};
  flows_.push_back(Flow{key, static_cast<uint32_t>(terms_.size()), static_cast<uint32_t>(hash), 0, 0, 0});
  if (key.term_bytes != 0) terms_.insert(terms_.end(), terms, terms + key.term_bytes);
  if (flows_.size() * 2 > slots_.size()) grow();
  return number;
}

void FlowTable::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  mask_ = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.flow == 0) continue;
    uint64_t at = flows_[slot.flow - 1].hash & mask_;
    while (slots_[at].flow != 0) at = (at + 1) & mask_;
    slots_[at] = slot;
  }
}

// The next run is taken to be like this one; room that few runs need is given back.
void FlowTable::clear() {
  size_t slots = kSlotsAtFirst;
  while (slots < flows_.size() * 2 && slots < kFlowsKept * 2) slots *= 2;
  if (slots < slots_.size()) std::vector<Slot>().swap(slots_);
  slots_.assign(slots, Slot{});
  mask_ = slots_.size() - 1;
  if (flows_.capacity() > kFlowsKept) std::vector<Flow>().swap(flows_);
  if (terms_.capacity() > kTermsKept) std::vector<uint8_t>().swap(terms_);
  flows_.clear();
  terms_.clear();
}

}  // namespace paste::index
