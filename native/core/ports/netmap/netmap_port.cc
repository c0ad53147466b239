#include "core/ports/netmap/netmap_port.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/ioctl.h>

namespace paste {

namespace {

constexpr uint32_t kFramesPerReading = 16;  // of the clock
constexpr uint32_t kBytesPerReading = 8192;

uint32_t distance(uint32_t from, uint32_t to, uint32_t slots) { return to >= from ? to - from : to + slots - from; }
uint32_t advance(uint32_t at, uint32_t by, uint32_t slots) { return at + by >= slots ? at + by - slots : at + by; }

// Memory with an id may be mapped by other programs: a slot is read once.
netmap::Slot load_slot(const netmap::Slot* slot) {
  const uint64_t word = __atomic_load_n(reinterpret_cast<const uint64_t*>(slot), __ATOMIC_RELAXED);
  netmap::Slot copy{};
  std::memcpy(&copy, &word, sizeof word);
  return copy;
}

void store_slot(netmap::Slot* slot, uint32_t buffer, uint32_t length, uint32_t flags) {
  const uint64_t word = uint64_t{buffer} | uint64_t{length} << 32 | uint64_t{flags} << 48;
  __atomic_store_n(reinterpret_cast<uint64_t*>(slot), word, __ATOMIC_RELAXED);
}

// netmap writes through a mapping of its own and leaves the page clean: where the store is no DAX, a page written back
// once would never be written back again. One byte stored from here makes it dirty. The frame is ours by now, nobody
// else writes it.
void make_dirty(uint8_t* bytes) {
  auto* byte = reinterpret_cast<volatile uint8_t*>(bytes);
  *byte = *byte;
}

}  // namespace

Status NetmapPort::create(const std::string& name, const std::string& text, const PortSite& site,
                          std::unique_ptr<NetmapPort>* port) {
  NetmapSpec spec;
  if (Status status = parse_netmap_spec(text, &spec); !status.ok()) return status;
  std::unique_ptr<NetmapDevice> device;
  if (Status status = NetmapDevice::open(text, spec, site, &device); !status.ok()) return status;
  port->reset(new NetmapPort(name, spec, site, std::move(device)));
  return {};
}

NetmapPort::NetmapPort(std::string name, const NetmapSpec& spec, const PortSite& site,
                       std::unique_ptr<NetmapDevice> device)
    : name_(std::move(name)), clock_(*site.clock), device_(std::move(device)), memory_(device_->store_memory()),
      copy_long_(choose_long_copy()), buffer_bytes_(device_->buffer_bytes()),
      segment_(spec.mode == netmap::kNicAndHost && !spec.monitor()) {
  // Another program may hold the port, too, and have ruined its ring.
  const auto start = [](const netmap::Ring* ring) { return ring->head < ring->num_slots ? ring->head : 0; };
  const auto add_rx = [&](netmap::Ring* ring, bool host) {
    rx_.push_back({ring, ring->num_slots, start(ring), start(ring), host});
  };
  for (netmap::Ring* ring : device_->nic_rx()) add_rx(ring, false);
  for (netmap::Ring* ring : device_->host_rx()) add_rx(ring, true);
  const auto add_tx = [&](const std::vector<netmap::Ring*>& rings) {
    if (!rings.empty()) tx_.push_back({rings[0], rings[0]->num_slots, start(rings[0]), 0});
  };
  add_tx(device_->nic_tx());
  add_tx(device_->host_tx());
  segment_ = segment_ && tx_.size() == 2;
  // Ports in software take frames of several slots. Few drivers do, and neither does the host.
  const bool chains = spec.on_vale() || spec.pipe();
  frame_bytes_max_ = chains ? kLiveFrameBytesMax : std::min(buffer_bytes_, kLiveFrameBytesMax);
}

// The module tells nothing of rings that it reset because of rubbish in them, but an error is one: the port is gone.
bool NetmapPort::sync(unsigned long direction) {
  if (ioctl(device_->fd(), direction, nullptr) == 0) return true;
  if (errno != EINTR && errno != EAGAIN) alive_.store(false, std::memory_order_relaxed);
  return false;
}

// --- from netmap -----------------------------------------------------------------------------------------------------

// Gives back what was taken, and sees what came.
bool NetmapPort::sync_rx() {
  for (RxRing& rx : rx_) rx.ring->head = rx.ring->cur = rx.next;
  if (rx_.empty() || !alive() || !sync(netmap::kIoctlRxSync)) return false;
  for (RxRing& rx : rx_) {
    const uint32_t tail = __atomic_load_n(&rx.ring->tail, __ATOMIC_ACQUIRE);
    rx.tail = tail < rx.slots ? tail : rx.next;
  }
  return true;
}

NetmapPort::RxRing* NetmapPort::ring_with_frames() {
  for (uint32_t i = 0; i < rx_.size(); i++) {
    RxRing& rx = rx_[rx_cursor_];
    if (rx.next != rx.tail) return &rx;
    rx_cursor_ = rx_cursor_ + 1 == rx_.size() ? 0 : rx_cursor_ + 1;
  }
  return nullptr;
}

// Frames may be taken back until the next call: that is when the rings' heads move.
uint32_t NetmapPort::receive(Batch& batch, uint32_t max) {
  last_count_ = 0;
  if (!sync_rx()) return 0;
  max = std::min(max, kBatchFrames - batch.count);
  uint64_t bytes = 0, time_ns = clock_.now_ns();
  uint32_t frames_since = 0, bytes_since = 0;
  while (last_count_ < max) {
    RxRing* rx = ring_with_frames();
    if (!rx) break;
    if (frames_since == kFramesPerReading || bytes_since >= kBytesPerReading) {
      time_ns = clock_.now_ns();
      frames_since = bytes_since = 0;
    }
    const uint32_t count = last_count_;
    if (take_frame(*rx, batch, time_ns) == Became::kNoRoom) break;
    frames_since++;
    const uint32_t length = last_count_ != count ? last_[count].length : 0;
    bytes += length;
    bytes_since += length;
  }
  counters.received_frames += last_count_;
  counters.received_bytes += bytes;
  return last_count_;
}

// The frame at rx.next, of one slot or several; moves rx.next behind it.
NetmapPort::Became NetmapPort::take_frame(RxRing& rx, Batch& batch, uint64_t time_ns) {
  if (batch.arena.room() < 64 + kLiveFrameBytesMax) return Became::kNoRoom;
  const uint32_t at = rx.next;
  netmap::Slot slot = load_slot(rx.ring->slot + at);
  uint32_t slots = 1;
  // A chain that the end of what there is cuts off counts as complete, as on VALE.
  for (netmap::Slot part = slot; (part.flags & netmap::kMoreFrag) && slots < distance(at, rx.tail, rx.slots); slots++)
    part = load_slot(rx.ring->slot + advance(at, slots, rx.slots));
  rx.next = advance(at, slots, rx.slots);

  Frame& frame = batch.frames[batch.count];
  frame = {};
  Drop reason = Drop::kCount;
  uint32_t length = slot.len;
  uint8_t* snapshot = nullptr;
  uint32_t spare = kNoChunk;
  if (slots > 1) {
    gather(rx, at, slots, batch, &reason, &length, &snapshot);
  } else {
    // VALE fills slots that it promised and did not need with frames of no length.
    if (length == 0) return Became::kNothing;
    if (!device_->names_buffer(slot.buf_idx) || length > buffer_bytes_) reason = Drop::bad_slot;
    else if (length < kEthernetHeaderBytes) reason = Drop::runt;
    else if (length > kLiveFrameBytesMax) reason = Drop::oversize;
  }
  if (reason != Drop::kCount || length == 0) {
    drop_slots(rx, at, slots, reason, length);
    return Became::kNothing;
  }
  if (slots == 1 && memory_ && !segment_) spare = take_in_place(rx.ring->slot + at, slot, frame);
  if (slots == 1 && spare == kNoChunk) {
    snapshot = batch.arena.take(length);
    copy_lines(copy_long_, snapshot, device_->buffer(slot.buf_idx), length);
  }
  const auto ring = static_cast<uint16_t>(&rx - rx_.data());
  if (spare == kNoChunk) {
    frame.bytes = snapshot;
    // On a segment the frame goes on to the other side when it has been delivered, as release() is told then.
    frame.framed = !segment_;
    if (segment_) frame.buffer_block = ring;
  }
  frame.length = frame.wire_length = length;
  (spare == kNoChunk ? counters.copied_frames : counters.zero_copy_frames)++;
  frame.time_ns = time_ns;
  frame.ingress = index;
  batch.count++;
  last_[last_count_++] = {ring, at, slot.buf_idx, spare, length};
  return Became::kFrame;
}

// Leaves the frame where it lies and puts a spare buffer into its slot: this chunk, or kNoChunk when there is none.
uint32_t NetmapPort::take_in_place(netmap::Slot* slot, const netmap::Slot& had, Frame& frame) {
  const uint32_t spare = memory_->take();
  if (spare == kNoChunk) return kNoChunk;
  uint8_t* bytes = device_->buffer(had.buf_idx);
  memory_->place_frame(frame, bytes, had.len);
  frame.bytes = bytes;
  if (frame.store_offset != 0) make_dirty(bytes);
  store_slot(slot, device_->buffer_of_chunk(spare), had.len, had.flags | netmap::kBufChanged);
  return spare;
}

// Several slots into one snapshot, unless *reason or *length = 0 say why not.
void NetmapPort::gather(RxRing& rx, uint32_t at, uint32_t slots, Batch& batch, Drop* reason, uint32_t* length,
                        uint8_t** snapshot) {
  uint8_t* bytes = batch.arena.take(kLiveFrameBytesMax);
  uint32_t gathered = 0;
  if (slots > netmap::kFragmentsMax) *reason = Drop::broken_chain;
  for (uint32_t i = 0; i < slots && *reason == Drop::kCount; i++) {
    const netmap::Slot part = load_slot(rx.ring->slot + advance(at, i, rx.slots));
    if (part.len == 0) continue;
    if (!device_->names_buffer(part.buf_idx) || part.len > buffer_bytes_) *reason = Drop::bad_slot;
    else if (gathered + part.len > kLiveFrameBytesMax) *reason = Drop::oversize;
    else std::memcpy(bytes + gathered, device_->buffer(part.buf_idx), part.len);
    gathered += part.len;
  }
  batch.arena.give_back_to(bytes);
  *length = gathered;
  if (*reason == Drop::kCount && gathered > 0 && gathered < kEthernetHeaderBytes) *reason = Drop::runt;
  if (*reason != Drop::kCount || gathered == 0) return;
  PASTE_CHECK(batch.arena.take(gathered) == bytes);
  std::memset(bytes + gathered, 0, (64 - gathered % 64) % 64);
  *snapshot = bytes;
}

// Counts a frame that never enters the batch; its slots are emptied, so that it is not counted again when they come
// back.
void NetmapPort::drop_slots(RxRing& rx, uint32_t from, uint32_t count, Drop reason, uint32_t bytes) {
  for (uint32_t i = 0; i < count; i++) {
    netmap::Slot* slot = rx.ring->slot + advance(from, i, rx.slots);
    store_slot(slot, load_slot(slot).buf_idx, 0, 0);
  }
  if (reason == Drop::kCount) return;
  if (reason == Drop::bad_slot) counters.client_faults++;
  counters.received_frames++;
  counters.received_bytes += bytes;
  counters.dropped[static_cast<size_t>(reason)]++;
}

void NetmapPort::unreceive(uint32_t count) {
  PASTE_CHECK(count <= last_count_);
  for (; count > 0; count--) {
    const Taken& taken = last_[--last_count_];
    RxRing& rx = rx_[taken.ring];
    const bool in_place = taken.spare != kNoChunk;
    if (in_place) {
      store_slot(rx.ring->slot + taken.slot, taken.buffer, taken.length, 0);
      memory_->drop_use(taken.spare);
    }
    rx.next = taken.slot;
    counters.received_frames--;
    counters.received_bytes -= taken.length;
    (in_place ? counters.zero_copy_frames : counters.copied_frames)--;
  }
}

void NetmapPort::release(const Batch& batch, std::span<const uint16_t> frames) {
  if (segment_) return pass_across(batch, frames);
  if (!memory_) return;
  for (const uint16_t i : frames) {
    const Frame& frame = batch.frames[i];
    const uint32_t chunk = memory_->chunk_of(frame.bytes);
    if (chunk == kNoChunk) continue;
    // A record names these bytes: the buffer is the log's and never goes into a ring until the record is retired.
    if (frame.marked) memory_->keep_for_log(chunk);
    memory_->drop_use(chunk);
  }
}

// What came from the interface goes on to its host and the other way round, as far as there is room.
void NetmapPort::pass_across(const Batch& batch, std::span<const uint16_t> frames) {
  for (const uint16_t i : frames) {
    const Frame& frame = batch.frames[i];
    TxRing& tx = tx_[rx_[frame.buffer_block].host ? 0 : 1];
    if (frame.length > frame_bytes_max_ || slots_for(frame.length) > room(tx)) continue;
    FrameShape whole;
    whole.rest = frame.bytes;
    whole.rest_bytes = frame.length;
    unsent_ = fill(tx, whole);
  }
  notify();
}

// --- to netmap -------------------------------------------------------------------------------------------------------

uint32_t NetmapPort::room(const TxRing& tx) const {
  const uint32_t tail = __atomic_load_n(&tx.ring->tail, __ATOMIC_ACQUIRE);
  if (tail >= tx.slots) return 0;
  const uint32_t free = distance(tx.next, tail, tx.slots);
  return free > tx.promised ? free - tx.promised : 0;
}

uint32_t NetmapPort::reserve(const Batch& batch, std::span<const uint16_t> frames) {
  refusal_ = Refusal::full;
  if (!alive() || !up_.load(std::memory_order_relaxed)) {
    refusal_ = alive() ? Refusal::down : Refusal::gone;
    return 0;
  }
  const auto least = [&] {
    uint32_t free = ~0u;
    for (const TxRing& tx : tx_) free = std::min(free, room(tx));
    return tx_.empty() ? 0 : free;
  };
  uint32_t free = least(), promised = 0, count = 0;
  for (const uint16_t i : frames) {
    const uint32_t length = length_out(batch.frames[i]);
    if (length > frame_bytes_max_) {
      refusal_ = Refusal::oversize;
      break;
    }
    const uint32_t need = slots_for(length);
    if (promised + need > free && !tx_synced_) {
      synchronise_tx();  // slots whose transmission is through come back
      free = least();
    }
    if (promised + need > free) break;
    promised += need;
    count++;
  }
  for (TxRing& tx : tx_) tx.promised += promised;
  return count;
}

uint32_t NetmapPort::deliver(const Batch& batch, std::span<const uint16_t> frames) {
  uint32_t count = 0;
  uint64_t bytes = 0;
  for (; count < frames.size() && alive(); count++) {
    const Frame& frame = batch.frames[frames[count]];
    FrameShape shape;
    if (!shape_frame(vlan, frame, &shape)) {
      shape.rest = frame.bytes;
      shape.rest_bytes = frame.length;
    }
    bool filled = true;
    for (TxRing& tx : tx_) filled = filled && fill(tx, shape);
    if (!filled) break;
    for (TxRing& tx : tx_) tx.promised -= slots_for(shape.length());
    bytes += frame.length;
  }
  unsent_ = unsent_ || count > 0;
  return delivered(batch, frames, count, bytes);
}

// One frame into the next slots. False when a slot names no buffer: no program but this one should write the ring, and
// only a new registration puts it right.
bool NetmapPort::fill(TxRing& tx, const FrameShape& shape) {
  const uint32_t length = shape.length(), slots = slots_for(length);
  for (uint32_t i = 0, done = 0; i < slots; i++) {
    netmap::Slot* slot = tx.ring->slot + advance(tx.next, i, tx.slots);
    const uint32_t buffer = load_slot(slot).buf_idx;
    if (!device_->names_buffer(buffer)) {
      counters.client_faults++;
      alive_.store(false, std::memory_order_relaxed);
      return false;
    }
    uint8_t* to = device_->buffer(buffer);
    const uint32_t part = std::min(length - done, buffer_bytes_);
    uint32_t at = 0;
    if (done < shape.head_bytes) {  // the head is far shorter than a buffer
      std::memcpy(to, shape.head, shape.head_bytes);
      at = shape.head_bytes;
    }
    std::memcpy(to + at, shape.rest + (done + at - shape.head_bytes), part - at);
    store_slot(slot, buffer, part, i + 1 < slots ? netmap::kMoreFrag : 0);
    done += part;
  }
  tx.next = advance(tx.next, slots, tx.slots);
  return true;
}

void NetmapPort::cancel(const Batch& batch, std::span<const uint16_t> frames) {
  uint32_t slots = 0;
  for (const uint16_t i : frames) slots += slots_for(length_out(batch.frames[i]));
  for (TxRing& tx : tx_) tx.promised -= slots;
}

// Shows what was filled, and sees what is through. Does not wait for the device.
void NetmapPort::synchronise_tx() {
  for (TxRing& tx : tx_) tx.ring->head = tx.ring->cur = tx.next;
  tx_synced_ = true;
  unsent_ = false;
  if (sync(netmap::kIoctlTxSync)) counters.kicks_sent++;
}

void NetmapPort::notify() {
  if (unsent_) synchronise_tx();
}

// A device takes its time: slots come back when somebody asks. Asked when half the ring is under way, or when reserve()
// lacks some.
void NetmapPort::complete() {
  tx_synced_ = false;
  for (const TxRing& tx : tx_) {
    if (room(tx) >= tx.slots / 2) continue;
    synchronise_tx();
    break;
  }
  if (memory_) memory_->reclaim();
}

// --- waiting ---------------------------------------------------------------------------------------------------------

// poll() of the descriptor does what RXSYNC does, so nothing that comes from here on is missed.
bool NetmapPort::arm() { return sync_rx() && ring_with_frames() != nullptr; }

}  // namespace paste
