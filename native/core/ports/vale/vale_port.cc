#include "core/ports/vale/vale_port.h"

#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace paste {

namespace {

constexpr uint32_t kDrainBytes = 512;      // of the doorbell per wake
constexpr int kBellsPerWake = 16;

}  // namespace

ValeAttachment::~ValeAttachment() {
  if (doorbell >= 0) ::close(doorbell);
}

Status ValePort::create(const std::string& name, const RegionGeometry& geometry, const Clock& clock,
                        std::unique_ptr<ValePort>* port, ClientEnd* end) {
  if (Status status = check_vale_name(name); !status.ok()) return status;
  if (Status status = check_geometry(geometry); !status.ok()) return status;
  const auto failed = [&](const Status& status) { return Status(status.code(), "port " + name + ": " + status.message()); };
  std::shared_ptr<ValeRegion> region;
  PortRings rings;
  if (Status status = ValeRegion::create(RegionPools::of_port(geometry), 0, &region); !status.ok()) return failed(status);
  if (Status status = region->take_rings(geometry, ValeRegion::kAnywhere, &rings); !status.ok()) return failed(status);
  const BoundRings bound = BoundRings::all(geometry);
  if (Status status = region->take_interface(name, rings, bound, 0, &end->interface); !status.ok()) return failed(status);
  auto made = std::make_unique<ValePort>(name, region, rings, clock, 0, false);
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
    return failed(Status(Code::kResource, std::string("no doorbell (socketpair: ") + std::strerror(errno) + ")"));
  made->add_attachment(std::make_unique<ValeAttachment>(ClientIdentity{}, pair[0], bound));
  end->memory_fd = region->file()->lend(O_RDWR);
  end->doorbell = pair[1];
  end->memory_bytes = region->bytes();
  if (end->memory_fd < 0) {
    ::close(pair[1]);
    return failed(Status(Code::kResource, std::string("no descriptor (") + std::strerror(errno) + ")"));
  }
  *port = std::move(made);
  return {};
}

ValePort::ValePort(std::string name, std::shared_ptr<ValeRegion> region, const PortRings& rings, const Clock& clock,
                   uint64_t session, bool persistent)
    : name_(std::move(name)), region_(std::move(region)), rings_(rings), clock_(clock), session_(session),
      persistent_(persistent), copy_long_(choose_long_copy()) {
  const RegionLayout& layout = region_->layout();
  const RegionGeometry& g = rings_.geometry;
  buffers_ = region_->memory() + layout.buffers;
  buffer_bytes_ = layout.pools.buffer_bytes;
  buffer_count_ = layout.pools.buffers;
  tx_count_ = g.tx_rings;
  rx_count_ = g.rx_rings;
  tx_ = std::make_unique<TxView[]>(tx_count_);
  rx_ = std::make_unique<RxView[]>(rx_count_);
  const auto view = [&](RingView& v, uint32_t number, uint32_t slots, uint32_t first_buffer) {
    v.ring = region_->ring(number);
    v.sync = region_->ring_sync(number);
    v.slot = v.ring->slot;
    v.slots = slots;
    v.first_buffer = first_buffer;
  };
  for (uint32_t i = 0; i < tx_count_; i++) view(tx_[i], rings_.tx(i), g.tx_slots, rings_.tx_buffer(i));
  for (uint32_t i = 0; i < rx_count_; i++) view(rx_[i], rings_.rx(i), g.rx_slots, rings_.rx_buffer(i));
  if (rx_count_ > 1) {
    promises_mask_ = std::bit_ceil(rx_count_ * g.rx_slots) - 1;
    promises_ = std::make_unique<uint8_t[]>(size_t{promises_mask_} + 1);
  }
  if (persistent_) resume();
}

void ValePort::set_header_bytes(uint32_t bytes) {
  wanted_header_bytes_ = bytes;
  if (bytes != 0 && segments_ == nullptr) segments_ = std::make_unique<Segments>();
}

