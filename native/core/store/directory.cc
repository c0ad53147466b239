#include "core/store/directory.h"

#include <cstring>

#include "core/store/checksums.h"

namespace paste {

using layout::DirectoryEntry;

void Directory::prepare(uint32_t index, uint64_t serial, layout::BlockKind kind, uint16_t lane, uint64_t now_ns,
                        uint8_t* memory) {
  Domain& domain = region_.domain();
  PASTE_CHECK(word(index) == 0);
  holders_[index].store(0, std::memory_order_relaxed);
  DirectoryEntry fresh{};
  fresh.epoch = superblock_.epoch;
  fresh.lane = lane;
  fresh.opened_ns = now_ns;
  // All but the word, the entry's first 8 bytes. The seal becomes zeros: without a right checksum it does not count.
  auto* const to = reinterpret_cast<uint8_t*>(&at(index));
  domain.store(to + sizeof fresh.word, reinterpret_cast<const uint8_t*>(&fresh) + sizeof fresh.word,
               sizeof fresh - sizeof fresh.word);
  domain.flush(to, sizeof fresh);
  if (kind == layout::kBuffers) return;
  layout::BlockHeader header{};
  header.magic = kind == layout::kIndex ? layout::kIndexMagic : layout::kBlockMagic;
  header.version = layout::kVersion;
  header.lane = lane;
  header.serial = serial;
  header.epoch = superblock_.epoch;
  header.block_index = index;
  std::memcpy(header.uuid, superblock_.uuid, sizeof header.uuid);
  header.crc = layout::block_header_crc(header);
  domain.store(memory, &header, sizeof header);
  domain.flush(memory, sizeof header);
}

void Directory::announce(uint32_t index, uint64_t serial, layout::BlockKind kind) {
  Domain& domain = region_.domain();
  domain.store64(&at(index).word, layout::entry_word(serial, kind));
  domain.flush(&at(index).word, sizeof(uint64_t));
}

void Directory::retire(uint32_t index) {
  Domain& domain = region_.domain();
  domain.store64(&at(index).word, 0);
  domain.flush(&at(index).word, sizeof(uint64_t));
}

void Directory::seal(uint32_t index, const BlockSummary& summary, uint32_t flags) {
  Domain& domain = region_.domain();
  DirectoryEntry sealed = entry(index);
  sealed.first_sequence = summary.first_sequence;
  sealed.last_sequence = summary.last_sequence;
  sealed.time_min_ns = summary.time_min_ns;
  sealed.time_max_ns = summary.time_max_ns;
  sealed.frame_bytes = summary.frame_bytes;
  sealed.end_bytes = summary.end_bytes;
  sealed.record_count = summary.record_count;
  sealed.frame_count = summary.frame_count;
  sealed.seal_flags = flags;
  sealed.reserved2 = 0;
  sealed.seal_crc = layout::seal_crc(sealed, layout::word_serial(sealed.word));
  constexpr size_t kStart = offsetof(DirectoryEntry, first_sequence);
  auto* const to = reinterpret_cast<uint8_t*>(&at(index)) + kStart;
  domain.store(to, reinterpret_cast<const uint8_t*>(&sealed) + kStart, sizeof sealed - kStart);
  domain.flush(to, sizeof sealed - kStart);
}

void Directory::restore(uint32_t index, uint64_t serial, uint32_t epoch, uint16_t lane) {
  Domain& domain = region_.domain();
  constexpr size_t kEnd = offsetof(DirectoryEntry, first_sequence);
  DirectoryEntry whole = entry(index);
  whole.held_until = 0;
  whole.epoch = epoch;
  whole.lane = lane;
  domain.store(reinterpret_cast<uint8_t*>(&at(index)), reinterpret_cast<const uint8_t*>(&whole), kEnd);
  announce(index, serial, layout::kLog);
  domain.flush(&at(index), kEnd);
}

void Directory::hold(uint32_t index, uint64_t serial, uint32_t lane) {
  const auto bit = static_cast<uint16_t>(1u << lane);
  if ((holders_[index].load(std::memory_order_relaxed) & bit) == 0) holders_[index].fetch_or(bit, std::memory_order_acq_rel);
  hold(index, serial);
}

void Directory::hold(uint32_t index, uint64_t serial) {
  Domain& domain = region_.domain();
  uint64_t* const held = &at(index).held_until;
  if (__atomic_load_n(held, __ATOMIC_ACQUIRE) >= serial) return;
  domain.store64(held, serial);
  domain.flush(held, sizeof *held);
}

}  // namespace paste
