// A vale port's way in: what the client publishes, slot by slot, into snapshots.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/ports/offload.h"
#include "core/ports/vale/vale_port.h"

namespace paste {

namespace {

constexpr uint32_t kLookahead = 8;         // slots whose buffers are on their way while one is copied
constexpr uint32_t kFramesPerReading = 16; // of the clock: 16 small frames take well under 1 us
constexpr uint32_t kBytesPerReading = 8192;
constexpr uint32_t kShareMin = 16;         // frames of a batch that each of several rings may give
constexpr uint8_t kSegment = 0xff;         // in the place of a ring's number: a segment, which has no slot of its own

}  // namespace

// Reads slots in order, each once, a few ahead of their use so that their buffers are on their way from the client's cache.
class ValePort::SlotReader {
 public:
  SlotReader(const ValePort& port, const TxView& tx, uint32_t from, uint32_t count)
      : slot_(tx.slot), buffers_(port.buffers_), slots_(tx.slots), buffer_bytes_(port.buffer_bytes_),
        buffer_count_(port.buffer_count_), position_(from), load_position_(from), left_(count), to_load_(count) {
    for (uint32_t i = 0; i < kLookahead; i++) load_one();
  }
  uint32_t position() const { return position_; }
  uint32_t left() const { return left_; }
  SlotWord take() {
    const SlotWord word = words_[taken_++ % kLookahead];
    if (++position_ == slots_) position_ = 0;
    left_--;
    load_one();
    return word;
  }

 private:
  void load_one() {
    if (to_load_ == 0) return;
    to_load_--;
    const SlotWord word = load_slot(slot_ + load_position_);
    if (++load_position_ == slots_) load_position_ = 0;
    words_[loaded_++ % kLookahead] = word;
    if (word.buffer() >= buffer_count_) return;
    const uint8_t* bytes = buffers_ + uint64_t{word.buffer()} * buffer_bytes_;
    prefetch_line(bytes);
    if (word.length() > 64) prefetch_line(bytes + 64);
  }

