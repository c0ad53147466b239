#include "core/store/block_scan.h"

#include <cstring>

#include "core/store/checksums.h"

namespace paste {

using layout::kLine;
using layout::RecordHeader;

BlockScan::BlockScan(const StoreView& view, uint32_t index, uint64_t serial, uint32_t offset)
    : view_(view), index_(index), serial_(serial), memory_(view.block(index)), offset_(offset) {}

bool BlockScan::header_valid() const {
  layout::BlockHeader header;
  std::memcpy(&header, memory_, sizeof header);
  return header.magic == layout::kBlockMagic && header.version == layout::kVersion && header.serial == serial_ &&
         header.block_index == index_ && std::memcmp(header.uuid, view_.superblock->uuid, sizeof header.uuid) == 0 &&
         header.crc == layout::block_header_crc(header);
}

bool BlockScan::read_header(uint32_t offset, RecordHeader* header) const {
  if (offset + kLine > view_.superblock->block_bytes) return false;
  std::memcpy(header, memory_ + offset, sizeof *header);
  return header->type != layout::kEnd && header->header_crc == layout::record_header_crc(*header, serial_);
}

bool BlockScan::next(RecordHeader* header) {
  if (!read_header(offset_, header) || !check(*header)) return false;
  start_ = offset_;
  offset_ += header->lines * kLine;
  return true;
}

// The header is what a writer of this life wrote; its length and payload may still be impossible or torn.
bool BlockScan::check(const RecordHeader& header) {
  const uint32_t room = view_.superblock->block_bytes - offset_;
  if (header.lines == 0 || header.lines * kLine > room) {
    why_ = "a record longer than its block";
    return false;
  }
  if (header.flags & layout::kPlaced) return check_placed(header);
  const bool frame = header.type == layout::kFrame || header.type == layout::kContinuation;
  if (frame && (header.payload_length > layout::kFrameBytesMax || header.parts != layout::parts_of(header.payload_length) ||
                header.part >= header.parts || (header.part == 0) != (header.type == layout::kFrame))) {
    why_ = "a frame whose parts and length disagree";
    return false;
  }
  payload_bytes_ = frame ? layout::part_bytes(header.payload_length, header.part) : header.payload_length;
  placed_in_ = layout::kNoBlock;
  if (header.lines != 1 + layout::lines_of(payload_bytes_)) {
    why_ = "a record whose lines and length disagree";
    return false;
  }
  payload_ = memory_ + offset_ + kLine;
  if (crc32c(0, payload_, payload_bytes_) == header.payload_crc) return true;
  why_ = "a torn payload";
  return false;
}

bool BlockScan::check_placed(const RecordHeader& header) {
  layout::PlacePayload place;
  std::memcpy(&place, memory_ + offset_ + kLine, sizeof place);
  const layout::Superblock& s = *view_.superblock;
  const bool whole = header.type == layout::kFrame && header.lines == 2 && header.parts == 1 &&
                     place.place_crc == layout::place_payload_crc(place, serial_);
  if (!whole || place.length != header.payload_length || place.offset < s.blocks_offset) {
    why_ = "a torn place of a marked frame";
    return false;
  }
  const uint64_t index = (place.offset - s.blocks_offset) / s.block_bytes;
  if (index >= s.block_count || place.offset + place.length > view_.block_offset(static_cast<uint32_t>(index)) + s.block_bytes) {
    why_ = "a marked frame outside of the buffers";
    return false;
  }
  placed_in_ = static_cast<uint32_t>(index);
  if (layout::word_kind(place.block_word) != layout::kBuffers || view_.entry(placed_in_).word != place.block_word) {
    why_ = "a marked frame whose buffer block has been reused";
    return false;
  }
  payload_ = view_.base + place.offset;
  payload_bytes_ = place.length;
  if (crc32c(0, payload_, payload_bytes_) == header.payload_crc) return true;
  why_ = "the torn bytes of a marked frame";
  return false;
}

const uint8_t* BlockScan::payload() const { return payload_; }

BlockScan::Rest BlockScan::look_behind() const {
  Rest rest;
  RecordHeader header;
  for (uint32_t at = offset_; at + kLine <= view_.superblock->block_bytes;) {
    if (!read_header(at, &header)) {
      at += kLine;
      continue;
    }
    const uint32_t room = (view_.superblock->block_bytes - at) / kLine;
    const uint32_t lines = header.lines == 0 || header.lines > room ? 1 : header.lines;
    rest.records += 1;
    rest.bytes += uint64_t{lines} * kLine;
    if (header.sequence > rest.highest_sequence) rest.highest_sequence = header.sequence;
    at += lines * kLine;
  }
  return rest;
}

}  // namespace paste
