#include "core/ports/tap/tap_port.h"

#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/ports/long_buffers.h"
#include "core/switch/flow_hash.h"

namespace paste {
namespace {

constexpr uint32_t kHeaderBytes = sizeof(VirtioNetHeader);
constexpr uint32_t kFrameStart = 64;         // in a chunk: behind a line for its record's header (Frame::framed), or the virtio-net header
constexpr uint32_t kRestBytes = kOffloadBytesMax;
constexpr uint32_t kJoinedMax = 64;          // segments that leave in one call
constexpr uint32_t kQuotaMin = 16;           // frames that a queue may give at once, however many queues there are
// linux/if_tun.h: TUNSETOFFLOAD. USO is from Linux 6.2.
constexpr uint32_t kTunChecksum = 0x01, kTunTso4 = 0x02, kTunTso6 = 0x04, kTunTsoEcn = 0x08;

}  // namespace

Status TapPort::create(const std::string& name, const std::string& spec, const PortSite& site, std::unique_ptr<TapPort>* port) {
  TapOptions options;
  if (Status status = parse_tap_spec(spec, &options); !status.ok()) return status;
  std::unique_ptr<TapPort> made(new TapPort(name, options, site));
  if (!made->long_->ok()) return {Code::kResource, "port " + name + ": no memory for long frames"};
  std::vector<int> fds;
  InterfaceInfo info;
  if (Status status = site.devices->open_tap(made->options_.request, &fds, &info); !status.ok()) return status;
  for (const int fd : fds) made->queues_.push_back({fd, false});
  made->bell_ = epoll_create1(EPOLL_CLOEXEC);
  if (made->bell_ < 0) return {Code::kResource, "port " + name + ": no descriptor for its doorbell (" + std::strerror(errno) + ")"};
  for (uint32_t i = 0; i < fds.size(); i++) {
    epoll_event event = {.events = 0, .data = {.u32 = i}};
    if (epoll_ctl(made->bell_, EPOLL_CTL_ADD, fds[i], &event) != 0)
      return {Code::kResource, "port " + name + ": its doorbell takes no queue (" + std::strerror(errno) + ")"};
  }
  if (info.mtu + 18 + kFrameStart > site.memory->chunk_bytes()) made->long_->populate();
  made->up_.store(info.up, std::memory_order_relaxed);
  made->detail_ = std::to_string(fds.size()) + (fds.size() == 1 ? " queue" : " queues") + ", MTU " + std::to_string(info.mtu) +
                  ", offload " + (options.offload ? "on" : "off") + ", " +
                  (site.memory->in_store() ? "frames in the store" : "frames in DRAM: " + site.memory->why_not_store());
  *port = std::move(made);
  return {};
}

TapPort::TapPort(std::string name, const TapOptions& options, const PortSite& site)
    : name_(std::move(name)),
      options_(options),
      clock_(*site.clock),
      memory_(*site.memory),
      long_(std::make_unique<LongBuffers>()),
      rest_(new uint8_t[kRestBytes]()) {
  if (!options_.offload) return;
  options_.request.vnet_header = true;
  options_.request.offloads = kTunChecksum | kTunTso4 | kTunTso6 | kTunTsoEcn;
}

TapPort::~TapPort() { TapPort::close(); }

void TapPort::close() {
  for (Queue& queue : queues_) {
    if (queue.fd >= 0) ::close(queue.fd);
    queue.fd = -1;
  }
  if (bell_ >= 0) ::close(bell_);
  bell_ = -1;
}

void TapPort::give_back() {
  for (; waiting_count_ > 0; waiting_count_--) give_back(waiting_[waiting_first_++]);
  if (spare_ != kNoChunk) memory_.drop_use(spare_);
  spare_ = kNoChunk;
  segmenter_.end();
}

const char* TapPort::state() const {
  if (gone_.load(std::memory_order_relaxed)) return "gone";
  return up_.load(std::memory_order_relaxed) ? "up" : "down";
}

// What the kernel had for the switch and dropped because the device's queue was full. Interfaces of other namespaces show it there.
DeviceCounters TapPort::device_counters() const {
  DeviceCounters counters;
  if (!options_.request.netns.empty()) return counters;
  FILE* const file = std::fopen(("/sys/class/net/" + options_.request.name + "/statistics/tx_dropped").c_str(), "re");
  if (file == nullptr) return counters;
  unsigned long long dropped = 0;
  if (std::fscanf(file, "%llu", &dropped) == 1) counters.ring_full = dropped;
  std::fclose(file);
  return counters;
}

// --- from the kernel -------------------------------------------------------------------------------------------------------

uint32_t TapPort::receive(Batch& batch, uint32_t max) {
  last_count_ = 0;
  memory_.reclaim();
  max = std::min(max, kBatchFrames - batch.count);
  for (; last_count_ < max && waiting_count_ > 0; waiting_count_--) add(batch, waiting_[waiting_first_++]);
  Held held;
  while (last_count_ < max && !segmenter_.done()) {
    if (next_segment(&held) != Read::kFrame) return last_count_;
    add(batch, held);
  }
  const uint32_t queues = static_cast<uint32_t>(queues_.size());
  const uint32_t quota = std::max(kQuotaMin, max / queues);
  for (uint32_t turn = 0; turn < queues && last_count_ < max; turn++) {
    Queue& queue = queues_[next_queue_];
    next_queue_ = next_queue_ + 1 < queues ? next_queue_ + 1 : 0;
    for (uint32_t reads = 0; reads < quota && last_count_ < max;) {
      const Read read = segmenter_.done() ? read_frame(queue, &held) : next_segment(&held);
      if (read == Read::kNoRoom) return last_count_;
      if (read == Read::kEmpty) break;
      if (read == Read::kFrame) add(batch, held);
      reads++;
    }
  }
  return last_count_;
}

TapPort::Read TapPort::read_frame(Queue& queue, Held* held) {
  if (long_->empty() || (spare_ == kNoChunk && (spare_ = memory_.take()) == kNoChunk)) return Read::kNoRoom;
  uint8_t* const chunk = memory_.bytes(spare_);
  uint8_t* const at = chunk + kFrameStart - (options_.offload ? kHeaderBytes : 0);
  const auto room = static_cast<uint32_t>(chunk + memory_.chunk_bytes() - at);
  // What is behind the chunk's end goes where a long frame is put together; without offloads one byte more than a frame may have.
  const uint32_t rest_room = options_.offload ? kRestBytes - room : kLiveFrameBytesMax + 1 - room;
  const iovec parts[2] = {{at, room}, {rest_.get() + room, rest_room}};
  const ssize_t got = readv(queue.fd, parts, 2);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return Read::kEmpty;
    note_error(errno);
    return Read::kEmpty;
  }
  return options_.offload ? take_offload(spare_, at, static_cast<uint32_t>(got), held)
                          : take_read(spare_, at, static_cast<uint32_t>(got), held);
}

