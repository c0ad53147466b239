#include "core/ports/xdp/xdp_port.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace paste {
namespace {

constexpr uint32_t kHeaderBytes = 18;          // Ethernet, and one VLAN tag that the MTU does not count
constexpr uint32_t kPostMin = 64;              // one NAPI round

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

bool XdpPort::arm() {
  if (again_count_ != 0 || !segmenter_.done()) return true;
  for (auto& socket : sockets_)
    if (socket->rx.waiting() != 0 || (socket->unsent && !stuck_)) return true;
  return false;
}

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
