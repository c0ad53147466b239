// What a filter may ask of any frame besides its bytes, in a store or a capture: its time, its Community ID, and the tests of the
// whole frame, as words that a program loads (bpf.h, BpfRecordWord).
#pragma once

#include <cstdint>

#include "core/bpf/bpf.h"
#include "core/frame/frame_tests.h"

namespace paste {

class FrameWords : public BpfRecord {
 public:
  // `tests` are asked behind so many name tests. Frames in [from_ns, to_ns) are within the reading.
  void start(uint32_t names, const std::vector<FrameTest>& tests, uint64_t from_ns, uint64_t to_ns) {
    tests_from_ = kBpfNames + names;
    tests_.start(tests, from_ns, to_ns);
  }
  // The frame that word() tells of from now on; its bytes stay while it is asked.
  void set(const uint8_t* frame, uint32_t length, uint64_t time_ns, uint32_t lane) {
    frame_ = frame;
    length_ = length;
    time_ns_ = time_ns;
    has_community_ = kUnknown;
    if (tests_.count() > 0) tests_.set(frame, length, time_ns, lane);
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
  uint32_t tests_from_ = kBpfNames;
  FrameTests tests_;
};

}  // namespace paste
