#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/ports/frame.h"
#include "core/ports/client/ring_client.h"
#include "core/ports/vale/vale_port.h"

namespace paste {

namespace {

constexpr uint32_t kLookahead = 8;
constexpr uint32_t kIdleFlushes = 1024;  // without the daemon taking a slot: time to see whether it is still there
constexpr int kRetryMs = 20;
constexpr std::chrono::milliseconds kLastWords{500};

uint32_t distance(uint32_t from, uint32_t to, uint32_t slots) { return to >= from ? to - from : to + slots - from; }
uint32_t advance(uint32_t i, uint32_t by, uint32_t slots) { return i + by >= slots ? i + by - slots : i + by; }

// The caller's memory may end right behind a frame: whole lines are read only where no page border is in the way.
void copy_from_caller(LongCopy copy_long, uint8_t* to, const uint8_t* from, uint32_t length) {
  const uintptr_t last_line = reinterpret_cast<uintptr_t>(from) + (length - 1) / 64 * 64;
  if (__builtin_expect((last_line & 4095) <= 4096 - 64, 1))
    copy_lines(copy_long, to, from, length);
  else
    std::memcpy(to, from, length);
}

}  // namespace

Status PortClient::open(const ClientOptions& options, std::unique_ptr<PortClient>* client) {
  Attachment attachment;
  bool transient;
  if (Status status = attach_to_daemon(options, &attachment, &transient); !status.ok()) return status;
  *client = std::make_unique<RingClient>(options, std::move(attachment));
  return {};
}

Status PortClient::join(const std::string& name, const ClientEnd& end, std::unique_ptr<PortClient>* client) {
  Attachment attachment;
  attachment.doorbell = end.doorbell;
  attachment.memory_fd = end.memory_fd;
  attachment.interface = end.interface;
  if (Status status = ClientMemory::map(end.memory_fd, end.memory_bytes, &attachment.memory); !status.ok()) return status;
  ClientOptions options;
  options.name = name;
  *client = std::make_unique<RingClient>(options, std::move(attachment));
  return {};
}

RingClient::RingClient(ClientOptions options, Attachment attachment)
    : options_(std::move(options)), attachment_(std::move(attachment)), copy_long_(choose_long_copy()) {
  take_rings();
}

void RingClient::take_rings() {
  const netmap::If* itf = attachment_.itf();
  const auto ring_at = [itf](uint32_t entry) {
    return reinterpret_cast<netmap::Ring*>(reinterpret_cast<uintptr_t>(itf) + static_cast<uintptr_t>(itf->ring_ofs[entry]));
  };
  const auto sync_of = [](netmap::Ring* ring) {
    netmap::RingTail tail;
    std::memcpy(&tail, ring->sem, sizeof tail);
    return reinterpret_cast<netmap::RingSync*>(reinterpret_cast<uint8_t*>(ring) + tail.sync);
  };
  tx_ = ring_at(0);
  rx_ = ring_at(itf->ni_tx_rings + itf->ni_host_tx_rings);
  tx_sync_ = sync_of(tx_);
  rx_sync_ = sync_of(rx_);
  buffers_ = reinterpret_cast<uint8_t*>(tx_) + tx_->buf_ofs;
  tx_slots_ = tx_->num_slots;
  rx_slots_ = rx_->num_slots;
  buffer_bytes_ = tx_->nr_buf_size;
  const uint8_t* end = attachment_.memory->memory() + attachment_.memory->bytes();
  buffer_count_ = static_cast<uint32_t>(static_cast<size_t>(end - buffers_) / buffer_bytes_);
  wanted_slots_ = 1;
  idle_flushes_ = seen_hwcur_ = 0;
  touch_buffers();
}

// What the first round through the rings will use is mapped now, not then.
void RingClient::touch_buffers() {
  for (const netmap::Ring* ring : {tx_, rx_})
    for (uint32_t i = 0; i < ring->num_slots; i++)
      for (uint32_t at = 0; at < buffer_bytes_; at += 4096)
        __atomic_fetch_or(reinterpret_cast<uint64_t*>(buffer(ring->slot[i].buf_idx) + at), 0, __ATOMIC_RELAXED);
}

uint32_t RingClient::ring_resets() const {
  return load_relaxed(tx_sync_->daemon.resets) + load_relaxed(rx_sync_->daemon.resets);
}

// --- sending ---------------------------------------------------------------------------------------------------------------

uint32_t RingClient::room() {
  const uint32_t tail = load_acquire(tx_sync_->daemon.hwtail);
  store_relaxed(tx_->tail, tail);
  return distance(load_relaxed(tx_->head), tail, tx_slots_);
}

uint32_t RingClient::send(const uint8_t* data, const uint32_t* offsets, const uint32_t* lengths, uint32_t count) {
  uint32_t free = room();
  uint32_t head = load_relaxed(tx_->head);
  wanted_slots_ = 1;
  uint32_t i = 0;
  for (; i < count; i++) {
    const uint32_t length = lengths[i];
    if (length > kLiveFrameBytesMax) break;
    if (length == 0) continue;
    const uint32_t need = slots_for(length);
    if (need > free) {
      wanted_slots_ = need;
      break;
    }
    free -= need;
    prefetch_line_owned(buffer(tx_->slot[advance(head, kLookahead, tx_slots_)].buf_idx));
    if (i + kLookahead < count) prefetch_line(data + offsets[i + kLookahead]);
    put(data + offsets[i], length, &head);
  }
  store_relaxed(tx_->cur, head);
  store_relaxed(tx_->head, head);
  return i;
}

void RingClient::put(const uint8_t* from, uint32_t length, uint32_t* head) {
  for (;;) {
    netmap::Slot& slot = tx_->slot[*head];
    const uint32_t part = std::min(length, buffer_bytes_);
    copy_from_caller(copy_long_, buffer(slot.buf_idx), from, part);
    slot.len = static_cast<uint16_t>(part);
    length -= part;
    slot.flags = length > 0 ? netmap::kMoreFrag : 0;
    *head = advance(*head, 1, tx_slots_);
    if (length == 0) return;
    from += part;
  }
}

// See vale_port.cc for why no wake-up is lost.
void RingClient::publish() {
  const uint32_t head = load_relaxed(tx_->head);
  store_relaxed(tx_sync_->client.cur, head);
  store_release(tx_sync_->client.head, head);
}

bool RingClient::flush() {
  if (gone_) return false;
  publish();
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (load_relaxed(tx_sync_->daemon.need_kick)) {
    const uint8_t one = 1;
    if (::send(attachment_.doorbell, &one, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != EINTR)
      look_at_connection(0);
  }
  const uint32_t hwcur = load_relaxed(tx_sync_->daemon.hwcur);
  if (hwcur != seen_hwcur_) {
    seen_hwcur_ = hwcur;
    idle_flushes_ = 0;
  } else if (++idle_flushes_ >= kIdleFlushes) {
    idle_flushes_ = 0;
    look_at_connection(0);
  }
  return !gone_;
}

bool RingClient::sent_all() { return load_acquire(tx_sync_->daemon.hwcur) == load_relaxed(tx_->head); }

// --- receiving -------------------------------------------------------------------------------------------------------------

uint32_t RingClient::pending() {
  const uint32_t tail = load_acquire(rx_sync_->daemon.hwtail);
  uint32_t frames = 0;
  for (uint32_t at = load_relaxed(rx_->head); at != tail; at = advance(at, 1, rx_slots_))
    if (rx_->slot[at].len > 0 && !(rx_->slot[at].flags & netmap::kMoreFrag)) frames++;
  return frames;
}

uint32_t RingClient::receive(uint8_t* data, size_t size, uint32_t* offsets, uint32_t* lengths, uint32_t max) {
  const uint32_t tail = load_acquire(rx_sync_->daemon.hwtail);
  store_relaxed(rx_->tail, tail);
  uint32_t head = load_relaxed(rx_->head);
  if (head == tail) return 0;
  const uint32_t start = head;
  size_t used = 0;
  uint32_t count = 0;
  for (uint32_t i = 0; i < kLookahead; i++) prefetch_line(buffer(rx_->slot[advance(head, i, rx_slots_)].buf_idx));
  while (count < max && head != tail) {
    prefetch_line(buffer(rx_->slot[advance(head, kLookahead, rx_slots_)].buf_idx));
    const uint32_t before = head;
    const uint32_t length = take(data + used, size - used, &head, tail);
    if (length == 0) {
      if (head == before) break;  // no space
      continue;                   // a slot without bytes
    }
    offsets[count] = static_cast<uint32_t>(used);
    lengths[count++] = length;
    used = std::min(size, (used + length + 63) & ~size_t{63});
  }
  if (head != start) {
    store_relaxed(rx_->cur, head);
    store_relaxed(rx_->head, head);
    store_relaxed(rx_sync_->client.cur, head);
    store_release(rx_sync_->client.head, head);
  }
  return count;
}

// Copies the frame at *head out and moves *head behind it; 0 when there is not enough space (then *head stays) or no bytes.
uint32_t RingClient::take(uint8_t* to, size_t space, uint32_t* head, uint32_t tail) {
  uint32_t at = *head;
  uint32_t length = 0;
  for (bool more = true; more && at != tail; at = advance(at, 1, rx_slots_)) {
    const netmap::Slot slot = rx_->slot[at];
    const uint32_t part = std::min<uint32_t>(slot.len, buffer_bytes_);
    if (part > space - length) return 0;
    if (((part + 63) & ~63u) <= space - length)
      copy_lines(copy_long_, to + length, buffer(slot.buf_idx), part);
    else
      std::memcpy(to + length, buffer(slot.buf_idx), part);
    length += part;
    more = slot.flags & netmap::kMoreFrag;
  }
  *head = at;
  return length;
}

// --- waiting ---------------------------------------------------------------------------------------------------------------

bool RingClient::ready(bool for_room) {
  if (for_room) return room() >= wanted_slots_;
  return load_acquire(rx_sync_->daemon.hwtail) != load_relaxed(rx_->head);
}

PortClient::Wake RingClient::wait(bool for_room, int timeout_ms) {
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    if (ready(for_room) && !(for_room && gone_)) return Wake::kReady;
    const auto passed =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start).count();
    const int left = timeout_ms < 0 ? -1 : static_cast<int>(std::max<int64_t>(0, timeout_ms - passed));
    if (gone_) {
      Wake wake;
      if (try_again(&wake)) return wake;
      if (left == 0) return Wake::kTimeout;
      poll(nullptr, 0, left < 0 ? kRetryMs : std::min(left, kRetryMs));
      continue;
    }
    if (!arm(for_room)) look_at_connection(left);
    disarm();
    if (left == 0 && !gone_) return ready(for_room) ? Wake::kReady : Wake::kTimeout;
  }
}

