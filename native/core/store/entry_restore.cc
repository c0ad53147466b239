#include "core/store/entry_restore.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/store/checksums.h"

namespace paste {
namespace {

using layout::DirectoryEntry;

// Opening a block wipes the seal before the word names the new life, and serials are never used twice: a seal that is right for the
// header's serial is of the same life as the header.
bool seal_fits(const StoreView& view, const DirectoryEntry& entry, uint64_t serial) {
  return entry.seal_crc == layout::seal_crc(entry, serial) && entry.end_bytes >= layout::kLine &&
         entry.end_bytes <= view.superblock->block_bytes;
}

std::optional<RestoredEntry> by_header(const StoreView& view, uint32_t index) {
  layout::BlockHeader header;
  std::memcpy(&header, view.block(index), sizeof header);
  if (!BlockScan(view, index, header.serial).header_valid() || header.lane >= layout::kLanesMax) return std::nullopt;
  const DirectoryEntry& entry = view.entry(index);
  if (entry.word == layout::entry_word(header.serial, layout::kLog) && entry.lane == header.lane) return std::nullopt;
  const bool sealed = seal_fits(view, entry, header.serial);
  const bool same_life = entry.epoch == header.epoch && entry.lane == header.lane &&
                         (layout::word_kind(entry.word) == layout::kLog || layout::word_serial(entry.word) == header.serial);
  if (!sealed && !same_life) return std::nullopt;
  return RestoredEntry{index, header.epoch, header.serial, header.lane, sealed};
}

}  // namespace

bool entry_doubtful(const DirectoryEntry& entry, bool clean) {
  if (entry.word == 0) return false;
  if (!layout::word_possible(entry)) return true;
  if (layout::sealed(entry)) return entry.lane >= layout::kLanesMax;
  if (layout::index_sealed(entry)) return false;
  return !clean || layout::word_kind(entry.word) != layout::kBuffers || entry.seal_crc != 0;
}

std::vector<RestoredEntry> restorable(const StoreView& view, const std::vector<uint32_t>& doubtful) {
  std::vector<RestoredEntry> found;
  for (const uint32_t index : doubtful)
    if (const std::optional<RestoredEntry> entry = by_header(view, index)) found.push_back(*entry);
  if (found.empty()) return found;
  std::vector<uint64_t> serials;
  for (uint32_t index = 0; index < view.superblock->block_count; ++index)
    serials.push_back(layout::word_serial(view.entry(index).word));
  for (const RestoredEntry& entry : found) serials[entry.index] = entry.serial;
  std::sort(serials.begin(), serials.end());
  std::erase_if(found, [&](const RestoredEntry& entry) {
    const auto [from, to] = std::equal_range(serials.begin(), serials.end(), entry.serial);
    return to - from > 1;
  });
  return found;
}

}  // namespace paste
