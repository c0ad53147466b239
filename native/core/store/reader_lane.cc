#include "core/store/reader_lane.h"

#include <algorithm>
#include <cstring>

#include "core/store/checksums.h"

namespace paste {
namespace {

// Large enough that the call per chunk does not count, small enough that a chunk is parsed while it lies in the L2 cache.
constexpr uint32_t kChunkBytes = 256u << 10;
// Bytes of placed and joined frames behind a chunk at which the chunk is cut short.
constexpr uint32_t kJoinedBytesMax = 16u << 20;

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
    if (!in_block_ && !next_block()) break;
    layout::DirectoryEntry entry;
    if (!view_.read_entry(block_.index, &entry)) break;
    const uint64_t word = layout::entry_word(block_.serial, layout::kLog);
    if (entry.word != word) {
      // A block that lay ready and was given back when its writer ended held nothing.
      leave_block(position_ != 0 || block_.sealed || view_.reached(lane_, block_.serial));
      continue;
    }
    const Extent extent = view_.extent(lane_, block_, entry);
    if (position_ >= extent.end) {
      // A block that its dead writer filled to the last byte ends nowhere else.
      if (!extent.sealed && !(extent.abandoned && has_later_block())) break;
      leave_block(false);
      continue;
    }
    const uint32_t size = std::min(extent.end - position_, std::max(chunk_bytes_, kChunkBytes));
    if (!read_chunk(size)) break;
    bool bad = false;
    const ReadCounters before = state_.counters;
    const uint32_t used = parse(size, extent, &bad);
    if (view_.entry_word(block_.index) != word) {
      state_.counters = before;  // what was parsed is no record, and what looked damaged is no damage
      leave_block(true);
      continue;
    }
    position_ += used;
    state_.counters.bytes_scanned += used;
    state_.budget_bytes -= std::min<uint64_t>(state_.budget_bytes, size);
    if (bad && !has_later_block() && !extent.sealed) dry = true;
    else if (bad) leave_block(false);
    if (has_record()) return Load::kRecords;
  }
  dry = true;
  return Load::kNothing;
}

// Lanes start a frame's parts in one block and may end them in the next: what is joined stays.
bool LaneReader::next_block() {
  const std::vector<BlockRef>& blocks = view_.blocks(lane_);
  auto next = std::upper_bound(blocks.begin(), blocks.end(), done_serial_,
                               [](uint64_t serial, const BlockRef& block) { return serial < block.serial; });
  for (; next != blocks.end() && out_of_range(*next); ++next) {
    drop_joined();  // a frame with a part in there is not wanted, and its last parts are no damage
    done_serial_ = next->serial;
    ++state_.counters.blocks_skipped;
  }
  if (next == blocks.end()) return false;
  block_ = *next;
  in_block_ = true;
  frame_begun_ = false;
  position_ = 0;
  return true;
}

// The seal counts every part of a frame with the frame's sequence and time: a frame in range has no part in such a block.
bool LaneReader::out_of_range(const BlockRef& block) const {
  const ReadOptions& options = state_.options;
  if (!block.sealed || block.first_sequence == 0) return false;
  return block.last_sequence < options.from_sequence || block.time_max_ns < options.from_ns || block.time_min_ns >= options.to_ns;
}

void LaneReader::leave_block(bool overtaken) {
  if (overtaken) {
    ++state_.counters.overtaken;
    ready.clear();
    at = 0;
    drop_joined();
  }
  done_serial_ = block_.serial;
  in_block_ = false;
  chunk_bytes_ = 0;
}

bool LaneReader::has_later_block() const {
  const std::vector<BlockRef>& blocks = view_.blocks(lane_);
  return !blocks.empty() && blocks.back().serial > block_.serial;
}

bool LaneReader::read_chunk(uint32_t size_bytes) {
  ready.clear();
  at = 0;
  places_.forget();
  ready.bytes.resize(size_bytes);
  return view_.source().read(view_.block_offset(block_.index) + position_, ready.bytes.data(), size_bytes);
}

uint32_t LaneReader::parse(uint32_t size_bytes, const Extent& extent, bool* bad) {
  uint32_t at_byte = 0;
  if (position_ == 0) {
    layout::BlockHeader header;
    if (size_bytes < sizeof header) return size_bytes;
    memcpy(&header, ready.bytes.data(), sizeof header);
    // Records carry the serial in their checksums, so that they can be read without it.
    if (header.magic != layout::kBlockMagic || header.crc != layout::block_header_crc(header) ||
        header.serial != block_.serial) {
      if (extent.abandoned) {
        *bad = true;
        return 0;
      }
      ++state_.counters.corrupt;
    }
    at_byte = layout::kLine;
  }
  bool searching = false;  // behind a damaged record in a part that must be whole: for the next valid header
  // A damaged store may name the same bytes over and over.
  const size_t bytes_max = size_bytes + kJoinedBytesMax;
  while (at_byte < size_bytes && ready.bytes.size() < bytes_max) {
    uint32_t used = 0;
    const Step step = take_record(at_byte, size_bytes, extent, &used);
    if (step == Step::kMore) break;
    if (step == Step::kNext) {
      at_byte += used;
      searching = false;
      continue;
    }
    if (!extent.exact) {
      *bad = true;
      return at_byte;
    }
    state_.counters.corrupt += !searching;
    searching = true;
    drop_joined();
    at_byte += layout::kLine;
  }
  at_byte = std::min(at_byte, size_bytes);
  // A record longer than the chunk needs a larger one; at the end of the extent there is no more.
  if (at_byte == 0) chunk_bytes_ = std::min(size_bytes, view_.superblock().block_bytes) * 2;
  return at_byte;
}

LaneReader::Step LaneReader::take_record(uint32_t at_byte, uint32_t size_bytes, const Extent& extent, uint32_t* used) {
  const uint32_t room = extent.end - position_ - at_byte;  // up to the end of the extent
  const uint32_t have = size_bytes - at_byte;
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
