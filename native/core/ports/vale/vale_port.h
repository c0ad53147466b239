// A vale port in user space: the daemon's side of its clients' rings.
//
// Shared memory is hostile. Every field in it is read once into a local, checked, then used; positions live in private copies
// and are never read back. What the client can do to itself is counted (client_faults, dropped, refused) and goes on.
//
// A port has 1 to 16 rings of each direction and any number of attachments, each bound to some of the rings. Transmit rings
// are served in turn. A frame goes to the receive ring that its flow hash names among those that somebody is bound to, one with
// a group address to the first of them; so frames of one flow stay in order, and with one ring all do.
//
// Ports that share a memory region by its id are one thread's and lend each other frames: a frame that goes from one of them to
// another moves by its buffer, which changes places with the receive slot's. Everything else (what is looked up, logged, flooded,
// sent to ports elsewhere) is the snapshot that was taken when it was received. Such ports trust each other: if the sender
// rewrites the buffer meanwhile, its partner gets what is not in the log, and nobody else does.
//
// With a virtio-net header (10 or 12 bytes), every frame of the client's begins with one: it is taken off on the way in, and an
// empty one put in front on the way out. What it asks for is done: checksums are finished, long frames segmented.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/ports/line_copy.h"
#include "core/ports/offload.h"
#include "core/ports/port.h"
#include "core/ports/vale/vale_region.h"
#include "core/ports/vale/vale_ring.h"

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
  uint64_t memory_bytes = 0;
  uint64_t interface = 0;  // offset of its netmap::If
};

// One client of a port: the rings it is bound to, and the daemon's end of a non-blocking stream socketpair, which goes with it.
struct ValeAttachment {
  ValeAttachment() = default;
  ValeAttachment(const ClientIdentity& who, int doorbell_end, const BoundRings& rings)
      : client(who), doorbell(doorbell_end), bound(rings) {}
  ~ValeAttachment();
  ValeAttachment(const ValeAttachment&) = delete;
  ValeAttachment& operator=(const ValeAttachment&) = delete;

  ClientIdentity client;
  int doorbell = -1;
  BoundRings bound;
  bool alive = true;   // the doorbell did not break
};

class ValePort final : public Port {
 public:
  // Each takes a system call of the forwarding thread when frames come for a ring that several are bound to.
  static constexpr size_t kAttachmentsMax = 64;

  // A port with a region and a doorbell of its own, whose client's end the caller keeps or passes on.
  static Status create(const std::string& name, const RegionGeometry& geometry, const Clock& clock,
                       std::unique_ptr<ValePort>* port, ClientEnd* end);
  // `rings` were taken from `region` and are given back by the port, unless it is `persistent`: then it lives without attachments,
  // and its rings without it. `session` names the port in the ports server, 0 = none. `clock` outlives the port.
  ValePort(std::string name, std::shared_ptr<ValeRegion> region, const PortRings& rings, const Clock& clock, uint64_t session,
           bool persistent);
  ~ValePort() override;

  layout::PortKind kind() const override;
  const std::string& name() const override { return name_; }
  uint32_t frame_bytes_max() const override { return kLiveFrameBytesMax; }
  uint32_t receive(Batch& batch, uint32_t max) override;
  void unreceive(uint32_t count) override;
  void release(const Batch& batch, std::span<const uint16_t> frames) override;
  uint32_t reserve(const Batch& batch, std::span<const uint16_t> frames) override;
  Refusal refusal() const override { return rx_bound_count_ == 0 ? Refusal::down : Refusal::full; }
  uint32_t deliver(const Batch& batch, std::span<const uint16_t> frames) override;
  void cancel(const Batch& batch, std::span<const uint16_t> frames) override;
  void notify() override;
  int doorbell() const override { return doorbell_; }
  bool arm() override;
  void disarm() override;
  void rang() override;
  bool alive() const override { return alive_.load(std::memory_order_relaxed); }
  const char* state() const override { return alive() ? "up" : "gone"; }

  // --- before the port is attached, or in commands of its owner thread ---
  // A port of more than one attachment, or of none, needs an epoll descriptor, which is the port's from then on; made beforehand,
  // where it may fail.
  void give_bells(int epoll);
  // After each of them the doorbell() may be another descriptor.
  // `fresh`: a ring that nobody had becomes empty first.
  void add_attachment(std::unique_ptr<ValeAttachment> attachment, bool fresh = true);
  // Null when there is none of that session.
  std::unique_ptr<ValeAttachment> remove_attachment(uint64_t session);
  // One whose doorbell broke; null when there is none.
  std::unique_ptr<ValeAttachment> remove_broken();
  // Whether a client has published frames that were not received yet.
  bool has_waiting() const;
  // 0, 10 or 12; takes effect when no promise is open.
  void set_header_bytes(uint32_t bytes);

  uint64_t session() const { return session_; }
  // Of the first attachment; read where attachments are not changed at the same time.
  ClientIdentity client() const { return attachments_.empty() ? ClientIdentity{} : attachments_[0]->client; }
  size_t attachments() const { return attachments_.size(); }
  uint32_t slots() const { return rings_.geometry.tx_slots; }
  const std::shared_ptr<ValeRegion>& region() const { return region_; }
  const PortRings& rings() const { return rings_; }

 private:
  class SlotReader;
  // A frame that is longer than its wire, gathered, while its segments are handed out.
  struct Segments {
    Segmenter segmenter;
    VirtioNetHeader header;
    uint32_t length = 0, written = 0;
    uint8_t bytes[kOffloadBytesMax] = {};
  };
  // What became of the slots that one frame took; kDropped: *reason, and *length bytes; kSegments: to be handed out.
  enum class Taken : uint8_t { kFrame, kNothing, kDropped, kNoRoom, kSegments };

