// A port of the kernel's netmap as one of ours: `netmap:IF...` (netmap_spec.h has the grammar).
//
// One RXSYNC and at most one TXSYNC a round, neither of which blocks; the descriptor is the doorbell. A frame leaves
// through the first ring of its kind, so that frames keep their order. With `*` the interface, its host and this switch
// stand on one segment: what one of the three sends, the other two get.
//
// Received frames stay where the device wrote them when the port's memory is the store's: the slot gets a spare buffer
// at once, so no slot waits for a frame that is on its way. Without a spare, or with netmap's own memory, they are
// copied.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/ports/line_copy.h"
#include "core/ports/netmap/netmap_device.h"
#include "core/ports/port.h"

namespace paste {

class NetmapPort final : public Port {
 public:
  // `name`: with its switch, such as "vale0:eth0". `spec`: "netmap:...". USAGE, and what NetmapDevice::open() gives.
  // What the site names outlives the port.
  static Status create(const std::string& name, const std::string& spec, const PortSite& site,
                       std::unique_ptr<NetmapPort>* port);
  ~NetmapPort() override = default;

  layout::PortKind kind() const override { return layout::kNetmapPort; }
  const std::string& name() const override { return name_; }
  uint32_t frame_bytes_max() const override { return frame_bytes_max_; }
  bool trusted() const override { return true; }
  bool filled_by_device() const override { return true; }
  bool sink() const override { return !tx_.empty(); }
  uint32_t receive(Batch& batch, uint32_t max) override;
  void unreceive(uint32_t count) override;
  void release(const Batch& batch, std::span<const uint16_t> frames) override;
  uint32_t reserve(const Batch& batch, std::span<const uint16_t> frames) override;
  Refusal refusal() const override { return refusal_; }
  uint32_t deliver(const Batch& batch, std::span<const uint16_t> frames) override;
  void cancel(const Batch& batch, std::span<const uint16_t> frames) override;
  void notify() override;
  void complete() override;
  int doorbell() const override { return device_->in_kernel() ? device_->fd() : -1; }
  bool arm() override;
  void disarm() override {}
  void rang() override { counters.kicks_received++; }
  bool alive() const override { return alive_.load(std::memory_order_relaxed); }
  const char* state() const override { return !alive() ? "gone" : up_.load(std::memory_order_relaxed) ? "up" : "down"; }
  std::string detail() const override { return device_->description(); }
  void link(bool up) override { up_.store(up, std::memory_order_relaxed); }
  void close() override { device_->close_descriptor(); }

 private:
  struct RxRing {
    netmap::Ring* ring;
    uint32_t slots;
    uint32_t next;      // the next slot to take; the ring's head follows with the next receive()
    uint32_t tail;      // as last synchronised
    bool host;
  };
  struct TxRing {
    netmap::Ring* ring;
    uint32_t slots;
    uint32_t next;      // the next slot to fill
    uint32_t promised;  // slots from there on that reserve() promised
  };
  // What receive() took last, for unreceive().
  struct Taken {
    uint16_t ring;
    uint32_t slot, buffer;
    uint32_t spare;     // chunk that the slot got for `buffer`; kNoChunk: the frame was copied
    uint32_t length;
  };
  enum class Became : uint8_t { kFrame, kNothing, kNoRoom };

  NetmapPort(std::string name, const NetmapSpec& spec, const PortSite& site, std::unique_ptr<NetmapDevice> device);
  bool sync(unsigned long direction);
  bool sync_rx();
  RxRing* ring_with_frames();
  Became take_frame(RxRing& rx, Batch& batch, uint64_t time_ns);
  uint32_t take_in_place(netmap::Slot* slot, const netmap::Slot& had, Frame& frame);
  void gather(RxRing& rx, uint32_t at, uint32_t slots, Batch& batch, Drop* reason, uint32_t* length,
              uint8_t** snapshot);
  void drop_slots(RxRing& rx, uint32_t from, uint32_t count, Drop reason, uint32_t bytes);
  void pass_across(const Batch& batch, std::span<const uint16_t> frames);

  uint32_t room(const TxRing& tx) const;
  uint32_t length_out(const Frame& frame) const {
    return static_cast<uint32_t>(static_cast<int32_t>(frame.length) + vlan_growth(vlan, frame));
  }
  uint32_t slots_for(uint32_t length) const {
    return length <= buffer_bytes_ ? 1 : (length + buffer_bytes_ - 1) / buffer_bytes_;
  }
  bool fill(TxRing& tx, const FrameShape& shape);
  void synchronise_tx();

  const std::string name_;
  const Clock& clock_;
  std::unique_ptr<NetmapDevice> device_;
  FrameMemory* memory_;            // the device's, in the store; null = netmap's own memory
  const LongCopy copy_long_;
  const uint32_t buffer_bytes_;
  uint32_t frame_bytes_max_;
  std::atomic<bool> alive_{true}, up_{true};

  std::vector<RxRing> rx_;
  uint32_t rx_cursor_ = 0;
  uint32_t last_count_ = 0;
  Taken last_[kBatchFrames];

  std::vector<TxRing> tx_;         // one, or that of the interface and that of the host: each copy goes to all
  bool segment_;                   // `*`: frames pass between the two as well
  Refusal refusal_ = Refusal::full;
  bool tx_synced_ = false;         // in this round
  bool unsent_ = false;            // filled slots that no TXSYNC showed yet
};

}  // namespace paste
