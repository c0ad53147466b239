// What a filter may ask of any frame besides its bytes, in a store or a capture: its time and its Community ID, as words that a
// program loads (bpf.h, BpfRecordWord).
#pragma once

#include <cstdint>

#include "core/bpf/bpf.h"

namespace paste {

class FrameWords : public BpfRecord {
 public:
  // The frame that word() tells of from now on; its bytes stay while it is asked.
  void set(const uint8_t* frame, uint32_t length, uint64_t time_ns) {
    frame_ = frame;
    length_ = length;
    time_ns_ = time_ns;
    has_community_ = kUnknown;
  }
  uint32_t word(uint32_t number) override;

 private:
  enum Known : uint8_t { kUnknown, kNo, kYes };
  uint32_t community(uint32_t number);

  const uint8_t* frame_ = nullptr;
  uint32_t length_ = 0;
  uint64_t time_ns_ = 0;
  Known has_community_ = kUnknown;
  uint32_t digest_[5] = {};
};

}  // namespace paste