  bool client_head(const RingView& view, uint32_t from, uint32_t most, uint32_t* head) const;
  void reset_ring(RingView& view, uint32_t head, uint32_t tail);
  static void put_positions(RingView& view, uint32_t head, uint32_t tail);
  uint32_t receive_ring(uint32_t number, Batch& batch, uint32_t max);
  Taken take_frame(SlotReader& slots, Batch& batch, uint64_t time_ns, uint32_t* length, Drop* reason);
  Taken take_chain(SlotReader& slots, Batch& batch, uint64_t time_ns, uint64_t first, uint32_t* length, Drop* reason);
  bool finish(const VirtioNetHeader& header, uint32_t header_got, uint8_t* frame, uint32_t length);
  uint32_t hand_out_segments(Batch& batch, uint32_t max);
  void take_back_segments(uint32_t count);
  bool lend(Frame& frame, uint32_t tag, uint32_t ring, uint32_t slot);
  void end_loans(const Batch& batch, std::span<const uint16_t> frames);
  void add_frame(Batch& batch, const uint8_t* bytes, uint32_t length, uint64_t time_ns);
  bool names_buffer(uint32_t buffer) const {
    return buffer - netmap::kReservedBuffers < buffer_count_ - netmap::kReservedBuffers;
  }
  uint8_t* buffer(uint32_t index) const { return buffers_ + uint64_t{index} * buffer_bytes_; }
  void count_drop(TxView& tx, Drop reason, uint32_t slots, uint32_t bytes);
  uint32_t slots_for(uint32_t length) const { return slots_for(length, header_bytes_); }
  uint32_t slots_for(uint32_t length, uint32_t header) const {
    length += header;
    return length <= buffer_bytes_ ? 1 : (length + buffer_bytes_ - 1) / buffer_bytes_;
  }
  // Of a frame as it leaves this port, without the virtio-net header.
  uint32_t bytes_out(const Frame& frame) const {
    return static_cast<uint32_t>(static_cast<int32_t>(frame.length) + vlan_growth(vlan, frame));
  }
  bool plain() const { return !vlan.aware() && header_bytes_ == 0; }
  template <bool plain>
  uint32_t promise(RxView& rx, const Batch& batch, std::span<const uint16_t> frames, uint32_t free);
  template <bool plain>
  uint32_t write(RxView& rx, const Batch& batch, std::span<const uint16_t> frames, uint64_t* bytes);
  uint32_t choose_rx(const Frame& frame) const;
  uint32_t reserve_many(const Batch& batch, std::span<const uint16_t> frames);
  uint32_t deliver_many(const Batch& batch, std::span<const uint16_t> frames, uint64_t* bytes);
  void change_header();
  void look_at_head(RxView& rx);
  uint32_t deliver_to(RxView& rx, const Batch& batch, std::span<const uint16_t> frames, uint64_t* bytes);
  bool fill(RxView& rx, const uint8_t* bytes, uint32_t length, uint32_t* at);
  bool fill_pieces(RxView& rx, const FrameShape& pieces, uint32_t* at);
  bool take_rx_slot(RxView& rx, uint32_t at, uint32_t* buffer);
  bool take_over(RxView& rx, const Frame& frame, uint32_t* at);
  void ring_doorbell(ValeAttachment& attachment);
  void ring_doorbells(const RingView& view, bool transmit, uint32_t number);
  void rang(ValeAttachment& attachment);
  void attachment_broke(ValeAttachment& attachment);
  void look_alive();
  std::unique_ptr<ValeAttachment> remove(size_t at);
  void bind_rings(const BoundRings& bound, int32_t by, bool fresh);
  void resume();
  void renew(TxView& tx);
  void renew(RxView& rx);
  void choose_doorbell();

  std::string name_;
  std::shared_ptr<ValeRegion> region_;
  const PortRings rings_;
  const Clock& clock_;
  const uint64_t session_;
  const bool persistent_;
  int doorbell_ = -1;        // the only attachment's, or bells_
  int bells_ = -1;           // epoll over all doorbells, where there is not exactly one
  LongCopy copy_long_;
  uint8_t* buffers_;
  uint32_t buffer_bytes_;
  uint32_t buffer_count_;
  uint32_t header_bytes_ = 0, wanted_header_bytes_ = 0;
  std::atomic<bool> alive_{true};
  std::vector<std::unique_ptr<ValeAttachment>> attachments_;

  uint32_t tx_count_, rx_count_;
  uint32_t tx_turn_ = 0;          // the transmit ring that is asked first
  uint32_t rx_bound_count_ = 0;   // receive rings with attachments, and which
  uint8_t rx_bound_[kRingsMax] = {};
  std::unique_ptr<TxView[]> tx_;
  std::unique_ptr<RxView[]> rx_;
  // With several receive rings: the ring of each promise, oldest first. What was promised stays so when attachments change.
  std::unique_ptr<uint8_t[]> promises_;
  uint32_t promises_mask_ = 0, promises_made_ = 0, promises_kept_ = 0;

  std::unique_ptr<Segments> segments_;  // once the port had headers
  uint32_t lent_ = 0;             // received frames that may still be taken out of their slots: none is released meanwhile
  uint32_t last_count_ = 0;       // frames of the last receive() that unreceive() may take back
  uint32_t last_start_[kBatchFrames];
  uint32_t last_length_[kBatchFrames];
  uint8_t last_ring_[kBatchFrames];
  bool last_lent_[kBatchFrames];
};

}  // namespace paste
