// netmap's txsync, rxsync and poll, in user space: what the program wrote into its rings is checked as netmap's prologue checks
// it, then published to the daemon (or, through a pipe, handed to the other end at once).
#include <sys/socket.h>
#include <sys/time.h>

#include "preload/netmap_file.h"
#include "preload/user_memory.h"

namespace paste::preload {

namespace {

constexpr uint32_t kIdleSyncs = 1024;
constexpr short kWantTx = POLLOUT | POLLWRNORM;
constexpr short kWantRx = POLLIN | POLLRDNORM;
constexpr uint32_t kTimestamp = 2;  // ring flag NR_TIMESTAMP

uint32_t load_acquire(const uint32_t& field) { return __atomic_load_n(&field, __ATOMIC_ACQUIRE); }
uint32_t load_relaxed(const uint32_t& field) { return __atomic_load_n(&field, __ATOMIC_RELAXED); }
void store_release(uint32_t& field, uint32_t value) { __atomic_store_n(&field, value, __ATOMIC_RELEASE); }
void store_relaxed(uint32_t& field, uint32_t value) { __atomic_store_n(&field, value, __ATOMIC_RELAXED); }

uint32_t distance(uint32_t from, uint32_t to, uint32_t slots) { return to >= from ? to - from : to + slots - from; }
uint32_t back(uint32_t i, uint32_t by, uint32_t slots) { return i >= by ? i - by : i + slots - by; }
uint32_t next(uint32_t i, uint32_t slots) { return i + 1 == slots ? 0 : i + 1; }
// A position in shared memory, which must never lead outside the ring whoever wrote it.
uint32_t position(const uint32_t& field, uint32_t slots) {
  const uint32_t value = load_acquire(field);
  return value < slots ? value : 0;
}

// As netmap_ring_reinit(): slots that name no buffer name buffer 0, and positions outside the ring go back to ours.
void reinit(const RingView& view, uint32_t hwcur, uint32_t hwtail) {
  netmap::Ring* ring = view.ring;
  const bool outside = load_relaxed(ring->head) >= view.slots || load_relaxed(ring->cur) >= view.slots ||
                       load_relaxed(ring->tail) >= view.slots;
  for (uint32_t i = 0; i < view.slots; i++) {
    netmap::Slot& slot = view.slot[i];
    const uint32_t buffer = load_relaxed(slot.buf_idx);
    if (buffer < netmap::kReservedBuffers || buffer >= view.buffer_count) {
      slot.buf_idx = 0;
      slot.len = 0;
    } else if (slot.len > view.buffer_bytes) {
      slot.len = 0;
    }
  }
  if (!outside) return;
  store_relaxed(ring->head, hwcur);
  store_relaxed(ring->cur, hwcur);
  store_relaxed(ring->tail, hwtail);
}

// head within from..tail and cur within head..tail, around the ring.
bool in_order(uint32_t from, uint32_t head, uint32_t cur, uint32_t tail, uint32_t slots) {
  if (head >= slots || cur >= slots) return false;
  const uint32_t owned = distance(from, tail, slots);
  const uint32_t to_head = distance(from, head, slots);
  const uint32_t to_cur = distance(from, cur, slots);
  return to_head <= owned && to_cur <= owned && to_head <= to_cur;
}

void ring_doorbell(NetmapFile& file) {
  const sys::KeepErrno keep;
  const uint8_t one = 1;
  (void)!::syscall(SYS_sendto, file.doorbell.load(std::memory_order_relaxed), &one, 1, MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
}

// NS_INDIRECT: the frame lies in the program's memory and is copied into the slot's buffer; from a bad address nothing comes.
void fetch_indirect(const RingView& view, uint32_t from, uint32_t to) {
  for (uint32_t i = from; i != to; i = next(i, view.slots)) {
    netmap::Slot& slot = view.slot[i];
    if (!(slot.flags & netmap::kIndirect)) continue;
    const uint32_t buffer = slot.buf_idx;
    const uint32_t length = slot.len;
    const bool fits = buffer >= netmap::kReservedBuffers && buffer < view.buffer_count && length <= view.buffer_bytes;
    if (!fits || !copy_in(view.buffers + uint64_t{buffer} * view.buffer_bytes, slot.ptr, length)) slot.len = 0;
    slot.flags = static_cast<uint16_t>(slot.flags & ~netmap::kIndirect);
  }
}

// --- pipes -----------------------------------------------------------------------------------------------------------------
//
// A transmit ring and the receive ring at the other end. Slots move one by one, buffers change places; a slot is free again
// for the sender when the receiver has given back what it got, so that a sender waits for a receiver that does not read, as in
// netmap.

// Slots at the other end that the receiver has not given back.
uint32_t in_flight(const RingView& view) {
  return distance(position(view.peer_sync->client.head, view.slots), position(view.peer_sync->daemon.hwtail, view.slots),
                  view.slots);
}

uint32_t pipe_tail(const RingView& view) {
  return back(position(view.sync->daemon.hwcur, view.slots), in_flight(view) + 1, view.slots);
}

void move_through_pipe(NetmapFile& file, const RingView& view, uint32_t head) {
  uint32_t at = position(view.sync->daemon.hwcur, view.slots);
  uint32_t to = position(view.peer_sync->daemon.hwtail, view.slots);
  uint32_t room = view.slots - 1 - in_flight(view);
  uint32_t whole_at = at;  // behind the last complete frame
  for (; at != head && room > 0; room--) {
    netmap::Slot& mine = view.slot[at];
    netmap::Slot& theirs = view.peer->slot[to];
    const netmap::Slot swapped = theirs;
    theirs = mine;
    theirs.flags = static_cast<uint16_t>((mine.flags & 0xff) | netmap::kBufChanged);
    mine = swapped;
    mine.flags = netmap::kBufChanged;
    at = next(at, view.slots);
    to = next(to, view.slots);
    if (!(theirs.flags & netmap::kMoreFrag)) whole_at = at;
  }
  // The start of a frame whose end is not there yet goes back, so that its slots stay the sender's to move again.
  while (at != whole_at) {
    at = back(at, 1, view.slots);
    to = back(to, 1, view.slots);
    const netmap::Slot swapped = view.slot[at];
    view.slot[at] = view.peer->slot[to];
    view.peer->slot[to] = swapped;
  }
  if (at == position(view.sync->daemon.hwcur, view.slots)) return;
  store_relaxed(view.sync->daemon.hwcur, at);
  store_release(view.peer_sync->daemon.hwtail, to);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (load_relaxed(view.peer_sync->client.need_kick)) ring_doorbell(file);
}

// --- one ring --------------------------------------------------------------------------------------------------------------

uint32_t hwtail_of(const RingView& view, bool transmit) {
  return view.peer && transmit ? pipe_tail(view) : position(view.sync->daemon.hwtail, view.slots);
}

// Frames that move show that the daemon is there; but through a pipe they move without it.
void note_traffic(NetmapFile& file) {
  if (!file.pipe) file.idle_syncs = 0;
}

// See vale_port.cc for why no wake-up is lost.
bool sync_tx_ring(NetmapFile& file, const RingView& view) {
  netmap::Ring* ring = view.ring;
  const uint32_t published = position(view.sync->client.head, view.slots);
  const uint32_t tail = hwtail_of(view, true);
  const uint32_t head = load_relaxed(ring->head), cur = load_relaxed(ring->cur);
  if (!in_order(published, head, cur, tail, view.slots)) {
    reinit(view, published, tail);
    return false;
  }
  if (head != published) {
    fetch_indirect(view, published, head);
    store_relaxed(view.sync->client.cur, cur);
    store_release(view.sync->client.head, head);
    note_traffic(file);
    if (!view.peer) {
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (load_relaxed(view.sync->daemon.need_kick)) ring_doorbell(file);
    }
  }
  file.idle_syncs++;
  if (view.peer && head != position(view.sync->daemon.hwcur, view.slots)) move_through_pipe(file, view, head);
  store_relaxed(ring->tail, hwtail_of(view, true));
  return true;
}

bool sync_rx_ring(NetmapFile& file, const RingView& view) {
  netmap::Ring* ring = view.ring;
  const uint32_t given = position(view.sync->client.head, view.slots);
  const uint32_t tail = hwtail_of(view, false);
  const uint32_t head = load_relaxed(ring->head), cur = load_relaxed(ring->cur);
  if (!in_order(given, head, cur, tail, view.slots)) {
    reinit(view, given, tail);
    return false;
  }
  if (head != given) {
    store_relaxed(view.sync->client.cur, cur);
    store_release(view.sync->client.head, head);
    if (view.peer) {
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (load_relaxed(view.peer_sync->client.need_kick)) ring_doorbell(file);
    }
  }
  file.idle_syncs++;
  if (load_relaxed(ring->tail) != tail) note_traffic(file);
  store_relaxed(ring->tail, tail);
  if (ring->flags & kTimestamp) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    ring->ts = {now.tv_sec, now.tv_nsec / 1000};
  }
  return true;
}

bool empty(const RingView& view) { return load_relaxed(view.ring->cur) == load_relaxed(view.ring->tail); }

// A program that never sleeps would never hear that the daemon is gone, nor would an end of a pipe that is never idle.
void look_when_idle(NetmapFile& file) {
  if (file.idle_syncs < kIdleSyncs) return;
  file.idle_syncs = 0;
  read_doorbell(file);
}

bool place_ring(NetmapFile& file, int64_t offset, RingView* view) {
  const uint64_t bytes = file.memory_bytes;
  if (offset < 0 || static_cast<uint64_t>(offset) + sizeof(netmap::Ring) > bytes || offset % 128 != 0) return false;
  auto* ring = reinterpret_cast<netmap::Ring*>(file.memory + offset);
  const uint32_t slots = ring->num_slots, size = ring->nr_buf_size;
  const int64_t buffers = offset + ring->buf_ofs;
  netmap::RingTail tail;
  __builtin_memcpy(&tail, ring->sem, sizeof tail);
  const int64_t sync = offset + tail.sync;
  if (slots < 2 || size == 0 || static_cast<uint64_t>(offset) + sizeof(netmap::Ring) + uint64_t{slots} * 16 > bytes ||
      buffers < 0 || static_cast<uint64_t>(buffers) >= bytes || sync <= 0 || sync % 64 != 0 ||
      static_cast<uint64_t>(sync) + sizeof(netmap::RingSync) > bytes)
    return false;
  *view = {};
  view->ring = ring;
  view->sync = reinterpret_cast<netmap::RingSync*>(file.memory + sync);
  view->slot = ring->slot;
  view->buffers = file.memory + buffers;
  view->slots = slots;
  view->buffer_bytes = size;
  view->buffer_count = static_cast<uint32_t>((bytes - static_cast<uint64_t>(buffers)) / size);
  if (tail.peer == 0) return true;
  // The other end names this one in turn: one step is enough.
  const int64_t peer = offset + tail.peer;
  if (peer < 0 || static_cast<uint64_t>(peer) + sizeof(netmap::Ring) > bytes || peer % 128 != 0) return false;
  auto* peer_ring = reinterpret_cast<netmap::Ring*>(file.memory + peer);
  __builtin_memcpy(&tail, peer_ring->sem, sizeof tail);
  const int64_t peer_sync = peer + tail.sync;
  if (peer_ring->num_slots != slots || peer_sync <= 0 || peer_sync % 64 != 0 ||
      static_cast<uint64_t>(peer) + sizeof(netmap::Ring) + uint64_t{slots} * 16 > bytes ||
      static_cast<uint64_t>(peer_sync) + sizeof(netmap::RingSync) > bytes)
    return false;
  view->peer = peer_ring;
  view->peer_sync = reinterpret_cast<netmap::RingSync*>(file.memory + peer_sync);
  return true;
}

}  // namespace

bool find_rings(NetmapFile& file) {
  file.tx_count = file.rx_count = 0;
  file.pipe = false;
  const uint64_t offset = file.registered.nr_offset;
  if (offset % 8 != 0 || offset + sizeof(netmap::If) > file.memory_bytes) return false;
  const auto* itf = reinterpret_cast<const netmap::If*>(file.memory + offset);
  const uint32_t tx = itf->ni_tx_rings, rx = itf->ni_rx_rings, host_tx = itf->ni_host_tx_rings, host_rx = itf->ni_host_rx_rings;
  if (tx > kRingsMax || rx > kRingsMax || host_tx > kRingsMax || host_rx > kRingsMax) return false;
  const uint64_t all = uint64_t{tx} + host_tx + rx + host_rx;
  if (offset + sizeof(netmap::If) + all * sizeof(int64_t) > file.memory_bytes) return false;
  for (uint32_t i = 0; i < tx + host_tx + rx + host_rx; i++) {
    if (itf->ring_ofs[i] == 0) continue;
    const bool transmit = i < tx + host_tx;
    RingView* view = transmit ? &file.tx[file.tx_count] : &file.rx[file.rx_count];
    if ((transmit ? file.tx_count : file.rx_count) == kRingsMax) return false;
    if (!place_ring(file, static_cast<int64_t>(offset) + itf->ring_ofs[i], view)) return false;
    if (view->peer) file.pipe = true;
    (transmit ? file.tx_count : file.rx_count)++;
  }
  return true;
}

bool sync_tx(NetmapFile& file) {
  bool good = true;
  for (uint32_t i = 0; i < file.tx_count; i++) good &= sync_tx_ring(file, file.tx[i]);
  look_when_idle(file);
  return good;
}

bool sync_rx(NetmapFile& file) {
  bool good = true;
  for (uint32_t i = 0; i < file.rx_count; i++) good &= sync_rx_ring(file, file.rx[i]);
  look_when_idle(file);
  return good;
}

short ready_events(NetmapFile& file, short events) {
  const Hold hold(file.lock);
  if (!hold) return 0;
  if (file.state == NetmapFile::State::kLost && file.error_told) come_back(file);
  if (file.state != NetmapFile::State::kUp) {
    if (file.state == NetmapFile::State::kLost && file.error_told) return 0;
    file.error_told = true;
    return POLLERR;
  }
  const uint64_t flags = file.registered.nr_flags;
  short ready = 0;
  bool want_tx = events & kWantTx;
  const bool want_rx = (events & kWantRx) != 0;
  // Room that the program knows of needs no sync; what waits to leave is pushed all the same.
  for (uint32_t i = 0; want_tx && i < file.tx_count; i++)
    if (!empty(file.tx[i])) {
      ready |= static_cast<short>(events & kWantTx);
      want_tx = false;
    }
  if (want_tx || (events & kWantTx) || !(flags & netmap::kNoTxPoll)) {
    for (uint32_t i = 0; i < file.tx_count; i++) {
      const RingView& view = file.tx[i];
      if (!want_tx && load_relaxed(view.ring->head) == load_relaxed(view.sync->daemon.hwcur)) continue;
      if (!sync_tx_ring(file, view))
        ready |= POLLERR;
      else if (want_tx && !empty(view))
        ready |= static_cast<short>(events & kWantTx);
    }
  }
  if (want_rx || (flags & netmap::kDoRxPoll)) {
    for (uint32_t i = 0; i < file.rx_count; i++) {
      if (!sync_rx_ring(file, file.rx[i]))
        ready |= POLLERR;
      else if (want_rx && !empty(file.rx[i]))
        ready |= static_cast<short>(events & kWantRx);
    }
  }
  look_when_idle(file);
  return ready;
}

bool arm(NetmapFile& file, short events) {
  const Hold hold(file.lock);
  if (!hold) return false;
  if (events & kWantTx) file.tx_sleepers++;
  if (events & kWantRx) file.rx_sleepers++;
  if (file.state != NetmapFile::State::kUp) return file.state != NetmapFile::State::kLost || !file.error_told;
  if (events & kWantTx)
    for (uint32_t i = 0; i < file.tx_count; i++) store_relaxed(file.tx[i].sync->client.need_kick, 1);
  if (events & kWantRx)
    for (uint32_t i = 0; i < file.rx_count; i++) store_relaxed(file.rx[i].sync->client.need_kick, 1);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (uint32_t i = 0; (events & kWantTx) && i < file.tx_count; i++)
    if (hwtail_of(file.tx[i], true) != load_relaxed(file.tx[i].ring->tail)) return true;
  for (uint32_t i = 0; (events & kWantRx) && i < file.rx_count; i++)
    if (hwtail_of(file.rx[i], false) != load_relaxed(file.rx[i].ring->tail)) return true;
  return false;
}

void disarm(NetmapFile& file, short events) {
  const Hold hold(file.lock);
  const bool tx = (events & kWantTx) && --file.tx_sleepers == 0;
  const bool rx = (events & kWantRx) && --file.rx_sleepers == 0;
  if (!hold || file.state != NetmapFile::State::kUp) return;
  for (uint32_t i = 0; tx && i < file.tx_count; i++) store_relaxed(file.tx[i].sync->client.need_kick, 0);
  for (uint32_t i = 0; rx && i < file.rx_count; i++) store_relaxed(file.rx[i].sync->client.need_kick, 0);
}

}  // namespace paste::preload
