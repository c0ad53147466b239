// The lane's writing half: records into blocks. Nothing here can fail, plan() has made room.
#include <algorithm>
#include <cstring>

#include "core/store/checksums.h"
#include "core/store/log_lane.h"

namespace paste {

using layout::kLine;
using layout::RecordHeader;

namespace {

// Deferred events: type, time and length in front of the payload.
struct DeferredEvent {
  uint64_t time_ns;
  uint32_t length;
  uint32_t type;
};

// What a frame's header says that the frame itself does not.
struct HeaderFacts {
  uint64_t sequence, time_ns;
  uint32_t payload_crc, lines, parts;
  uint8_t more_flags;
  uint64_t serial;   // of the block
};

constexpr uint64_t pair(uint32_t low, uint32_t high) { return low | uint64_t{high} << 32; }

// Eight words, each stored whole, and read back whole by the checksum: a load that is wider than the stores it wants waits until they
// have left the store buffer (measured: 12 ns a frame with fields, 6 with words that are then copied by wider loads).
void lay_out_header(const FrameRecord& frame, const HeaderFacts& facts, uint8_t* to) {
  constexpr uint8_t kFrameFlags = layout::kStrict | layout::kFlooded | layout::kVlanTagged;
  const auto flags = static_cast<uint8_t>((frame.flags & kFrameFlags) | facts.more_flags);
  const uint64_t words[8] = {
      pair(facts.lines | uint32_t{layout::kFrame} << 16 | uint32_t{flags} << 24, facts.payload_crc),
      facts.sequence,
      facts.time_ns,
      pair(0, frame.ingress),
      pair(frame.egress, frame.rule),
      pair(frame.wire_length, frame.length),
      pair(frame.flow_hash, frame.vlan_tci | uint32_t{frame.copies_reserved} << 16),
      pair(frame.copies_refused | uint32_t{frame.outcome} << 16, facts.parts << 16),
  };
#pragma GCC unroll 8
  for (size_t i = 0; i < 8; ++i) __atomic_store_n(reinterpret_cast<uint64_t*>(to) + i, words[i], __ATOMIC_RELAXED);
  const uint32_t crc = crc32c(layout::seed_of(facts.serial), to, sizeof words);
  __atomic_store_n(reinterpret_cast<uint64_t*>(to) + 3, words[3] | crc, __ATOMIC_RELAXED);
}
static_assert(offsetof(RecordHeader, type) == 2 && offsetof(RecordHeader, flags) == 3);
static_assert(offsetof(RecordHeader, payload_crc) == 4 && offsetof(RecordHeader, sequence) == 8);
static_assert(offsetof(RecordHeader, time_ns) == 16 && offsetof(RecordHeader, header_crc) == 24);
static_assert(offsetof(RecordHeader, ingress) == 28 && offsetof(RecordHeader, egress) == 32);
static_assert(offsetof(RecordHeader, rule) == 36 && offsetof(RecordHeader, wire_length) == 40);
static_assert(offsetof(RecordHeader, payload_length) == 44 && offsetof(RecordHeader, flow_hash) == 48);
static_assert(offsetof(RecordHeader, vlan_tci) == 52 && offsetof(RecordHeader, copies_reserved) == 54);
static_assert(offsetof(RecordHeader, copies_refused) == 56 && offsetof(RecordHeader, outcome) == 58);
static_assert(offsetof(RecordHeader, part) == 60 && offsetof(RecordHeader, parts) == 62);
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the layout is little-endian, and so are the words above");

}  // namespace

void LogLane::append(std::span<FrameRecord> frames) {
  PASTE_CHECK(frames.size() <= outstanding_);
  if (!frames.empty()) {
    const bool with_lost = lost_at_ < frames.size();
    uint64_t sequence = take_sequences(frames.size() + (with_lost ? 1 : 0));
    for (size_t i = 0; i < frames.size();) {
      if (i == lost_at_) write_lost(sequence++);
      const size_t stop = i < lost_at_ ? std::min<size_t>(lost_at_, frames.size()) : frames.size();
      const size_t run = write_run(frames.subspan(i, std::min(stop - i, kRunMax)), sequence);
      if (run == 0) write_frame(frames[i], sequence);
      i += std::max<size_t>(run, 1);
      sequence += std::max<size_t>(run, 1);
    }
  }
  if (frames.size() < outstanding_) {  // fewer than planned: their room is free again
    planned_ = written_;
    ports_.forget_plans();
    rules_.forget_plans();
  }
  PASTE_CHECK(planned_.ordinal == written_.ordinal && planned_.offset == written_.offset);
  outstanding_ = 0;
  lost_at_ = ~0u;
  if (!deferred_.empty()) write_deferred();
}

void LogLane::switch_block() {
  if (written_.ordinal >= handed_) summary().end_bytes = written_.offset;
  written_.ordinal += 1;
  PASTE_CHECK(written_.ordinal < claimed_end_);
  const SpareBlock& block = claimed(written_.ordinal);
  memory_ = block.memory;
  serial_ = block.serial;
  written_.offset = kLine;
  summary() = {};
}

uint8_t* LogLane::room(uint32_t lines) {
  if (!fits(written_, lines)) switch_block();
  uint8_t* const to = memory_ + written_.offset;
  written_.offset += lines * kLine;
  medium_bytes_ += lines * kLine;
  return to;
}

void LogLane::seal_header(RecordHeader& header) const {
  header.header_crc = 0;
  header.header_crc = crc32c(layout::seed_of(serial_), &header, sizeof header);
}

// The rest of a framed frame's last line.
static void pad(const FrameRecord& frame) {
  std::memset(const_cast<uint8_t*>(frame.bytes) + frame.length, 0, -frame.length & (kLine - 1));
}

// The common case: framed frames that follow each other, in two passes. Streaming a header right after it was laid out would make each
// load wait for stores that queue behind the frame before (measured: 30 ns for a 64-byte frame instead of 24). Frames that lie
// behind each other in a batch's memory go out as one stream.
size_t LogLane::write_run(std::span<FrameRecord> frames, uint64_t sequence) {
  size_t count = 0;
  uint64_t bytes = 0;
  BlockSummary& block = summary();
  for (; count < frames.size(); ++count, ++sequence) {
    FrameRecord& frame = frames[count];
    if (!frame.follows || !frame.framed || frame.mark) break;
    const uint32_t lines = 1 + layout::lines_of(frame.length);
    advance_time(frame.time_ns);
    frame.sequence = sequence;
    if (!frame.padded) pad(frame);
    lay_out_header(frame, {sequence, time_ns_, crc32c(0, frame.bytes, frame.length), lines, 1, 0, serial_},
                   const_cast<uint8_t*>(frame.bytes) - kLine);
    block.count(sequence, time_ns_);
    bytes += frame.length;
  }
  block.record_count += static_cast<uint32_t>(count);
  block.frame_count += static_cast<uint32_t>(count);
  block.frame_bytes += bytes;
  frame_bytes_ += bytes;
  for (size_t i = 0; i < count;) {
    const uint8_t* const from = frames[i].bytes - kLine;
    uint32_t lines = 0;
    do lines += 1 + layout::lines_of(frames[i++].length);
    while (i < count && frames[i].bytes - kLine == from + lines * kLine);
    PASTE_CHECK(fits(written_, lines));
    domain_.stream(room(lines), from, lines);
  }
  return count;
}

void LogLane::write_frame(FrameRecord& frame, uint64_t sequence) {
  frame.sequence = sequence;
  advance_time(frame.time_ns);
  const uint32_t lines = frame.mark ? 2 : 1 + layout::lines_of(layout::part_bytes(frame.length, 0));
  if (!frame.follows) write_descriptions(frame, lines, sequence);
  frame_bytes_ += frame.length;
  if (frame.mark)
    write_placed(frame, sequence);
  else
    write_packed(frame, sequence, lines);
}

// Makes the block such that the frame's record and what describes it fit, and writes the latter.
void LogLane::write_descriptions(const FrameRecord& frame, uint32_t lines, uint64_t sequence) {
  Needs needs;
  find_needs(frame, written_.ordinal, &Description::written, needs);
  if (!fits(written_, needs.lines + lines)) {
    switch_block();
    find_needs(frame, written_.ordinal, &Description::written, needs);
  }
  for (uint32_t i = 0; i < needs.count; ++i) write_description(*needs.items[i], sequence);
}

void LogLane::write_packed(const FrameRecord& frame, uint64_t sequence, uint32_t lines) {
  const uint32_t bytes = layout::part_bytes(frame.length, 0);
  const uint32_t parts = layout::parts_of(frame.length);
  // In front of a framed frame lies room for its header, so that both go out as one run.
  uint8_t* const record = frame.framed ? const_cast<uint8_t*>(frame.bytes) - kLine : bounce_;
  if (!frame.framed) {
    uint8_t* const payload = bounce_ + kLine;
    std::memcpy(payload, frame.bytes, bytes);
    std::memset(payload + bytes, 0, (lines - 1) * kLine - bytes);
  } else if (!frame.padded) {
    pad(frame);
  }
  uint8_t* const to = room(lines);
  lay_out_header(frame, {sequence, time_ns_, crc32c(0, frame.bytes, bytes), lines, parts, 0, serial_}, record);
  domain_.stream(to, record, lines);
  BlockSummary& block = summary();
  block.count(sequence, time_ns_);
  block.record_count += 1;
  block.frame_count += 1;
  block.frame_bytes += bytes;
  if (parts == 1) return;
  RecordHeader first;
  std::memcpy(&first, record, sizeof first);
  for (uint32_t part = 1; part < parts; ++part) write_part(frame, first, part);
}

void LogLane::write_part(const FrameRecord& frame, const RecordHeader& first, uint32_t part) {
  const uint32_t bytes = layout::part_bytes(frame.length, part);
  const uint32_t payload_lines = layout::lines_of(bytes);
  const uint8_t* const from = frame.bytes + part * layout::kPartBytes;
  uint8_t* const to = room(1 + payload_lines);
  auto* const header = reinterpret_cast<RecordHeader*>(bounce_);
  *header = first;
  header->type = layout::kContinuation;
  header->part = static_cast<uint16_t>(part);
  header->lines = static_cast<uint16_t>(1 + payload_lines);
  header->payload_crc = crc32c(0, from, bytes);
  seal_header(*header);
  uint8_t* const payload = bounce_ + kLine;
  std::memcpy(payload, from, bytes);
  std::memset(payload + bytes, 0, payload_lines * kLine - bytes);
  domain_.stream(to, header, header->lines);
  BlockSummary& block = summary();
  block.count(header->sequence, header->time_ns);
  block.record_count += 1;
  block.frame_bytes += bytes;
}

// The bytes stay where they are: their lines are written back, and the buffer block is held for the life of this log block.
// Both are fenced together with the record, before anybody is told of it.
void LogLane::write_placed(const FrameRecord& frame, uint64_t sequence) {
  const uint32_t index = directory_.block_at(frame.store_offset);
  PASTE_CHECK(immediate_ && index != layout::kNoBlock &&
              frame.store_offset + frame.length <= directory_.block_offset(index) + block_bytes_);
  const uint64_t word = directory_.word(index);
  PASTE_CHECK(layout::word_kind(word) == layout::kBuffers);
  // Read, then written back: a load of a line whose write-back is under way waits for it.
  const uint32_t payload_crc = crc32c(0, frame.bytes, frame.length);
  domain_.flush(frame.bytes, frame.length);
  uint8_t* const to = room(2);
  directory_.hold(index, serial_, lane_);
  lay_out_header(frame, {sequence, time_ns_, payload_crc, 2, 1, layout::kPlaced, serial_}, bounce_);
  auto* const place = reinterpret_cast<layout::PlacePayload*>(bounce_ + kLine);
  *place = {.offset = frame.store_offset, .block_word = word, .length = frame.length};
  place->place_crc = layout::place_payload_crc(*place, serial_);
  domain_.stream(to, bounce_, 2);
  medium_bytes_ += layout::lines_of(frame.length) * kLine;
  BlockSummary& block = summary();
  block.count(sequence, time_ns_);
  block.record_count += 1;
  block.frame_count += 1;
  block.frame_bytes += frame.length;
}

// One record that lies in one block: descriptions and events.
void LogLane::write_record(RecordHeader& header, const uint8_t* payload, uint32_t payload_bytes) {
  const uint32_t payload_lines = layout::lines_of(payload_bytes);
  header.lines = static_cast<uint16_t>(1 + payload_lines);
  header.payload_length = payload_bytes;
  header.payload_crc = crc32c(0, payload, payload_bytes);
  header.parts = 1;
  uint8_t* to = room(header.lines);
  seal_header(header);
  alignas(64) uint8_t line[kLine];
  std::memcpy(line, &header, kLine);
  domain_.stream(to, line, 1);
  for (uint32_t done = 0; done < payload_bytes; done += kLine) {
    const uint32_t bytes = std::min(payload_bytes - done, kLine);
    std::memcpy(line, payload + done, bytes);
    std::memset(line + bytes, 0, kLine - bytes);
    domain_.stream(to += kLine, line, 1);
  }
  summary().record_count += 1;
}

void LogLane::write_description(Description& description, uint64_t next_sequence) {
  RecordHeader header{};
  header.type = description.type;
  header.flags = layout::kRepeated;
  header.sequence = next_sequence;
  header.time_ns = time_ns_;
  write_record(header, description.payload.data(), description.payload_bytes);
  description.written = written_.ordinal;
}

void LogLane::write_event(layout::RecordType type, uint64_t sequence, uint64_t time_ns, std::span<const uint8_t> payload) {
  advance_time(time_ns);
  RecordHeader header{};
  header.type = type;
  header.sequence = sequence;
  header.time_ns = time_ns_;
  write_record(header, payload.data(), static_cast<uint32_t>(payload.size()));
  summary().count(sequence, time_ns_);
}

void LogLane::write_lost(uint64_t sequence) {
  layout::LostPayload lost{};
  lost.count = lost_count_;
  lost.until_sequence = sequence;
  lost.reason = static_cast<uint8_t>(lost_reason_);
  write_event(layout::kLost, sequence, lost_time_ns_, {reinterpret_cast<const uint8_t*>(&lost), sizeof lost});
  lost_count_ = 0;
}

bool LogLane::append_event(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload) {
  if (failed()) return false;
  const bool taken = offer_event(type, time_ns, payload);
  if (!taken) count_lost(time_ns, full_ == FullPolicy::kBlock ? NotLogged::block_timeout : NotLogged::store_full);
  return taken;
}

bool LogLane::offer_event(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload) {
  if (failed()) return false;
  const bool taken = outstanding_ != 0 ? defer_event(type, time_ns, payload) : event_now(type, time_ns, payload);
  if (!taken) bell_.ring();
  return taken;
}

bool LogLane::event_now(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload) {
  if (payload.size() > block_bytes_ - 2 * kLine) return false;  // fits no block
  const uint32_t lines = 1 + layout::lines_of(static_cast<uint32_t>(payload.size()));
  const bool with_lost = lost_count_ != 0;
  Cursor next = written_;
  if ((with_lost && !reserve(next, 1 + layout::lines_of(sizeof(layout::LostPayload)))) || !reserve(next, lines)) return false;
  uint64_t sequence = take_sequences(with_lost ? 2 : 1);
  if (with_lost) write_lost(sequence++);
  write_event(type, sequence, time_ns, payload);
  planned_ = written_;
  return true;
}

// Between plan() and append() the room ahead is spoken for: the event follows behind the planned frames.
bool LogLane::defer_event(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload) {
  const DeferredEvent event{time_ns, static_cast<uint32_t>(payload.size()), type};
  if (deferred_.capacity() - deferred_.size() < sizeof event + payload.size()) return false;  // never allocates
  const auto* const bytes = reinterpret_cast<const uint8_t*>(&event);
  deferred_.insert(deferred_.end(), bytes, bytes + sizeof event);
  deferred_.insert(deferred_.end(), payload.begin(), payload.end());
  return true;
}

void LogLane::write_deferred() {
  for (size_t at = 0; at < deferred_.size();) {
    DeferredEvent event;
    std::memcpy(&event, deferred_.data() + at, sizeof event);
    at += sizeof event;
    const std::span<const uint8_t> payload{deferred_.data() + at, event.length};
    if (!event_now(static_cast<layout::RecordType>(event.type), event.time_ns, payload))
      count_lost(event.time_ns, NotLogged::store_full);
    at += event.length;
  }
  deferred_.clear();
}

}  // namespace paste