// A frame of `length` bytes was read to `at` in the chunk, and what did not fit there into rest_, at the same distance.
TapPort::Read TapPort::take_read(uint32_t chunk, uint8_t* at, uint32_t length, Held* held) {
  if (length < kEthernetHeaderBytes) return drop(length, Drop::runt);
  if (length > kLiveFrameBytesMax) return drop(length, Drop::oversize);
  const auto room = static_cast<uint32_t>(memory_.bytes(chunk) + memory_.chunk_bytes() - at);
  if (length > room) return take_long(room, at, length, held);
  *held = {at, length, chunk};
  spare_ = kNoChunk;
  return Read::kFrame;
}

// The same behind a virtio-net header.
TapPort::Read TapPort::take_offload(uint32_t chunk, uint8_t* at, uint32_t length, Held* held) {
  if (length < kHeaderBytes + kEthernetHeaderBytes) return drop(length < kHeaderBytes ? 0 : length - kHeaderBytes, Drop::runt);
  VirtioNetHeader header;
  std::memcpy(&header, at, sizeof header);
  const uint32_t room = memory_.chunk_bytes() - kFrameStart;
  length -= kHeaderBytes;
  at += kHeaderBytes;
  const bool in_chunk = length <= room;
  uint8_t* frame = at;
  if (!in_chunk || header.gso_type != virtio::kGsoNone) {
    // In one piece, at rest_ + kHeaderBytes: what lies behind the chunk's end is there already.
    frame = rest_.get() + kHeaderBytes;
    std::memcpy(frame, at, std::min(length, room));
  }
  if (header.gso_type != virtio::kGsoNone) {
    if (!segmenter_.begin(header, frame, length)) return drop(length, Drop::bad_offload);
    return next_segment(held);
  }
  if (length > kLiveFrameBytesMax) return drop(length, Drop::oversize);
  if (!finish_checksum(header, frame, length)) return drop(length, Drop::bad_offload);
  if (!in_chunk) return take_long(0, nullptr, length, held);
  *held = {at, length, chunk};
  spare_ = kNoChunk;
  return Read::kFrame;
}