// See vale_port.cc for why no wake-up is lost.
bool RingClient::arm(bool for_room) {
  store_relaxed((for_room ? tx_sync_ : rx_sync_)->client.need_kick, 1);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return ready(for_room);
}

void RingClient::disarm() {
  store_relaxed(tx_sync_->client.need_kick, 0);
  store_relaxed(rx_sync_->client.need_kick, 0);
}

// Waits for the doorbell or the connection, empties the doorbell, and notices when the daemon is gone.
void RingClient::look_at_connection(int timeout_ms) {
  if (gone_) return;
  pollfd watched[2] = {{attachment_.doorbell, POLLIN, 0}, {attachment_.connection, POLLIN, 0}};
  if (poll(watched, attachment_.connection < 0 ? 1 : 2, timeout_ms) <= 0) return;
  bool stands = true, bye = false;
  const bool remote = attachment_.connection >= 0;
  if (watched[0].revents) {
    uint8_t bytes[256];
    const ssize_t got = recv(attachment_.doorbell, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) stands = false;
  }
  if (remote && (watched[1].revents || !stands) && !connection_stands(attachment_.connection, &bye)) stands = false;
  if (stands) return;
  gone_ = true;
  refused_ = bye || !remote;
  gone_since_ = std::chrono::steady_clock::now();
}

