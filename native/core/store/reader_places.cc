#include "core/store/reader_places.h"

#include <algorithm>
#include <cstring>

namespace paste {
namespace {
constexpr uint32_t kAheadMax = 64u << 10;
}

bool ReaderPlaces::copy(const layout::PlacePayload& place, uint8_t* to) {
  const layout::Superblock& geometry = view_.superblock();
  if (place.offset < geometry.blocks_offset || place.length > geometry.block_bytes) return false;
  const uint64_t index = (place.offset - geometry.blocks_offset) / geometry.block_bytes;
  if (index >= geometry.block_count || layout::word_kind(place.block_word) != layout::kBuffers) return false;
  const uint64_t block_end = view_.block_offset(static_cast<uint32_t>(index)) + geometry.block_bytes;
  if (place.length > block_end - place.offset) return false;
  const bool inside = length_ > 0 && word_ == place.block_word && place.offset >= start_ &&
                      place.offset - start_ + place.length <= length_;
  if (!inside) {
    const bool follows = length_ > 0 && place.offset >= start_ && place.offset - start_ <= length_ + 2 * layout::kBufferBytes;
    ahead_ = follows ? std::min(kAheadMax, std::max(ahead_, 4096u) * 2) : 0;
    if (view_.entry_word(static_cast<uint32_t>(index)) != place.block_word) return false;
    if (!read_window(place.offset, std::max(place.length, ahead_), block_end, place.block_word)) return false;
    if (view_.entry_word(static_cast<uint32_t>(index)) != place.block_word) {
      length_ = 0;
      return false;
    }
  }
  if (place.length > 0) memcpy(to, window_.data() + (place.offset - start_), place.length);
  return true;
}

bool ReaderPlaces::read_window(uint64_t offset, uint32_t length, uint64_t block_end, uint64_t word) {
  length = static_cast<uint32_t>(std::min<uint64_t>(length, block_end - offset));
  if (window_.size() < length) window_.resize(std::max(length, kAheadMax));
  length_ = 0;
  if (!view_.source().read(offset, window_.data(), length)) return false;
  start_ = offset;
  length_ = length;
  word_ = word;
  return true;
}

}  // namespace paste
