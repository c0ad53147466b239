// The receiving half of an AF_XDP port: what the kernel has put into chunks becomes frames of a batch, and chunks are posted again.
#include <algorithm>
#include <cstring>
#include <sys/socket.h>

#include "core/ports/checksum.h"
#include "core/ports/xdp/xdp_port.h"

namespace paste {

namespace {

constexpr uint32_t kFramesPerReading = 8;      // of the clock: fewer than arrive within 1 us
constexpr uint32_t kLookahead = 4;
constexpr uint32_t kPostScarce = 16;           // when other ports have most of the memory: never none

}  // namespace

uint32_t XdpPort::receive(Batch& batch, uint32_t max) {
  drop_pieces();
  held_count_ = 0;
  max = std::min(max, kBatchFrames - batch.count);
  now_ns_ = clock_.now_ns();
  stamped_ = 0;
  // What came first goes first: frames taken back, then segments of a frame that was begun, then what the kernel has.
  uint32_t count = again_count_ == 0 ? 0 : receive_again(batch, max);
  if (again_count_ == 0 && !segmenter_.done()) count += add_segments(batch, max - count);
  const uint32_t sockets = static_cast<uint32_t>(sockets_.size());
  for (uint32_t n = 0; n < sockets; n++) {
    XdpSocket& socket = *sockets_[cursor_];
    if (++cursor_ == sockets) cursor_ = 0;
    if (again_count_ == 0 && segmenter_.done()) count += receive_queue(socket, batch, max - count);
    post(socket);
  }
  counters.received_frames += count;
  return count;
}

uint32_t XdpPort::receive_queue(XdpSocket& socket, Batch& batch, uint32_t max) {
  const uint32_t waiting = socket.rx.waiting();
  if (waiting == 0) return 0;
  const uint32_t end = socket.rx.next + waiting;
  uint32_t count = 0;
  while (count < max && socket.rx.next != end) {
    const uint32_t at = socket.rx.next;
    if (end - at > kLookahead) __builtin_prefetch(base_ + socket.rx.descriptor(at + kLookahead).address);
    const xdp::Descriptor got = socket.rx.descriptor(at);
    if (__builtin_expect((got.options & xdp::kMoreDescriptors) != 0, 0)) {
      const Long taken = receive_long(socket, batch, end);
      if (taken == Long::kNoRoom) break;  // the next batch has room
      count += taken == Long::kFrame ? 1 : 0;
      if (!segmenter_.done()) count += add_segments(batch, max - count);
      if (!segmenter_.done()) break;
      continue;
    }
    if (__builtin_expect(got.length < kEthernetHeaderBytes, 0)) {
      count_drop(got.length, Drop::runt);
      take_back(socket, 1, false);
      continue;
    }
    uint8_t* bytes = base_ + got.address;
    complete_checksum(bytes, got.length);
    add_frame(batch, {bytes, got.length, 0, false});
    take_back(socket, 1, true);
    count++;
  }
  socket.rx.publish_consumer();
  return count;
}

// A frame of several chunks: together in the arena, or, when it is a local sender's that was not segmented, in memory of the port's own.
XdpPort::Long XdpPort::receive_long(XdpSocket& socket, Batch& batch, uint32_t end) {
  xdp::Descriptor pieces[kPiecesMax];
  uint32_t count = 0, length = 0;
  for (bool more = true; more; count++) {
    PASTE_CHECK(socket.rx.next + count != end);  // the kernel publishes whole frames
    const xdp::Descriptor& next = socket.rx.descriptor(socket.rx.next + count);
    if (count < kPiecesMax) pieces[count] = next;
    length += next.length;
    more = (next.options & xdp::kMoreDescriptors) != 0;
  }
  if (unsegmented_ && length > frame_bytes_max_ && length <= kOffloadBytesMax) {
    for (uint32_t i = 0, at = 0; i < count; i++) {
      const xdp::Descriptor& piece = socket.rx.descriptor(socket.rx.next + i);
      std::memcpy(unsegmented_.get() + at, base_ + piece.address, piece.length);
      at += piece.length;
    }
    take_back(socket, count, false);
    if (!begin_segments(length)) count_drop(length, Drop::bad_offload);
    return Long::kGone;
  }
  if (length > kLiveFrameBytesMax || count > kPiecesMax) {
    count_drop(length, Drop::oversize);
    take_back(socket, count, false);
    return Long::kGone;
  }
  if (batch.arena.room() < 64 + kLiveFrameBytesMax) return Long::kNoRoom;
  gather(batch, pieces, count, length);
  take_back(socket, count, true);
  return Long::kFrame;
}

// The next `count` descriptors of rx are the kernel's no more. Their chunks' one use becomes the port's, or is dropped.
inline void XdpPort::take_back(XdpSocket& socket, uint32_t count, bool keep_use) {
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t chunk = chunk_at(socket.rx.descriptor(socket.rx.next++).address);
    posted_[chunk] = 0;
    if (!keep_use) memory_->drop_use(chunk);
  }
  socket.posted -= count;
}

void XdpPort::count_drop(uint32_t length, Drop reason) {
  counters.received_frames++;
  counters.received_bytes += length;
  counters.dropped[static_cast<size_t>(reason)]++;
}

