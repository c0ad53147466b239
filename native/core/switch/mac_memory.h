// What one forwarding thread remembers of the learning tables: which port an address was found behind since its table last changed
// and in the current tick, and whether this thread has refreshed it. Every change of a table and every tick makes a new version,
// which forgets all of it at once. Addresses that share a place only cost each other time.
#pragma once

#include "core/switch/mac_table.h"

namespace paste {

inline constexpr uint32_t kSwitchesMax = 64;

class MacMemory {
 public:
  static constexpr uint64_t kFresh = 0x8000;  // learned or refreshed here: its source need not be asked again

  struct Entry {
    uint64_t key;
    uint64_t word;  // version << 16 | kFresh | port
  };
  Entry& entry(uint64_t key) { return entries_[key * 0x9e3779b97f4a7c15 >> (64 - kBits)]; }

  // The version now, shifted into its place in `word`.
  uint64_t version(const MacTable& table, uint32_t switch_index, uint32_t tick) {
    Seen& seen = seen_[switch_index];
    const uint64_t changes = table.changes();
    if (__builtin_expect(seen.changes != changes || seen.tick != tick || seen.version == 0, 0))
      seen = {changes, ++last_version_, tick};
    return seen.version << 16;
  }

 private:
  static constexpr uint32_t kBits = 12;
  struct Seen {
    uint64_t changes = 0, version = 0;
    uint32_t tick = 0;
  };
  Entry entries_[1u << kBits] = {};
  Seen seen_[kSwitchesMax];
  uint64_t last_version_ = 0;  // of any switch: no two share one
};

}  // namespace paste
