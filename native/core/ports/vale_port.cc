#include "core/ports/vale_port.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>

namespace paste {

namespace {

constexpr uint32_t kLookahead = 8;         // slots whose buffers are on their way while one is copied
constexpr uint32_t kFramesPerReading = 16; // of the clock: 16 small frames take well under 1 us
constexpr uint32_t kBytesPerReading = 8192;
constexpr uint32_t kDrainBytes = 512;      // of the doorbell per wake

// A slot but for its `ptr`, which vale ports have no use for: one aligned 8-byte word, so that one load reads it whole. It stays
// a word in memory, too: fields stored apart and loaded together would stall each frame for a dozen cycles.
class SlotWord {
 public:
  SlotWord() = default;
  explicit SlotWord(uint64_t word) : word_(word) {}
  SlotWord(uint32_t buffer, uint32_t length, uint32_t flags)
      : word_(uint64_t{buffer} | uint64_t{length} << 32 | uint64_t{flags} << 48) {}
  uint64_t word() const { return word_; }
  uint32_t buffer() const { return static_cast<uint32_t>(word_); }
  uint32_t length() const { return static_cast<uint16_t>(word_ >> 32); }
  uint32_t flags() const { return static_cast<uint32_t>(word_ >> 48); }

 private:
  uint64_t word_;
};

SlotWord load_slot(const netmap::Slot* slot) {
  return SlotWord(__atomic_load_n(reinterpret_cast<const uint64_t*>(slot), __ATOMIC_RELAXED));
}

// netmap writes the number of fragments into the upper half of each slot's flags.
uint32_t fragment_flags(uint32_t i, uint32_t fragments) {
  return fragments > 1 ? fragments << 8 | (i + 1 < fragments ? netmap::kMoreFrag : 0) : 0;
}

void store_slot(netmap::Slot* slot, SlotWord word) {
  __atomic_store_n(reinterpret_cast<uint64_t*>(slot), word.word(), __ATOMIC_RELAXED);
}

uint32_t load_acquire(const uint32_t& field) { return __atomic_load_n(&field, __ATOMIC_ACQUIRE); }
uint32_t load_relaxed(const uint32_t& field) { return __atomic_load_n(&field, __ATOMIC_RELAXED); }
void store_release(uint32_t& field, uint32_t value) { __atomic_store_n(&field, value, __ATOMIC_RELEASE); }
void store_relaxed(uint32_t& field, uint32_t value) { __atomic_store_n(&field, value, __ATOMIC_RELAXED); }

}  // namespace

// Reads slots in order, each once, a few ahead of their use so that their buffers are on their way from the client's cache.
class ValePort::SlotReader {
 public:
  SlotReader(const ValePort& port, uint32_t from, uint32_t count)
      : slot_(port.tx_.slot), buffers_(port.tx_.buffers), slots_(port.tx_.slots), buffer_bytes_(port.buffer_bytes_),
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

Status ValePort::create(const std::string& name, const RegionGeometry& geometry, const Clock& clock,
                        std::unique_ptr<ValePort>* port, ClientEnd* end) {
  if (Status status = check_vale_name(name); !status.ok()) return status;
  std::unique_ptr<ValeRegion> region;
  if (Status status = ValeRegion::create(name, geometry, &region); !status.ok()) return status;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
    return Status(Code::kResource, "port " + name + ": no doorbell (socketpair: " + std::strerror(errno) + ")");
  const int memory_fd = dup(region->fd());
  if (memory_fd < 0) {
    ::close(pair[0]);
    ::close(pair[1]);
    return Status(Code::kResource, "port " + name + ": no descriptor (" + std::strerror(errno) + ")");
  }
  *end = {memory_fd, pair[1], geometry};
  *port = std::make_unique<ValePort>(name, std::move(region), pair[0], clock, ClientIdentity{});
  return {};
}

ValePort::ValePort(std::string name, std::unique_ptr<ValeRegion> region, int doorbell, const Clock& clock,
                   const ClientIdentity& client)
    : name_(std::move(name)), region_(std::move(region)), clock_(clock), client_(client), doorbell_(doorbell),
      copy_long_(choose_long_copy()) {
  const RegionLayout& layout = region_->layout();
  buffer_bytes_ = layout.geometry.buffer_bytes;
  buffer_count_ = layout.buffer_count;
  uint8_t* buffers = region_->memory() + layout.buffers;
  const auto view = [&](netmap::Ring* ring, netmap::RingSync* sync, uint32_t slots, uint32_t first_buffer) {
    return RingView{ring, sync, ring->slot, buffers, slots, first_buffer};
  };
  tx_ = view(region_->tx_ring(0), region_->tx_sync(0), layout.geometry.tx_slots, layout.tx_first_buffer(0));
  rx_ = view(region_->rx_ring(0), region_->rx_sync(0), layout.geometry.rx_slots, layout.rx_first_buffer(0));
}

ValePort::~ValePort() { ::close(doorbell_); }

layout::PortKind ValePort::kind() const { return layout::kValePort; }

// --- from the client -------------------------------------------------------------------------------------------------------

// Reads a ring's client.head; false when it lies outside the `most` slots from `from` on.
bool ValePort::client_head(const RingView& view, uint32_t from, uint32_t most, uint32_t* head) const {
  const uint32_t value = load_acquire(view.sync->client.head);
  *head = value;
  return value < view.slots && view.distance(from, value) <= most;
}

// As netmap_ring_reinit(): the client's positions go back to the daemon's, and the ring goes on.
void ValePort::reset_ring(RingView& view, uint32_t head, uint32_t tail) {
  counters.client_faults++;
  store_relaxed(view.ring->head, head);
  store_relaxed(view.ring->cur, head);
  store_relaxed(view.ring->tail, tail);
  store_relaxed(view.sync->client.cur, head);
  store_release(view.sync->client.head, head);
  store_relaxed(view.sync->daemon.resets, load_relaxed(view.sync->daemon.resets) + 1);
}

uint32_t ValePort::receive(Batch& batch, uint32_t max) {
  last_count_ = 0;
  uint32_t head;
  // Between what was released and the slot before it (one stays empty); and not behind what was taken since.
  const uint32_t taken = tx_.distance(tx_released_, tx_next_);
  if (!client_head(tx_, tx_next_, tx_.slots - 1 - taken, &head)) {
    reset_ring(tx_, tx_next_, tx_.advance(tx_released_, tx_.slots - 1));
    return 0;
  }
  if (head == tx_next_) return 0;
  max = std::min(max, kBatchFrames - batch.count);
  SlotReader slots(*this, tx_next_, tx_.distance(tx_next_, head));
  uint64_t time_ns = clock_.now_ns();
  uint32_t frames_since = 0, bytes_since = 0;
  uint64_t bytes = 0;
  uint32_t count = 0;
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
    tx_next_ = slots.position();
    if (became == Taken::kFrame) {
      last_start_[count] = start;
      last_length_[count] = length;
      count++;
      bytes += length;
    } else if (became == Taken::kDropped) {
      count_drop(reason, tx_.distance(start, tx_next_), length);
    }
    frames_since++;
    bytes_since += length;
    if (tx_counted_slots_ > 0) tx_counted_slots_ -= std::min(tx_counted_slots_, tx_.distance(start, tx_next_));
  }
  counters.received_frames += count;
  counters.received_bytes += bytes;
  counters.copied_frames += count;
  last_count_ = count;
  return count;
}

// A frame that never enters the batch was received and dropped; once, even when its slots were taken back and come again.
void ValePort::count_drop(Drop reason, uint32_t slots, uint32_t bytes) {
  if (tx_counted_slots_ >= slots) return;
  counters.received_frames++;
  counters.received_bytes += bytes;
  counters.dropped[static_cast<size_t>(reason)]++;
}

inline ValePort::Taken ValePort::take_frame(SlotReader& slots, Batch& batch, uint64_t time_ns, uint32_t* length,
                                            Drop* reason) {
  if (batch.arena.room() < 64 + kLiveFrameBytesMax) return Taken::kNoRoom;
  const SlotWord word = slots.take();
  if (__builtin_expect(word.flags() & netmap::kMoreFrag, 0))
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
  copy_lines(copy_long_, snapshot, tx_.buffers + uint64_t{word.buffer()} * buffer_bytes_, *length);
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

// A frame of several slots, gathered into one snapshot. The whole chain is taken, whatever is wrong with it; a chain cut by the
// end of what the client published counts as complete, as on VALE.
ValePort::Taken ValePort::take_chain(SlotReader& slots, Batch& batch, uint64_t time_ns, uint64_t first, uint32_t* length,
                                     Drop* reason) {
  uint8_t* snapshot = batch.arena.take(kLiveFrameBytesMax);
  uint32_t gathered = 0, fragments = 0;
  for (SlotWord word(first);; word = slots.take()) {
    const uint32_t part = word.length();
    if (part > 0 && *reason == Drop::kCount) {
      if (!names_buffer(word.buffer()) || part > buffer_bytes_ || (word.flags() & netmap::kIndirect))
        *reason = Drop::bad_slot;
      else if (gathered + part > kLiveFrameBytesMax)
        *reason = Drop::oversize;
      else
        std::memcpy(snapshot + gathered, tx_.buffers + uint64_t{word.buffer()} * buffer_bytes_, part);
      if (*reason == Drop::kCount) gathered += part;
    }
    if (++fragments > netmap::kFragmentsMax && *reason == Drop::kCount) *reason = Drop::broken_chain;
    if (!(word.flags() & netmap::kMoreFrag) || slots.left() == 0) break;
  }
  batch.arena.give_back_to(snapshot);
  *length = gathered;
  if (*reason == Drop::kCount && gathered > 0 && gathered < kEthernetHeaderBytes) *reason = Drop::runt;
  if (*reason != Drop::kCount) return Taken::kDropped;
  if (gathered == 0) return Taken::kNothing;
  PASTE_CHECK(batch.arena.take(gathered) == snapshot);
  std::memset(snapshot + gathered, 0, (64 - gathered % 64) % 64);
  add_frame(batch, snapshot, gathered, time_ns);
  return Taken::kFrame;
}

void ValePort::unreceive(uint32_t count) {
  PASTE_CHECK(count <= last_count_);
  if (count == 0) return;
  const uint32_t first = last_count_ - count;
  for (uint32_t i = first; i < last_count_; i++) counters.received_bytes -= last_length_[i];
  counters.received_frames -= count;
  counters.copied_frames -= count;
  tx_counted_slots_ += tx_.distance(last_start_[first], tx_next_);
  tx_next_ = last_start_[first];
  last_count_ = first;
}

// Everything was copied by receive(): the slots go back to the client at once, whichever batch this is.
void ValePort::release(const Batch&, std::span<const uint16_t>) {
  last_count_ = 0;
  if (tx_released_ == tx_next_) return;
  tx_released_ = tx_next_;
  store_relaxed(tx_.sync->daemon.hwcur, tx_released_);
  store_release(tx_.sync->daemon.hwtail, tx_.advance(tx_released_, tx_.slots - 1));
  // A client that waits for room: see notify() for the fence.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (load_relaxed(tx_.sync->client.need_kick)) ring_doorbell();
}

// --- to the client ---------------------------------------------------------------------------------------------------------

uint32_t ValePort::reserve(const Batch& batch, std::span<const uint16_t> frames) {
  uint32_t head;
  const uint32_t filled = rx_.distance(rx_head_, rx_tail_);
  if (client_head(rx_, rx_head_, filled, &head))
    rx_head_ = head;
  else
    reset_ring(rx_, rx_head_, rx_tail_);
  const uint32_t free = rx_.slots - 1 - rx_.distance(rx_head_, rx_tail_) - rx_promised_;
  return vlan.aware() ? promise<true>(batch, frames, free) : promise<false>(batch, frames, free);
}

// `aware`: the port has VLANs, so frames may leave it longer or shorter than they came. The others need not ask frame by frame.
template <bool aware>
inline uint32_t ValePort::promise(const Batch& batch, std::span<const uint16_t> frames, uint32_t free) {
  uint32_t count = 0;
  for (const uint16_t i : frames) {
    const uint32_t need = slots_for(aware ? bytes_out(batch.frames[i]) : batch.frames[i].length);
    if (need > free) break;
    free -= need;
    rx_promised_ += need;
    count++;
  }
  return count;
}

uint32_t ValePort::deliver(const Batch& batch, std::span<const uint16_t> frames) {
  uint64_t bytes = 0;
  const uint32_t count = vlan.aware() ? write<true>(batch, frames, &bytes) : write<false>(batch, frames, &bytes);
  if (count > 0) {
    store_release(rx_.sync->daemon.hwtail, rx_tail_);
    unnotified_ = true;
  }
  counters.delivered_copies += count;
  counters.delivered_bytes += bytes;
  if (count == frames.size()) return count;
  cancel(batch, frames.subspan(count));
  counters.refused[static_cast<size_t>(Refusal::bad_slot)] += frames.size() - count;
  return count;
}

// Fills slots from the tail on, until a ruined one; returns how many frames they hold.
template <bool aware>
inline uint32_t ValePort::write(const Batch& batch, std::span<const uint16_t> frames, uint64_t* bytes) {
  // The slots and buffers that come next were last in the client's cache.
  const uint32_t ahead = std::min<uint32_t>(kLookahead, static_cast<uint32_t>(frames.size()));
  const auto prefetch_slot = [&](uint32_t at) {
    const uint32_t buffer = load_slot(rx_.slot + at).buffer();
    if (buffer < buffer_count_) prefetch_line_owned(rx_.buffers + uint64_t{buffer} * buffer_bytes_);
  };
  for (uint32_t i = 0; i < ahead; i++) prefetch_slot(rx_.advance(rx_tail_, i));

  uint32_t at = rx_tail_;
  uint32_t count = 0;
  for (; count < frames.size(); count++) {
    const Frame& frame = batch.frames[frames[count]];
    prefetch_slot(rx_.advance(at, kLookahead % rx_.slots));
    const uint32_t start = at;
    FrameShape shape;
    const bool shaped = aware && shape_frame(vlan, frame, &shape);
    if (!(shaped ? fill_shape(shape, &at) : fill(frame.bytes, frame.length, &at))) {
      at = start;
      break;
    }
    const uint32_t length = shaped ? shape.length() : frame.length;
    rx_promised_ -= slots_for(length);
    *bytes += length;
  }
  rx_tail_ = at;
  return count;
}

// Writes one frame into slots from *at on, and moves *at behind them. False when a slot names no buffer of the client's: the
// slot gets back the buffer it started with, and the ring goes on from there.
inline bool ValePort::fill(const uint8_t* from, uint32_t length, uint32_t* at) {
  const uint32_t fragments = slots_for(length);
  uint32_t left = length;
  for (uint32_t i = 0; i < fragments; i++) {
    uint32_t buffer;
    if (!rx_buffer(*at, &buffer)) return false;
    const uint32_t part = std::min(left, buffer_bytes_);
    copy_lines(copy_long_, rx_.buffers + uint64_t{buffer} * buffer_bytes_, from, part);
    store_slot(rx_.slot + *at, SlotWord(buffer, part, fragment_flags(i, fragments)));
    from += part;
    left -= part;
    *at = rx_.next(*at);
  }
  return true;
}

// The same for a frame in two pieces; the head lies in the first slot. Its rest is aligned nowhere.
bool ValePort::fill_shape(const FrameShape& shape, uint32_t* at) {
  const uint32_t fragments = slots_for(shape.length());
  const uint8_t* from = shape.rest;
  uint32_t left = shape.rest_bytes, head = shape.head_bytes;
  for (uint32_t i = 0; i < fragments; i++) {
    uint32_t buffer;
    if (!rx_buffer(*at, &buffer)) return false;
    uint8_t* to = rx_.buffers + uint64_t{buffer} * buffer_bytes_;
    std::memcpy(to, shape.head, head);
    const uint32_t part = std::min(left, buffer_bytes_ - head);
    std::memcpy(to + head, from, part);
    store_slot(rx_.slot + *at, SlotWord(buffer, head + part, fragment_flags(i, fragments)));
    from += part;
    left -= part;
    head = 0;
    *at = rx_.next(*at);
  }
  return true;
}

// The buffer that the client's slot names, read once; false when it is none of its own.
inline bool ValePort::rx_buffer(uint32_t at, uint32_t* buffer) {
  *buffer = load_slot(rx_.slot + at).buffer();
  if (__builtin_expect(names_buffer(*buffer), 1)) return true;
  counters.client_faults++;
  store_slot(rx_.slot + at, SlotWord(rx_.first_buffer + at, 0, 0));
  return false;
}

void ValePort::cancel(const Batch& batch, std::span<const uint16_t> frames) {
  for (const uint16_t i : frames) rx_promised_ -= slots_for(bytes_out(batch.frames[i]));
}

// --- doorbells -------------------------------------------------------------------------------------------------------------
//
// No wake-up is lost. The side that publishes stores its position, fences, and loads the other's need_kick. The side that wants to
// sleep stores need_kick = 1, fences, and loads the other's position once more. With two sequentially consistent fences at
// least one of the two loads sees the other side's store (a store buffer cannot hide both): either the publisher rings, or the
// sleeper finds the work and stays awake. The ring itself is a byte in a socket, so it waits for a sleeper that is not there yet.

void ValePort::notify() {
  if (!unnotified_) return;
  unnotified_ = false;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (load_relaxed(rx_.sync->client.need_kick)) ring_doorbell();
}

void ValePort::ring_doorbell() {
  const uint8_t one = 1;
  // A full socket (EAGAIN) is as good as rung; a client that shut its end down is gone.
  const ssize_t sent = send(doorbell_, &one, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent == 1)
    counters.kicks_sent++;
  else if (errno != EAGAIN && errno != EINTR)
    alive_.store(false, std::memory_order_relaxed);
}

bool ValePort::arm() {
  store_relaxed(tx_.sync->daemon.need_kick, 1);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return load_relaxed(tx_.sync->client.head) != tx_next_;
}

void ValePort::disarm() { store_relaxed(tx_.sync->daemon.need_kick, 0); }

// One bounded read a wake: a client that fills its doorbell makes the daemon look at its ring, as traffic would, and no more.
void ValePort::rang() {
  uint8_t bytes[kDrainBytes];
  const ssize_t got = recv(doorbell_, bytes, sizeof bytes, MSG_DONTWAIT);
  if (got > 0)
    counters.kicks_received += static_cast<uint64_t>(got);
  else if (got == 0 || (errno != EAGAIN && errno != EINTR))
    alive_.store(false, std::memory_order_relaxed);
}

}  // namespace paste
