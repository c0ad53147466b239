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
// Bytes of placed and joined frames behind a chunk at which the chunk is cut short.
constexpr uint32_t kJoinedBytesMax = 16u << 20;
// The same for a whole block, where frames are given newest first: four times what the largest block holds in packet buffers.
constexpr uint32_t kReverseBytesMax = 256u << 20;

// As recovery demands it: lines, parts and length fit each other.
bool layout_good(const layout::RecordHeader& header) {
  const bool first = header.part == 0;
  if (header.payload_length > layout::kFrameBytesMax || first != (header.type == layout::kFrame)) return false;
  if (header.flags & layout::kPlaced) return first && header.parts == 1 && header.lines == 2;
  return header.parts == layout::parts_of(header.payload_length) && header.part < header.parts &&
         header.lines == 1 + layout::lines_of(layout::part_bytes(header.payload_length, header.part));
}

uint32_t lines_up(uint32_t bytes) { return (bytes + layout::kLine - 1) & ~(layout::kLine - 1); }

}  // namespace

LaneReader::Load LaneReader::load() {
  if (has_record()) return Load::kRecords;
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
    ready.clear();
    at = 0;
    bool bad = false;
    const ReadCounters before = state_.counters;
    if (!read_on(extent, &bad)) break;
    if (reverse && join_next_ != 0) finish_joined();
    if (view_.entry_word(block_.index) != word) {
      state_.counters = before;  // what was parsed is no record, and what looked damaged is no damage
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
    if (has_record()) return Load::kRecords;
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
    ready.clear();
    at = 0;
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
  const uint32_t size = piece_bytes(extent);
  const uint32_t begin = lines_up(static_cast<uint32_t>(ready.bytes.size()));
  places_.forget();
  ready.bytes.resize(begin + size);
  if (!view_.source().read(view_.block_offset(block_.index) + position_, ready.bytes.data() + begin, size)) return false;
  const uint32_t used = parse(begin, size, extent, bad);
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

uint32_t LaneReader::parse(uint32_t begin, uint32_t size_bytes, const Extent& extent, bool* bad) {
  uint32_t at_byte = begin;
  const uint32_t end = begin + size_bytes;
  if (position_ == 0) {
    layout::BlockHeader header;
    if (size_bytes < sizeof header) return size_bytes;
    memcpy(&header, ready.bytes.data() + begin, sizeof header);
    // Records carry the serial in their checksums, so that they can be read without it.
    if (header.magic != layout::kBlockMagic || header.crc != layout::block_header_crc(header) ||
        header.serial != block_.serial) {
      if (extent.abandoned) {
        *bad = true;
        return 0;
      }
      ++state_.counters.corrupt;
    }
    at_byte += layout::kLine;
  }
  bool searching = false;  // behind a damaged record in a part that must be whole: for the next valid header
  // A damaged store may name the same bytes over and over.
  const size_t bytes_max = state_.options.reverse ? kReverseBytesMax : end + kJoinedBytesMax;
  while (at_byte < end && ready.bytes.size() < bytes_max) {
    const uint32_t offset = position_ + (at_byte - begin);
    const bool jumped = jumping_ && join_next_ == 0;
    uint32_t used = 0;
    const Step step = take_record(at_byte, end - at_byte, extent.end - offset, extent, &used);
    if (step == Step::kMore) break;
    if (step == Step::kNext) {
      searching = false;
      state_.counters.records_jumped += jumped;
      at_byte += next_place(offset + used, extent.end) - offset;
      continue;
    }
    if (!extent.exact) {
      *bad = true;
      return at_byte - begin;
    }
    jumping_ = false;  // from here on what a scan finds counts
    state_.counters.corrupt += !searching;
    searching = true;
    drop_joined();
    at_byte += layout::kLine;
  }
  if (ready.bytes.size() >= kReverseBytesMax) {
    ++state_.counters.corrupt;  // the rest of the block is left out
    return extent.end - position_;
  }
  // A record longer than the chunk needs a larger one; at the end of the extent there is no more.
  chunk_bytes_ = at_byte == begin ? std::min(size_bytes, view_.superblock().block_bytes) * 2 : 0;
  return jumping_ ? at_byte - begin : std::min(at_byte, end) - begin;
}

LaneReader::Step LaneReader::take_record(uint32_t at_byte, uint32_t have, uint32_t room, const Extent& extent, uint32_t* used) {
  if (room < layout::kLine) return Step::kBad;
  if (have < layout::kLine) return Step::kMore;
  // The chunk is this reader's own copy: what was checked in it stays as it is.
  const uint8_t* const at = ready.bytes.data() + at_byte;
  const auto& header = *reinterpret_cast<const layout::RecordHeader*>(at);
  const uint32_t size = header.lines * layout::kLine;
  if (header.type == layout::kEnd || size == 0 || size > room || header.header_crc != header_crc_(at, block_.serial))
    return Step::kBad;
  if (size > have) return Step::kMore;
  *used = size;
  ++state_.counters.records;
  const bool check_bytes = state_.options.verify_payload || extent.abandoned;
  const bool plain = header.type == layout::kFrame && header.parts == 1 && !(header.flags & layout::kPlaced);
  if (plain ? take_plain(header, at_byte, check_bytes) : take_other(header, at_byte, check_bytes)) return Step::kNext;
  if (!extent.exact) return Step::kBad;
  ++state_.counters.corrupt;  // the header is right, so the record's length is
  return Step::kNext;
}

// Nearly all records: a frame in one piece whose bytes follow its header.
bool LaneReader::take_plain(const layout::RecordHeader& header, uint32_t at_byte, bool check_bytes) {
  const uint32_t length = header.payload_length;
  const uint32_t offset = at_byte + layout::kLine;
  if (!layout_good(header)) return false;
  frame_begun_ = true;
  if (check_bytes && crc32c(0, ready.bytes.data() + offset, length) != header.payload_crc) return false;
  ++state_.counters.frames;
  if (wanted(header)) emit_frame(header, at_byte, offset, length);
  return true;
}

bool LaneReader::take_other(layout::RecordHeader header, uint32_t at_byte, bool check_bytes) {
  const bool is_frame = header.type == layout::kFrame || header.type == layout::kContinuation;
  return is_frame ? take_frame(header, at_byte, check_bytes) : take_event(header, at_byte);
}

bool LaneReader::wanted(const layout::RecordHeader& header) const {
  return header.sequence >= state_.options.from_sequence && header.sequence <= state_.options.to_sequence;
}

bool LaneReader::take_event(const layout::RecordHeader& header, uint32_t at_byte) {
  const uint32_t length = header.payload_length;
  if (header.lines != 1 + layout::lines_of(length)) return false;
  const uint8_t* payload = ready.bytes.data() + at_byte + layout::kLine;
  if (crc32c(0, payload, length) != header.payload_crc) return false;
  state_.names.learn(header, payload);
  if (!state_.options.frames_only && wanted(header)) {
    ready.records.push_back(ReadRecord{at_byte, at_byte + layout::kLine, length});
    ++state_.counters.matched;
  }
  return true;
}

// Frames marked in place and frames of several parts. `header` is a copy: the chunk may move when bytes are put behind it.
bool LaneReader::take_frame(const layout::RecordHeader& header, uint32_t at_byte, bool check_bytes) {
  if (!layout_good(header)) return false;
  frame_begun_ = frame_begun_ || header.type == layout::kFrame;
  if (header.parts == 1 && !check_bytes && !wanted(header)) {
    ++state_.counters.frames;
    return true;
  }
  uint32_t offset = at_byte + layout::kLine;
  uint32_t length = layout::part_bytes(header.payload_length, header.part);
  if (header.flags & layout::kPlaced) {
    layout::PlacePayload place;
    memcpy(&place, ready.bytes.data() + offset, sizeof place);
    length = header.payload_length;
    if (place.place_crc != layout::place_payload_crc(place, block_.serial) || place.length != length) return false;
    offset = lines_up(static_cast<uint32_t>(ready.bytes.size()));
    ready.bytes.resize(offset + lines_up(length));
    if (!places_.copy(place, ready.bytes.data() + offset)) return false;
  }
  if (check_bytes && crc32c(0, ready.bytes.data() + offset, length) != header.payload_crc) return false;
  if (header.parts > 1) return take_part(header, ready.bytes.data() + offset, length);
  ++state_.counters.frames;
  if (wanted(header)) emit_frame(header, at_byte, offset, length);
  return true;
}

bool LaneReader::take_part(const layout::RecordHeader& header, const uint8_t* bytes, uint32_t length) {
  if (header.type == layout::kFrame && header.part == 0) {
    join_header_ = header;
    join_bytes_.clear();
    join_next_ = 0;
  } else if (join_next_ == 0 || header.part != join_next_ || header.sequence != join_header_.sequence ||
             header.payload_length != join_header_.payload_length) {
    const bool orphan = join_next_ == 0 && !frame_begun_;
    drop_joined();
    return orphan;  // its beginning lay in a block that was skipped or has been retired
  }
  join_bytes_.insert(join_bytes_.end(), bytes, bytes + length);
  join_next_ = header.part + 1u;
  if (join_next_ < join_header_.parts) return true;
  drop_joined();
  ++state_.counters.frames;
  if (join_bytes_.size() != join_header_.payload_length) return false;
  if (!wanted(join_header_)) return true;
  const uint32_t header_at = lines_up(static_cast<uint32_t>(ready.bytes.size()));
  const uint32_t offset = header_at + layout::kLine;
  ready.bytes.resize(offset + lines_up(join_header_.payload_length));
  memcpy(ready.bytes.data() + header_at, &join_header_, sizeof join_header_);
  memcpy(ready.bytes.data() + offset, join_bytes_.data(), join_bytes_.size());
  emit_frame(join_header_, header_at, offset, join_header_.payload_length);
  return true;
}

void LaneReader::emit_frame(const layout::RecordHeader& header, uint32_t header_at, uint32_t offset, uint32_t length) {
  const BpfProgram* filter = state_.options.filter;
  if (filter) {
    const uint8_t* const frame = ready.bytes.data() + offset;
    BpfRecord* const record = filter->reads_record() ? state_.words.of(header, state_.names, frame, length, lane_) : nullptr;
    if (filter->run(frame, header.wire_length, length, record) == 0) return;
  }
  ready.records.push_back(ReadRecord{header_at, offset, std::min(length, state_.options.snaplen)});
  ++state_.counters.matched;
}

}  // namespace paste
