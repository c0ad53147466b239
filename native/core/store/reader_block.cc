#include "core/store/reader_block.h"

#include <cstring>

#include "core/store/checksums.h"

namespace paste {

ReaderBlock::Result ReaderBlock::read(uint32_t lane, const BlockRef& block) {
  block_ = block;
  offset_ = next_ = 0;
  places_.forget();
  if (!view_.read_entry(block.index, &entry_)) return Result::kFailed;
  if (entry_.word != layout::entry_word(block.serial, layout::kLog)) return Result::kGone;
  extent_ = view_.extent(lane, block, entry_);
  if (extent_.end < layout::kLine) return Result::kInvisible;
  bytes_.resize(extent_.end);
  if (!view_.source().read(view_.block_offset(block.index), bytes_.data(), extent_.end)) return Result::kFailed;
  return gone() ? Result::kGone : Result::kRead;
}

ReaderBlock::Found ReaderBlock::next() {
  if (next_ == 0) {
    next_ = layout::kLine;
    layout::BlockHeader head;
    memcpy(&head, bytes_.data(), sizeof head);
    if (head.magic != layout::kBlockMagic || head.crc != layout::block_header_crc(head)) {
      if (!extent_.exact) next_ = extent_.end;
      return damaged("the block's header is damaged (checksum)", 0);
    }
    if (head.serial != block_.serial || head.block_index != block_.index) return damaged("the block's header is of another block", 0);
  }
  offset_ = next_;
  if (offset_ + layout::kLine > extent_.end) return Found::kEnd;
  if (!header_good(offset_)) {
    if (!extent_.exact) return Found::kEnd;
    while (next_ + layout::kLine <= extent_.end && !header_good(next_)) next_ += layout::kLine;
    return damaged("the record's header is damaged (checksum)", 0);
  }
  memcpy(&header, bytes_.data() + offset_, sizeof header);
  const char* wrong = take_payload();
  if (!wrong) {
    next_ += header.lines * layout::kLine;
    return Found::kRecord;
  }
  if (extent_.abandoned) return Found::kEnd;
  return damaged(wrong, header.lines * layout::kLine);
}

ReaderBlock::Found ReaderBlock::damaged(const char* what, uint32_t step) {
  problem = what;
  next_ += step;
  return Found::kDamaged;
}

bool ReaderBlock::header_good(uint32_t at) const {
  layout::RecordHeader found;
  memcpy(&found, bytes_.data() + at, sizeof found);
  return found.lines > 0 && found.lines * layout::kLine <= extent_.end - at &&
         found.header_crc == layout::record_header_crc(found, block_.serial);
}

const char* ReaderBlock::take_payload() {
  const bool frame = header.type == layout::kFrame || header.type == layout::kContinuation;
  payload_bytes = frame && header.parts > 1 ? layout::part_bytes(header.payload_length, header.part) : header.payload_length;
  payload = bytes_.data() + offset_ + layout::kLine;
  if (frame && header.payload_length > layout::kFrameBytesMax) return "the frame is longer than a frame may be";
  if (frame && (header.flags & layout::kPlaced)) {
    layout::PlacePayload place;
    if (header.lines < 2) return "a record of a placed frame has no place";
    memcpy(&place, payload, sizeof place);
    if (place.place_crc != layout::place_payload_crc(place, block_.serial)) return "a placed frame's place is damaged (checksum)";
    if (place.length != payload_bytes) return "a placed frame's place has another length";
    place.length = payload_bytes;
    placed_.resize(payload_bytes);
    if (!places_.copy(place, placed_.data())) return "a placed frame's buffer block is gone";
    payload = placed_.data();
  } else if (header.lines != 1 + layout::lines_of(payload_bytes)) {
    return "the record's lines do not fit its payload";
  }
  return crc32c(0, payload, payload_bytes) == header.payload_crc ? nullptr : "the payload is damaged (checksum)";
}

}  // namespace paste
