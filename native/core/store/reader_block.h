// One log block, copied whole and checked record by record: for reports, where speed is not all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/store/reader_places.h"
#include "core/store/reader_view.h"

namespace paste {

class ReaderBlock {
 public:
  explicit ReaderBlock(ReaderView& view) : view_(view), places_(view) {}

  enum class Result { kRead, kGone, kInvisible, kFailed };
  // Copies the part of the block that may be read. kGone: it was reused meanwhile.
  Result read(uint32_t lane, const BlockRef& block);

  enum class Found {
    kRecord,   // `header` and `payload` are good
    kDamaged,  // a record that must be whole is not: `problem` says why; next() goes on behind it
    kEnd,
  };
  Found next();

  uint32_t offset() const { return offset_; }  // of the record that next() found
  const Extent& extent() const { return extent_; }
  const layout::DirectoryEntry& entry() const { return entry_; }
  // True when the block's part that counts has been gone through, and it was reused meanwhile.
  bool gone() { return view_.entry_word(block_.index) != layout::entry_word(block_.serial, layout::kLog); }

  layout::RecordHeader header{};
  const uint8_t* payload = nullptr;
  uint32_t payload_bytes = 0;
  std::string problem;

 private:
  Found damaged(const char* what, uint32_t step);
  bool header_good(uint32_t at) const;
  const char* take_payload();

  ReaderView& view_;
  ReaderPlaces places_;
  BlockRef block_;
  layout::DirectoryEntry entry_{};
  Extent extent_;
  std::vector<uint8_t> bytes_, placed_;
  uint32_t offset_ = 0, next_ = 0;
};

}  // namespace paste
