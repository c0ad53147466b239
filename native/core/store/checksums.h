// How each structure of the layout is checked. A serial as seed ties a line to one life of its block: what a former life left
// behind never passes.
#pragma once

#include <cstring>

#include "core/base/crc32c.h"
#include "core/store/layout.h"

namespace paste::layout {

constexpr uint32_t seed_of(uint64_t serial) { return static_cast<uint32_t>(serial); }

inline uint32_t superblock_crc(const Superblock& superblock) {
  return crc32c(0, &superblock, offsetof(Superblock, crc));
}

inline uint32_t block_header_crc(const BlockHeader& header) { return crc32c(0, &header, offsetof(BlockHeader, crc)); }

inline uint32_t record_header_crc(const RecordHeader& header, uint64_t serial) {
  RecordHeader copy = header;
  copy.header_crc = 0;
  return crc32c(seed_of(serial), &copy, sizeof copy);
}

inline uint32_t place_payload_crc(const PlacePayload& place, uint64_t serial) {
  return crc32c(seed_of(serial), &place, offsetof(PlacePayload, place_crc));
}

// The seal of an entry, for the life that `serial` names.
inline uint32_t seal_crc(const DirectoryEntry& entry, uint64_t serial) {
  constexpr size_t kStart = offsetof(DirectoryEntry, first_sequence);
  return crc32c(seed_of(serial), reinterpret_cast<const uint8_t*>(&entry) + kStart,
                offsetof(DirectoryEntry, seal_crc) - kStart);
}

// True when the entry is a log block's whose seal counts.
inline bool sealed(const DirectoryEntry& entry) {
  return word_kind(entry.word) == kLog && entry.seal_crc == seal_crc(entry, word_serial(entry.word));
}
inline bool index_sealed(const DirectoryEntry& entry) {
  return word_kind(entry.word) == kIndex && entry.seal_crc == seal_crc(entry, word_serial(entry.word));
}
// False: no writer leaves such an entry, so its word is damaged. A log block's seal lies beside a word of another kind (index blocks with
// something in them hold log blocks), serials begin with 1 and do not come to 2^56 in a store's life, and a free block's word is zero.
inline bool word_possible(const DirectoryEntry& entry) {
  const uint64_t serial = word_serial(entry.word);
  if (entry.word == 0) return true;
  if (serial == 0 || serial >> 56 != 0 || word_kind(entry.word) == kFree) return false;
  if (word_kind(entry.word) == kLog) return true;
  const bool held = word_kind(entry.word) == kIndex && (entry.held_until != 0 || entry.end_bytes <= kLine);
  return held || entry.seal_crc != seal_crc(entry, serial);
}

// Bytes that part `part` of a frame of `length` bytes holds.
constexpr uint32_t part_bytes(uint32_t length, uint32_t part) {
  const uint32_t start = part * kPartBytes;
  return start >= length ? 0 : length - start < kPartBytes ? length - start : kPartBytes;
}

constexpr uint32_t parts_of(uint32_t length) { return length <= kPartBytes ? 1 : (length + kPartBytes - 1) / kPartBytes; }

constexpr uint32_t lines_of(uint32_t size_bytes) { return (size_bytes + kLine - 1) / kLine; }

}  // namespace paste::layout
