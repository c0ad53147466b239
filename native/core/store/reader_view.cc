#include "core/store/reader_view.h"

#include <algorithm>
#include <cstring>

#include "core/base/system_time.h"
#include "core/store/checksums.h"
#include "core/store/superblock.h"

namespace paste {
namespace {

// A writer's keeper advances the heartbeat every 100 ms; three missed ones, and the lock decides.
constexpr uint64_t kHeartbeatNs = 300'000'000;
constexpr uint64_t kLockCheckNs = 100'000'000;
constexpr uint32_t kTailTries = 16;

}  // namespace

Status ReaderView::open() { return read_superblock(); }

Status ReaderView::read_superblock() {
  alignas(8) uint8_t copies[2 * layout::kSuperblockBytes];
  const Region& region = source_.region();
  // Of a file too small for a store as much as there is: its first bytes tell what it is.
  if (!source_.read(0, copies, std::min<uint64_t>(sizeof copies, region.size_bytes()))) return source_.status();
  return paste::read_superblock(copies, region.size_bytes(), region.path(), &superblock_);
}

bool ReaderView::look_alive(const layout::LivePage& page) {
  if (superblock_.clean || page.writer_epoch == 0) return false;
  const uint64_t now = wall_ns();
  if (now - page.heartbeat_ns < kHeartbeatNs) return true;
  const uint64_t monotonic = monotonic_ns();
  if (lock_checked_ns_ == 0 || monotonic - lock_checked_ns_ > kLockCheckNs) {
    lock_held_ = source_.lock_listed();
    lock_checked_ns_ = monotonic;
  }
  return lock_held_;
}

bool ReaderView::refresh() {
  // In this order: next_sequence, then the watermarks, then the tails (layout.h, LiveLane), then the directory.
  layout::LivePage page;
  const uint64_t next_sequence = source_.word(layout::kLiveOffset + offsetof(layout::LivePage, next_sequence));
  if (!source_.read(layout::kLiveOffset, &page, sizeof page)) return false;
  page.next_sequence = next_sequence;
  const bool was_alive = alive_;
  alive_ = look_alive(page);
  layout::LivePage compared = page;
  compared.heartbeat_ns = page_.heartbeat_ns;
  if (was_alive == alive_ && memcmp(&compared, &page_, sizeof page) == 0) return false;
  page_ = page;
  if (was_alive != alive_ || !alive_) {
    // A writer came or went: what was open may be sealed now, and the other way round.
    if (!read_superblock().ok()) return false;
    alive_ = look_alive(page);
  }
  read_live(page);
  bool added = !alive_ || was_alive != alive_;
  for (const LaneView& lane : lanes_)
    added |= lane.live && lane.live_serial > (lane.blocks.empty() ? 0 : lane.blocks.back().serial);
  if (added) read_directory();
  return true;
}

// Nobody writes, and nobody has since the last look.
bool ReaderView::settled() {
  if (!directory_read_ || alive_) return false;
  const uint64_t turn = superblock_.turn;
  layout::LivePage page;
  return read_superblock().ok() && superblock_.turn == turn && source_.read(layout::kLiveOffset, &page, sizeof page) &&
         memcmp(&page, &page_, sizeof page) == 0 && !look_alive(page);
}

Status ReaderView::reload() {
  if (settled()) return Status();
  page_ = layout::LivePage{};
  page_.writer_epoch = ~0ull;  // so that the look that follows finds a change
  for (LaneView& lane : lanes_) lane.blocks.clear();
  if (Status status = read_superblock(); !status.ok()) return status;
  directory_read_ = false;
  refresh();
  if (!directory_read_) read_directory();
  return source_.status();
}

void ReaderView::read_live(const layout::LivePage& watermarks) {
  next_sequence_ = watermarks.next_sequence;
  durable_sequence_ = 0;
  horizon_ = ~0ull;
  for (LaneView& lane : lanes_) lane.live = false;
  for (const layout::LiveLane& lane : watermarks.lanes) durable_sequence_ = std::max(durable_sequence_, lane.durable_sequence);
  if (!alive_) return;
  horizon_ = next_sequence_;
  for (uint32_t i = 0; i < superblock_.lane_count; ++i)
    if (watermarks.lanes[i].watermark != layout::kIdle) horizon_ = std::min(horizon_, watermarks.lanes[i].watermark);
  layout::LivePage tails;
  for (uint32_t tries = 0; tries < kTailTries && !read_tails(&tails); ++tries) {}
}

// Tail and serial of a lane are two words: they belong together when the directory says so too. A lane for which they never
// do (a damaged live page) is read like one whose writer died: up to the first bad record.
bool ReaderView::read_tails(layout::LivePage* page) {
  if (!source_.read(layout::kLiveOffset, page, sizeof *page)) return true;
  bool whole = true;
  for (uint32_t i = 0; i < superblock_.lane_count; ++i) {
    LaneView& lane = lanes_[i];
    lane.live_serial = page->lanes[i].serial;
    lane.live_block = static_cast<uint32_t>(page->lanes[i].tail >> 32);
    lane.live_bytes = static_cast<uint32_t>(page->lanes[i].tail);
    const bool no_block = lane.live_block == layout::kNoBlock;
    lane.live = no_block || (lane.live_block < superblock_.block_count && lane.live_bytes <= superblock_.block_bytes &&
                             entry_word(lane.live_block) == layout::entry_word(lane.live_serial, layout::kLog));
    whole &= lane.live && !(no_block && lane.live_serial != 0);  // between two blocks: in a moment there is a tail
  }
  return whole;
}

Extent ReaderView::extent(uint32_t lane_index, const BlockRef& block, const layout::DirectoryEntry& entry) const {
  const LaneView& lane = lanes_[lane_index];
  const uint32_t limit = superblock_.block_bytes;
  const bool sealed = layout::sealed(entry) && entry.end_bytes >= layout::kLine && entry.end_bytes <= limit;
  const bool current_epoch = alive_ && lane.live && entry.epoch == static_cast<uint32_t>(page_.writer_epoch);
  if (current_epoch) {
    const bool newest = block.serial == lane.live_serial;
    if (block.serial > lane.live_serial) return Extent{};
    if (newest && lane.live_block != layout::kNoBlock) return Extent{lane.live_bytes, true, false, false};
    if (!sealed) return Extent{limit, false, !newest, false};
  }
  if (sealed) return Extent{entry.end_bytes, true, true, false};
  return Extent{limit, false, false, true};
}

void ReaderView::read_directory() {
  constexpr uint32_t kSlice = 512;  // entries, 64 KiB: more would be fresh memory, and a page fault for every 4 KiB
  for (LaneView& lane : lanes_) lane.blocks.clear();
  index_blocks_.clear();
  damaged_entries_.clear();
  directory_read_ = true;
  std::vector<layout::DirectoryEntry> entries(std::min(kSlice, superblock_.block_count));
  lanes_[0].blocks.reserve(superblock_.lane_count == 1 ? superblock_.block_count : 0);
  for (uint32_t first = 0; first < superblock_.block_count; first += kSlice) {
    const uint32_t count = std::min(kSlice, superblock_.block_count - first);
    if (!source_.read(entry_offset(first), entries.data(), count * sizeof(layout::DirectoryEntry))) break;
    add_blocks(entries.data(), first, count);
  }
  const auto older = [](const BlockRef& a, const BlockRef& b) { return a.serial < b.serial; };
  for (LaneView& lane : lanes_)
    if (!std::is_sorted(lane.blocks.begin(), lane.blocks.end(), older)) std::sort(lane.blocks.begin(), lane.blocks.end(), older);
}

void ReaderView::add_blocks(const layout::DirectoryEntry* entries, uint32_t first, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    const layout::DirectoryEntry& entry = entries[i];
    if (!layout::word_possible(entry)) {
      // A call that copied it while it was written may have met half of a word.
      if (entry_word(first + i) == entry.word) damaged_entries_.push_back(first + i);
      continue;
    }
    if (layout::word_kind(entry.word) == layout::kIndex) add_index_block(entry, first + i);
    if (layout::word_kind(entry.word) != layout::kLog) continue;
    BlockRef ref{layout::word_serial(entry.word), first + i, layout::sealed(entry), 0, 0, 0, 0};
    if (ref.sealed) {
      ref.first_sequence = entry.first_sequence;
      ref.last_sequence = entry.last_sequence;
      ref.time_min_ns = entry.time_min_ns;
      ref.time_max_ns = entry.time_max_ns;
    }
    // A lane number that cannot be is damage; the block's records are still worth reading.
    lanes_[entry.lane % layout::kLanesMax].blocks.push_back(ref);
  }
}

void ReaderView::add_index_block(const layout::DirectoryEntry& entry, uint32_t index) {
  IndexBlockRef ref;
  ref.serial = layout::word_serial(entry.word);
  ref.index = index;
  ref.end_bytes = superblock_.block_bytes;
  ref.sealed = layout::index_sealed(entry) && entry.end_bytes <= superblock_.block_bytes;
  if (ref.sealed) {
    ref.end_bytes = entry.end_bytes;
    ref.runs = entry.record_count;
    ref.first_sequence = entry.first_sequence;
    ref.last_sequence = entry.last_sequence;
  }
  index_blocks_.push_back(ref);
}

}  // namespace paste
