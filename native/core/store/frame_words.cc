#include "core/store/frame_words.h"

#include "core/store/community_id.h"

namespace paste {

uint32_t FrameWords::word(uint32_t number) {
  if (number == kBpfTimeHigh) return static_cast<uint32_t>(time_ns_ >> 32);
  if (number == kBpfTimeLow) return static_cast<uint32_t>(time_ns_);
  if (number < kBpfOutcome) return community(number);
  return number >= tests_from_ && tests_.holds(number - tests_from_);
}

uint32_t FrameWords::community(uint32_t number) {
  if (has_community_ == kUnknown) has_community_ = community_id(frame_, length_, digest_) ? kYes : kNo;
  if (number == kBpfHasCommunity) return has_community_ == kYes;
  return has_community_ == kYes ? digest_[number - kBpfCommunity] : 0;
}

}  // namespace paste
