// Frames that were marked in place: their bytes lie in buffer blocks, mostly one behind the other.
#pragma once

#include <cstdint>
#include <vector>

#include "core/store/layout.h"
#include "core/store/reader_view.h"

namespace paste {

class ReaderPlaces {
 public:
  explicit ReaderPlaces(ReaderView& view) : view_(view) {}

  // Copies the frame's bytes to `to`. False when the place makes no sense or its buffer block was reused. The bytes are those
  // of the record only if the record's own block still stands after the call: it keeps the buffers from being reused.
  bool copy(const layout::PlacePayload& place, uint8_t* to);
  // What was read ahead is older than the records that will follow.
  void forget() { length_ = 0; }

 private:
  bool read_window(uint64_t offset, uint32_t length, uint64_t block_end, uint64_t word);

  ReaderView& view_;
  std::vector<uint8_t> window_;
  uint64_t start_ = 0, word_ = 0;
  uint32_t length_ = 0;
  uint32_t ahead_ = 0;  // bytes to read at once; doubles while frames follow each other
};

}  // namespace paste
