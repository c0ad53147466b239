// The on-media layout of a store: the one description of it. logger/FORMAT.md explains it; TypeScript checks it at load.
//
//   0        superblock A, 4 KiB
//   4 KiB    superblock B, 4 KiB
//   8 KiB    live page, 8 KiB      what readers in other processes follow; never trusted by recovery
//   16 KiB   directory, 128 B a block
//   ...      blocks, each block_size, the first aligned to block_size
//
// A block serves as a log block (records), as a buffer block (packet buffers whose frames were marked in place) or as an index
// block (runs: what occurs in which records of log blocks, core/index/run_layout.h); the directory says which. All integers are little-endian. Only aligned 8-byte stores are atomic; everything longer is
// covered by a checksum.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paste::layout {

inline constexpr uint64_t kMagic = 0x3157534554534150;  // "PASTESW1"
inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kLine = 64;                   // cache line: unit of write-back, alignment of records
inline constexpr uint32_t kSuperblockBytes = 4096;
inline constexpr uint64_t kSuperblockOffset[2] = {0, 4096};
inline constexpr uint64_t kLiveOffset = 8192;
inline constexpr uint64_t kLiveBytes = 8192;
inline constexpr uint64_t kDirectoryOffset = 16384;
inline constexpr uint32_t kLanesMax = 16;
inline constexpr uint32_t kBlockBytesMin = 64u << 10;
inline constexpr uint32_t kBlockBytesMax = 4u << 20;
inline constexpr uint32_t kBlocksMin = 8;
inline constexpr uint64_t kStoreBytesMin = 16ull << 20;
inline constexpr uint32_t kBufferBytes = 2048;            // one packet buffer inside a buffer block, netmap's default
inline constexpr uint32_t kFrameBytesMax = 256u << 10;    // longest frame a store keeps (imports; tcpdump's MAXIMUM_SNAPLEN)
inline constexpr uint32_t kPartBytes = 16u << 10;         // a longer frame is split into parts of this size

enum ChecksumId : uint32_t { kCrc32c = 1 };

// Written alternately to the two places; the valid one with the higher `turn` counts. Checked in this order: magic,
// version, checksum, geometry.
struct Superblock {
  uint64_t magic;
  uint32_t version;
  uint32_t checksum_id;
  uint8_t uuid[16];
  uint64_t turn;             // +1 with each write
  uint64_t region_bytes;     // size of the whole store
  uint64_t blocks_offset;    // first block
  uint32_t block_bytes;      // power of two, kBlockBytesMin..kBlockBytesMax
  uint32_t block_count;
  uint32_t lane_count;       // lanes that the live page describes
  uint32_t segment_blocks;   // blocks in a segment: the unit the index is built for
  uint64_t created_ns;       // wall clock
  uint32_t epoch;            // +1 with each opening by a writer
  uint32_t clean;            // 1 = closed by its writer; 0 = open, or the writer died
  uint64_t next_sequence;    // valid when clean: the next sequence number
  uint64_t next_serial;      // valid when clean: the next block serial
  uint64_t next_id;          // valid when clean: the next port or rule id
  uint64_t trimmed_before;   // records below this sequence may have been trimmed by request
  uint8_t reserved[3972];    // zero
  uint32_t crc;              // CRC-32C of all bytes before it
};
static_assert(sizeof(Superblock) == kSuperblockBytes);
static_assert(offsetof(Superblock, crc) == 4092);

// What a lane publishes, one line each, written by the writer only. Readers: load next_sequence (acquire), then for each
// lane `watermark` (acquire), then `tail`; a lane whose watermark is kIdle promises nothing below that next_sequence.
struct LiveLane {
  uint64_t tail;       // block index << 32 | bytes of it that are durable; kNoBlock << 32 when the lane has no block
  uint64_t serial;     // serial of that block
  uint64_t watermark;  // nothing below this sequence will still come from this lane; kIdle: nothing is under way
  uint64_t durable_sequence;  // highest sequence of this lane that is durable, 0 = none
  uint64_t reserved[4];
};
static_assert(sizeof(LiveLane) == kLine);
inline constexpr uint64_t kIdle = ~0ull;
inline constexpr uint32_t kNoBlock = ~0u;

