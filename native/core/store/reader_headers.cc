#include "core/store/reader_headers.h"

#include <cstring>

#include "core/base/cpu.h"
#include "core/store/checksums.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace paste {
namespace {

using layout::kLine;
using layout::RecordHeader;

// How far ahead of the header under way memory is asked for.
constexpr uint32_t kAheadBytes = 3072;
// Behind so many bytes no further header is taken at once: the frames are to be looked at while what follows them comes.
constexpr uint32_t kTakenBytes = 1024;

// Nearly all records: a frame in one piece whose bytes follow its header. Lines, part and length fit each other as recovery demands.
bool is_plain(const RecordHeader& header) {
  return header.type == layout::kFrame && !(header.flags & layout::kPlaced) && header.part == 0 && header.parts == 1 &&
         header.payload_length <= layout::kPartBytes && header.lines == 1 + layout::lines_of(header.payload_length);
}

template <auto take_one>
[[gnu::always_inline]] inline uint32_t take_plain_frames(const uint8_t* at, uint32_t have, uint64_t serial, bool ahead,
                                                         RecordHeader* copies) {
  uint32_t count = 0, taken = 0;
  while (count < kHeadersAtOnce && taken < kTakenBytes && have >= kLine) {
    RecordHeader& header = copies[count];
    const uint32_t crc = take_one(at, serial, &header);
    const uint32_t size = header.lines * kLine;
    if (header.header_crc != crc || !is_plain(header) || size > have) break;
    // How long the next record is stands in its header, so that the processor cannot look ahead by itself.
    if (ahead)
      for (uint32_t line = 0; line < size; line += kLine) __builtin_prefetch(at + kAheadBytes + line, 0, 0);
    at += size;
    have -= size;
    taken += size;
    ++count;
  }
  return count;
}

inline uint32_t any_one(const uint8_t* at, uint64_t serial, RecordHeader* copy) {
  memcpy(copy, at, sizeof *copy);
  asm volatile("" : "+m"(*copy));  // from here on the copy is read, not `at` once more
  return layout::record_header_crc(*copy, serial);
}

uint32_t any_plain_frames(const uint8_t* at, uint32_t have, uint64_t serial, bool ahead, RecordHeader* copies) {
  return take_plain_frames<any_one>(at, have, serial, ahead, copies);
}

#if defined(__x86_64__)
#define PASTE_SSE42 __attribute__((target("sse4.2")))
static_assert(offsetof(RecordHeader, header_crc) == 24);

// The words are summed in the registers in which they were loaded: summing the copy would make each load wait for its store.
PASTE_SSE42 inline uint32_t sse42_one(const uint8_t* at, uint64_t serial, RecordHeader* copy) {
  uint64_t crc = ~layout::seed_of(serial);
  auto* const to = reinterpret_cast<uint8_t*>(copy);
#pragma GCC unroll 8
  for (uint32_t i = 0; i < sizeof *copy; i += 8) {
    uint64_t word;
    memcpy(&word, at + i, sizeof word);
    asm volatile("" : "+r"(word));
    memcpy(to + i, &word, sizeof word);
    crc = _mm_crc32_u64(crc, i == 24 ? word & ~0xffffffffull : word);
  }
  return ~static_cast<uint32_t>(crc);
}

PASTE_SSE42 uint32_t sse42_plain_frames(const uint8_t* at, uint32_t have, uint64_t serial, bool ahead, RecordHeader* copies) {
  return take_plain_frames<sse42_one>(at, have, serial, ahead, copies);
}
#endif

}  // namespace

const HeaderTaker& header_taker() {
#if defined(__x86_64__)
  static constexpr HeaderTaker kSse42{sse42_one, sse42_plain_frames};
  if (cpu_features().sse42) return kSse42;
#endif
  static constexpr HeaderTaker kAny{any_one, any_plain_frames};
  return kAny;
}

}  // namespace paste
