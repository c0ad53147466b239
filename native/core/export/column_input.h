// A capture's frames, in columns as logger/capture reads them, a batch at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/export/export_input.h"

namespace paste {

// Somebody else's memory, which stays as it is while it is here. Every frame lies within `data`; `selected` null: all of them.
struct FrameColumns {
  const uint8_t* data = nullptr;
  size_t count = 0;
  const uint32_t* offsets = nullptr;
  const uint32_t* captured = nullptr;
  const uint32_t* wire = nullptr;
  const uint64_t* times = nullptr;
  const uint16_t* interfaces = nullptr;  // each below the number of interfaces given
  const uint8_t* selected = nullptr;
};

class ColumnInput final : public ExportInput {
 public:
  struct Interface {
    std::string name;
    uint32_t link_type = 1, snaplen = ~0u;
    uint32_t file = ~0u, number = 0;  // in that file
  };

  using ExportInput::ExportInput;

  // After kHungry. `interfaces`: all that are known, those of before unchanged.
  void feed(const FrameColumns& columns, std::vector<Interface> interfaces) {
    columns_ = columns;
    at_ = 0;
    for (size_t i = interfaces_.size(); i < interfaces.size(); ++i) interfaces_.push_back(std::move(interfaces[i]));
  }
  void end() { ended_ = true; }
  // Whether the memory of the batch is still looked at.
  bool uses_batch() const { return at_ < columns_.count; }

  // The head's place in the batch.
  size_t at() const { return at_; }
  // Of the head, in the batch's own numbers.
  uint32_t interface_of_batch() const { return columns_.interfaces[at_]; }

  Head head(FrameToEncode* frame) override {
    if (columns_.selected)
      while (at_ < columns_.count && !columns_.selected[at_]) ++at_;
    if (at_ >= columns_.count) return ended_ ? Head::kEnd : Head::kHungry;
    frame->bytes = columns_.data + columns_.offsets[at_];
    frame->length = columns_.captured[at_];
    frame->wire_length = columns_.wire[at_];
    frame->time_ns = columns_.times[at_];
    frame->from_store = false;
    frame->direction = Direction::kUnknown;
    frame->queue = FrameToEncode::kNoQueue;
    frame->lost = 0;
    frame->sequence = 0;
    frame->comment = {};
    return Head::kFrame;
  }
  void advance() override { ++at_; }
  Status interface_of_head(CaptureEncoder& encoder, EncodedBytes* out, uint32_t* number) override {
    Interface& each = interfaces_[columns_.interfaces[at_]];
    if (each.file != encoder.file()) {
      if (Status status = encoder.describe(interface(each.name, each.link_type, each.snaplen), out, &each.number); !status.ok())
        return status;
      each.file = encoder.file();
    }
    *number = each.number;
    return Status();
  }

 private:
  FrameColumns columns_;
  size_t at_ = 0;
  bool ended_ = false;
  std::vector<Interface> interfaces_;
};

}  // namespace paste
