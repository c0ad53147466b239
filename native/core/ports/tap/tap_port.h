// A TAP device as a port: `tap:IF[,queues=N][,mtu=N][,persist][,owner=U][,group=G][,netns=NS][,mac=M][,address=A/N][,offload=on|off]`.
//
// The kernel writes each frame straight into a chunk of the thread's frame memory: in the store, that read is the only copy, and a
// selected frame is marked where it lies. A frame longer than a chunk is put together in a buffer of the port's own.
//
// The kernel has no batches here: a forwarding thread makes one system call for each frame that comes or goes, and one for each
// queue that it finds empty. None of them blocks. With offload=on, the default, one call brings up to 64 KiB, which are segmented
// here (offload.h): frames of the other ports' length, all checksums finished. TCP segments that leave one behind the other go out in
// one call as well, as the kernel's own receive offload would join them.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/ports/offload.h"
#include "core/ports/port.h"
#include "core/ports/port_site.h"

namespace paste {

class LongBuffers;

struct TapOptions {
  TapRequest request;
  bool offload = true;
};

// "tap:IF,..." into options; USAGE with the word that is wrong.
Status parse_tap_spec(const std::string& spec, TapOptions* options);

class TapPort final : public Port {
 public:
  static Status create(const std::string& name, const std::string& spec, const PortSite& site, std::unique_ptr<TapPort>* port);
  ~TapPort() override;

  layout::PortKind kind() const override { return layout::kTapPort; }
  const std::string& name() const override { return name_; }
  uint32_t frame_bytes_max() const override { return kLiveFrameBytesMax; }
  bool trusted() const override { return true; }
  uint32_t receive(Batch& batch, uint32_t max) override;
  void unreceive(uint32_t count) override;
  void release(const Batch& batch, std::span<const uint16_t> frames) override;
  uint32_t reserve(const Batch& batch, std::span<const uint16_t> frames) override;
  Refusal refusal() const override { return alive() ? Refusal::down : Refusal::gone; }
  uint32_t deliver(const Batch& batch, std::span<const uint16_t> frames) override;
  void cancel(const Batch&, std::span<const uint16_t>) override {}  // promises take no room
  void notify() override {}
  int doorbell() const override { return bell_; }
  bool arm() override;
  void disarm() override {}
  void rang() override;
  bool alive() const override { return !gone_.load(std::memory_order_relaxed); }
  const char* state() const override;
  std::string detail() const override { return detail_; }
  DeviceCounters device_counters() const override;
  void link(bool up) override { up_.store(up, std::memory_order_relaxed); }
  void close() override;
  void give_back() override;

 private:
  // A frame that was read: in a chunk of the frame memory, or (kNoChunk) in a long buffer.
  struct Held {
    const uint8_t* bytes = nullptr;
    uint32_t length = 0;
    uint32_t chunk = kNoChunk;
  };
  struct Queue {
    int fd = -1;
    bool armed = false;    // a frame will ring
  };
  enum class Read { kFrame, kDropped, kEmpty, kNoRoom };

  TapPort(std::string name, const TapOptions& options, const PortSite& site);
  Read read_frame(Queue& queue, Held* held);
  Read take_read(uint32_t chunk, uint8_t* at, uint32_t length, Held* held);
  Read take_offload(uint32_t chunk, uint8_t* header, uint32_t length, Held* held);
  Read next_segment(Held* held);
  Read drop(uint32_t length, Drop reason);
  Read take_long(uint32_t front_bytes, const uint8_t* front, uint32_t length, Held* held);
  void add(Batch& batch, const Held& held);
  void give_back(const Held& held);
  bool write_frame(const Frame& frame, uint64_t* bytes);
  uint32_t write_joined(const Batch& batch, std::span<const uint16_t> frames, uint64_t* bytes);
  int queue_of(const Frame& frame) const;
  void note_error(int error);

  const std::string name_;
  TapOptions options_;
  const Clock& clock_;
  FrameMemory& memory_;
  std::string detail_;
  std::vector<Queue> queues_;
  int bell_ = -1;                    // an epoll of the queues
  std::atomic<bool> up_{true}, gone_{false};
  Refusal why_ = Refusal::full;      // the last write failed

  uint32_t next_queue_ = 0;
  uint32_t spare_ = kNoChunk;        // to read into
  Held last_[kBatchFrames];          // of the last receive()
  uint32_t last_count_ = 0;
  Held waiting_[kBatchFrames];       // taken back by unreceive(), oldest first
  uint32_t waiting_first_ = 0, waiting_count_ = 0;
  std::unique_ptr<LongBuffers> long_;
  std::unique_ptr<uint8_t[]> rest_;  // what does not fit a chunk; with offloads a whole frame of up to 64 KiB
  Segmenter segmenter_;              // over rest_
};

}  // namespace paste
