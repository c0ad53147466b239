#include "core/store/reader_lane.h"

#include <algorithm>
#include <cstring>

#include "core/store/checksums.h"
#include "core/store/reader_block.h"

namespace paste {
namespace {

// Records that an index named are read with what most frames need, and with their neighbours where the gap between them costs less
// than another call.
constexpr uint32_t kPlaceBytes = 2048;
constexpr uint32_t kGapBytes = 4096;

}  // namespace

LaneReader::Load LaneReader::load() {
  if (has_record()) return Load::kRecords;
  ready.clear();
  at = 0;
  Load result = fill();
  // Where everything is wanted a batch is of several blocks, if they are small.
  const bool gathering = state_.chunk_bytes > kChunkBytes && !state_.options.reverse;
  while (gathering && result == Load::kRecords && ready.bytes.size() + kChunkBytes <= state_.chunk_bytes) result = fill();
  return has_record() ? Load::kRecords : result;
}

LaneReader::Load LaneReader::fill() {
  while (!dry) {
    if (state_.budget_bytes == 0) return Load::kBudget;
    if (!in_block_ && !next_block()) {
      if (state_.budget_bytes == 0) return Load::kBudget;
      break;
    }
    layout::DirectoryEntry entry;
    if (!view_.read_entry(block_.index, &entry)) break;
    const uint64_t word = layout::entry_word(block_.serial, layout::kLog);
    if (entry.word != word) {
      // A block that lay ready and was given back when its writer ended held nothing.
      leave_block(position_ != 0 || block_.sealed || view_.reached(lane_, block_.serial));
      continue;
    }
    const Extent extent = view_.extent(lane_, block_, entry);
    const bool reverse = state_.options.reverse;
    jumping_ &= extent.sealed && extent.exact;
    if (jumping_) position_ = next_place(position_, extent.end);
    if (position_ >= extent.end) {
      // A block that its dead writer filled to the last byte ends nowhere else.
      if (!reverse && !extent.sealed && !(extent.abandoned && has_later_block())) break;
      leave_block(false);
      continue;
    }
    bool bad = false;
    const size_t records_before = ready.records.size(), bytes_before = ready.bytes.size();
    const ReadCounters before = state_.counters;
    const auto forget = [&] {  // what was parsed is no record, and what looked damaged is no damage
      state_.counters = before;
      ready.records.resize(records_before);
      ready.bytes.resize(bytes_before);
    };
    if (!read_on(extent, &bad)) {
      forget();
      break;
    }
    if (reverse && join_next_ != 0) finish_joined();
    if (view_.entry_word(block_.index) != word) {
      forget();
      leave_block(true);
      continue;
    }
    if (reverse) {
      std::reverse(ready.records.begin(), ready.records.end());
      leave_block(false);
    } else if (bad && !has_later_block() && !extent.sealed) {
      dry = true;
    } else if (bad) {
      leave_block(false);
    }
    if (ready.records.size() > records_before) return Load::kRecords;
  }
  dry = true;
  return Load::kNothing;
}

const BlockRef* LaneReader::block_after(uint64_t serial) {
  const std::vector<BlockRef>& blocks = view_.blocks(lane_);
  // Mostly the one behind the block that was found last.
  if (block_at_ + 1 < blocks.size() && blocks[block_at_].serial == serial) return &blocks[++block_at_];
  const auto next = std::upper_bound(blocks.begin(), blocks.end(), serial,
                                     [](uint64_t wanted, const BlockRef& block) { return wanted < block.serial; });
  if (next == blocks.end()) return nullptr;
  block_at_ = static_cast<size_t>(next - blocks.begin());
  return &*next;
}

// Lanes start a frame's parts in one block and may end them in the next: what is joined stays.
bool LaneReader::next_block() {
  const std::vector<BlockRef>& blocks = view_.blocks(lane_);
  const auto below = [](const BlockRef& block, uint64_t serial) { return block.serial < serial; };
  while (state_.budget_bytes > 0) {
    const BlockRef* next = nullptr;
    if (state_.options.reverse) {
      const auto end = std::lower_bound(blocks.begin(), blocks.end(), done_serial_, below);
      if (end != blocks.begin()) next = &*(end - 1);
    } else {
      next = block_after(done_serial_);
    }
    if (!next) return false;
    done_serial_ = next->serial;
    if (enter(*next)) return true;
  }
  return false;
}

// False: nothing in the block can be wanted.
bool LaneReader::enter(const BlockRef& block) {
  if (out_of_range(block)) {
    drop_joined();  // a frame with a part in there is not wanted, and its last parts are no damage
    ++state_.counters.blocks_skipped;
    return false;
  }
  jumping_ = false;
  // A frame whose first parts were wanted goes on in this block, whatever the index says of what begins here.
  if (state_.index.useful() && block.sealed && join_next_ == 0) {
    const uint64_t bytes_before = state_.counters.index_bytes;
    const ReaderIndex::Says says = state_.index.ask(block, &places_wanted_);
    const uint64_t bytes = state_.counters.index_bytes - bytes_before;
    state_.budget_bytes -= std::min(state_.budget_bytes, bytes);
    jumping_ = says == ReaderIndex::Says::kSome;
    state_.counters.blocks_indexed += says != ReaderIndex::Says::kScan;
    if (says == ReaderIndex::Says::kNone) return false;
  }
  state_.counters.blocks_scanned += !jumping_;
  place_at_ = 0;
  block_ = block;
  in_block_ = true;
  frame_begun_ = false;
  position_ = 0;
  return true;
}

// The seal counts every part of a frame with the frame's sequence and time: a frame in range has no part in such a block.
bool LaneReader::out_of_range(const BlockRef& block) const {
  const ReadOptions& options = state_.options;
  if (!block.sealed || block.first_sequence == 0) return false;
  return block.last_sequence < options.from_sequence || block.first_sequence > options.to_sequence ||
         block.time_max_ns < options.from_ns || block.time_min_ns >= options.to_ns;
}

void LaneReader::leave_block(bool overtaken) {
  if (overtaken) {
    ++state_.counters.overtaken;
    drop_joined();
  }
  if (state_.options.reverse) drop_joined();
  done_serial_ = block_.serial;
  in_block_ = false;
  chunk_bytes_ = 0;
}

bool LaneReader::has_later_block() const {
  const std::vector<BlockRef>& blocks = view_.blocks(lane_);
  return !blocks.empty() && blocks.back().serial > block_.serial;
}

// Oldest first, a chunk, or a chunk's worth of records that lie far apart. Newest first, the whole block.
bool LaneReader::read_on(const Extent& extent, bool* bad) {
  for (;;) {
    if (!read_piece(extent, bad)) return false;
    if (jumping_) position_ = next_place(position_, extent.end);
    if (*bad || position_ >= extent.end) return true;
    if (state_.options.reverse) continue;
    if (!jumping_ || ready.bytes.size() >= kChunkBytes) return true;
  }
}

bool LaneReader::read_piece(const Extent& extent, bool* bad) {
  ReaderSource& source = view_.source();
  const uint32_t size = piece_bytes(extent);
  const uint64_t offset = view_.block_offset(block_.index) + position_;
  places_.forget();
  // Places that an index named lie far apart: a fault for each costs more than a call. And what was never written may have no pages:
  // reading would make the file grow.
  Piece piece{nullptr, size, extent.exact && !jumping_};
  if (piece.in_place) piece.bytes = source.window(offset, size);
  if (!piece.bytes) {
    copied_.resize(size);
    if (!source.read(offset, copied_.data(), size)) return false;
    piece = Piece{copied_.data(), size, false};
  }
  const uint32_t used = parse(piece, extent, bad);
  if (piece.in_place && !source.intact()) return false;
  position_ += used;
  state_.counters.bytes_scanned += std::min(used, size);
  state_.budget_bytes -= std::min<uint64_t>(state_.budget_bytes, size);
  return true;
}

uint32_t LaneReader::piece_bytes(const Extent& extent) const {
  uint32_t size = std::max(chunk_bytes_, state_.chunk_bytes);
  if (jumping_ && join_next_ == 0) {
    uint32_t end = position_ + kPlaceBytes;
    for (size_t i = place_at_; i < places_wanted_.size(); ++i) {
      const uint32_t place = places_wanted_[i];
      if (place > end + kGapBytes || place > position_ + kChunkBytes) break;
      end = place + kPlaceBytes;
    }
    size = std::max(chunk_bytes_, end - position_);
  }
  return std::min(extent.end - position_, size);
}

uint32_t LaneReader::next_place(uint32_t offset, uint32_t end) {
  if (!jumping_ || join_next_ != 0) return offset;  // a frame's parts lie one behind the other
  while (place_at_ < places_wanted_.size() && places_wanted_[place_at_] < offset) ++place_at_;
  return place_at_ < places_wanted_.size() ? std::min(places_wanted_[place_at_], end) : end;
}

void LaneReader::finish_joined() {
  const BlockRef* next = block_after(block_.serial);
  ReaderBlock block(view_);
  for (; next && join_next_ != 0 && !out_of_range(*next); next = block_after(next->serial)) {
    if (block.read(lane_, *next) != ReaderBlock::Result::kRead) break;
    for (auto found = block.next(); found != ReaderBlock::Found::kEnd && join_next_ != 0; found = block.next()) {
      const bool part = found == ReaderBlock::Found::kRecord && block.header.type == layout::kContinuation;
      if (found == ReaderBlock::Found::kRecord && (block.header.flags & layout::kRepeated)) continue;
      if (!part || !layout_good(block.header) || !take_part(block.header, block.payload, block.payload_bytes)) drop_joined();
    }
    if (block.gone()) break;
  }
  drop_joined();
}

}  // namespace paste