// A persistent port's rings go on where they were when it was last on a switch. What is written there is any client's: every position
// inside the ring will do.
void ValePort::resume() {
  const auto position = [](const uint32_t& field, uint32_t slots) {
    const uint32_t value = load_relaxed(field);
    return value < slots ? value : 0;
  };
  for (uint32_t i = 0; i < tx_count_; i++)
    tx_[i].taken = tx_[i].released = position(tx_[i].sync->daemon.hwcur, tx_[i].slots);
  for (uint32_t i = 0; i < rx_count_; i++) {
    rx_[i].tail = position(rx_[i].sync->daemon.hwtail, rx_[i].slots);
    rx_[i].head = position(rx_[i].sync->client.head, rx_[i].slots);
  }
}

ValePort::~ValePort() {
  if (bells_ >= 0) ::close(bells_);
  if (!persistent_) region_->give_back_rings(rings_);
}

layout::PortKind ValePort::kind() const { return layout::kValePort; }

// --- attachments -----------------------------------------------------------------------------------------------------------

void ValePort::give_bells(int epoll) {
  if (bells_ >= 0) ::close(epoll);
  else bells_ = epoll;
}

void ValePort::add_attachment(std::unique_ptr<ValeAttachment> attachment, bool fresh) {
  bind_rings(attachment->bound, 1, fresh);
  attachments_.push_back(std::move(attachment));
  choose_doorbell();
}

std::unique_ptr<ValeAttachment> ValePort::remove_attachment(uint64_t session) {
  for (size_t i = 0; i < attachments_.size(); i++)
    if (attachments_[i]->client.session == session) return remove(i);
  return nullptr;
}

std::unique_ptr<ValeAttachment> ValePort::remove_broken() {
  for (size_t i = 0; i < attachments_.size(); i++)
    if (!attachments_[i]->alive) return remove(i);
  return nullptr;
}

std::unique_ptr<ValeAttachment> ValePort::remove(size_t at) {
  std::unique_ptr<ValeAttachment> left = std::move(attachments_[at]);
  attachments_.erase(attachments_.begin() + static_cast<ptrdiff_t>(at));
  bind_rings(left->bound, -1, false);
  if (bells_ >= 0) epoll_ctl(bells_, EPOLL_CTL_DEL, left->doorbell, nullptr);
  choose_doorbell();
  look_alive();
  return left;
}

void ValePort::bind_rings(const BoundRings& bound, int32_t by, bool fresh) {
  const auto bind = [by](auto& ring) { ring.bound += static_cast<uint32_t>(by); };
  for (uint32_t i = bound.tx_first; i < bound.tx_first + bound.tx_count; i++) {
    if (tx_[i].bound == 0 && fresh) renew(tx_[i]);
    bind(tx_[i]);
  }
  for (uint32_t i = bound.rx_first; i < bound.rx_first + bound.rx_count; i++) {
    if (rx_[i].bound == 0 && fresh) renew(rx_[i]);
    bind(rx_[i]);
  }
  rx_bound_count_ = 0;
  for (uint32_t i = 0; i < rx_count_; i++)
    if (rx_[i].bound != 0) rx_bound_[rx_bound_count_++] = static_cast<uint8_t>(i);
}

// A ring that nobody had is empty for whoever comes. Positions stay the daemon's: frames may be on their way to them.
void ValePort::renew(TxView& tx) {
  const uint32_t tail = tx.advance(tx.released, tx.slots - 1);
  put_positions(tx, tx.taken, tail);
  store_relaxed(tx.sync->daemon.hwcur, tx.released);
  store_release(tx.sync->daemon.hwtail, tail);
}

void ValePort::renew(RxView& rx) {
  rx.head = rx.tail;
  put_positions(rx, rx.tail, rx.tail);
  store_relaxed(rx.sync->daemon.hwcur, rx.tail);
  store_release(rx.sync->daemon.hwtail, rx.tail);
}

// One attachment: its socket, whose breaking ends the port. Otherwise a descriptor that is readable when any of theirs is, or never.
void ValePort::choose_doorbell() {
  if (attachments_.size() == 1 && !persistent_) {
    doorbell_ = attachments_[0]->doorbell;
    return;
  }
  doorbell_ = bells_;
  for (const auto& attachment : attachments_) {
    epoll_event event = {EPOLLIN, {.ptr = attachment.get()}};
    if (attachment->alive) epoll_ctl(bells_, EPOLL_CTL_ADD, attachment->doorbell, &event);  // or it is there already
  }
}

