// What an export takes frames from: a store, or a capture whose batches JavaScript hands over.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "core/export/capture_encoder.h"

namespace paste {

// Of a frame that went nowhere: RecordHeader.outcome, not 0, in words.
std::string drop_comment(uint8_t outcome);

class ExportInput {
 public:
  // kHungry: a capture's next batch is needed. kSearching: a bounded piece of a store was searched and held nothing.
  enum class Head : uint8_t { kFrame, kHungry, kSearching, kEnd };

  ExportInput(uint32_t number, std::string description) : number_(number), description_(std::move(description)) {}
  virtual ~ExportInput() = default;

  // The frame that comes next, its interface apart; stays the same until advance(). Its bytes stay valid as long.
  virtual Head head(FrameToEncode* frame) = 0;
  virtual void advance() = 0;
  // After kEnd: there may be more by now.
  virtual void look_again() {}
  // Of the head: its number in the file under way, described there when it is new.
  virtual Status interface_of_head(CaptureEncoder& encoder, EncodedBytes* out, uint32_t* interface) = 0;
  // Frames that the source says it lost, up to now.
  virtual uint64_t lost() const { return 0; }
  virtual Status status() const { return Status(); }
  // Batches at most so large: there may be many inputs.
  virtual void limit_batch(uint32_t) {}

 protected:
  InterfaceToEncode interface(std::string_view name, uint32_t link_type, uint32_t snaplen) const {
    return InterfaceToEncode{name, description_, link_type, snaplen, number_};
  }

 private:
  uint32_t number_;
  std::string description_;  // of every interface of this input; empty: there is only one
};

}  // namespace paste
