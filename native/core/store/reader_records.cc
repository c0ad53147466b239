#include "core/store/reader_lane.h"

#include <algorithm>
#include <cstring>

#include "core/store/checksums.h"
#include "core/store/reader_headers.h"

namespace paste {
namespace {

// Bytes of placed and joined frames beside a piece's own at which the piece is cut short.
constexpr uint32_t kJoinedBytesMax = 16u << 20;
// The same for a whole block, where frames are given newest first: four times what the largest block holds in packet buffers.
constexpr uint32_t kReverseBytesMax = 256u << 20;

// How far ahead of the header under way memory is asked for.
constexpr uint32_t kAheadBytes = 3072;

// Nearly all records: a frame in one piece whose bytes follow its header. Lines, part and length fit each other as recovery demands.
bool is_plain(const layout::RecordHeader& header) {
  return header.type == layout::kFrame && !(header.flags & layout::kPlaced) && header.part == 0 && header.parts == 1 &&
         header.payload_length <= layout::kPartBytes && header.lines == 1 + layout::lines_of(header.payload_length);
}

uint32_t lines_up(uint32_t bytes) { return (bytes + layout::kLine - 1) & ~(layout::kLine - 1); }

}  // namespace

// As recovery demands it: lines, parts and length fit each other.
bool LaneReader::layout_good(const layout::RecordHeader& header) {
  const bool first = header.part == 0;
  if (header.payload_length > layout::kFrameBytesMax || first != (header.type == layout::kFrame)) return false;
  if (header.flags & layout::kPlaced) return first && header.parts == 1 && header.lines == 2;
  return header.parts == layout::parts_of(header.payload_length) && header.part < header.parts &&
         header.lines == 1 + layout::lines_of(layout::part_bytes(header.payload_length, header.part));
}

// False: the block ends here.
bool LaneReader::parse_block_header(const Piece& piece, const Extent& extent) {
  layout::BlockHeader header;
  memcpy(&header, piece.bytes, sizeof header);
  if (header.magic == layout::kBlockMagic && header.crc == layout::block_header_crc(header) && header.serial == block_.serial)
    return true;
  // The header was durable before the directory named the block. Records carry the serial in their checksums, so that they can be
  // read without it, but nothing vouches for those that a dead writer left.
  ++state_.counters.corrupt;
  return !extent.abandoned;
}

uint32_t LaneReader::parse(const Piece& piece, const Extent& extent, bool* bad) {
  const uint32_t end = piece.size_bytes;
  uint32_t at = 0;
  if (position_ == 0) {
    if (end < sizeof(layout::BlockHeader)) return end;
    if (!parse_block_header(piece, extent)) {
      *bad = true;
      return 0;
    }
    at = layout::kLine;
  }
  in_place_ = piece.in_place;
  if (!state_.options.filter) ready.bytes.reserve(ready.bytes.size() + end);
  bool searching = false;  // behind a damaged record in a part that must be whole: for the next valid header
  // A damaged store may name the same bytes over and over.
  const size_t bytes_max = state_.options.reverse ? kReverseBytesMax : ready.bytes.size() + end + kJoinedBytesMax;
  const bool check_bytes = state_.options.verify_payload || extent.abandoned;
  while (at < end && ready.bytes.size() < bytes_max) {
    if (!jumping_) {
      const uint32_t used = take_plain_frames(piece.bytes + at, end - at, check_bytes);
      at += used;
      searching &= used == 0;
      if (used > 0) continue;
    }
    const uint32_t offset = position_ + at;
    const bool jumped = jumping_ && join_next_ == 0;
    uint32_t used = 0;
    const Step step = take_record(piece.bytes + at, end - at, extent.end - offset, extent, &used);
    if (step == Step::kMore) break;
    if (step == Step::kNext) {
      searching = false;
      state_.counters.records_jumped += jumped;
      at += next_place(offset + used, extent.end) - offset;
      continue;
    }
    if (!extent.exact) {
      *bad = true;
      return at;
    }
    jumping_ = false;  // from here on what a scan finds counts
    state_.counters.corrupt += !searching;
    searching = true;
    drop_joined();
    at += layout::kLine;
  }
  if (ready.bytes.size() >= kReverseBytesMax) {
    ++state_.counters.corrupt;  // the rest of the block is left out
    return extent.end - position_;
  }
  // A record longer than the piece needs a larger one; at the end of the extent there is no more.
  chunk_bytes_ = at == 0 ? std::min(end, view_.superblock().block_bytes) * 2 : 0;
  return jumping_ ? at : std::min(at, end);
}

LaneReader::Step LaneReader::take_record(const uint8_t* at, uint32_t have, uint32_t room, const Extent& extent, uint32_t* used) {
  if (room < layout::kLine) return Step::kBad;
  if (have < layout::kLine) return Step::kMore;
  layout::RecordHeader header;
  const uint32_t crc = take_header(at, block_.serial, &header);
  const uint32_t size = header.lines * layout::kLine;
  if (header.type == layout::kEnd || size == 0 || size > room || header.header_crc != crc) return Step::kBad;
  if (size > have) return Step::kMore;
  *used = size;
  ++state_.counters.records;
  const uint8_t* const payload = at + layout::kLine;
  const bool check_bytes = state_.options.verify_payload || extent.abandoned;
  bool good;
  if (header.type == layout::kFrame || header.type == layout::kContinuation) {
    good = take_frame(header, payload, check_bytes);
  } else {
    good = take_event(header, payload);
  }
  if (good) return Step::kNext;
  if (!extent.exact) return Step::kBad;
  ++state_.counters.corrupt;  // the header is right, so the record's length is
  return Step::kNext;
}

inline bool LaneReader::wanted(const layout::RecordHeader& header) const {
  return header.sequence >= state_.options.from_sequence && header.sequence <= state_.options.to_sequence;
}

inline void LaneReader::emit_frame(const layout::RecordHeader& header, const uint8_t* frame, uint32_t length) {
  const BpfProgram* filter = state_.options.filter;
  if (filter && filter->reads_record()) return emit_by_words(header, frame, length);
  if (filter && filter->run(frame, header.wire_length, length) == 0) return;
  emit(header, frame, std::min(length, state_.options.snaplen));
}

void LaneReader::emit_by_words(const layout::RecordHeader& header, const uint8_t* frame, uint32_t length) {
  // A program loads each byte once; who follows lengths from header to header looks twice, and needs what stays as it is.
  if (in_place_ && frame != placed_.data() && frame != join_bytes_.data()) {
    placed_.assign(frame, frame + length);
    frame = placed_.data();
  }
  BpfRecord* const words = state_.words.of(header, state_.names, frame, length, lane_);
  if (state_.options.filter->run(frame, header.wire_length, length, words) == 0) return;
  emit(header, frame, std::min(length, state_.options.snaplen));
}

// One loop, with filter and all: records are independent of each other but for where they begin, and the processor works at several.
template <auto take>
[[gnu::always_inline]] inline uint32_t LaneReader::each_plain_frame(const uint8_t* at, uint32_t have, bool check_bytes) {
  const uint64_t serial = block_.serial;
  const bool ahead = in_place_;
  uint32_t used = 0;
  uint64_t taken = 0;
  layout::RecordHeader header;
  while (have - used >= layout::kLine) {
    const uint8_t* const from = at + used;
    const uint32_t crc = take(from, serial, &header);
    const uint32_t size = header.lines * layout::kLine;
    if (header.header_crc != crc || !is_plain(header) || size > have - used) break;
    // How long the next record is stands in its header, so that the processor cannot look ahead by itself.
    if (ahead)
      for (uint32_t line = 0; line < size; line += layout::kLine) __builtin_prefetch(from + kAheadBytes + line, 0, 0);
    if (check_bytes && crc32c(0, from + layout::kLine, header.payload_length) != header.payload_crc) break;
    if (wanted(header)) emit_frame(header, from + layout::kLine, header.payload_length);
    used += size;
    ++taken;
  }
  state_.counters.records += taken;
  state_.counters.frames += taken;
  frame_begun_ |= taken > 0;
  return used;
}

#if defined(__x86_64__)
PASTE_SSE42 uint32_t LaneReader::take_plain_frames_sse42(const uint8_t* at, uint32_t have, bool check_bytes) {
  return each_plain_frame<take_header_sse42>(at, have, check_bytes);
}
#endif

uint32_t LaneReader::take_plain_frames(const uint8_t* at, uint32_t have, bool check_bytes) {
#if defined(__x86_64__)
  if (cpu_features().sse42) return take_plain_frames_sse42(at, have, check_bytes);
#endif
  return each_plain_frame<take_header_anywhere>(at, have, check_bytes);
}

bool LaneReader::take_event(const layout::RecordHeader& header, const uint8_t* payload) {
  const uint32_t length = header.payload_length;
  if (header.lines != 1 + layout::lines_of(length)) return false;
  placed_.assign(payload, payload + length);
  if (crc32c(0, placed_.data(), length) != header.payload_crc) return false;
  state_.names.learn(header, placed_.data());
  if (!state_.options.frames_only && wanted(header)) emit(header, placed_.data(), length);
  return true;
}

// Frames marked in place and frames of several parts.
bool LaneReader::take_frame(const layout::RecordHeader& header, const uint8_t* payload, bool check_bytes) {
  if (!layout_good(header)) return false;
  frame_begun_ = frame_begun_ || header.type == layout::kFrame;
  if (header.parts == 1 && !check_bytes && !wanted(header)) {
    ++state_.counters.frames;
    return true;
  }
  uint32_t length = layout::part_bytes(header.payload_length, header.part);
  if (header.flags & layout::kPlaced) {
    layout::PlacePayload place;
    memcpy(&place, payload, sizeof place);
    asm volatile("" : "+m"(place));
    length = header.payload_length;
    if (place.place_crc != layout::place_payload_crc(place, block_.serial) || place.length != length) return false;
    placed_.resize(length);
    if (!places_.copy(place, placed_.data())) return false;
    payload = placed_.data();
  }
  if (check_bytes && crc32c(0, payload, length) != header.payload_crc) return false;
  if (header.parts > 1) return take_part(header, payload, length);
  ++state_.counters.frames;
  if (wanted(header)) emit_frame(header, payload, length);
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
  if (wanted(join_header_)) emit_frame(join_header_, join_bytes_.data(), join_header_.payload_length);
  return true;
}

void LaneReader::emit(const layout::RecordHeader& header, const uint8_t* payload, uint32_t length) {
  const uint32_t header_at = static_cast<uint32_t>(ready.bytes.size());
  const uint32_t offset = header_at + layout::kLine;
  ready.bytes.resize(offset + lines_up(length));
  memcpy(ready.bytes.data() + header_at, &header, sizeof header);
  if (length > 0) memcpy(ready.bytes.data() + offset, payload, length);
  ready.records.push_back(ReadRecord{header_at, offset, length});
  ++state_.counters.matched;
}

}  // namespace paste
