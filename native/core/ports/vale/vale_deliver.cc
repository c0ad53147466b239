// A vale port's way out: promises, and frames into the client's receive slots.
#include <algorithm>
#include <cstring>

#include "core/ports/vale/vale_port.h"
#include "core/switch/flow_hash.h"

namespace paste {

namespace {

constexpr uint32_t kLookahead = 8;

// netmap writes the number of fragments into the upper half of each slot's flags.
uint32_t fragment_flags(uint32_t i, uint32_t fragments) {
  return fragments > 1 ? fragments << 8 | (i + 1 < fragments ? netmap::kMoreFrag : 0) : 0;
}

}  // namespace

// Of the rings that somebody is bound to. Group addresses go to the first, as on VALE.
uint32_t ValePort::choose_rx(const Frame& frame) const {
  if (frame.bytes[0] & 1) return rx_bound_[0];
  uint64_t hash = frame_facts(frame.bytes, frame.length).flow_hash;
  if (hash == 0) {
    std::memcpy(&hash, frame.bytes + 4, sizeof hash);  // no IP: by addresses
    hash = flow::finish(flow::mix(hash));
  }
  return rx_bound_[hash * rx_bound_count_ >> 32];
}

void ValePort::look_at_head(RxView& rx) {
  uint32_t head;
  const uint32_t filled = rx.distance(rx.head, rx.tail);
  if (client_head(rx, rx.head, filled, &head))
    rx.head = head;
  else
    reset_ring(rx, rx.head, rx.tail);
}

// Promises count slots with the header they were made with.
void ValePort::change_header() {
  for (uint32_t i = 0; i < rx_count_; i++)
    if (rx_[i].promised != 0) return;
  header_bytes_ = wanted_header_bytes_;
}

uint32_t ValePort::reserve(const Batch& batch, std::span<const uint16_t> frames) {
  if (__builtin_expect(wanted_header_bytes_ != header_bytes_, 0)) change_header();
  if (__builtin_expect(rx_bound_count_ == 0, 0)) return 0;
  if (__builtin_expect(rx_count_ != 1, 0)) return reserve_many(batch, frames);
  RxView& rx = rx_[0];
  look_at_head(rx);
  const uint32_t free = rx.slots - 1 - rx.distance(rx.head, rx.tail) - rx.promised;
  return plain() ? promise<true>(rx, batch, frames, free) : promise<false>(rx, batch, frames, free);
}

// `plain`: frames leave this port as they came, and none need be asked whether it changes.
template <bool plain>
inline uint32_t ValePort::promise(RxView& rx, const Batch& batch, std::span<const uint16_t> frames, uint32_t free) {
  const uint32_t before = free;
  uint32_t count = 0;
  for (const uint16_t i : frames) {
    const uint32_t need = plain ? slots_for(batch.frames[i].length, 0) : slots_for(bytes_out(batch.frames[i]));
    if (need > free) break;
    free -= need;
    count++;
  }
  rx.promised += before - free;
  return count;
}

// The first frame whose ring is full ends it, for all rings: what leaves is in arrival order.
uint32_t ValePort::reserve_many(const Batch& batch, std::span<const uint16_t> frames) {
  for (uint32_t i = 0; i < rx_bound_count_; i++) look_at_head(rx_[rx_bound_[i]]);
  uint32_t count = 0;
  for (const uint16_t i : frames) {
    const uint32_t number = choose_rx(batch.frames[i]);
    RxView& rx = rx_[number];
    const uint32_t need = slots_for(bytes_out(batch.frames[i]));
    if (need + rx.promised > rx.slots - 1 - rx.distance(rx.head, rx.tail)) break;
    rx.promised += need;
    promises_[promises_made_++ & promises_mask_] = static_cast<uint8_t>(number);
    count++;
  }
  return count;
}

uint32_t ValePort::deliver(const Batch& batch, std::span<const uint16_t> frames) {
  uint64_t bytes = 0;
  const uint32_t count = __builtin_expect(rx_count_ == 1, 1) ? deliver_to(rx_[0], batch, frames, &bytes)
                                                             : deliver_many(batch, frames, &bytes);
  return delivered(batch, frames, count, bytes);
}

// Runs of frames for the same ring.
uint32_t ValePort::deliver_many(const Batch& batch, std::span<const uint16_t> frames, uint64_t* bytes) {
  for (uint32_t from = 0, end; from < frames.size(); from = end) {
    const uint8_t number = promises_[promises_kept_ & promises_mask_];
    end = from + 1;
    while (end < frames.size() && promises_[(promises_kept_ + end - from) & promises_mask_] == number) end++;
    const uint32_t got = deliver_to(rx_[number], batch, frames.subspan(from, end - from), bytes);
    promises_kept_ += got;
    if (got != end - from) return from + got;
  }
  return static_cast<uint32_t>(frames.size());
}

uint32_t ValePort::deliver_to(RxView& rx, const Batch& batch, std::span<const uint16_t> frames, uint64_t* bytes) {
  const uint32_t count = plain() ? write<true>(rx, batch, frames, bytes) : write<false>(rx, batch, frames, bytes);
  if (count > 0) {
    store_release(rx.sync->daemon.hwtail, rx.tail);
    rx.unnotified = true;
  }
  return count;
}

// Fills slots from the tail on, until a ruined one; returns how many frames they hold.
template <bool plain>
inline uint32_t ValePort::write(RxView& rx, const Batch& batch, std::span<const uint16_t> frames, uint64_t* bytes_sum) {
  // The slots and buffers that come next were last in the client's cache.
  const uint32_t ahead = std::min<uint32_t>(kLookahead, static_cast<uint32_t>(frames.size()));
  const auto prefetch_slot = [&](uint32_t at) {
    const uint32_t index = load_slot(rx.slot + at).buffer();
    if (index < buffer_count_) prefetch_line_owned(buffer(index));
  };
  for (uint32_t i = 0; i < ahead; i++) prefetch_slot(rx.advance(rx.tail, i));

  const bool lending = plain && region_->tag() != 0;
  uint32_t at = rx.tail, promised = 0;
  uint64_t bytes = 0;
  uint32_t count = 0;
  for (; count < frames.size(); count++) {
    const Frame& frame = batch.frames[frames[count]];
    prefetch_slot(rx.advance(at, kLookahead));
    const uint32_t start = at;
    bool filled;
    uint32_t length = frame.length;
    if (plain) {
      filled = __builtin_expect(lending && take_over(rx, frame, &at), 0) || fill(rx, frame.bytes, length, &at);
    } else {
      FrameShape pieces;
      if (!shape_frame(vlan, frame, &pieces)) {
        pieces.rest = frame.bytes;
        pieces.rest_bytes = frame.length;
      }
      length = pieces.length();
      filled = fill_pieces(rx, pieces, &at);
    }
    if (!filled) {
      at = start;
      break;
    }
    promised += plain ? slots_for(length, 0) : slots_for(length);
    bytes += length;
  }
  *bytes_sum += bytes;
  rx.promised -= promised;
  rx.tail = at;
  return count;
}

// Writes one frame into slots from *at on, and moves *at behind them. False when a slot names no buffer of the client's.
inline bool ValePort::fill(RxView& rx, const uint8_t* from, uint32_t length, uint32_t* at) {
  const uint32_t fragments = slots_for(length, 0);
  uint32_t left = length;
  for (uint32_t i = 0; i < fragments; i++) {
    uint32_t index;
    if (!take_rx_slot(rx, *at, &index)) return false;
    const uint32_t part = std::min(left, buffer_bytes_);
    copy_lines(copy_long_, buffer(index), from, part);
    store_slot(rx.slot + *at, SlotWord(index, part, fragment_flags(i, fragments)));
    from += part;
    left -= part;
    *at = rx.next(*at);
  }
  return true;
}

// A frame that another port of this region lends: buffers change places. False: it is none, or somebody had it already.
bool ValePort::take_over(RxView& rx, const Frame& frame, uint32_t* at) {
  if (frame.store_offset != 0 || frame.buffer_block == 0 || frame.length > buffer_bytes_) return false;
  const uint32_t index = load_slot(rx.slot + *at).buffer();
  if (!names_buffer(index)) return false;
  netmap::Slot* slot;
  const uint32_t lent = region_->take_lent(frame.buffer_block, &slot);
  if (lent == 0) return false;
  store_slot(slot, SlotWord(index, frame.length, netmap::kBufChanged));
  store_slot(rx.slot + *at, SlotWord(lent, frame.length, 0));
  *at = rx.next(*at);
  return true;
}

// The same for a frame in pieces: an empty virtio-net header, the shape's head (both in the first slot), its rest.
bool ValePort::fill_pieces(RxView& rx, const FrameShape& pieces, uint32_t* at) {
  const uint32_t fragments = slots_for(pieces.length());
  const uint8_t* from = pieces.rest;
  uint32_t left = pieces.rest_bytes;
  for (uint32_t i = 0; i < fragments; i++) {
    uint32_t index;
    if (!take_rx_slot(rx, *at, &index)) return false;
    uint8_t* to = buffer(index);
    uint32_t head = 0;
    if (i == 0) {
      std::memset(to, 0, header_bytes_);
      std::memcpy(to + header_bytes_, pieces.head, pieces.head_bytes);
      head = header_bytes_ + pieces.head_bytes;
    }
    const uint32_t part = std::min(left, buffer_bytes_ - head);
    std::memcpy(to + head, from, part);
    store_slot(rx.slot + *at, SlotWord(index, head + part, fragment_flags(i, fragments)));
    from += part;
    left -= part;
    *at = rx.next(*at);
  }
  return true;
}

// The buffer that the client's slot names, read once. False when it is none: the slot gets back the buffer it started with, and the
// ring goes on from there.
inline bool ValePort::take_rx_slot(RxView& rx, uint32_t at, uint32_t* index) {
  *index = load_slot(rx.slot + at).buffer();
  if (__builtin_expect(names_buffer(*index), 1)) return true;
  counters.client_faults++;
  store_slot(rx.slot + at, SlotWord(rx.first_buffer + at, 0, 0));
  return false;
}

void ValePort::cancel(const Batch& batch, std::span<const uint16_t> frames) {
  for (const uint16_t i : frames) {
    RxView& rx = rx_count_ == 1 ? rx_[0] : rx_[promises_[promises_kept_++ & promises_mask_]];
    rx.promised -= slots_for(bytes_out(batch.frames[i]));
  }
}

}  // namespace paste
