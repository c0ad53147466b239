// The frame that tells where a replay begins and ends: broadcast, EtherType 0x88b5 (IEEE 802, local experiments), from the station
// 02:70:61:73:74:65, 128 bytes; its payload is one line of ASCII, padded with zeros:
//
//   paste-switch replay TEXT begin at 1700000000.000000000 after 0 frames
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

namespace paste {

struct alignas(64) MarkerFrame {
  uint8_t bytes[128];
  uint32_t length;
};

inline constexpr size_t kMarkerTextMax = 40;

// `text`: the first kMarkerTextMax bytes of it. `time_ns`: wall clock.
inline MarkerFrame make_marker(const std::string& text, const char* what, uint64_t time_ns, uint64_t frames) {
  static constexpr uint8_t kHeader[14] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 'p', 'a', 's', 't', 'e', 0x88, 0xb5};
  MarkerFrame frame = {};
  frame.length = sizeof frame.bytes;
  std::memcpy(frame.bytes, kHeader, sizeof kHeader);
  std::snprintf(reinterpret_cast<char*>(frame.bytes + sizeof kHeader), sizeof frame.bytes - sizeof kHeader,
                "paste-switch replay %.*s %s at %llu.%09llu after %llu frames", static_cast<int>(kMarkerTextMax), text.c_str(), what,
                static_cast<unsigned long long>(time_ns / 1'000'000'000), static_cast<unsigned long long>(time_ns % 1'000'000'000),
                static_cast<unsigned long long>(frames));
  return frame;
}

}  // namespace paste