// True when there is something to report: back again, or gone for good.
bool RingClient::try_again(Wake* wake) {
  *wake = Wake::kGone;
  if (refused_ || options_.reconnect_ms <= 0) return true;
  if (attachment_.connection >= 0) {
    // Only the doorbell broke: the daemon is about to say why, or to die.
    bool bye = false;
    const bool stands = connection_stands(attachment_.connection, &bye);
    if (bye) return refused_ = true;
    if (stands && std::chrono::steady_clock::now() - gone_since_ < kLastWords) return false;
  }
  attachment_.close_descriptors();
  const uint64_t lost = frames_in_rings();
  bool transient = false;
  if (Status status = attach_to_daemon(options_, &attachment_, &transient); status.ok()) {
    take_rings();
    gone_ = false;
    reconnects_++;
    lost_on_reconnect_ += lost;
    *wake = Wake::kReconnected;
    return true;
  }
  if (!transient) return refused_ = true;
  return std::chrono::steady_clock::now() - gone_since_ > std::chrono::milliseconds(options_.reconnect_ms);
}

uint64_t RingClient::frames_in_rings() {
  uint64_t frames = pending();
  const uint32_t head = load_relaxed(tx_->head);
  for (uint32_t at = load_acquire(tx_sync_->daemon.hwcur); at != head; at = advance(at, 1, tx_slots_))
    if (tx_->slot[at].len > 0 && !(tx_->slot[at].flags & netmap::kMoreFrag)) frames++;
  return frames;
}

}  // namespace paste
