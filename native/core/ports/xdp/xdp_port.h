// A device as a port, through AF_XDP: `xdp:IF[@Q|@all][,mode=...][,copy=...][,umem=...][,netns=...]`.
//
// The kernel receives straight into chunks of the thread's frame memory, and sends straight out of them. A frame that came in by one port of
// the thread and lies in a chunk leaves by this one where it lies: its chunk gets a use more until the kernel has sent it.
// A chunk is posted to the kernel only when it has no other use, and with a use that is the kernel's; so a chunk that is being
// sent, that a batch still needs or that the log keeps is never received into.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/ports/frame_memory.h"
#include "core/ports/offload.h"
#include "core/ports/port.h"
#include "core/ports/port_site.h"
#include "core/ports/xdp/xdp_options.h"
#include "core/ports/xdp/xdp_socket.h"
#include "core/ports/xdp/xdp_umem.h"

namespace paste {

class XdpPort final : public Port {
 public:
  // Attaches the program, binds a socket to each queue. `site` and all in it outlive the port. Takes some milliseconds. Failures: USAGE,
  // PORT (no such interface or queue, another program is attached, MTU too large), PRIVILEGE, RESOURCE (memory cannot be pinned).
  static Status create(const std::string& name, const std::string& spec, const PortSite& site,
                       std::unique_ptr<Port>* port);
  ~XdpPort() override;

  layout::PortKind kind() const override { return layout::kXdpPort; }
  const std::string& name() const override { return name_; }
  uint32_t frame_bytes_max() const override { return frame_bytes_max_; }
  bool trusted() const override { return true; }
  bool filled_by_device() const override { return zero_copy_; }
  uint32_t receive(Batch& batch, uint32_t max) override;
  void unreceive(uint32_t count) override;
  void release(const Batch& batch, std::span<const uint16_t> frames) override;
  uint32_t reserve(const Batch& batch, std::span<const uint16_t> frames) override;
  Refusal refusal() const override { return refusal_; }
  uint32_t deliver(const Batch& batch, std::span<const uint16_t> frames) override;
  void cancel(const Batch& batch, std::span<const uint16_t> frames) override;
  void notify() override;
  void complete() override;
  int doorbell() const override { return doorbell_; }
  bool arm() override;
  void disarm() override {}
  bool alive() const override;
  const char* state() const override;
  std::string detail() const override { return detail_; }
  DeviceCounters device_counters() const override;
  void link(bool up) override;
  void close() override;
  void give_back() override;

 private:
  static constexpr uint32_t kPiecesMax = 8;   // chunks of one frame: 9216 bytes in pieces of 1792 are six
  // A frame of the last receive(), as far as it takes to receive it again. Frames of several chunks lie in the arena, which the next batch
  // overwrites: their chunks are kept until then.
  struct Held {
    uint8_t* bytes;
    uint32_t length;
    uint16_t pieces;          // 0: one chunk, at `bytes`
    bool copied;              // into that chunk: a segment
  };
  using Pieces = xdp::Descriptor[kPiecesMax];

  XdpPort(std::string name, XdpOptions options, const PortSite& site)
      : name_(std::move(name)), options_(std::move(options)), clock_(*site.clock) {}
  Status open(const PortSite& site);
  Status open_queues(const PortSite& site, XdpRequest::Mode mode);
  Status choose_memory(const PortSite& site);
  Status bind_queues(Devices& devices, const XdpDevice& device);
  Status wait_on();
  void describe();

  // Receive
  uint32_t receive_again(Batch& batch, uint32_t max);
  uint32_t receive_queue(XdpSocket& socket, Batch& batch, uint32_t max);
  enum class Long { kFrame, kGone, kNoRoom };
  Long receive_long(XdpSocket& socket, Batch& batch, uint32_t end);
  void add_frame(Batch& batch, const Held& held);
  void gather(Batch& batch, const xdp::Descriptor* pieces, uint32_t count, uint32_t length);
  bool begin_segments(uint32_t length);
  uint32_t add_segments(Batch& batch, uint32_t max);
  void count_drop(uint32_t length, Drop reason);
  void take_back(XdpSocket& socket, uint32_t count, bool keep_use);
  void drop_pieces();
  void post(XdpSocket& socket);
  uint32_t chunk_at(uint64_t address) const { return static_cast<uint32_t>(address >> chunk_shift_); }

  // Transmit (xdp_transmit.cc)
  XdpSocket& queue_for(const Frame& frame);
  uint32_t chunks_for(const Frame& frame) const;
  uint32_t chunk_in_place(const Frame& frame) const;
  void send_in_place(XdpSocket& socket, const Frame& frame, uint32_t chunk);
  uint32_t send_copy(XdpSocket& socket, const Frame& frame);
  void collect(XdpSocket& socket);
  void kick(XdpSocket& socket);

  std::string name_;
  XdpOptions options_;
  const Clock& clock_;
  XdpUmem* umem_ = nullptr;
  FrameMemory* memory_ = nullptr;      // umem_'s
  uint8_t* base_ = nullptr;
  uint32_t chunk_bytes_ = 0, chunk_shift_ = 0;
  uint32_t frame_bytes_max_ = 0;
  bool fragments_ = false;
  bool native_ = false;
  bool zero_copy_ = false;
  std::string detail_;
  int map_ = -1, link_ = -1, doorbell_ = -1;
  bool own_doorbell_ = false;
  std::vector<std::unique_ptr<XdpSocket>> sockets_;
  uint32_t receive_queues_ = 1;        // of the device
  uint32_t transmit_queues_ = 1;       // the first so many sockets send
  uint32_t post_target_ = 0;           // chunks that each queue has posted
  uint32_t cursor_ = 0;                // socket that receive() asks first

  uint64_t now_ns_ = 0;
  uint32_t stamped_ = 0;               // frames since now_ns_ was read
  uint32_t held_count_ = 0, again_count_ = 0;
  Held held_[kBatchFrames], again_[kBatchFrames];
  std::unique_ptr<Pieces[]> held_pieces_, again_pieces_;

  // Generic mode: a local sender's frame of up to 64 KiB, which its device was to segment (TSO), and its segments still to come.
  std::unique_ptr<uint8_t[]> unsegmented_;
  Segmenter segmenter_;

  std::vector<uint32_t> promised_;     // chunks for copies, taken by reserve()
  std::unique_ptr<uint8_t[]> posted_;  // by chunk: the kernel may receive into it
  std::unique_ptr<uint8_t[]> sending_;  // by chunk: descriptors of it that the kernel has not completed
  Refusal refusal_ = Refusal::full;
  bool stuck_ = false;                 // the kernel did not take what is in tx: the device is down

  std::atomic<bool> up_{true};         // as the operating system says
  std::atomic<bool> down_seen_{false};  // as a system call said
  mutable std::atomic<bool> gone_{false};
};

}  // namespace paste
