// The form of an index run on the medium; logger/FORMAT.md, "Index runs", explains it. Integers are little-endian, values (keys of fences
// and pages) big-endian, so that they compare as bytes. Nothing is aligned but the header and the two tables behind it.
//
//   RunHeader, 64 B
//   RunBlock[block_count]       the log blocks that the run covers
//   RunSection[section_count]   one for each field that has values (IP addresses: one for each width), then the positions
//   fences of all sections      where a section's pages are and what is in them: the upper level of a static B+ tree
//   names
//   pages of each section, the section with the fewest bytes of them first
//   long postings of each section
//
// A value's posting is a list of flow numbers: a flow is a set of values that records have together, all of them. Flows count from 0 in
// the order of their first records. The positions section says where each flow's records are: counted in lines over the blocks
// of the run, one behind the other, each as long as its end_bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/index/expression.h"
#include "core/store/layout.h"

namespace paste::index {

inline constexpr uint32_t kRunMagic = 0x58444950;  // "PIDX"
inline constexpr uint16_t kRunVersion = 1;
inline constexpr uint32_t kPageBytes = 4096;       // what a page aims at; one posting or one flow's positions may be longer
inline constexpr uint32_t kHeadBytes = 4096;       // what a reader takes of a run at once, before it is asked anything
inline constexpr uint32_t kInlineBytesMax = 64;    // longer postings stand by themselves
inline constexpr uint32_t kBlocksMax = 4096;       // of a run
inline constexpr uint32_t kSectionsMax = 32;

enum RunFlag : uint16_t {
  kTunnels = 1,  // values inside tunnels are there
  kScanAll = 2,  // nothing but the blocks is: every answer is "all"
  kCommunityBehindLabels = 4,  // Community IDs behind MPLS labels and in PPPoE sessions are there
};

struct RunHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t flags;
  uint32_t run_bytes;      // of the whole run, a multiple of 8
  uint32_t block_count;
  uint32_t section_count;
  uint32_t record_count;   // of all blocks
  uint32_t flow_count;
  uint32_t omitted;        // bit f: field f did not fit
  uint32_t names_offset;   // 0 = the names did not fit
  uint32_t names_bytes;
  uint32_t names_crc;
  uint32_t tables_crc;     // of blocks and sections
  uint32_t reserved[3];
  uint32_t crc;            // of the bytes before it, seeded with the serial of the index block that the run is written into
};
static_assert(sizeof(RunHeader) == 64);
static_assert(offsetof(RunHeader, crc) == 60);

enum RunBlockFlag : uint32_t { kScanBlock = 1 };  // damaged when it was indexed: its records may be anything

struct RunBlock {
  uint64_t serial;
  uint32_t index;
  uint32_t end_bytes;
  uint32_t record_count;   // frames and events
  uint32_t flags;
};
static_assert(sizeof(RunBlock) == 24);

struct RunSection {
  uint8_t field;           // IndexField, kOddFrames or kPositions
  uint8_t width;           // bytes of a value: of longer fields that many leading ones
  uint16_t reserved;
  uint32_t page_count;
  uint32_t value_count;
  uint32_t fences_offset;  // page_count fences: first value (positions: flow) of the page, then Fence
  uint32_t fences_crc;
  uint32_t pages_offset;
  uint32_t pages_bytes;
  uint32_t longs_offset;   // long postings
  uint32_t longs_bytes;
  uint32_t reserved2;
};
static_assert(sizeof(RunSection) == 40);

inline constexpr uint8_t kOddFrames = 0;    // value 1: frames that dissect() calls odd; they may have any value in their bytes
inline constexpr uint8_t kPositions = 255;  // flow -> positions; width 4

struct Fence {             // behind the value; packed
  uint32_t offset;         // of the page, in the section's pages; it ends where the next begins
  uint32_t records;        // sum over the page's values
  uint32_t crc;            // of the page
};
static_assert(sizeof(Fence) == 12);

// A page of values: u16 count, count values, then for each a varint tag whose two low bits are its kind and whose rest is its length:
enum PostingKind : uint32_t {
  kInline = 0,  // `length` bytes follow: flows as varints, the first as it is, then differences less one
  kList = 1,    // varint offset in the long postings, varint records, u32 crc: `length` bytes there, as above
  kBitmap = 2,  // likewise, but bit f % 8 of byte f / 8 for flow f
  kEvery = 3,   // every flow of the run; length 0
};
// A page of positions: u16 count, then for each flow varint length, and so many bytes: varint of its first position less that of the flow
// before it on the page, then differences between positions, in varints.

// Name: u8 of (0 port, 1 rule), u32 id, u16 length, the bytes.
inline constexpr uint32_t kNameHeaderBytes = 7;

// The sections that the builder fills, in the order of the table.
struct SectionKind {
  uint8_t field, width;
};
inline constexpr SectionKind kSections[] = {
    {kOddFrames, 1}, {1, 6}, {2, 6}, {3, 2}, {4, 2}, {5, 4}, {6, 4}, {5, 16}, {6, 16}, {7, 1}, {8, 2},
    {9, 2}, {10, 2}, {11, 3}, {12, 4}, {13, 4}, {14, 4}, {15, 1}, {16, 2}, {17, 1}, {18, 1}};
enum SectionIndex : uint8_t {
  kOddSection, kMacSourceSection, kMacDestinationSection, kVlanSection, kEthertypeSection, kIp4SourceSection, kIp4DestinationSection,
  kIp6SourceSection, kIp6DestinationSection, kProtocolSection, kPortSourceSection, kPortDestinationSection, kIcmpTypeSection,
  kCommunitySection, kIngressSection, kEgressSection, kRuleSection, kOutcomeSection, kFirstFragmentSection, kUnresolvedSection,
  kEventSection, kSectionCount
};
static_assert(sizeof(kSections) / sizeof(kSections[0]) == kSectionCount && kSectionCount < kSectionsMax);

inline constexpr uint32_t kFields = 19;  // one more than the highest
inline constexpr uint32_t kEgressFlooded = 0xffffffff;

// Bytes of a field's values as an expression has them, at the right end of its 16.
constexpr uint32_t field_bytes(uint32_t field) {
  constexpr uint8_t kBytes[kFields] = {1, 6, 6, 2, 2, 16, 16, 1, 2, 2, 2, 8, 4, 4, 4, 1, 2, 1, 1};
  return kBytes[field];
}
// Whether a field's values come from a frame's bytes, so that an odd frame may have any.
constexpr bool from_bytes(uint32_t field) { return field >= 1 && (field <= 11 || field == 16 || field == 17); }

}  // namespace paste::index
