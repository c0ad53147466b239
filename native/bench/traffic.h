// The frames of the benchmarks: header, up to 7 zeros, then the frame's number again and again to the end, so that reading
// each byte once checks it.
#pragma once

#include <cstdint>
#include <cstring>

namespace paste::bench {

class NumberedFrame {
 public:
  explicit NumberedFrame(uint32_t frame_bytes)
      : frame_bytes_(frame_bytes),
        first_word_(14 + (frame_bytes - 14) % 8),
        pad_mask_((uint64_t{1} << (first_word_ - 14) * 8) - 1) {}

  uint32_t bytes() const { return frame_bytes_; }

  // Addresses as 6-byte little-endian loads. `frame` has room for a multiple of 8 bytes.
  uint32_t write(uint8_t* frame, uint64_t to, uint64_t from, uint64_t number) const {
    const uint64_t zero = 0, tail = from | 0xb588ull << 48;  // type 0x88b5: local experiments (IEEE 802)
    std::memcpy(frame, &to, 8);
    std::memcpy(frame + 6, &tail, 8);
    std::memcpy(frame + 14, &zero, 8);
    const uint64_t words[4] = {number, number, number, number};
    uint32_t at = first_word_;
    for (; at + 32 <= frame_bytes_; at += 32) std::memcpy(frame + at, words, 32);
    for (; at < frame_bytes_; at += 8) std::memcpy(frame + at, &number, 8);
    return frame_bytes_;
  }
  // Reads every byte behind the header; false when the frame is not what write() made.
  bool read(const uint8_t* frame, uint32_t length, uint64_t* number) const {
    if (length != frame_bytes_) return false;
    uint64_t pad;
    std::memcpy(number, frame + first_word_, 8);
    std::memcpy(&pad, frame + 14, 8);
    uint64_t wrong = pad & pad_mask_;
    uint32_t at = first_word_;
    for (; at + 32 <= length; at += 32) {
      uint64_t words[4];
      std::memcpy(words, frame + at, 32);
      wrong |= (words[0] ^ *number) | (words[1] ^ *number) | (words[2] ^ *number) | (words[3] ^ *number);
    }
    for (; at < length; at += 8) {
      uint64_t word;
      std::memcpy(&word, frame + at, 8);
      wrong |= word ^ *number;
    }
    return wrong == 0;
  }

 private:
  uint32_t frame_bytes_, first_word_;
  uint64_t pad_mask_;
};

}  // namespace paste::bench
