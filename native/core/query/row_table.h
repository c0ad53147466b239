// Rows by key, for aggregates over frames: a hash table that grows up to a bound. What finds no place is the caller's to count.
#pragma once

#include <sys/random.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace paste {

// Row: trivially copyable, with a member `key` of `kKeyBytes` (a multiple of 8), compared byte by byte. The hash is keyed with
// random numbers, so that nobody who chooses the traffic can choose the collisions.
template <class Row, uint32_t kKeyBytes>
class RowTable {
 public:
  explicit RowTable(uint32_t rows_max) : rows_max_(rows_max) {
    if (getrandom(seeds_, sizeof seeds_, 0) != sizeof seeds_) seeds_[0] = 0x9e3779b97f4a7c15;  // slower under attack, never wrong
    places_.assign(1024, 0);
  }

  // The row of the key, `*is_new` with nothing but the key set; null when there are as many rows as may be.
  Row* find_or_add(const uint8_t* key, bool* is_new) {
    *is_new = false;
    const uint64_t mask = places_.size() - 1;
    const uint64_t hashed = hash(key);
    for (uint64_t at = hashed & mask;; at = (at + 1) & mask) {
      const uint32_t place = places_[at];
      if (place == 0) return rows_.size() < rows_max_ ? add(key, at, is_new) : nullptr;
      Row& row = rows_[place - 1];
      if (std::memcmp(row.key, key, kKeyBytes) == 0) return &row;
    }
  }
  const std::vector<Row>& rows() const { return rows_; }

 private:
  static_assert(kKeyBytes % 8 == 0);

  uint64_t hash(const uint8_t* key) const {
    uint64_t mixed = seeds_[1];
    for (uint32_t i = 0; i < kKeyBytes; i += 8) {
      uint64_t word;
      std::memcpy(&word, key + i, 8);
      mixed = (mixed ^ word ^ seeds_[0]) * 0xff51afd7ed558ccd;
      mixed ^= mixed >> 32;
    }
    return mixed * 0xc4ceb9fe1a85ec53 >> 20;
  }
  Row* add(const uint8_t* key, uint64_t at, bool* is_new) {
    *is_new = true;
    rows_.push_back(Row{});
    std::memcpy(rows_.back().key, key, kKeyBytes);
    places_[at] = static_cast<uint32_t>(rows_.size());
    if (rows_.size() * 2 > places_.size()) grow();
    return &rows_.back();
  }
  void grow() {
    places_.assign(places_.size() * 2, 0);
    const uint64_t mask = places_.size() - 1;
    for (uint32_t i = 0; i < rows_.size(); ++i) {
      uint64_t at = hash(rows_[i].key) & mask;
      while (places_[at] != 0) at = (at + 1) & mask;
      places_[at] = i + 1;
    }
  }

  uint32_t rows_max_;
  uint64_t seeds_[2] = {};
  std::vector<uint32_t> places_;  // index into rows_ + 1; 0 = free. At most half full.
  std::vector<Row> rows_;
};

}  // namespace paste