TapPort::Read TapPort::next_segment(Held* held) {
  const uint32_t length = segmenter_.next_bytes();
  if (length > memory_.chunk_bytes() - kFrameStart) {
    if (long_->empty()) return Read::kNoRoom;
    uint8_t* const to = long_->take();
    *held = {to, segmenter_.write(to), kNoChunk};
    return Read::kFrame;
  }
  if (spare_ == kNoChunk && (spare_ = memory_.take()) == kNoChunk) return Read::kNoRoom;
  uint8_t* const to = memory_.bytes(spare_) + kFrameStart;
  *held = {to, segmenter_.write(to), spare_};
  spare_ = kNoChunk;
  return Read::kFrame;
}

// A frame that a chunk cannot hold: `front_bytes` of it lie at `front`, the rest in rest_ behind as many bytes; or all of it lies
// in rest_ behind the header's room. There is a buffer: nothing is read without one.
TapPort::Read TapPort::take_long(uint32_t front_bytes, const uint8_t* front, uint32_t length, Held* held) {
  uint8_t* const to = long_->take();
  if (front_bytes != 0) {
    std::memcpy(to, front, front_bytes);
    std::memcpy(to + front_bytes, rest_.get() + front_bytes, length - front_bytes);
  } else {
    std::memcpy(to, rest_.get() + kHeaderBytes, length);
  }
  *held = {to, length, kNoChunk};
  return Read::kFrame;
}

TapPort::Read TapPort::drop(uint32_t length, Drop reason) {
  counters.received_frames++;
  counters.received_bytes += length;
  counters.dropped[static_cast<size_t>(reason)]++;
  return Read::kDropped;
}

void TapPort::add(Batch& batch, const Held& held) {
  Frame& frame = batch.frames[batch.count++];
  frame = Frame();
  if (held.chunk != kNoChunk) {
    memory_.place_frame(frame, held.bytes, held.length);
    counters.zero_copy_frames++;
  } else {
    frame.bytes = held.bytes;
    frame.length = held.length;
    counters.copied_frames++;
  }
  frame.wire_length = held.length;
  frame.time_ns = clock_.now_ns();  // each frame took a system call: over 1 us lies between two of them sooner or later
  frame.ingress = index;
  counters.received_frames++;
  counters.received_bytes += held.length;
  last_[last_count_++] = held;
}

void TapPort::unreceive(uint32_t count) {
  PASTE_CHECK(count <= last_count_);
  if (count == 0) return;
  // Behind them is only what was not handed out: nothing is read while frames wait.
  std::memmove(waiting_ + count, waiting_ + waiting_first_, waiting_count_ * sizeof(Held));
  for (uint32_t i = 0; i < count; i++) {
    const Held& held = last_[last_count_ - count + i];
    waiting_[i] = held;
    counters.received_frames--;
    counters.received_bytes -= held.length;
    (held.chunk != kNoChunk ? counters.zero_copy_frames : counters.copied_frames)--;
  }
  waiting_first_ = 0;
  waiting_count_ += count;
  last_count_ -= count;
}

void TapPort::release(const Batch& batch, std::span<const uint16_t> frames) {
  for (const uint16_t i : frames) {
    const Frame& frame = batch.frames[i];
    const uint32_t chunk = memory_.chunk_of(frame.bytes);
    if (chunk != kNoChunk && frame.marked) memory_.keep_for_log(chunk);
    give_back({frame.bytes, frame.length, chunk});
  }
}

void TapPort::give_back(const Held& held) {
  if (held.chunk != kNoChunk) memory_.drop_use(held.chunk);
  else long_->give_back(held.bytes);
}

// --- to the kernel ---------------------------------------------------------------------------------------------------------

// A device takes what it is given until it is down: it has no ring to be full.
uint32_t TapPort::reserve(const Batch&, std::span<const uint16_t> frames) {
  return up_.load(std::memory_order_relaxed) && alive() ? static_cast<uint32_t>(frames.size()) : 0;
}