// --- doorbells -------------------------------------------------------------------------------------------------------------
//
// No wake-up is lost. The side that publishes stores its position, fences, and loads the other's need_kick. The side that wants to
// sleep stores need_kick = 1, fences, and loads the other's position once more. With two sequentially consistent fences at
// least one of the two loads sees the other side's store (a store buffer cannot hide both): either the publisher rings, or the
// sleeper finds the work and stays awake. The ring itself is a byte in a socket, so it waits for a sleeper that is not there yet.

void ValePort::notify() {
  bool fenced = false;
  for (uint32_t i = 0; i < rx_count_; i++) {
    if (!rx_[i].unnotified) continue;
    rx_[i].unnotified = false;
    if (!fenced) std::atomic_thread_fence(std::memory_order_seq_cst);
    fenced = true;
    ring_doorbells(rx_[i], false, i);
  }
}

// After the fence. With several attachments bound to one ring, need_kick says nothing: one that wakes takes it back for those that
// sleep. Then all are rung.
void ValePort::ring_doorbells(const RingView& view, bool transmit, uint32_t number) {
  if (__builtin_expect(view.bound <= 1, 1) && !load_relaxed(view.sync->client.need_kick)) return;
  for (const auto& attachment : attachments_) {
    const BoundRings& bound = attachment->bound;
    const bool has_it = transmit ? number - bound.tx_first < bound.tx_count : number - bound.rx_first < bound.rx_count;
    if (has_it && attachment->alive) ring_doorbell(*attachment);
  }
}

void ValePort::ring_doorbell(ValeAttachment& attachment) {
  const uint8_t one = 1;
  // A full socket (EAGAIN) is as good as rung; a client that shut its end down is gone.
  const ssize_t sent = send(attachment.doorbell, &one, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent == 1)
    counters.kicks_sent++;
  else if (errno != EAGAIN && errno != EINTR)
    attachment_broke(attachment);
}

void ValePort::attachment_broke(ValeAttachment& attachment) {
  attachment.alive = false;
  if (bells_ >= 0) epoll_ctl(bells_, EPOLL_CTL_DEL, attachment.doorbell, nullptr);
  look_alive();
}

void ValePort::look_alive() {
  bool any = persistent_;
  for (const auto& attachment : attachments_) any |= attachment->alive;
  if (!any) alive_.store(false, std::memory_order_relaxed);
}

bool ValePort::arm() {
  for (uint32_t i = 0; i < tx_count_; i++) store_relaxed(tx_[i].sync->daemon.need_kick, 1);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return has_waiting();
}

bool ValePort::has_waiting() const {
  bool waiting = segments_ != nullptr && !segments_->segmenter.done();
  for (uint32_t i = 0; i < tx_count_; i++)
    waiting |= tx_[i].bound != 0 && load_relaxed(tx_[i].sync->client.head) != tx_[i].taken;
  return waiting;
}

void ValePort::disarm() {
  for (uint32_t i = 0; i < tx_count_; i++) store_relaxed(tx_[i].sync->daemon.need_kick, 0);
}

void ValePort::rang() {
  if (__builtin_expect(doorbell_ != bells_, 1)) {
    rang(*attachments_[0]);
    return;
  }
  epoll_event events[kBellsPerWake];
  const int count = epoll_wait(bells_, events, kBellsPerWake, 0);
  for (int i = 0; i < count; i++) rang(*static_cast<ValeAttachment*>(events[i].data.ptr));
}

// One bounded read a wake: a client that fills its doorbell makes the daemon look at its ring, as traffic would, and no more.
void ValePort::rang(ValeAttachment& attachment) {
  uint8_t bytes[kDrainBytes];
  const ssize_t got = recv(attachment.doorbell, bytes, sizeof bytes, MSG_DONTWAIT);
  if (got > 0)
    counters.kicks_received += static_cast<uint64_t>(got);
  else if (got == 0 || (errno != EAGAIN && errno != EINTR))
    attachment_broke(attachment);
}

}  // namespace paste