  const netmap::Slot* slot_;
  const uint8_t* buffers_;
  uint32_t slots_, buffer_bytes_, buffer_count_;
  uint32_t position_, load_position_, left_, to_load_;
  uint32_t taken_ = 0, loaded_ = 0;
  SlotWord words_[kLookahead];
};

// Reads a ring's client.head; false when it lies outside the `most` slots from `from` on.
bool ValePort::client_head(const RingView& view, uint32_t from, uint32_t most, uint32_t* head) const {
  const uint32_t value = load_acquire(view.sync->client.head);
  *head = value;
  return value < view.slots && view.distance(from, value) <= most;
}

// As netmap_ring_reinit(): the client's positions go back to the daemon's, and the ring goes on.
void ValePort::reset_ring(RingView& view, uint32_t head, uint32_t tail) {
  counters.client_faults++;
  put_positions(view, head, tail);
  store_relaxed(view.sync->daemon.resets, load_relaxed(view.sync->daemon.resets) + 1);
}

void ValePort::put_positions(RingView& view, uint32_t head, uint32_t tail) {
  store_relaxed(view.ring->head, head);
  store_relaxed(view.ring->cur, head);
  store_relaxed(view.ring->tail, tail);
  store_relaxed(view.sync->client.cur, head);
  store_release(view.sync->client.head, head);
}

// The rings in turn, each with its share of the batch; one alone has all of it.
uint32_t ValePort::receive(Batch& batch, uint32_t max) {
  last_count_ = 0;
  if (__builtin_expect(wanted_header_bytes_ != header_bytes_, 0)) change_header();
  max = std::min(max, kBatchFrames - batch.count);
  if (__builtin_expect(segments_ != nullptr && !segments_->segmenter.done(), 0)) return hand_out_segments(batch, max);
  if (__builtin_expect(tx_count_ == 1, 1)) return receive_ring(0, batch, max);
  const uint32_t share = std::max(kShareMin, max / tx_count_);
  uint32_t count = 0, ring = tx_turn_;
  for (uint32_t n = 0; n < tx_count_ && count < max; n++) {
    if (tx_[ring].bound != 0) count += receive_ring(ring, batch, std::min(share, max - count));
    if (segments_ != nullptr && !segments_->segmenter.done()) break;
    ring = ring + 1 == tx_count_ ? 0 : ring + 1;
  }
  tx_turn_ = ring;
  return count;
}

uint32_t ValePort::receive_ring(uint32_t number, Batch& batch, uint32_t max) {
  TxView& tx = tx_[number];
  uint32_t head;
  // Between what was released and the slot before it (one stays empty); and not behind what was taken since.
  const uint32_t taken = tx.distance(tx.released, tx.taken);
  if (!client_head(tx, tx.taken, tx.slots - 1 - taken, &head)) {
    reset_ring(tx, tx.taken, tx.advance(tx.released, tx.slots - 1));
    return 0;
  }
  if (head == tx.taken) return 0;
  SlotReader slots(*this, tx, tx.taken, tx.distance(tx.taken, head));
  uint64_t time_ns = clock_.now_ns();
  uint32_t frames_since = 0, bytes_since = 0;
  uint64_t bytes = 0;
  uint32_t count = last_count_;
  max += count;
  const uint32_t tag = header_bytes_ == 0 ? region_->tag() : 0;  // != 0: frames may be lent
  while (slots.left() > 0 && count < max) {
    if (frames_since == kFramesPerReading || bytes_since >= kBytesPerReading) {
      time_ns = clock_.now_ns();
      frames_since = bytes_since = 0;
    }
    const uint32_t start = slots.position();
    uint32_t length = 0;
    Drop reason = Drop::kCount;
    const Taken became = take_frame(slots, batch, time_ns, &length, &reason);
    if (became == Taken::kNoRoom) break;
    tx.taken = slots.position();
    if (became == Taken::kFrame) {
      last_start_[count] = start;
      last_length_[count] = length;
      last_ring_[count] = static_cast<uint8_t>(number);
      last_lent_[count] = __builtin_expect(tag != 0, 0) && lend(batch.frames[batch.count - 1], tag, number, start);
      count++;
      bytes += length;
    } else if (became == Taken::kDropped) {
      count_drop(tx, reason, tx.distance(start, tx.taken), length);
    }
    frames_since++;
    bytes_since += length;
    if (became == Taken::kSegments) break;
    if (tx.counted_slots > 0) tx.counted_slots -= std::min(tx.counted_slots, tx.distance(start, tx.taken));
  }
  uint32_t got = count - last_count_;
  counters.received_frames += got;
  counters.received_bytes += bytes;
  counters.copied_frames += got;
  last_count_ = count;
  if (__builtin_expect(segments_ != nullptr && !segments_->segmenter.done(), 0)) got += hand_out_segments(batch, max - count);
  return got;
}

// Segments are the last that a receive() appends, and of one frame: unreceive() can go back among them.
uint32_t ValePort::hand_out_segments(Batch& batch, uint32_t max) {
  const uint64_t time_ns = clock_.now_ns();
  Segmenter& segmenter = segments_->segmenter;
  uint32_t count = 0;
  for (; count < max && !segmenter.done() && batch.arena.room() >= 64 + kLiveFrameBytesMax; count++) {
    const uint32_t length = segmenter.next_bytes();
    uint8_t* snapshot = batch.arena.take(length);
    segmenter.write(snapshot);
    std::memset(snapshot + length, 0, (64 - length % 64) % 64);
    add_frame(batch, snapshot, length, time_ns);
    segments_->written++;
    last_ring_[last_count_] = kSegment;
    last_lent_[last_count_] = false;
    last_length_[last_count_++] = length;
    counters.received_bytes += length;
  }
  counters.received_frames += count;
  counters.copied_frames += count;
  return count;
}

// The frame is still in its place: begins again, and passes over what stays handed out.
void ValePort::take_back_segments(uint32_t count) {
  const uint32_t stays = segments_->written - count;
  uint8_t passed[kLiveFrameBytesMax];
  PASTE_CHECK(segments_->segmenter.begin(segments_->header, segments_->bytes, segments_->length));
  for (uint32_t i = 0; i < stays; i++) segments_->segmenter.write(passed);
  segments_->written = stays;
}

// The last frame taken, if it lies in one slot. Its slot is kept until release().
bool ValePort::lend(Frame& frame, uint32_t tag, uint32_t number, uint32_t slot) {
  const TxView& tx = tx_[number];
  const uint32_t index = load_slot(tx.slot + slot).buffer();
  if (tx.next(slot) != tx.taken || !names_buffer(index)) return false;
  frame.framed = false;  // so that release() comes after delivery
  frame.buffer_block = region_->lend(tag, rings_.tx(number), slot, index);
  lent_++;
  return true;
}

// A frame that never enters the batch was received and dropped; once, even when its slots were taken back and come again.
void ValePort::count_drop(TxView& tx, Drop reason, uint32_t slots, uint32_t bytes) {
  if (tx.counted_slots >= slots) return;
  counters.received_frames++;
  counters.received_bytes += bytes;
  counters.dropped[static_cast<size_t>(reason)]++;
}

inline ValePort::Taken ValePort::take_frame(SlotReader& slots, Batch& batch, uint64_t time_ns, uint32_t* length,
                                            Drop* reason) {
  if (batch.arena.room() < 64 + kLiveFrameBytesMax) return Taken::kNoRoom;
  const SlotWord word = slots.take();
  if (__builtin_expect((word.flags() & netmap::kMoreFrag) | header_bytes_, 0))
    return take_chain(slots, batch, time_ns, word.word(), length, reason);
  if (word.length() == 0) return Taken::kNothing;
  if (!names_buffer(word.buffer()) || word.length() > buffer_bytes_ || (word.flags() & netmap::kIndirect)) {
    *reason = Drop::bad_slot;
    return Taken::kDropped;
  }
  *length = word.length();
  if (*length < kEthernetHeaderBytes || *length > kLiveFrameBytesMax) {
    *reason = *length < kEthernetHeaderBytes ? Drop::runt : Drop::oversize;
    return Taken::kDropped;
  }
  uint8_t* snapshot = batch.arena.take(*length);
  copy_lines(copy_long_, snapshot, buffer(word.buffer()), *length);
  add_frame(batch, snapshot, *length, time_ns);
  return Taken::kFrame;
}

inline void ValePort::add_frame(Batch& batch, const uint8_t* bytes, uint32_t length, uint64_t time_ns) {
  Frame& frame = batch.frames[batch.count++];
  frame.bytes = bytes;
  frame.length = frame.wire_length = length;
  frame.time_ns = time_ns;
  frame.store_offset = 0;
  frame.buffer_block = 0;
  frame.ingress = index;
  frame.framed = true;
}

// A frame of several slots, or behind a header, gathered into one snapshot. The whole chain is taken, whatever is wrong with it; a
// chain cut by the end of what the client published counts as complete, as on VALE.
ValePort::Taken ValePort::take_chain(SlotReader& slots, Batch& batch, uint64_t time_ns, uint64_t first, uint32_t* length,
                                     Drop* reason) {
  uint8_t* snapshot = batch.arena.take(kLiveFrameBytesMax);
  uint8_t* to = snapshot;
  uint32_t most = kLiveFrameBytesMax;
  VirtioNetHeader header = {};
  uint32_t gathered = 0, fragments = 0, header_got = 0;
  for (SlotWord word(first);; word = slots.take()) {
    uint32_t part = word.length();
    if (part > 0 && *reason == Drop::kCount) {
      // The header lies in the first slot, in front of the frame or alone.
      const uint32_t before = fragments == 0 ? std::min(part, header_bytes_) : 0;
      if (!names_buffer(word.buffer()) || part > buffer_bytes_ || (word.flags() & netmap::kIndirect)) {
        *reason = Drop::bad_slot;
      } else {
        const uint8_t* from = buffer(word.buffer());
        std::memcpy(&header, from, before);
        header_got += before;
        part -= before;
        if (header.gso_type != virtio::kGsoNone) to = segments_->bytes, most = kOffloadBytesMax;
        if (gathered + part > most) *reason = Drop::oversize;
        else std::memcpy(to + gathered, from + before, part);
        if (*reason == Drop::kCount) gathered += part;
      }
    }
    if (++fragments > netmap::kFragmentsMax && *reason == Drop::kCount) *reason = Drop::broken_chain;
    if (!(word.flags() & netmap::kMoreFrag) || slots.left() == 0) break;
  }
  batch.arena.give_back_to(snapshot);
  *length = gathered;
  if (*reason == Drop::kCount && gathered > 0 && gathered < kEthernetHeaderBytes) *reason = Drop::runt;
  if (*reason == Drop::kCount && gathered > 0 && header_bytes_ != 0 && !finish(header, header_got, to, gathered))
    *reason = Drop::bad_offload;
  if (*reason != Drop::kCount) return Taken::kDropped;
  if (gathered == 0) return Taken::kNothing;
  if (to != snapshot) return *length = 0, Taken::kSegments;
  PASTE_CHECK(batch.arena.take(gathered) == snapshot);
  std::memset(snapshot + gathered, 0, (64 - gathered % 64) % 64);
  add_frame(batch, snapshot, gathered, time_ns);
  return Taken::kFrame;
}

// Does what a frame's virtio-net header asks for, or begins it. False: it asks for what cannot be done, or lies.
bool ValePort::finish(const VirtioNetHeader& header, uint32_t header_got, uint8_t* frame, uint32_t length) {
  if (header_got != header_bytes_) return false;
  if (header.gso_type == virtio::kGsoNone) return finish_checksum(header, frame, length);
  segments_->header = header;
  segments_->length = length;
  segments_->written = 0;
  if (segments_->segmenter.begin(header, frame, length) && segments_->segmenter.next_bytes() <= kLiveFrameBytesMax) return true;
  segments_->segmenter.end();
  return false;
}

void ValePort::unreceive(uint32_t count) {
  PASTE_CHECK(count <= last_count_);
  uint32_t segments = 0;
  for (uint32_t i = last_count_; i-- > last_count_ - count;) {
    counters.received_bytes -= last_length_[i];
    if (last_ring_[i] == kSegment) {
      segments++;
      continue;
    }
    TxView& tx = tx_[last_ring_[i]];
    tx.counted_slots += tx.distance(last_start_[i], tx.taken);
    tx.taken = last_start_[i];
    if (last_lent_[i]) lent_--;
  }
  if (segments != 0) take_back_segments(segments);
  counters.received_frames -= count;
  counters.copied_frames -= count;
  last_count_ -= count;
}

// What was copied by receive() goes back to the client at once, whichever batch this is; not in front of what is lent.
void ValePort::release(const Batch& batch, std::span<const uint16_t> frames) {
  if (__builtin_expect(lent_ != 0, 0)) {
    end_loans(batch, frames);
    if (lent_ != 0) return;
  }
  last_count_ = 0;
  for (uint32_t i = 0; i < tx_count_; i++) {
    TxView& tx = tx_[i];
    if (tx.released == tx.taken) continue;
    tx.released = tx.taken;
    store_relaxed(tx.sync->daemon.hwcur, tx.released);
    store_release(tx.sync->daemon.hwtail, tx.advance(tx.released, tx.slots - 1));
    // A client that waits for room: see notify() for the fence.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    ring_doorbells(tx, true, i);
  }
}

void ValePort::end_loans(const Batch& batch, std::span<const uint16_t> frames) {
  for (const uint16_t i : frames) {
    const Frame& frame = batch.frames[i];
    if (frame.buffer_block == 0) continue;
    lent_--;
    if (region_->still_lent(frame.buffer_block)) continue;
    counters.zero_copy_frames++;  // somebody took it: the snapshot was not what left
    counters.copied_frames--;
  }
}

}  // namespace paste