uint32_t TapPort::deliver(const Batch& batch, std::span<const uint16_t> frames) {
  uint32_t count = 0;
  uint64_t bytes = 0;
  while (count < frames.size()) {
    const uint32_t joined = options_.offload && !vlan.aware() ? write_joined(batch, frames.subspan(count), &bytes) : 0;
    if (joined == 0 && !write_frame(batch.frames[frames[count]], &bytes)) break;
    count += std::max(joined, 1u);
  }
  counters.delivered_copies += count;
  counters.delivered_bytes += bytes;
  counters.refused[static_cast<size_t>(why_)] += frames.size() - count;
  return count;
}

// Segments that follow each other, in one call; 0 when the first one stands alone, or the kernel did not take them together.
uint32_t TapPort::write_joined(const Batch& batch, std::span<const uint16_t> frames, uint64_t* bytes) {
  const Frame& first = batch.frames[frames[0]];
  Joiner joiner;
  if (frames.size() < 2 || !joiner.begin(first.bytes, first.length)) return 0;
  iovec parts[2 + kJoinedMax];
  const uint32_t start = joiner.header_bytes();
  const auto add_part = [&](const Frame& frame) {
    parts[1 + joiner.count()] = {const_cast<uint8_t*>(frame.bytes) + start, frame.length - start};
  };
  add_part(first);
  uint64_t length = first.length;
  while (joiner.count() < std::min<size_t>(frames.size(), kJoinedMax)) {
    const Frame& next = batch.frames[frames[joiner.count()]];
    if (!joiner.add(next.bytes, next.length)) break;
    add_part(next);
    length += next.length;
  }
  if (joiner.count() < 2) return 0;
  VirtioNetHeader header;
  uint8_t head[kSegmentHeadersMax];
  joiner.finish(&header, head);
  parts[0] = {&header, kHeaderBytes};
  parts[1] = {head, start};
  if (writev(queue_of(first), parts, static_cast<int>(2 + joiner.count())) < 0) return 0;
  *bytes += length;
  return joiner.count();
}

// One flow stays in one queue, so that its order holds.
int TapPort::queue_of(const Frame& frame) const {
  const size_t queue = queues_.size() == 1 ? 0 : frame_facts(frame.bytes, frame.length).flow_hash % queues_.size();
  return queues_[queue].fd;
}

bool TapPort::write_frame(const Frame& frame, uint64_t* bytes) {
  static constexpr VirtioNetHeader kNothingLeftToDo = {};
  iovec parts[3];
  int count = 0;
  if (options_.offload) parts[count++] = {const_cast<VirtioNetHeader*>(&kNothingLeftToDo), kHeaderBytes};
  FrameShape shape;
  uint32_t length = frame.length;
  if (shape_frame(vlan, frame, &shape)) {
    parts[count++] = {shape.head, shape.head_bytes};
    parts[count++] = {const_cast<uint8_t*>(shape.rest), shape.rest_bytes};
    length = shape.length();
  } else {
    parts[count++] = {const_cast<uint8_t*>(frame.bytes), frame.length};
  }
  const int fd = queue_of(frame);
  const ssize_t put = count == 1 ? write(fd, parts[0].iov_base, parts[0].iov_len) : writev(fd, parts, count);
  if (__builtin_expect(put < 0, 0)) {
    note_error(errno);
    return false;
  }
  *bytes += length;
  return true;
}

void TapPort::note_error(int error) {
  why_ = Refusal::full;                                    // EAGAIN, ENOBUFS, ENOMEM: no room in the kernel
  if (error == EIO) why_ = Refusal::down;                  // the interface is not up; link() says when it is again
  if (error != EBADFD && error != ENODEV) return;
  why_ = Refusal::gone;
  gone_.store(true, std::memory_order_relaxed);            // the device was deleted
}

// --- waiting ---------------------------------------------------------------------------------------------------------------

// Each queue rings once and is then quiet until it is armed again: a held port with frames waiting must not wake its thread.
bool TapPort::arm() {
  if (waiting_count_ != 0 || !segmenter_.done()) return true;
  for (uint32_t i = 0; i < queues_.size(); i++) {
    if (queues_[i].armed) continue;
    epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data = {.u32 = i}};
    queues_[i].armed = epoll_ctl(bell_, EPOLL_CTL_MOD, queues_[i].fd, &event) == 0;
  }
  return false;
}

void TapPort::rang() {
  epoll_event events[kQueuesMax];
  const int count = epoll_wait(bell_, events, kQueuesMax, 0);
  for (int i = 0; i < count; i++) {
    queues_[events[i].data.u32].armed = false;
    if ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0) note_error(EBADFD);
  }
}

}  // namespace paste
