#include "store_objects.h"

#include <cstddef>

#include "addon/values.h"
#include "core/store/layout.h"

namespace paste {
namespace {

struct Field {
  const char* name;
  size_t offset, size;
};

#define PASTE_FIELD(Struct, field) {#field, offsetof(layout::Struct, field), sizeof(layout::Struct::field)}
constexpr Field kSuperblockFields[] = {
    PASTE_FIELD(Superblock, magic),
    PASTE_FIELD(Superblock, version),
    PASTE_FIELD(Superblock, checksum_id),
    PASTE_FIELD(Superblock, uuid),
    PASTE_FIELD(Superblock, turn),
    PASTE_FIELD(Superblock, region_bytes),
    PASTE_FIELD(Superblock, blocks_offset),
    PASTE_FIELD(Superblock, block_bytes),
    PASTE_FIELD(Superblock, block_count),
    PASTE_FIELD(Superblock, lane_count),
    PASTE_FIELD(Superblock, segment_blocks),
    PASTE_FIELD(Superblock, created_ns),
    PASTE_FIELD(Superblock, epoch),
    PASTE_FIELD(Superblock, clean),
    PASTE_FIELD(Superblock, next_sequence),
    PASTE_FIELD(Superblock, next_serial),
    PASTE_FIELD(Superblock, next_id),
    PASTE_FIELD(Superblock, trimmed_before),
    PASTE_FIELD(Superblock, reserved),
    PASTE_FIELD(Superblock, crc),
};
constexpr Field kLiveLaneFields[] = {
    PASTE_FIELD(LiveLane, tail),
    PASTE_FIELD(LiveLane, serial),
    PASTE_FIELD(LiveLane, watermark),
    PASTE_FIELD(LiveLane, durable_sequence),
    PASTE_FIELD(LiveLane, reserved),
};
constexpr Field kLivePageFields[] = {
    PASTE_FIELD(LivePage, next_sequence),
    PASTE_FIELD(LivePage, writer_epoch),
    PASTE_FIELD(LivePage, oldest_sequence),
    PASTE_FIELD(LivePage, heartbeat_ns),
    PASTE_FIELD(LivePage, writer_pid),
    PASTE_FIELD(LivePage, reserved),
    PASTE_FIELD(LivePage, lanes),
};
constexpr Field kDirectoryEntryFields[] = {
    PASTE_FIELD(DirectoryEntry, word),
    PASTE_FIELD(DirectoryEntry, held_until),
    PASTE_FIELD(DirectoryEntry, epoch),
    PASTE_FIELD(DirectoryEntry, lane),
    PASTE_FIELD(DirectoryEntry, reserved0),
    PASTE_FIELD(DirectoryEntry, opened_ns),
    PASTE_FIELD(DirectoryEntry, reserved1),
    PASTE_FIELD(DirectoryEntry, first_sequence),
    PASTE_FIELD(DirectoryEntry, last_sequence),
    PASTE_FIELD(DirectoryEntry, time_min_ns),
    PASTE_FIELD(DirectoryEntry, time_max_ns),
    PASTE_FIELD(DirectoryEntry, frame_bytes),
    PASTE_FIELD(DirectoryEntry, end_bytes),
    PASTE_FIELD(DirectoryEntry, record_count),
    PASTE_FIELD(DirectoryEntry, frame_count),
    PASTE_FIELD(DirectoryEntry, seal_flags),
    PASTE_FIELD(DirectoryEntry, reserved2),
    PASTE_FIELD(DirectoryEntry, seal_crc),
};
constexpr Field kBlockHeaderFields[] = {
    PASTE_FIELD(BlockHeader, magic),
    PASTE_FIELD(BlockHeader, version),
    PASTE_FIELD(BlockHeader, lane),
    PASTE_FIELD(BlockHeader, serial),
    PASTE_FIELD(BlockHeader, epoch),
    PASTE_FIELD(BlockHeader, block_index),
    PASTE_FIELD(BlockHeader, uuid),
    PASTE_FIELD(BlockHeader, reserved),
    PASTE_FIELD(BlockHeader, crc),
};
constexpr Field kRecordHeaderFields[] = {
    PASTE_FIELD(RecordHeader, lines),
    PASTE_FIELD(RecordHeader, type),
    PASTE_FIELD(RecordHeader, flags),
    PASTE_FIELD(RecordHeader, payload_crc),
    PASTE_FIELD(RecordHeader, sequence),
    PASTE_FIELD(RecordHeader, time_ns),
    PASTE_FIELD(RecordHeader, header_crc),
    PASTE_FIELD(RecordHeader, ingress),
    PASTE_FIELD(RecordHeader, egress),
    PASTE_FIELD(RecordHeader, rule),
    PASTE_FIELD(RecordHeader, wire_length),
    PASTE_FIELD(RecordHeader, payload_length),
    PASTE_FIELD(RecordHeader, flow_hash),
    PASTE_FIELD(RecordHeader, vlan_tci),
    PASTE_FIELD(RecordHeader, copies_reserved),
    PASTE_FIELD(RecordHeader, copies_refused),
    PASTE_FIELD(RecordHeader, outcome),
    PASTE_FIELD(RecordHeader, reserved),
    PASTE_FIELD(RecordHeader, part),
    PASTE_FIELD(RecordHeader, parts),
};
constexpr Field kPlacePayloadFields[] = {
    PASTE_FIELD(PlacePayload, offset),
    PASTE_FIELD(PlacePayload, block_word),
    PASTE_FIELD(PlacePayload, length),
    PASTE_FIELD(PlacePayload, place_crc),
    PASTE_FIELD(PlacePayload, reserved),
};
constexpr Field kPortPayloadFields[] = {
    PASTE_FIELD(PortPayload, id),
    PASTE_FIELD(PortPayload, epoch),
    PASTE_FIELD(PortPayload, kind),
    PASTE_FIELD(PortPayload, event),
    PASTE_FIELD(PortPayload, present),
};
constexpr Field kRulePayloadFields[] = {
    PASTE_FIELD(RulePayload, id),
    PASTE_FIELD(RulePayload, rule_set),
    PASTE_FIELD(RulePayload, name_length),
    PASTE_FIELD(RulePayload, filter_length),
};
constexpr Field kRuleSetPayloadFields[] = {
    PASTE_FIELD(RuleSetPayload, version),
    PASTE_FIELD(RuleSetPayload, rule_count),
};
constexpr Field kMacPayloadFields[] = {
    PASTE_FIELD(MacPayload, mac),
    PASTE_FIELD(MacPayload, fid),
    PASTE_FIELD(MacPayload, port),
    PASTE_FIELD(MacPayload, event),
    PASTE_FIELD(MacPayload, reserved),
};
constexpr Field kClockStepPayloadFields[] = {
    PASTE_FIELD(ClockStepPayload, from_ns),
    PASTE_FIELD(ClockStepPayload, to_ns),
};
constexpr Field kLostPayloadFields[] = {
    PASTE_FIELD(LostPayload, count),
    PASTE_FIELD(LostPayload, until_sequence),
    PASTE_FIELD(LostPayload, reason),
    PASTE_FIELD(LostPayload, reserved),
};
constexpr Field kBootPayloadFields[] = {
    PASTE_FIELD(BootPayload, epoch),
    PASTE_FIELD(BootPayload, medium),
    PASTE_FIELD(BootPayload, previous_last_sequence),
};
#undef PASTE_FIELD

struct Struct {
  const char* name;
  size_t size;
  const Field* fields;
  size_t count;
};

#define PASTE_STRUCT(Name) {#Name, sizeof(layout::Name), k##Name##Fields, std::size(k##Name##Fields)}
constexpr Struct kStructs[] = {
    PASTE_STRUCT(Superblock),
    PASTE_STRUCT(LiveLane),
    PASTE_STRUCT(LivePage),
    PASTE_STRUCT(DirectoryEntry),
    PASTE_STRUCT(BlockHeader),
    PASTE_STRUCT(RecordHeader),
    PASTE_STRUCT(PlacePayload),
    PASTE_STRUCT(PortPayload),
    PASTE_STRUCT(RulePayload),
    PASTE_STRUCT(RuleSetPayload),
    PASTE_STRUCT(MacPayload),
    PASTE_STRUCT(ClockStepPayload),
    PASTE_STRUCT(LostPayload),
    PASTE_STRUCT(BootPayload),
};
#undef PASTE_STRUCT

struct Constant {
  const char* name;
  uint64_t value;
};

#define PASTE_CONSTANT(name) {#name, layout::name}
constexpr Constant kConstants[] = {
    PASTE_CONSTANT(kMagic),
    PASTE_CONSTANT(kVersion),
    PASTE_CONSTANT(kLine),
    PASTE_CONSTANT(kSuperblockBytes),
    PASTE_CONSTANT(kLiveOffset),
    PASTE_CONSTANT(kLiveBytes),
    PASTE_CONSTANT(kDirectoryOffset),
    PASTE_CONSTANT(kLanesMax),
    PASTE_CONSTANT(kBlockBytesMin),
    PASTE_CONSTANT(kBlockBytesMax),
    PASTE_CONSTANT(kBlocksMin),
    PASTE_CONSTANT(kStoreBytesMin),
    PASTE_CONSTANT(kBufferBytes),
    PASTE_CONSTANT(kFrameBytesMax),
    PASTE_CONSTANT(kPartBytes),
    PASTE_CONSTANT(kIdle),
    PASTE_CONSTANT(kNoBlock),
    PASTE_CONSTANT(kSealedByRecovery),
    PASTE_CONSTANT(kBlockMagic),
    PASTE_CONSTANT(kCrc32c),
    PASTE_CONSTANT(kFree),
    PASTE_CONSTANT(kLog),
    PASTE_CONSTANT(kBuffers),
    PASTE_CONSTANT(kIndex),
    PASTE_CONSTANT(kEnd),
    PASTE_CONSTANT(kFrame),
    PASTE_CONSTANT(kContinuation),
    PASTE_CONSTANT(kPort),
    PASTE_CONSTANT(kRule),
    PASTE_CONSTANT(kRuleSet),
    PASTE_CONSTANT(kMac),
    PASTE_CONSTANT(kClockStep),
    PASTE_CONSTANT(kLost),
    PASTE_CONSTANT(kBoot),
    PASTE_CONSTANT(kPlaced),
    PASTE_CONSTANT(kStrict),
    PASTE_CONSTANT(kFlooded),
    PASTE_CONSTANT(kVlanTagged),
    PASTE_CONSTANT(kRepeated),
    PASTE_CONSTANT(kDescribed),
    PASTE_CONSTANT(kAttached),
    PASTE_CONSTANT(kDetached),
    PASTE_CONSTANT(kValePort),
    PASTE_CONSTANT(kPcapPort),
    PASTE_CONSTANT(kNetmapPort),
    PASTE_CONSTANT(kXdpPort),
    PASTE_CONSTANT(kTapPort),
    PASTE_CONSTANT(kImportPort),
    PASTE_CONSTANT(kLearned),
    PASTE_CONSTANT(kMoved),
    PASTE_CONSTANT(kAged),
    PASTE_CONSTANT(kRemoved),
    PASTE_CONSTANT(kStatic),
};
#undef PASTE_CONSTANT

}  // namespace

Napi::Object report_object(Napi::Env env, const RecoveryReport& report) {
  const auto object = Napi::Object::New(env);
  object.Set("wasClean", report.was_clean);
  object.Set("epoch", report.epoch);
  object.Set("firstSequence", bigint(env, report.first_sequence));
  object.Set("lastSequence", bigint(env, report.last_sequence));
  object.Set("blocksScanned", number(env, report.blocks_scanned));
  object.Set("blocksSealed", number(env, report.blocks_sealed));
  object.Set("blocksFreed", number(env, report.blocks_freed));
  object.Set("blocksRestored", number(env, report.blocks_restored));
  object.Set("bufferBlocksFreed", number(env, report.buffer_blocks_freed));
  object.Set("indexBlocks", number(env, report.index_blocks));
  object.Set("indexBlocksFreed", number(env, report.index_blocks_freed));
  object.Set("indexBlocksDamaged", number(env, report.index_blocks_damaged));
  object.Set("recordsKept", number(env, report.records_kept));
  object.Set("framesKept", number(env, report.frames_kept));
  object.Set("bytesDiscarded", number(env, report.bytes_discarded));
  object.Set("recordsDiscarded", number(env, report.records_discarded));
  const auto reasons = Napi::Array::New(env, report.reasons.size());
  for (uint32_t i = 0; i < report.reasons.size(); ++i) reasons.Set(i, report.reasons[i]);
  object.Set("reasons", reasons);
  const auto gaps = Napi::Array::New(env, report.gaps.size());
  for (uint32_t i = 0; i < report.gaps.size(); ++i) {
    const auto gap = Napi::Object::New(env);
    gap.Set("from", bigint(env, report.gaps[i].from));
    gap.Set("to", bigint(env, report.gaps[i].to));
    gaps.Set(i, gap);
  }
  object.Set("gaps", gaps);
  return object;
}

Napi::Object counters_object(Napi::Env env, const StoreCounters& counters) {
  const auto object = Napi::Object::New(env);
  object.Set("mediumBytes", number(env, counters.medium_bytes));
  object.Set("frameBytes", number(env, counters.frame_bytes));
  object.Set("blocksFree", number(env, counters.blocks_free));
  object.Set("blocksLog", number(env, counters.blocks_log));
  object.Set("blocksBuffers", number(env, counters.blocks_buffers));
  object.Set("blocksIndex", number(env, counters.blocks_index));
  object.Set("retiredBlocks", number(env, counters.retired_blocks));
  object.Set("retiredFrames", number(env, counters.retired_frames));
  object.Set("commits", number(env, counters.commits));
  object.Set("firstSequence", bigint(env, counters.first_sequence));
  object.Set("durableSequence", bigint(env, counters.durable_sequence));
  object.Set("nextSequence", bigint(env, counters.next_sequence));
  object.Set("oldestTimeNs", bigint(env, counters.oldest_time_ns));
  object.Set("indexRuns", number(env, counters.index_runs));
  object.Set("indexBytes", number(env, counters.index_bytes));
  object.Set("indexedBlocks", number(env, counters.indexed_blocks));
  object.Set("indexedFrames", number(env, counters.indexed_frames));
  object.Set("indexSkippedBlocks", number(env, counters.index_skipped_blocks));
  object.Set("indexDamaged", number(env, counters.index_damaged));
  object.Set("indexLagBlocks", number(env, counters.index_lag_blocks));
  object.Set("indexLagNs", number(env, counters.index_lag_ns));
  object.Set("blocksHollow", number(env, counters.blocks_hollow));
  object.Set("syncFailed", counters.sync_failed);
  object.Set("failure", counters.failure);
  return object;
}

Napi::Value store_layout(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto constants = Napi::Object::New(env);
  for (const Constant& constant : kConstants) constants.Set(constant.name, bigint(env, constant.value));
  const auto structs = Napi::Object::New(env);
  for (const Struct& each : kStructs) {
    const auto fields = Napi::Object::New(env);
    for (size_t i = 0; i < each.count; ++i) {
      const auto place = Napi::Array::New(env, 2);
      place.Set(0u, number(env, each.fields[i].offset));
      place.Set(1u, number(env, each.fields[i].size));
      fields.Set(each.fields[i].name, place);
    }
    const auto described = Napi::Object::New(env);
    described.Set("size", number(env, each.size));
    described.Set("fields", fields);
    structs.Set(each.name, described);
  }
  const auto layout = Napi::Object::New(env);
  layout.Set("constants", constants);
  layout.Set("structs", structs);
  return layout;
}

}  // namespace paste