struct LivePage {
  uint64_t next_sequence;    // the store's sequence counter itself (on byte-addressable media), else a copy of it
  uint64_t writer_epoch;     // 0 = no writer since the file was made
  uint64_t oldest_sequence;  // records below this one are retired
  uint64_t heartbeat_ns;     // wall clock, advanced by the writer's keeper at least every 100 ms
  uint64_t writer_pid;
  uint64_t reserved[3];
  LiveLane lanes[kLanesMax];
};
static_assert(sizeof(LivePage) == kLine * (1 + kLanesMax));
static_assert(sizeof(LivePage) <= kLiveBytes);

enum BlockKind : uint64_t { kFree = 0, kLog = 1, kBuffers = 2, kIndex = 3 };

// One block's directory entry. `word` alone decides what the block is: it is an 8-byte atomic, changed only by
//   0 -> serial << 2 | kind   (opened; serials are never used twice)
//   word -> 0                 (retired: flushed and fenced before a single byte of the block is written again)
// A reader loads `word`, copies, fences, loads it again: equal means that the copy was whole.
struct DirectoryEntry {
  uint64_t word;
  // Buffer blocks: serial of the newest log block with a record that names bytes in here; 0 = none. The block may be
  // reused when every log block with a serial up to this one is retired. Only grows; durable before such a record is.
  // Index blocks: serial of the newest log block that a run in here covers. They may be reused at any time.
  uint64_t held_until;
  uint32_t epoch;
  uint16_t lane;
  uint16_t reserved0;
  uint64_t opened_ns;
  uint64_t reserved1[4];
  // The seal: valid when seal_crc (CRC-32C of the seal's bytes before it, seeded with the serial) is right. That of an index block
  // is written when no run will be added to it: first and last sequence and times of what its runs cover, end_bytes behind the
  // last run, record_count: the number of runs.
  uint64_t first_sequence;   // 0 = the block holds no sequenced record
  uint64_t last_sequence;
  uint64_t time_min_ns;
  uint64_t time_max_ns;
  uint64_t frame_bytes;      // captured bytes of the frames in it
  uint32_t end_bytes;        // bytes of the block in use, block header included
  uint32_t record_count;
  uint32_t frame_count;
  uint32_t seal_flags;       // kSealedByRecovery
  uint32_t reserved2;
  uint32_t seal_crc;
};
static_assert(sizeof(DirectoryEntry) == 128);
static_assert(offsetof(DirectoryEntry, first_sequence) == 64);
inline constexpr uint32_t kSealedByRecovery = 1;

constexpr uint64_t entry_word(uint64_t serial, BlockKind kind) { return serial << 2 | kind; }
constexpr uint64_t word_serial(uint64_t word) { return word >> 2; }
constexpr BlockKind word_kind(uint64_t word) { return static_cast<BlockKind>(word & 3); }

// First line of a log block, records follow at offset 64; and of an index block, runs follow there.
struct BlockHeader {
  uint32_t magic;  // kBlockMagic, kIndexMagic
  uint16_t version;
  uint16_t lane;
  uint64_t serial;
  uint32_t epoch;
  uint32_t block_index;
  uint8_t uuid[16];  // the store's
  uint8_t reserved[20];
  uint32_t crc;
};
static_assert(sizeof(BlockHeader) == kLine);
inline constexpr uint32_t kBlockMagic = 0x4b4c4250;  // "PBLK"
inline constexpr uint32_t kIndexMagic = 0x42584950;  // "PIXB"
// Runs lie in an index block one behind the other, each on a line of its own; where no valid run begins, there are no more.
constexpr uint32_t next_run_offset(uint32_t offset, uint32_t run_bytes) {
  return (offset + run_bytes + kLine - 1) / kLine * kLine;
}

enum RecordType : uint8_t {
  kEnd = 0,           // never written: a zeroed line is no record
  kFrame = 1,
  kContinuation = 2,  // part 1.. of a frame longer than kPartBytes; directly behind part 0 in the lane
  kPort = 3,          // a port was attached, detached, or is described for this block: PortPayload
  kRule = 4,          // a rule is described for this block: RulePayload
  kRuleSet = 5,       // the rules changed: RuleSetPayload
  kMac = 6,           // the MAC table changed: MacPayload, one or more
  kClockStep = 7,     // the wall clock was set: ClockStepPayload
  kLost = 8,          // frames that a rule selected and the log could not take: LostPayload
  kBoot = 9,          // a writer opened the store: BootPayload
};

enum RecordFlag : uint8_t {
  kPlaced = 1,     // the bytes lie in a buffer block: a PlacePayload follows instead of them
  kStrict = 2,     // the frame left only after this record was durable
  kFlooded = 4,    // sent to every other port: copies_reserved and copies_refused count them
  kVlanTagged = 8, // vlan_tci is valid
  kRepeated = 16,  // a description repeated for this block: `sequence` is that of the next record, none of its own
};

