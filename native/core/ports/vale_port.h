// A vale port in user space: the daemon's side of one client's rings.
//
// Shared memory is hostile. Every field in it is read once into a local, checked, then used; positions live in private copies
// and are never read back. What the client can do to itself is counted (client_faults, dropped, refused) and goes on.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "core/base/clock.h"
#include "core/ports/line_copy.h"
#include "core/ports/port.h"
#include "core/ports/vale_region.h"

namespace paste {

// Who is at the other end; -1 = nobody, or a client in this process.
struct ClientIdentity {
  int32_t pid = -1;
  int32_t uid = -1;
  uint64_t session = 0;  // PortsServer's number of the connection, 0 = none
};

// The client's end of a port: both descriptors are the holder's to close.
struct ClientEnd {
  int memory_fd = -1;
  int doorbell = -1;
  RegionGeometry geometry;
};

class ValePort final : public Port {
 public:
  // A port with a region and a doorbell of its own, whose client's end the caller keeps or passes on.
  static Status create(const std::string& name, const RegionGeometry& geometry, const Clock& clock,
                       std::unique_ptr<ValePort>* port, ClientEnd* end);
  // `region` is not in use by anybody else; `doorbell` is the daemon's end of a non-blocking stream socketpair and the
  // port's from then on. `clock` outlives the port.
  ValePort(std::string name, std::unique_ptr<ValeRegion> region, int doorbell, const Clock& clock,
           const ClientIdentity& client);
  ~ValePort() override;

  layout::PortKind kind() const override;
  const std::string& name() const override { return name_; }
  uint32_t frame_bytes_max() const override { return kLiveFrameBytesMax; }
  uint32_t receive(Batch& batch, uint32_t max) override;
  void unreceive(uint32_t count) override;
  void release(const Batch& batch, std::span<const uint16_t> frames) override;
  uint32_t reserve(const Batch& batch, std::span<const uint16_t> frames) override;
  uint32_t deliver(const Batch& batch, std::span<const uint16_t> frames) override;
  void cancel(const Batch& batch, std::span<const uint16_t> frames) override;
  void notify() override;
  int doorbell() const override { return doorbell_; }
  bool arm() override;
  void disarm() override;
  void rang() override;
  bool alive() const override { return alive_.load(std::memory_order_relaxed); }
  const char* state() const override { return alive() ? "up" : "gone"; }

  const ClientIdentity& client() const { return client_; }
  uint32_t slots() const { return tx_.slots; }
  int memory_fd() const { return region_->fd(); }

 private:
  // What the daemon keeps of a ring for itself.
  struct RingView {
    netmap::Ring* ring = nullptr;
    netmap::RingSync* sync = nullptr;
    netmap::Slot* slot = nullptr;
    uint8_t* buffers = nullptr;
    uint32_t slots = 0;
    uint32_t first_buffer = 0;
    uint32_t next(uint32_t i) const { return i + 1 == slots ? 0 : i + 1; }
    uint32_t distance(uint32_t from, uint32_t to) const { return to >= from ? to - from : to + slots - from; }
    uint32_t advance(uint32_t i, uint32_t by) const { return i + by >= slots ? i + by - slots : i + by; }
  };
  class SlotReader;
  // What became of the slots that one frame took; kDropped: *reason, and *length bytes.
  enum class Taken : uint8_t { kFrame, kNothing, kDropped, kNoRoom };

  bool client_head(const RingView& view, uint32_t from, uint32_t most, uint32_t* head) const;
  void reset_ring(RingView& view, uint32_t head, uint32_t tail);
  Taken take_frame(SlotReader& slots, Batch& batch, uint64_t time_ns, uint32_t* length, Drop* reason);
  Taken take_chain(SlotReader& slots, Batch& batch, uint64_t time_ns, uint64_t first, uint32_t* length, Drop* reason);
  void add_frame(Batch& batch, const uint8_t* bytes, uint32_t length, uint64_t time_ns);
  bool names_buffer(uint32_t buffer) const {
    return buffer - netmap::kReservedBuffers < buffer_count_ - netmap::kReservedBuffers;
  }
  void count_drop(Drop reason, uint32_t slots, uint32_t bytes);
  uint32_t slots_for(uint32_t length) const {
    return length <= buffer_bytes_ ? 1 : (length + buffer_bytes_ - 1) / buffer_bytes_;
  }
  // Of a frame as it leaves this port.
  uint32_t bytes_out(const Frame& frame) const {
    return static_cast<uint32_t>(static_cast<int32_t>(frame.length) + vlan_growth(vlan, frame));
  }
  template <bool aware>
  uint32_t promise(const Batch& batch, std::span<const uint16_t> frames, uint32_t free);
  template <bool aware>
  uint32_t write(const Batch& batch, std::span<const uint16_t> frames, uint64_t* bytes);
  bool fill(const uint8_t* bytes, uint32_t length, uint32_t* at);
  bool fill_shape(const FrameShape& shape, uint32_t* at);
  bool rx_buffer(uint32_t at, uint32_t* buffer);
  void ring_doorbell();

  std::string name_;
  std::unique_ptr<ValeRegion> region_;
  const Clock& clock_;
  ClientIdentity client_;
  int doorbell_;
  LongCopy copy_long_;
  uint32_t buffer_bytes_;
  uint32_t buffer_count_;
  std::atomic<bool> alive_{true};
  bool unnotified_ = false;  // deliveries were published since the last notify()

  RingView tx_;
  uint32_t tx_released_ = 0;      // hwcur as published: the client owns everything behind it
  uint32_t tx_next_ = 0;          // next slot to take; tx_released_ <= tx_next_ <= client.head
  uint32_t tx_counted_slots_ = 0; // slots from tx_next_ on that were taken back: their faults are counted already
  uint32_t last_count_ = 0;       // frames of the last receive() that unreceive() may take back
  uint32_t last_start_[kBatchFrames];
  uint32_t last_length_[kBatchFrames];

  RingView rx_;
  uint32_t rx_head_ = 0;     // what the client has given back, as last checked
  uint32_t rx_tail_ = 0;     // hwtail as published: the next slot to fill
  uint32_t rx_promised_ = 0; // slots from rx_tail_ on that reserve() promised
};

}  // namespace paste
