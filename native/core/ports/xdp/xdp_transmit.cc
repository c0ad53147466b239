// The sending half of an AF_XDP port.
//
// In copy mode a system call sends at most transmit_budget() frames, each copied into a socket buffer of the kernel's; notify()
// makes one call, complete() goes on while tx is not empty. What is in tx when the device is down stays there until it is up.
#include <cerrno>
#include <cstring>
#include <sys/socket.h>

#include "core/ports/xdp/xdp_port.h"
#include "core/switch/flow_hash.h"

namespace paste {

namespace {

constexpr uint32_t kKicksPerRound = 8;         // a batch where one call sends 32

}  // namespace

inline XdpSocket& XdpPort::queue_for(const Frame& frame) {
  if (transmit_queues_ == 1) return *sockets_[0];
  return *sockets_[frame_facts(frame.bytes, frame.length).flow_hash % transmit_queues_];
}

// The chunk that the frame can leave from as it lies, or kNoChunk: it lies elsewhere, or it leaves with another tag.
inline uint32_t XdpPort::chunk_in_place(const Frame& frame) const {
  if (vlan.aware()) {
    FrameShape shape;
    if (shape_frame(vlan, frame, &shape)) return kNoChunk;
  }
  return memory_->chunk_of(frame.bytes);
}

// Chunks that a copy of it takes.
inline uint32_t XdpPort::chunks_for(const Frame& frame) const {
  const uint32_t length = frame.length + static_cast<uint32_t>(vlan_growth(vlan, frame));
  return (length + chunk_bytes_ - 1) >> chunk_shift_;
}

uint32_t XdpPort::reserve(const Batch& batch, std::span<const uint16_t> frames) {
  refusal_ = Refusal::full;
  if (__builtin_expect(stuck_ || !up_.load(std::memory_order_relaxed), 0)) {
    refusal_ = Refusal::down;
    return 0;
  }
  uint32_t count = 0;
  for (; count < frames.size(); count++) {
    const Frame& frame = batch.frames[frames[count]];
    XdpSocket& socket = queue_for(frame);
    const bool in_place = chunk_in_place(frame) != kNoChunk;
    const uint32_t need = in_place ? 1 : chunks_for(frame);
    if (socket.sending + socket.promised + need > kXdpRingEntries) {
      collect(socket);
      if (socket.sending + socket.promised + need > kXdpRingEntries) return count;
    }
    if (!in_place) {
      uint32_t taken = 0;
      for (uint32_t chunk; taken < need && (chunk = memory_->take()) != kNoChunk; taken++) promised_.push_back(chunk);
      if (taken < need) {
        for (; taken > 0; taken--, promised_.pop_back()) memory_->drop_use(promised_.back());
        return count;
      }
    }
    socket.promised += need;
  }
  return count;
}

uint32_t XdpPort::deliver(const Batch& batch, std::span<const uint16_t> frames) {
  uint64_t bytes = 0;
  for (const uint16_t i : frames) {
    const Frame& frame = batch.frames[i];
    XdpSocket& socket = queue_for(frame);
    const uint32_t chunk = chunk_in_place(frame);
    if (chunk != kNoChunk) {
      send_in_place(socket, frame, chunk);
      bytes += frame.length;
      counters.in_place_copies++;
    } else {
      bytes += send_copy(socket, frame);
    }
    socket.unsent = true;
  }
  for (uint32_t q = 0; q < transmit_queues_; q++)
    if (sockets_[q]->unsent) sockets_[q]->tx.publish_producer();
  counters.delivered_copies += frames.size();
  counters.delivered_bytes += bytes;
  return static_cast<uint32_t>(frames.size());
}

inline void XdpPort::send_in_place(XdpSocket& socket, const Frame& frame, uint32_t chunk) {
  memory_->add_use(chunk);
  PASTE_CHECK(sending_[chunk]++ != 255);
  const uint64_t in_chunk = reinterpret_cast<uintptr_t>(frame.bytes) & (chunk_bytes_ - 1);
  socket.tx.descriptor(socket.tx.next++) = {memory_->umem_address(chunk) + in_chunk, frame.length, 0};
  socket.promised--;
  socket.sending++;
}

// Into the chunks that reserve() took; the whole of each is used but the last's.
uint32_t XdpPort::send_copy(XdpSocket& socket, const Frame& frame) {
  FrameShape shape;
  if (!shape_frame(vlan, frame, &shape)) {
    shape.rest = frame.bytes;
    shape.rest_bytes = frame.length;
  }
  const uint32_t length = shape.length();
  uint32_t head = 0, rest = 0;
  for (uint32_t left = length; left > 0;) {
    const uint32_t chunk = promised_.back();
    promised_.pop_back();
    uint8_t* to = memory_->bytes(chunk);
    const uint32_t part = std::min(left, chunk_bytes_);
    const uint32_t from_head = std::min(part, shape.head_bytes - head);
    std::memcpy(to, shape.head + head, from_head);
    std::memcpy(to + from_head, shape.rest + rest, part - from_head);
    head += from_head;
    rest += part - from_head;
    left -= part;
    PASTE_CHECK(sending_[chunk]++ == 0);
    socket.tx.descriptor(socket.tx.next++) = {memory_->umem_address(chunk), part, left > 0 ? xdp::kMoreDescriptors : 0};
    socket.promised--;
    socket.sending++;
  }
  return length;
}

void XdpPort::cancel(const Batch& batch, std::span<const uint16_t> frames) {
  for (const uint16_t i : frames) {
    const Frame& frame = batch.frames[i];
    const bool in_place = chunk_in_place(frame) != kNoChunk;
    const uint32_t need = in_place ? 1 : chunks_for(frame);
    queue_for(frame).promised -= need;
    if (in_place) continue;
    for (uint32_t n = 0; n < need; n++, promised_.pop_back()) memory_->drop_use(promised_.back());
  }
}

void XdpPort::notify() {
  for (uint32_t q = 0; q < transmit_queues_; q++)
    if (sockets_[q]->unsent) kick(*sockets_[q]);
}

void XdpPort::complete() {
  for (uint32_t q = 0; q < transmit_queues_; q++) {
    XdpSocket& socket = *sockets_[q];
    for (uint32_t kicks = 0; socket.unsent && kicks < kKicksPerRound; kicks++) {
      const uint32_t before = socket.tx.pending();
      kick(socket);
      if (socket.tx.pending() == before) break;  // no progress: the next round tries again
    }
    collect(socket);
  }
  memory_->reclaim();
}

// The kernel has sent these, and their chunks have a use less.
void XdpPort::collect(XdpSocket& socket) {
  const uint32_t waiting = socket.completion.waiting();
  if (waiting == 0) return;
  for (uint32_t n = 0; n < waiting; n++) {
    const uint32_t chunk = chunk_at(socket.completion.address(socket.completion.next++));
    PASTE_CHECK(chunk < memory_->chunk_count() && sending_[chunk] > 0);
    sending_[chunk]--;
    memory_->drop_use(chunk);
  }
  socket.sending -= waiting;
  socket.completion.publish_consumer();
}

// One system call, which does not wait. Zero-copy drivers that are awake need none.
void XdpPort::kick(XdpSocket& socket) {
  if (socket.tx.pending() == 0 || (zero_copy_ && !socket.tx.wants_kick())) {
    socket.unsent = false;
    return;
  }
  counters.kicks_sent++;
  const bool sent = sendto(socket.fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0;
  const int error = sent ? 0 : errno;
  socket.unsent = socket.tx.pending() != 0 && !(zero_copy_ && sent);
  const bool stuck = error == ENETDOWN || error == ENXIO;
  if (__builtin_expect(stuck != stuck_, 0)) {
    stuck_ = stuck;
    down_seen_.store(stuck, std::memory_order_relaxed);
  }
}

}  // namespace paste