inline void XdpPort::add_frame(Batch& batch, const Held& held) {
  if (stamped_++ == kFramesPerReading) {
    now_ns_ = clock_.now_ns();
    stamped_ = 1;
  }
  Frame& frame = batch.frames[batch.count++];
  if (__builtin_expect(held.pieces == 0, 1)) {
    memory_->place_frame(frame, held.bytes, held.length);
  } else {
    frame = Frame{};
    frame.bytes = held.bytes;
    frame.length = held.length;
    frame.framed = true;
  }
  frame.wire_length = held.length;
  frame.time_ns = now_ns_;
  frame.ingress = index;
  (held.pieces != 0 || held.copied ? counters.copied_frames : counters.zero_copy_frames)++;
  counters.received_bytes += held.length;
  held_[held_count_++] = held;
}

void XdpPort::gather(Batch& batch, const xdp::Descriptor* pieces, uint32_t count, uint32_t length) {
  uint8_t* snapshot = batch.arena.take(length);
  uint32_t at = 0;
  for (uint32_t i = 0; i < count; i++) {
    std::memcpy(snapshot + at, base_ + pieces[i].address, pieces[i].length);
    at += pieces[i].length;
  }
  std::memset(snapshot + length, 0, (64 - length % 64) % 64);
  complete_checksum(snapshot, length);
  std::memcpy(held_pieces_[held_count_], pieces, count * sizeof *pieces);
  add_frame(batch, {snapshot, length, static_cast<uint16_t>(count), true});
}

// What a sender's TSO left to its device. The size that it had in mind is lost on the way here: the MTU stands in for it. Only TCP does
// not mind that. False: it is no TCP segment.
bool XdpPort::begin_segments(uint32_t length) {
  const TcpPlace tcp = find_tcp(unsegmented_.get(), length);
  const uint32_t most = std::min(frame_bytes_max_ - kVlanTagBytes, chunk_bytes_);
  if (tcp.version == 0 || tcp.payload >= most) return false;
  VirtioNetHeader header = {};
  header.gso_type = tcp.version == 4 ? virtio::kGsoTcp4 : virtio::kGsoTcp6;
  header.gso_size = static_cast<uint16_t>(most - tcp.payload);
  return segmenter_.begin(header, unsegmented_.get(), length);
}

// Each segment in a chunk of its own. What finds no room comes with the next batch.
uint32_t XdpPort::add_segments(Batch& batch, uint32_t max) {
  uint32_t count = 0;
  for (; count < max && !segmenter_.done(); count++) {
    const uint32_t chunk = memory_->take();
    if (chunk == kNoChunk) break;
    uint8_t* bytes = memory_->bytes(chunk);
    add_frame(batch, {bytes, segmenter_.write(bytes), 0, true});
  }
  return count;
}

// Chunks of the last receive()'s frames of several: what was in them is in no batch's way any more.
void XdpPort::drop_pieces() {
  if (!fragments_) return;
  for (uint32_t i = 0; i < held_count_; i++)
    for (uint32_t p = 0; p < held_[i].pieces; p++) memory_->drop_use(chunk_at(held_pieces_[i][p].address));
}

void XdpPort::unreceive(uint32_t count) {
  PASTE_CHECK(count <= held_count_ && again_count_ + count <= kBatchFrames);
  std::memmove(again_ + count, again_, again_count_ * sizeof again_[0]);
  std::memmove(&again_pieces_[count], &again_pieces_[0], again_count_ * sizeof(Pieces));
  held_count_ -= count;
  for (uint32_t i = 0; i < count; i++) {
    const Held& held = again_[i] = held_[held_count_ + i];
    std::memcpy(again_pieces_[i], held_pieces_[held_count_ + i], sizeof(Pieces));
    counters.received_bytes -= held.length;
    (held.pieces != 0 || held.copied ? counters.copied_frames : counters.zero_copy_frames)--;
  }
  counters.received_frames -= count;
  again_count_ += count;
}

uint32_t XdpPort::receive_again(Batch& batch, uint32_t max) {
  uint32_t count = 0;
  for (; count < std::min(max, again_count_); count++) {
    const Held& held = again_[count];
    if (held.pieces == 0) add_frame(batch, held);
    else if (batch.arena.room() < 64 + kLiveFrameBytesMax) break;
    else gather(batch, again_pieces_[count], held.pieces, held.length);
  }
  again_count_ -= count;
  std::memmove(again_, again_ + count, again_count_ * sizeof again_[0]);
  std::memmove(&again_pieces_[0], &again_pieces_[count], again_count_ * sizeof(Pieces));
  return count;
}

void XdpPort::release(const Batch& batch, std::span<const uint16_t> frames) {
  for (const uint16_t i : frames) {
    const Frame& frame = batch.frames[i];
    const uint32_t chunk = memory_->chunk_of(frame.bytes);
    if (chunk == kNoChunk) continue;  // in the arena
    if (frame.marked) memory_->keep_for_log(chunk);
    memory_->drop_use(chunk);
  }
}

void XdpPort::post(XdpSocket& socket) {
  if (socket.posted >= post_target_) return;
  const uint32_t before = socket.fill.next;
  while (socket.posted < (memory_->may_post() ? post_target_ : kPostScarce)) {
    const uint32_t chunk = memory_->take();
    if (chunk == kNoChunk) break;
    socket.fill.address(socket.fill.next++) = memory_->umem_address(chunk);
    posted_[chunk] = 1;
    socket.posted++;
  }
  if (socket.fill.next == before) return;
  socket.fill.publish_producer();
  if (zero_copy_ && socket.fill.wants_kick()) recvfrom(socket.fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

}  // namespace paste
