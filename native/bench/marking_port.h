// A port whose received frames lie in store buffers, as a device's DMA would put them there: what marking in place needs. The
// benchmark's generator is the device. The transmit side is a vale port's.
#pragma once

#include <memory>

#include "core/ports/polled_port.h"
#include "core/ports/vale/vale_port.h"
#include "core/store/lane.h"

namespace paste::bench {

class MarkingPort final : public PolledPort {
 public:
  MarkingPort(ValePort* vale, BufferPool* pool) : vale_(vale), pool_(pool) {}
  ~MarkingPort() override {
    if (block_.memory != nullptr) pool_->drop_uses(block_.index, 1);
  }

  // The device: room for the next frame, or null while the store has no free buffer block; then the frame's length.
  uint8_t* next_buffer() {
    if (block_.memory == nullptr || at_ + layout::kBufferBytes > block_.size_bytes) {
      if (block_.memory != nullptr) pool_->drop_uses(block_.index, 1);
      block_ = BufferBlock{};
      at_ = 0;
      if (!pool_->take(&block_)) return nullptr;
    }
    return block_.memory + at_;
  }
  void filled(uint32_t length) {
    PASTE_CHECK(waiting_ < kBatchFrames);
    pool_->add_uses(block_.index, 1);
    queue_[waiting_++] = {block_.memory + at_, block_.store_offset + at_, block_.index, length};
    at_ += layout::kBufferBytes;
  }

  uint32_t receive(Batch& batch, uint32_t max) override {
    const uint64_t now = clock_.now_ns();
    uint32_t count = 0;
    for (; taken_ < waiting_ && count < max && !batch.full(); taken_++, count++) {
      const Filled& filled = queue_[taken_];
      Frame& frame = batch.frames[batch.count++];
      frame = {filled.bytes, filled.length, filled.length, now, filled.store_offset, filled.block, index, false};
      counters.received_bytes += filled.length;
    }
    counters.received_frames += count;
    counters.zero_copy_frames += count;
    if (taken_ == waiting_) taken_ = waiting_ = 0;
    return count;
  }
  void unreceive(uint32_t count) override {
    // All of the queue was taken and forgotten, or part of it: the frames are still in their places.
    if (waiting_ == 0) waiting_ = taken_ = last_waiting_;
    taken_ -= count;
    counters.received_frames -= count;
    counters.zero_copy_frames -= count;
  }
  void release(const Batch& batch, std::span<const uint16_t> frames) override {
    for (const uint16_t i : frames) pool_->drop_uses(batch.frames[i].buffer_block, 1);
  }
  void sent() { last_waiting_ = waiting_; }
  bool empty() const { return waiting_ == 0; }

  layout::PortKind kind() const override { return vale_->kind(); }
  const std::string& name() const override { return vale_->name(); }
  uint32_t frame_bytes_max() const override { return vale_->frame_bytes_max(); }
  uint32_t reserve(const Batch& batch, std::span<const uint16_t> frames) override { return vale_->reserve(batch, frames); }
  uint32_t deliver(const Batch& batch, std::span<const uint16_t> frames) override { return vale_->deliver(batch, frames); }
  void cancel(const Batch& batch, std::span<const uint16_t> frames) override { vale_->cancel(batch, frames); }
  void notify() override { vale_->notify(); }

 private:
  struct Filled {
    uint8_t* bytes;
    uint64_t store_offset;
    uint32_t block, length;
  };
  ValePort* vale_;
  BufferPool* pool_;
  Clock clock_;
  BufferBlock block_;
  uint32_t at_ = 0;
  Filled queue_[kBatchFrames];
  uint32_t waiting_ = 0, taken_ = 0, last_waiting_ = 0;
};

}  // namespace paste::bench
