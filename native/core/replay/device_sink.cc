// A device that the replay opens for itself, as the switch would: any kind of port_kinds.h, without a switch behind it.
#include <time.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/base/clock.h"
#include "core/ports/frame_memory.h"
#include "core/replay/sink.h"
#include "core/switch/port_kinds.h"

namespace paste {
namespace {

constexpr uint32_t kChunks = 4096;
constexpr long kNapNs = 20'000;

void nap() {
  const timespec pause = {0, kNapNs};
  nanosleep(&pause, nullptr);
}

class DeviceSink final : public ReplaySink {
 public:
  DeviceSink() : batch_(std::make_unique<Batch>()) { std::iota(indexes_, indexes_ + kBatchFrames, uint16_t{0}); }
  ~DeviceSink() override {
    if (!port_) return;
    port_->close();
    port_->give_back();
  }

  Status open(const std::string& spec) {
    const PortKind* kind = port_kind_of(spec);
    if (kind == nullptr) return {Code::kUsage, "\"" + spec + "\" is no device: write " + port_kind_names() + "or a port such as vale0:a"};
    FrameMemoryOptions options;
    options.chunks = kChunks;
    if (Status status = FrameMemory::create(options, nullptr, nullptr, &memory_); !status.ok()) return status;
    devices_ = process_devices();
    const PortSite site = {&clock_, devices_.get(), memory_.get(), nullptr, nullptr};
    return kind->create(spec, spec, site, &port_);
  }

  const std::string& name() const override { return port_->name(); }
  uint32_t frame_bytes_max() const override { return port_->frame_bytes_max(); }

  uint32_t send(const uint8_t* data, const uint32_t* offsets, const uint32_t* lengths, uint32_t count) override {
    port_->complete();
    const uint32_t most = std::min(count, kBatchFrames);
    for (uint32_t i = 0; i < most; ++i) {
      Frame& frame = batch_->frames[i];
      frame = {};
      frame.bytes = data + offsets[i];
      frame.length = frame.wire_length = lengths[i];
    }
    batch_->count = most;
    const uint32_t promised = port_->reserve(*batch_, {indexes_, most});
    if (promised == 0) {
      const bool passes = port_->refusal() != Refusal::full;
      refused_ += passes;
      return passes ? 1 : 0;
    }
    const uint32_t delivered = port_->deliver(*batch_, {indexes_, promised});
    refused_ += promised - delivered;
    return promised;
  }
  bool flush() override {
    port_->notify();
    return port_->alive();
  }
  Wait wait_for_room(int) override {
    nap();
    port_->complete();
    return port_->alive() ? Wait::kReady : Wait::kGone;
  }
  bool alive() override { return port_->alive(); }
  // Nothing tells of a device's ring that all of it has left: it is given some looks, which complete() what has.
  bool sent_all() override {
    port_->complete();
    port_->notify();
    return ++last_looks_ >= kLastLooks || !port_->alive();
  }
  uint64_t refused() const override { return refused_; }

 private:
  static constexpr uint32_t kLastLooks = 20;

  Clock clock_;
  std::unique_ptr<Devices> devices_;
  std::unique_ptr<FrameMemory> memory_;
  std::unique_ptr<Port> port_;
  std::unique_ptr<Batch> batch_;
  uint16_t indexes_[kBatchFrames];
  uint32_t last_looks_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace

Status open_device_sink(const std::string& spec, std::unique_ptr<ReplaySink>* sink) {
  auto made = std::make_unique<DeviceSink>();
  if (Status status = made->open(spec); !status.ok()) return status;
  *sink = std::move(made);
  return {};
}

Status open_replay_sink(const SinkOptions& options, const std::string& name, std::unique_ptr<ReplaySink>* sink) {
  if (name.find(':') == std::string::npos) return open_interface_sink(name, sink);
  if (name.starts_with("vale")) return open_client_sink(options, name, sink);
  return open_device_sink(name, sink);
}

}  // namespace paste
