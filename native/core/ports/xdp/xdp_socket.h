// One AF_XDP socket: one queue of one device, with its four rings. The kernel is the other side of each ring.
//
//   fill:       chunks that the kernel may receive into       (we produce)
//   rx:         descriptors of received frames                (we consume)
//   tx:         descriptors of frames to send                 (we produce)
//   completion: addresses that were sent                      (we consume)
// Indexes run freely and are masked when used. Producer and consumer lie in memory shared with the kernel; the side that moves one stores
// it with release, the other loads it with acquire.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/status.h"
#include "core/devices/xdp_abi.h"

namespace paste {

inline constexpr uint32_t kXdpRingEntries = 2048;  // of each ring: eight batches

struct XdpRing {
  uint32_t* producer = nullptr;
  uint32_t* consumer = nullptr;
  uint32_t* flags = nullptr;
  void* entries = nullptr;
  void* mapping = nullptr;
  size_t mapping_bytes = 0;
  uint32_t next = 0;           // the index that we move: consumer of rx and completion, producer of fill and tx

  static constexpr uint32_t kMask = kXdpRingEntries - 1;
  // What the kernel has put there and we have not taken (rx, completion).
  uint32_t waiting() const { return std::atomic_ref(*producer).load(std::memory_order_acquire) - next; }
  // What we have put there and the kernel has not taken (fill, tx).
  uint32_t pending() const { return next - std::atomic_ref(*consumer).load(std::memory_order_acquire); }
  void publish_producer() { std::atomic_ref(*producer).store(next, std::memory_order_release); }
  void publish_consumer() { std::atomic_ref(*consumer).store(next, std::memory_order_release); }
  bool wants_kick() const { return (std::atomic_ref(*flags).load(std::memory_order_relaxed) & xdp::kRingNeedWakeup) != 0; }
  xdp::Descriptor& descriptor(uint32_t index) { return static_cast<xdp::Descriptor*>(entries)[index & kMask]; }
  uint64_t& address(uint32_t index) { return static_cast<uint64_t*>(entries)[index & kMask]; }
};
static_assert((kXdpRingEntries & (kXdpRingEntries - 1)) == 0);

class XdpSocket {
 public:
  // Takes the descriptor over.
  XdpSocket(int fd, uint32_t queue) : fd_(fd), queue_(queue) {}
  // Unmaps first: a mapped ring would keep the socket, and with it the queue, alive.
  ~XdpSocket();
  XdpSocket(const XdpSocket&) = delete;
  XdpSocket& operator=(const XdpSocket&) = delete;

  int fd() const { return fd_; }
  uint32_t queue() const { return queue_; }
  // Makes and maps the four rings; before bind.
  Status make_rings();
  // How many copies one system call may send in copy mode: 32 unless the kernel (Linux 6.17) lets us ask for more.
  uint32_t transmit_budget() const { return transmit_budget_; }

  XdpRing rx, tx, fill, completion;
  // Of the port that owns it.
  uint32_t posted = 0;          // chunks that the kernel has, or that lie in rx
  uint32_t sending = 0;         // descriptors put into tx whose completion was not seen
  uint32_t promised = 0;        // descriptors of tx that reserve() promised
  bool unsent = false;          // tx may hold descriptors that the kernel was not told of

 private:
  Status map_ring(XdpRing* ring, const xdp::RingOffsets& offsets, int64_t place, size_t entry_bytes);

  int fd_;
  uint32_t queue_;
  uint32_t transmit_budget_ = 32;
};

}  // namespace paste
