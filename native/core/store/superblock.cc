#include "core/store/superblock.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/system_time.h"
#include "core/store/checksums.h"

namespace paste {
namespace {

using layout::Superblock;

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kGiB = 1ull << 30;

// What a run of the index covers where the user names no other size: a look-up in a few dozen runs finds its way through gigabytes,
// and a run is made from some 100,000 frames in memory that stays small.
constexpr uint32_t kSegmentBytes = 32u << 20;

// Given out between two writes of the superblock.
constexpr uint64_t kSerialsReserved = 4096;
constexpr uint64_t kIdsReserved = 1024;

std::string number(uint64_t value) { return std::to_string(value); }

uint64_t least_bytes(uint32_t block_bytes) {
  return blocks_offset_for(block_bytes, layout::kBlocksMin) + uint64_t{layout::kBlocksMin} * block_bytes;
}

// What one copy turned out to be, from the least to the most promising: the best one names the refusal.
enum class Copy { kForeign, kNewer, kDamaged, kMisshapen, kValid };

Status check_geometry(const Superblock& s, uint64_t region_bytes, const std::string& path) {
  const std::string damaged = ": the superblock's geometry is impossible (";
  if (s.checksum_id != layout::kCrc32c)
    return {Code::kStore, path + damaged + "unknown checksum " + number(s.checksum_id) + "): not written by this program"};
  if (!std::has_single_bit(s.block_bytes) || s.block_bytes < layout::kBlockBytesMin || s.block_bytes > layout::kBlockBytesMax)
    return {Code::kStore, path + damaged + "blocks of " + number(s.block_bytes) + " bytes)"};
  if (s.block_count < layout::kBlocksMin) return {Code::kStore, path + damaged + number(s.block_count) + " blocks)"};
  if (s.lane_count == 0 || s.lane_count > layout::kLanesMax)
    return {Code::kStore, path + damaged + number(s.lane_count) + " lanes)"};
  if (s.segment_blocks == 0 || s.segment_blocks > s.block_count)
    return {Code::kStore, path + damaged + "segments of " + number(s.segment_blocks) + " blocks)"};
  if (s.region_bytes > region_bytes)
    return {Code::kStore, path + " is truncated: the store has " + number(s.region_bytes) + " bytes, the file only " +
                              number(region_bytes) + "; restore it from a copy"};
  if (s.region_bytes < region_bytes)
    return {Code::kStore, path + " is longer (" + number(region_bytes) + " bytes) than the store in it (" +
                              number(s.region_bytes) + "): something was appended; cut it to that size on a copy"};
  if (s.blocks_offset != blocks_offset_for(s.block_bytes, s.block_count))
    return {Code::kStore, path + damaged + "first block at " + number(s.blocks_offset) + ")"};
  if (s.blocks_offset > region_bytes || uint64_t{s.block_count} * s.block_bytes > region_bytes - s.blocks_offset)
    return {Code::kStore, path + damaged + number(s.block_count) + " blocks of " + number(s.block_bytes) +
                              " bytes end behind the file)"};
  return {};
}

Copy examine(const Superblock& s, uint64_t region_bytes, const std::string& path, Status* status) {
  if (s.magic != layout::kMagic) {
    *status = {Code::kStore, path + (s.magic == 0 ? " is no paste-switch store yet (its first bytes are zero): wait if one is made there, else "
                                                  : " is no paste-switch store (its first bytes are foreign): ") +
                                 "name another file, or make a store with `paste-switch store create`"};
    return Copy::kForeign;
  }
  if (s.version != layout::kVersion) {
    const bool newer = s.version > layout::kVersion;
    *status = {Code::kStore, path + " has store format " + number(s.version) + ", this program reads format " +
                                 number(layout::kVersion) + ": use a " + (newer ? "newer" : "matching") + " paste-switch"};
    return Copy::kNewer;
  }
  if (s.crc != layout::superblock_crc(s)) {
    *status = {Code::kStore, path + ": both copies of the superblock are damaged (checksum): the store cannot be opened"};
    return Copy::kDamaged;
  }
  *status = check_geometry(s, region_bytes, path);
  return status->ok() ? Copy::kValid : Copy::kMisshapen;
}

// Captures are given to commands that need a store: the magic numbers of pcap, nanosecond pcap and pcapng in either byte order.
bool is_capture(uint32_t magic) {
  return magic == 0xa1b2c3d4 || magic == 0xd4c3b2a1 || magic == 0xa1b23c4d || magic == 0x4d3cb2a1 || magic == 0x0a0d0d0a;
}

}  // namespace

uint32_t default_block_bytes(uint64_t region_bytes) {
  if (region_bytes < 64 * kMiB) return 64u << 10;
  if (region_bytes < kGiB / 2) return 256u << 10;  // larger ones: fewer index runs to ask, one lies within a block
  return 1u << 20;
}

Status plan_geometry(uint64_t region_bytes, uint32_t block_bytes, const std::string& path, Geometry* geometry) {
  const bool chosen = block_bytes != 0;
  if (!chosen) block_bytes = default_block_bytes(region_bytes);
  if (!std::has_single_bit(block_bytes) || block_bytes < layout::kBlockBytesMin || block_bytes > layout::kBlockBytesMax)
    return {Code::kUsage, path + ": a block of " + number(block_bytes) + " bytes is not possible: a power of two from " +
                              number(layout::kBlockBytesMin) + " to " + number(layout::kBlockBytesMax)};
  // Whoever names the block size has thought about it: then only the number of blocks sets the limit.
  const uint64_t least = chosen ? least_bytes(block_bytes) : layout::kStoreBytesMin;
  if (region_bytes < least)
    return {Code::kUsage, path + ": " + number(region_bytes) + " bytes are too few for a store: at least " + number(least) +
                              " bytes" + (chosen ? " with blocks of " + number(block_bytes) : " (16M)")};
  const uint64_t most = (region_bytes - layout::kDirectoryOffset) / block_bytes;
  if (most >= layout::kNoBlock)
    return {Code::kUsage, path + ": too many blocks of " + number(block_bytes) + " bytes: choose larger blocks"};
  auto count = static_cast<uint32_t>(most);
  while (blocks_offset_for(block_bytes, count) + uint64_t{count} * block_bytes > region_bytes) --count;
  *geometry = {block_bytes, count, blocks_offset_for(block_bytes, count)};
  return {};
}

Status read_superblock(const uint8_t* base, uint64_t region_bytes, const std::string& path, Superblock* superblock) {
  uint32_t magic = 0;
  if (region_bytes >= sizeof magic) std::memcpy(&magic, base, sizeof magic);
  if (is_capture(magic))
    return {Code::kStore, path + " is a capture, and this needs a store: make one of it with `paste-switch import`, or "
                                 "look into it with `paste-switch query -r`"};
  if (region_bytes < layout::kDirectoryOffset)
    return {Code::kStore, path + " is no paste-switch store (it has only " + number(region_bytes) +
                              " bytes): name another file, or make a store with `paste-switch store create`"};
  Copy best = Copy::kForeign;
  Status refusal;
  for (const uint64_t offset : layout::kSuperblockOffset) {
    Superblock copy;
    std::memcpy(&copy, base + offset, sizeof copy);
    Status status;
    const Copy found = examine(copy, region_bytes, path, &status);
    if (found == Copy::kValid && (best != Copy::kValid || copy.turn > superblock->turn)) *superblock = copy;
    if (refusal.ok() || found > best) refusal = std::move(status);
    if (found > best) best = found;
  }
  return best == Copy::kValid ? Status{} : refusal;
}

Status create_superblock(Domain& domain, uint8_t* head, const Geometry& geometry, uint64_t region_bytes,
                         uint32_t segment_blocks) {
  Superblock fresh{};
  fresh.magic = layout::kMagic;
  fresh.version = layout::kVersion;
  fresh.checksum_id = layout::kCrc32c;
  if (getrandom(fresh.uuid, sizeof fresh.uuid, 0) != static_cast<ssize_t>(sizeof fresh.uuid))
    return {Code::kResource, "the system gives no random bytes for the store's uuid"};
  fresh.uuid[6] = static_cast<uint8_t>((fresh.uuid[6] & 0x0f) | 0x40);  // RFC 9562: version 4,
  fresh.uuid[8] = static_cast<uint8_t>((fresh.uuid[8] & 0x3f) | 0x80);  // variant 10
  fresh.region_bytes = region_bytes;
  fresh.blocks_offset = geometry.blocks_offset;
  fresh.block_bytes = geometry.block_bytes;
  fresh.block_count = geometry.block_count;
  fresh.lane_count = 1;
  const uint32_t chosen = std::min(kSegmentBytes / geometry.block_bytes, geometry.block_count / 8);
  fresh.segment_blocks = std::clamp(segment_blocks != 0 ? segment_blocks : chosen, 1u, geometry.block_count);
  fresh.created_ns = wall_ns();
  fresh.clean = 1;
  fresh.next_sequence = fresh.next_serial = fresh.next_id = 1;
  for (int copy = 0; copy < 2; ++copy)
    if (Status status = write_superblock(domain, head, &fresh); !status.ok()) return status;
  return {};
}

Status write_superblock(Domain& domain, uint8_t* head, Superblock* superblock) {
  superblock->turn += 1;
  superblock->crc = layout::superblock_crc(*superblock);
  uint8_t* const to = head + layout::kSuperblockOffset[superblock->turn & 1];
  domain.store(to, superblock, sizeof *superblock);
  domain.flush(to, sizeof *superblock);
  domain.fence();
  return domain.sync();
}

SuperblockWriter::SuperblockWriter(Domain& domain, uint8_t* head, const Superblock& superblock)
    : domain_(domain), head_(head), current_(superblock) {}

Status SuperblockWriter::write() {
  if (sequence_counter_ != nullptr) current_.next_sequence = __atomic_load_n(sequence_counter_, __ATOMIC_ACQUIRE);
  return write_superblock(domain_, head_, &current_);
}

Status SuperblockWriter::open_epoch(uint32_t lanes, uint64_t next_sequence, uint64_t next_serial, uint64_t next_id) {
  std::lock_guard lock(mutex_);
  current_.epoch += 1;
  current_.clean = 0;
  current_.lane_count = lanes;
  current_.next_sequence = next_sequence;
  next_serial_ = next_serial;
  next_id_ = next_id;
  current_.next_serial = next_serial + kSerialsReserved;
  current_.next_id = next_id + kIdsReserved;
  return write();
}

Status SuperblockWriter::mark_clean() {
  std::lock_guard lock(mutex_);
  current_.clean = 1;
  current_.next_serial = next_serial_;
  current_.next_id = next_id_;
  return write();
}

Status SuperblockWriter::mark_trimmed(uint64_t before_sequence) {
  std::lock_guard lock(mutex_);
  current_.trimmed_before = std::max(current_.trimmed_before, before_sequence);
  return write();
}

Status SuperblockWriter::refresh() {
  std::lock_guard lock(mutex_);
  return write();
}

uint64_t SuperblockWriter::take_serial() {
  std::lock_guard lock(mutex_);
  if (next_serial_ == current_.next_serial) {
    current_.next_serial += kSerialsReserved;
    if (!write().ok()) return 0;
  }
  return next_serial_++;
}

uint32_t SuperblockWriter::take_id() {
  std::lock_guard lock(mutex_);
  if (next_id_ == current_.next_id) {
    current_.next_id += kIdsReserved;
    if (!write().ok()) return 0;
  }
  return static_cast<uint32_t>(next_id_++);
}

}  // namespace paste
