#include "core/ports/xdp/xdp_port.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/ports/checksum.h"

namespace paste {
namespace {

constexpr uint32_t kFramesPerReading = 8;      // of the clock: fewer than arrive within 1 us
constexpr uint32_t kLookahead = 4;
constexpr uint32_t kHeaderBytes = 18;          // Ethernet, and one VLAN tag that the MTU does not count
constexpr uint32_t kPostMin = 64;              // one NAPI round
constexpr uint32_t kPostScarce = 16;           // when other ports have most of the memory: never none

// Drivers that never had zero-copy: asking them would register the memory twice.
bool may_zero_copy(const XdpDevice& device) {
  if (!device.native) return false;
  for (const char* name : {"veth", "tun", "tap", "bridge", "dummy", ""})
    if (device.info.driver == name) return false;
  return true;
}

}  // namespace

Status XdpPort::create(const std::string& name, const std::string& spec, const PortSite& site,
                       std::unique_ptr<Port>* port) {
  XdpOptions options;
  if (Status status = parse_xdp_spec(spec, &options); !status.ok()) return status;
  std::unique_ptr<XdpPort> made(new XdpPort(name, std::move(options), site));
  if (Status status = made->open(site); !status.ok()) return status;
  *port = std::move(made);
  return {};
}

XdpPort::~XdpPort() { close(); }

Status XdpPort::open(const PortSite& site) {
  const std::string place = "xdp:" + options_.interface + ": ";
  XdpDevice device;
  if (Status status = site.devices->interface_info(options_.interface, options_.netns, &device.info); !status.ok())
    return status;
  if (device.info.index == 0)
    return {Code::kPort, place + "there is no such interface" +
                             (options_.netns.empty() ? "" : " in network namespace " + options_.netns)};
  if (Status status = choose_memory(site); !status.ok()) return {status.code(), place + status.message()};
  receive_queues_ = device.info.rx_queues;
  frame_bytes_max_ = device.info.mtu + kHeaderBytes;
  if (frame_bytes_max_ > kLiveFrameBytesMax)
    return {Code::kPort, place + "its MTU is " + std::to_string(device.info.mtu) + ", at most " +
                             std::to_string(kLiveFrameBytesMax - kHeaderBytes) + " is possible: ip link set " +
                             options_.interface + " mtu " + std::to_string(kLiveFrameBytesMax - kHeaderBytes)};
  const bool needed = frame_bytes_max_ > chunk_bytes_ - xdp::kHeadroomBytes;
  fragments_ = needed || options_.mode == XdpRequest::Mode::kGeneric;
  Status status = open_queues(site, options_.mode);
  // In generic mode frames of several chunks are wanted in any case: local senders leave theirs unsegmented (add_segments()).
  if (status.ok() && !native_ && !fragments_) {
    close();
    fragments_ = true;
    status = open_queues(site, XdpRequest::Mode::kGeneric);
  }
  if (!status.ok() && fragments_ && !needed && !native_) {
    close();
    fragments_ = false;
    status = open_queues(site, XdpRequest::Mode::kGeneric);
  }
  if (!status.ok()) return status;
  if (!native_ && fragments_) unsegmented_ = std::make_unique<uint8_t[]>(kOffloadBytesMax);
  describe();
  return wait_on();
}

Status XdpPort::open_queues(const PortSite& site, XdpRequest::Mode mode) {
  XdpDevice device;
  XdpRequest request = {options_.interface, options_.netns, {}, mode, fragments_};
  const bool all = options_.queue == kAllQueues;
  for (uint32_t queue = 0; all && queue < std::min(receive_queues_, kQueuesMax); queue++) request.queues.push_back(queue);
  if (!all) request.queues.push_back(options_.queue);
  if (Status status = site.devices->open_xdp(request, &device); !status.ok()) return status;
  map_ = device.map;
  link_ = device.link;
  native_ = device.native;
  for (size_t i = 0; i < device.sockets.size(); i++)
    sockets_.push_back(std::make_unique<XdpSocket>(device.sockets[i], request.queues[i]));
  up_.store(device.info.up, std::memory_order_relaxed);
  Status status = bind_queues(*site.devices, device);
  return status.ok() ? Status() : Status(status.code(), "xdp:" + options_.interface + ": " + status.message());
}

// The thread's memory, unless it is in the store and the store cannot be pinned, or DRAM was asked for.
Status XdpPort::choose_memory(const PortSite& site) {
  umem_ = &XdpUmem::of(*site.memory);
  if (options_.umem == FrameMemoryPlace::kStore && !site.memory->in_store())
    return {Code::kResource, "its UMEM cannot be in the store: " + site.memory->why_not_store()};
  bool dram = options_.umem == FrameMemoryPlace::kDram && site.memory->in_store();
  if (!dram) {
    Status status = site.memory->pin();
    if (!status.ok() && options_.umem == FrameMemoryPlace::kStore) return status;
    dram = !status.ok();
  }
  if (dram)
    if (Status status = umem_->dram(&umem_); !status.ok()) return status;
  memory_ = &umem_->memory();
  base_ = memory_->base();
  chunk_bytes_ = memory_->chunk_bytes();
  chunk_shift_ = static_cast<uint32_t>(std::countr_zero(chunk_bytes_));
  posted_ = std::make_unique<uint8_t[]>(memory_->chunk_count());
  sending_ = std::make_unique<uint8_t[]>(memory_->chunk_count());
  held_pieces_ = std::make_unique<Pieces[]>(kBatchFrames);
  again_pieces_ = std::make_unique<Pieces[]>(kBatchFrames);
  return {};
}

Status XdpPort::bind_queues(Devices& devices, const XdpDevice& device) {
  XdpUmem::Request request = {device.info.index, options_.copy, may_zero_copy(device), fragments_};
  const uint32_t count = static_cast<uint32_t>(sockets_.size());
  transmit_queues_ = std::clamp(device.info.tx_queues, 1u, count);
  // A quarter of the memory for what the kernel receives into; the rest is on its way, being sent, or the log's.
  post_target_ = std::clamp(memory_->chunk_count() / 4 / count, kPostMin, kXdpRingEntries);
  promised_.reserve(count * kXdpRingEntries);
  for (auto& socket : sockets_) {
    if (Status status = umem_->bind(*socket, request, &zero_copy_); !status.ok()) return status;
    request.may_zero_copy = zero_copy_;  // the other queues are as the first
    if (Status status = devices.insert_socket(map_, socket->queue(), socket->fd()); !status.ok()) return status;
  }
  return {};
}

// One descriptor for the thread to wait on: the socket's, or one that stands for all of them.
Status XdpPort::wait_on() {
  if (sockets_.size() == 1) {
    doorbell_ = sockets_[0]->fd();
    return {};
  }
  doorbell_ = epoll_create1(EPOLL_CLOEXEC);
  own_doorbell_ = true;
  for (auto& socket : sockets_) {
    epoll_event event = {.events = EPOLLIN, .data = {.u32 = 0}};
    if (doorbell_ < 0 || epoll_ctl(doorbell_, EPOLL_CTL_ADD, socket->fd(), &event) != 0)
      return {Code::kResource, "xdp:" + options_.interface + ": no descriptor to wait on: " + std::strerror(errno)};
  }
  return {};
}

void XdpPort::describe() {
  const std::string& why = memory_->why_not_store();
  detail_ = std::string(native_ ? "native" : "generic") + (zero_copy_ ? ", zero-copy" : ", copy mode") + ", UMEM in " +
            (memory_->in_store() ? "the store" : "DRAM") + ", " + std::to_string(memory_->chunk_count()) + " x " +
            std::to_string(chunk_bytes_) + ", " + std::to_string(sockets_.size()) +
            (sockets_.size() == 1 ? " queue" : " queues") + (fragments_ ? ", frames of several buffers" : "") +
            (why.empty() ? "" : " (not in the store: " + why + ")");
}

// --- receive -------------------------------------------------------------------------------------------------------------

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

bool XdpPort::arm() {
  if (again_count_ != 0 || !segmenter_.done()) return true;
  for (auto& socket : sockets_)
    if (socket->rx.waiting() != 0 || (socket->unsent && !stuck_)) return true;
  return false;
}

// --- state ---------------------------------------------------------------------------------------------------------------

const char* XdpPort::state() const {
  if (gone_.load(std::memory_order_relaxed)) return "gone";
  return up_.load(std::memory_order_relaxed) && !down_seen_.load(std::memory_order_relaxed) ? "up" : "down";
}

void XdpPort::link(bool up) {
  up_.store(up, std::memory_order_relaxed);
  if (up) down_seen_.store(false, std::memory_order_relaxed);
}

// A device that is removed unbinds its sockets, which is an error of theirs; one that is merely down does not.
bool XdpPort::alive() const {
  if (gone_.load(std::memory_order_relaxed)) return false;
  int error = 0;
  socklen_t size = sizeof error;
  if (!sockets_.empty() && getsockopt(sockets_[0]->fd(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0)
    gone_.store(true, std::memory_order_relaxed);
  return !gone_.load(std::memory_order_relaxed);
}

DeviceCounters XdpPort::device_counters() const {
  DeviceCounters sum;
  for (auto& socket : sockets_) {
    xdp::Statistics statistics = {};
    socklen_t size = sizeof statistics;
    if (getsockopt(socket->fd(), xdp::kSocketLevel, xdp::kStatistics, &statistics, &size) != 0) continue;
    sum.dropped += statistics.rx_dropped;
    sum.ring_full += statistics.rx_ring_full;
    sum.no_buffer += statistics.fill_ring_empty;
    sum.invalid_descriptors += statistics.rx_invalid_descriptors + statistics.tx_invalid_descriptors;
  }
  return sum;
}

void XdpPort::close() {
  if (link_ >= 0) ::close(link_);  // the program goes first: nothing new comes
  if (own_doorbell_ && doorbell_ >= 0) ::close(doorbell_);
  for (auto& socket : sockets_) umem_->leave(*socket);
  sockets_.clear();
  if (map_ >= 0) ::close(map_);
  link_ = map_ = doorbell_ = -1;
}

// The sockets are closed: what the kernel had is nobody's.
void XdpPort::give_back() {
  drop_pieces();
  held_count_ = 0;
  for (uint32_t i = 0; i < again_count_; i++) {
    if (again_[i].pieces == 0) memory_->drop_use(memory_->chunk_of(again_[i].bytes));
    for (uint32_t p = 0; p < again_[i].pieces; p++) memory_->drop_use(chunk_at(again_pieces_[i][p].address));
  }
  again_count_ = 0;
  segmenter_.end();
  for (uint32_t chunk = 0; chunk < memory_->chunk_count(); chunk++) {
    for (uint32_t uses = posted_[chunk] + sending_[chunk]; uses > 0; uses--) memory_->drop_use(chunk);
    posted_[chunk] = sending_[chunk] = 0;
  }
  for (const uint32_t chunk : promised_) memory_->drop_use(chunk);
  promised_.clear();
}

}  // namespace paste
