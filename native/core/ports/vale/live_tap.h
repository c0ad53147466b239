// A live tap: copies of frames that pass a running switch, for a program that only looks. This is what daemon and client agree on: the
// request on ports.sock, and the memory that comes back.
//
//   0              Head
//   4096           Name[kNames]: ids of ports and what they are called, in the order in which they were attached, used round and round
//   kRings         for each forwarding thread: RingHead on a page of its own, then `ring_bytes` of records
//
// The daemon makes the memory, maps it and seals it (SHRINK, GROW, FUTURE_WRITE, SEAL) before it hands it over: nobody else can ever
// write it or take pages from it. Each ring has one writer, a forwarding thread, which never looks at who reads: it goes round and
// writes over what is oldest. Records lie in chunks and cross no chunk's end, so that a reader who was overtaken finds a record's
// beginning at any chunk. A record counts when, after it was copied, `reserved` has not come within a ring's length of it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/ports/frame.h"

namespace paste::live_tap {

inline constexpr uint64_t kMagic = 0x5041545f4556494c;  // "LIVE_TAP"
inline constexpr uint32_t kVersion = 1;
inline constexpr uint64_t kPage = 4096;
inline constexpr uint32_t kNames = 8192;                // at least all ports that a daemon can have, twice
inline constexpr uint32_t kNameBytes = 60;
inline constexpr uint32_t kChunkBytes = 64u << 10;
inline constexpr uint32_t kRingBytesMin = 512u << 10;
inline constexpr uint32_t kTapBytesMax = 64u << 20;     // all rings of a tap
inline constexpr const char* kAnyPort = "any";

// A filter runs on the forwarding threads: more than this, and the client does better to filter itself.
inline constexpr uint32_t kFilterInstructionsMax = 512;

// In Request::body; Request::name is a port's name, several by * and ? (glob.h), or kAnyPort. With kOffersMemory, a memfd (sealed as the ports' memory is) comes along
// whose bytes are a program, BpfInsn each, without record words: frames that it rejects are none of the tap's.
enum Flag : uint32_t { kIn = 1, kOut = 2, kDropped = 4 };
struct TapWish {
  uint32_t flags;
  uint32_t snaplen;             // bytes of a frame at most; 0: no frame's bytes at all
  uint32_t ring_bytes;          // for each forwarding thread: a power of two
  uint32_t reserved;            // zero
};
static_assert(sizeof(TapWish) == 16);

struct Head {
  uint64_t magic;
  uint32_t version, threads;
  uint32_t ring_bytes, reserved;
  uint64_t names;               // written so far, by which the newest are found; release
};
struct Name {
  uint32_t id;
  char text[kNameBytes];        // ends with a zero
};
static_assert(sizeof(Name) == 64 && kNames * sizeof(Name) % kPage == 0);

// Positions count bytes since the beginning; their place is the position modulo ring_bytes.
struct RingHead {
  uint64_t reserved;            // what lies a ring's length before it is being written over: before the bytes are
  uint64_t written;             // records are complete up to here; release
  uint64_t frames;              // that this thread has tapped, all of them
};

inline constexpr uint32_t kFlooded = ~0u;  // Record::egress
enum RecordFlag : uint8_t { kLeft = 1 };   // a copy that left by `egress`; else a frame that came in by `ingress`
// Before the frame's bytes, at a multiple of 8. `size` 0: nothing more in this chunk.
struct Record {
  uint32_t size;                // of the record and its bytes, a multiple of 8
  uint32_t length;              // bytes that are there
  uint32_t wire_length;
  uint8_t outcome;              // 0 = forwarded, else 1 + Drop
  uint8_t flags;
  uint16_t zero;
  uint64_t number;              // of this thread's tapped frames, from 0: a gap is what was missed
  uint64_t time_ns;             // wall clock at receive
  uint32_t ingress, egress;     // ids of ports; egress 0: none, kFlooded: several
};
static_assert(sizeof(Record) == 40);

constexpr uint32_t record_bytes(uint32_t length) { return static_cast<uint32_t>(sizeof(Record)) + ((length + 7) & ~7u); }
static_assert(record_bytes(kLiveFrameBytesMax) <= kChunkBytes);

inline constexpr uint64_t kRings = kPage + uint64_t{kNames} * sizeof(Name);
constexpr uint64_t ring_head_at(uint32_t thread, uint32_t ring_bytes) { return kRings + thread * (kPage + ring_bytes); }
constexpr uint64_t memory_bytes(uint32_t threads, uint32_t ring_bytes) { return ring_head_at(threads, ring_bytes); }

}  // namespace paste::live_tap