// One line in front of every record. A record is valid when header_crc is (computed with that field zero, seeded with the
// serial of its block, so that a record of the block's former life never passes) and payload_crc is.
struct RecordHeader {
  uint16_t lines;            // length of the record in lines, this one included
  uint8_t type;
  uint8_t flags;
  uint32_t payload_crc;      // CRC-32C of the payload's bytes (a frame's captured bytes wherever they lie), unpadded
  uint64_t sequence;         // of the store; starts at 1
  uint64_t time_ns;          // wall clock at receive
  uint32_t header_crc;
  uint32_t ingress;          // port id (unique in the store for each attachment); 0 = none
  uint32_t egress;           // port id of a unicast frame's destination; 0 = none or flooded
  uint32_t rule;             // rule id (unique in the store for each rule of each rule set); 0 = none
  uint32_t wire_length;      // frames: length on the wire
  uint32_t payload_length;   // frames: bytes kept of the whole frame; other types: bytes of payload
  uint32_t flow_hash;        // symmetric: the same for both directions; 0 = not an IP frame
  uint16_t vlan_tci;
  uint16_t copies_reserved;
  uint16_t copies_refused;
  uint8_t outcome;           // 0 = at least one copy reserved; else 1 + Drop (core/switch/outcome.h)
  uint8_t reserved;
  uint16_t part;             // part p holds bytes [p * kPartBytes, (p + 1) * kPartBytes) of the frame
  uint16_t parts;            // 1 for all but long frames
};
static_assert(sizeof(RecordHeader) == kLine);

struct PlacePayload {        // one line, behind the header of a kPlaced record; covered by place_crc
  uint64_t offset;           // of the first byte, from the start of the store
  uint64_t block_word;       // directory word of the buffer block when the record was written
  uint32_t length;
  uint32_t place_crc;        // CRC-32C of the 20 bytes before it, seeded with the log block's serial
  uint8_t reserved[40];
};
static_assert(sizeof(PlacePayload) == kLine);

enum PortEvent : uint8_t { kDescribed = 0, kAttached = 1, kDetached = 2 };
struct PortPayload {         // + name: UTF-8, the rest of the payload, such as "vale0:a"
  uint32_t id;
  uint32_t epoch;
  uint8_t kind;              // PortKind
  uint8_t event;             // PortEvent
  uint16_t present;          // described in a record of its own: ports of the writer's switches that were there; 0 = not said
};
enum PortKind : uint8_t { kValePort = 1, kPcapPort = 2, kNetmapPort = 3, kXdpPort = 4, kTapPort = 5, kImportPort = 6 };

struct RulePayload {         // + name, then the filter's text: UTF-8
  uint32_t id;
  uint32_t rule_set;
  uint16_t name_length;
  uint16_t filter_length;
};
struct RuleSetPayload {      // + the rule set as text (JSON)
  uint32_t version;
  uint32_t rule_count;
};
// The last two stand first in their record, mac and fid zero: all learned addresses behind the port, or of its whole switch, were
// forgotten at once. Removed ones of them follow, as far as there is room.
enum MacEvent : uint8_t {
  kLearned = 1, kMoved = 2, kAged = 3, kRemoved = 4, kStatic = 5, kFlushedPort = 6, kFlushedSwitch = 7,
};
struct MacPayload {
  uint8_t mac[6];
  uint16_t fid;
  uint32_t port;             // port id
  uint8_t event;             // MacEvent
  uint8_t reserved[3];
};
struct ClockStepPayload {
  uint64_t from_ns;
  uint64_t to_ns;
};
struct LostPayload {
  uint64_t count;
  uint64_t until_sequence;
  uint8_t reason;            // NotLogged
  uint8_t reserved[7];
};
struct BootPayload {         // + the writer's name and version: UTF-8
  uint32_t epoch;
  uint32_t medium;           // Medium
  uint64_t previous_last_sequence;  // what recovery found; sequences between that and this record's are gaps of the crash
};
static_assert(sizeof(PortPayload) == 12 && sizeof(RulePayload) == 12 && sizeof(RuleSetPayload) == 8);
static_assert(sizeof(MacPayload) == 16 && sizeof(ClockStepPayload) == 16 && sizeof(LostPayload) == 24);
static_assert(sizeof(BootPayload) == 16);

}  // namespace paste::layout
