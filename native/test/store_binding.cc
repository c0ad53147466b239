// A store's writing side, driven call by call from test/logger: lanes, keeper, buffers, and a scan that shares nothing with the reader.
#include <cstring>
#include <memory>
#include <vector>

#include "core/store/block_scan.h"
#include "core/store/checksums.h"
#include "core/store/index_check.h"
#include "core/store/store.h"
#include "core/store/superblock.h"
#include "test/binding.h"

namespace paste::test {
namespace {

using Info = Napi::CallbackInfo;
using Bytes = Napi::Uint8Array;

Napi::Value big(Napi::Env env, uint64_t value) { return Napi::BigInt::New(env, value); }

uint64_t to_big(const Napi::Value& value) {
  bool lossless = false;
  return value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : to_u64(value);
}

uint64_t field(const Napi::Object& object, const char* key, uint64_t otherwise = 0) {
  const Napi::Value value = object.Get(key);
  return value.IsUndefined() ? otherwise : to_big(value);
}

struct Driver {
  std::unique_ptr<Store> store;
};

StoreOptions options_of(const Napi::Object& given) {
  StoreOptions options;
  options.lanes = static_cast<uint32_t>(field(given, "lanes", 1));
  options.full = static_cast<FullPolicy>(field(given, "full", 0));
  options.block_timeout_ms = static_cast<uint32_t>(field(given, "blockTimeoutMs", 1000));
  options.keeper_grace_ms = static_cast<uint32_t>(field(given, "keeperGraceMs", 10'000));
  options.spare_blocks = static_cast<uint32_t>(field(given, "spareBlocks", 4));
  options.start_keeper = field(given, "startKeeper", 0) != 0;
  options.boot_record = field(given, "bootRecord", 0) != 0;
  options.exact_times = field(given, "exactTimes", 0) != 0;
  options.index = field(given, "index", 1) != 0;
  return options;
}

// Frames as FrameRecords. Framed ones get memory of their own with the header's line in front.
struct Frames {
  std::vector<FrameRecord> records;
  std::vector<std::unique_ptr<uint8_t[], void (*)(void*)>> memory;

  void add(const Napi::Object& given) {
    FrameRecord frame;
    const auto bytes = given.Get("bytes").As<Bytes>();
    frame.length = static_cast<uint32_t>(bytes.ByteLength());
    frame.framed = field(given, "framed") != 0;
    frame.store_offset = field(given, "storeOffset");
    frame.mark = frame.store_offset != 0;
    const uint64_t room = 128 + (frame.length + 63ull) / 64 * 64;
    memory.emplace_back(static_cast<uint8_t*>(std::aligned_alloc(64, room)), std::free);
    std::memset(memory.back().get(), 0, room);
    uint8_t* const to = memory.back().get() + (frame.framed ? 64 : 3);  // 3: unaligned on purpose
    std::memcpy(to, bytes.Data(), frame.length);
    frame.bytes = to;
    frame.wire_length = static_cast<uint32_t>(field(given, "wireLength", frame.length));
    frame.time_ns = field(given, "timeNs");
    frame.ingress = static_cast<uint32_t>(field(given, "ingress"));
    frame.egress = static_cast<uint32_t>(field(given, "egress"));
    frame.rule = static_cast<uint32_t>(field(given, "rule"));
    frame.flags = static_cast<uint8_t>(field(given, "flags"));
    frame.outcome = static_cast<uint8_t>(field(given, "outcome"));
    frame.flow_hash = static_cast<uint32_t>(field(given, "flowHash"));
    frame.vlan_tci = static_cast<uint16_t>(field(given, "vlanTci"));
    frame.copies_reserved = static_cast<uint16_t>(field(given, "copiesReserved"));
    frame.copies_refused = static_cast<uint16_t>(field(given, "copiesRefused"));
    records.push_back(frame);
  }
};

// write(lane, frames, commit): { plans: ("room" | reason | "block")[], sequences: bigint[], ticket }
Napi::Value write(Driver& driver, const Info& info) {
  Napi::Env env = info.Env();
  Lane& lane = driver.store->lane(static_cast<uint32_t>(to_u64(info[0])));
  const auto given = info[1].As<Napi::Array>();
  Frames frames;
  for (uint32_t i = 0; i < given.Length(); ++i) frames.add(given.Get(i).As<Napi::Object>());
  std::vector<FrameRecord> accepted;
  Napi::Array plans = Napi::Array::New(env);
  bool held_back = false;
  for (FrameRecord& frame : frames.records) {
    if (frame.mark) frame.bytes = driver.store->region().base() + frame.store_offset;
    // What is behind a frame that is held back waits with it, as in a port's ring.
    const PlanResult result = held_back ? PlanResult::kBlock : lane.plan(frame);
    held_back = result == PlanResult::kBlock;
    if (result == PlanResult::kRoom) accepted.push_back(frame);
    plans.Set(plans.Length(), result == PlanResult::kRoom    ? "room"
                              : result == PlanResult::kBlock ? "block"
                                                             : kNotLoggedTexts[static_cast<size_t>(lane.refusal())].name);
  }
  lane.append(accepted);
  Napi::Array sequences = Napi::Array::New(env);
  for (const FrameRecord& frame : accepted) sequences.Set(sequences.Length(), big(env, frame.sequence));
  Napi::Object result = Napi::Object::New(env);
  result.Set("plans", plans);
  result.Set("sequences", sequences);
  if (info[2].ToBoolean()) result.Set("ticket", big(env, lane.commit()));
  return result;
}

void add_lane_calls(Napi::Env env, Napi::Object object, const std::shared_ptr<Driver>& driver) {
  const auto lane = [driver](const Info& info) -> Lane& {
    return driver->store->lane(static_cast<uint32_t>(to_u64(info[0])));
  };
  add_function(env, object, "write", [driver](const Info& info) -> Napi::Value { return write(*driver, info); });
  add_function(env, object, "commit", [lane](const Info& info) -> Napi::Value { return big(info.Env(), lane(info).commit()); });
  add_function(env, object, "durable",
               [lane](const Info& info) -> Napi::Value { return big(info.Env(), lane(info).durable_ticket()); });
  add_function(env, object, "event", [lane](const Info& info) -> Napi::Value {
    const auto bytes = info[3].As<Bytes>();
    return Napi::Boolean::New(info.Env(), lane(info).append_event(static_cast<layout::RecordType>(to_u64(info[1])), to_big(info[2]),
                                                                  {bytes.Data(), bytes.ByteLength()}));
  });
  // Plans one frame and appends nothing of it: the plan must be given back.
  add_function(env, object, "planInVain", [lane](const Info& info) -> Napi::Value {
    Frames frames;
    frames.add(info[1].As<Napi::Object>());
    const PlanResult result = lane(info).plan(frames.records[0]);
    return Napi::Boolean::New(info.Env(), result == PlanResult::kRoom);
  });
  add_function(env, object, "describePort", [lane](const Info& info) {
    lane(info).describe_port(static_cast<uint32_t>(to_u64(info[1])), 1, layout::kValePort, info[2].As<Napi::String>().Utf8Value());
  });
  add_function(env, object, "describeRule", [lane](const Info& info) {
    lane(info).describe_rule(static_cast<uint32_t>(to_u64(info[1])), static_cast<uint32_t>(to_u64(info[2])),
                             info[3].As<Napi::String>().Utf8Value(), info[4].As<Napi::String>().Utf8Value());
  });
}

Napi::Value counters(Napi::Env env, const Store& store) {
  const StoreCounters c = store.counters();
  Napi::Object object = Napi::Object::New(env);
  object.Set("blocksFree", from_u64(env, c.blocks_free));
  object.Set("blocksLog", from_u64(env, c.blocks_log));
  object.Set("blocksBuffers", from_u64(env, c.blocks_buffers));
  object.Set("retiredBlocks", from_u64(env, c.retired_blocks));
  object.Set("retiredFrames", from_u64(env, c.retired_frames));
  object.Set("mediumBytes", from_u64(env, c.medium_bytes));
  object.Set("frameBytes", from_u64(env, c.frame_bytes));
  object.Set("firstSequence", big(env, c.first_sequence));
  object.Set("nextSequence", big(env, c.next_sequence));
  object.Set("blocksIndex", from_u64(env, c.blocks_index));
  object.Set("indexRuns", from_u64(env, c.index_runs));
  object.Set("indexBytes", from_u64(env, c.index_bytes));
  object.Set("indexedBlocks", from_u64(env, c.indexed_blocks));
  object.Set("indexedFrames", from_u64(env, c.indexed_frames));
  object.Set("indexSkippedBlocks", from_u64(env, c.index_skipped_blocks));
  object.Set("indexDamaged", from_u64(env, c.index_damaged));
  object.Set("indexLagBlocks", from_u64(env, c.index_lag_blocks));
  return object;
}

void add_buffer_calls(Napi::Env env, Napi::Object object, const std::shared_ptr<Driver>& driver) {
  add_function(env, object, "hasBuffers",
               [driver](const Info& info) { return Napi::Boolean::New(info.Env(), driver->store->buffers() != nullptr); });
  add_function(env, object, "takeBuffers", [driver](const Info& info) -> Napi::Value {
    BufferBlock block;
    if (!driver->store->buffers()->take(&block)) return info.Env().Null();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("index", block.index);
    result.Set("storeOffset", from_u64(info.Env(), block.store_offset));
    result.Set("sizeBytes", block.size_bytes);
    return result;
  });
  // What a device's DMA would do: bytes into a buffer, past every domain.
  add_function(env, object, "fillBuffer", [driver](const Info& info) {
    const auto bytes = info[1].As<Bytes>();
    std::memcpy(const_cast<uint8_t*>(driver->store->region().base()) + to_u64(info[0]), bytes.Data(), bytes.ByteLength());
  });
  add_function(env, object, "dropUses", [driver](const Info& info) {
    driver->store->buffers()->drop_uses(static_cast<uint32_t>(to_u64(info[0])), static_cast<uint32_t>(to_u64(info[1])));
  });
}

// openDriver(path, options): the store's calls, and `recovery` as text
Napi::Value open_driver(const Info& info) {
  Napi::Env env = info.Env();
  auto driver = std::make_shared<Driver>();
  RecoveryReport report;
  if (!ok_or_throw(env, Store::open(info[0].As<Napi::String>(), options_of(info[1].As<Napi::Object>()), &driver->store, &report)))
    return env.Undefined();
  Napi::Object object = Napi::Object::New(env);
  object.Set("epoch", driver->store->epoch());
  object.Set("wasClean", report.was_clean);
  object.Set("blocksScanned", from_u64(env, report.blocks_scanned));
  object.Set("framesKept", from_u64(env, report.frames_kept));
  add_lane_calls(env, object, driver);
  add_buffer_calls(env, object, driver);
  add_function(env, object, "round", [driver](const Info&) { driver->store->keeper_round(); });
  add_function(env, object, "indexRound",
               [driver](const Info& call) { driver->store->index_round(call[0].ToBoolean()); });
  add_function(env, object, "trim",
               [driver](const Info& call) { return from_u64(call.Env(), driver->store->trim(to_big(call[0]))); });
  add_function(env, object, "takeId", [driver](const Info& call) { return from_u64(call.Env(), driver->store->take_id()); });
  add_function(env, object, "counters", [driver](const Info& call) { return counters(call.Env(), *driver->store); });
  add_function(env, object, "close", [driver](const Info& call) {
    ok_or_throw(call.Env(), driver->store->close());
    driver->store.reset();
  });
  add_function(env, object, "abandon", [driver](const Info&) { driver->store.reset(); });
  return object;
}

Napi::Object record_object(Napi::Env env, const layout::RecordHeader& header, const BlockScan& scan) {
  Napi::Object record = Napi::Object::New(env);
  record.Set("offset", scan.start());
  record.Set("type", header.type);
  record.Set("flags", header.flags);
  record.Set("sequence", big(env, header.sequence));
  record.Set("timeNs", big(env, header.time_ns));
  record.Set("ingress", header.ingress);
  record.Set("egress", header.egress);
  record.Set("rule", header.rule);
  record.Set("wireLength", header.wire_length);
  record.Set("payloadLength", header.payload_length);
  record.Set("flowHash", header.flow_hash);
  record.Set("vlanTci", header.vlan_tci);
  record.Set("copiesReserved", header.copies_reserved);
  record.Set("copiesRefused", header.copies_refused);
  record.Set("outcome", header.outcome);
  record.Set("part", header.part);
  record.Set("parts", header.parts);
  record.Set("bytes", Napi::Buffer<uint8_t>::Copy(env, scan.payload(), scan.payload_bytes()));
  return record;
}

// A store as it lies at the path that is given first, read-only.
struct StoreFile {
  std::unique_ptr<Region> region;
  layout::Superblock superblock;
  StoreView view;

  // False when it threw.
  bool open(const Info& info) {
    const std::string path = info[0].As<Napi::String>();
    if (!ok_or_throw(info.Env(), Region::open(path, Region::Access::kRead, &region)) ||
        !ok_or_throw(info.Env(), read_superblock(region->base(), region->size_bytes(), path, &superblock)))
      return false;
    view = {region->base(), &superblock};
    return true;
  }
};

Napi::Object index_block(Napi::Env env, const StoreView& view, uint32_t index, const layout::DirectoryEntry& entry) {
  const IndexCheck check = check_index_block(view.block(index), view.superblock->block_bytes, entry);
  Napi::Object block = Napi::Object::New(env);
  block.Set("block", index);
  block.Set("serial", big(env, layout::word_serial(entry.word)));
  block.Set("sealed", layout::index_sealed(entry));
  block.Set("heldUntil", big(env, entry.held_until));
  block.Set("whole", check.whole);
  block.Set("end", check.end);
  block.Set("runs", check.runs);
  Napi::Array covers = Napi::Array::New(env);
  for (const IndexedBlock& covered : check.blocks) {
    Napi::Object one = Napi::Object::New(env);
    one.Set("index", covered.index);
    one.Set("serial", big(env, covered.serial));
    one.Set("records", covered.records);
    one.Set("live", view.entry(covered.index).word == layout::entry_word(covered.serial, layout::kLog));
    covers.Set(covers.Length(), one);
  }
  block.Set("covers", covers);
  return block;
}

Napi::Object scanned_block(Napi::Env env, const StoreView& view, uint32_t index, const layout::DirectoryEntry& entry) {
  Napi::Object block = Napi::Object::New(env);
  block.Set("index", index);
  block.Set("kind", static_cast<uint32_t>(layout::word_kind(entry.word)));
  block.Set("serial", big(env, layout::word_serial(entry.word)));
  block.Set("lane", entry.lane);
  block.Set("epoch", entry.epoch);
  block.Set("sealed", layout::sealed(entry));
  block.Set("sealFlags", entry.seal_flags);
  block.Set("firstSequence", big(env, entry.first_sequence));
  block.Set("lastSequence", big(env, entry.last_sequence));
  block.Set("timeMinNs", big(env, entry.time_min_ns));
  block.Set("timeMaxNs", big(env, entry.time_max_ns));
  block.Set("frameBytes", from_u64(env, entry.frame_bytes));
  block.Set("endBytes", entry.end_bytes);
  block.Set("recordCount", entry.record_count);
  block.Set("frameCount", entry.frame_count);
  block.Set("heldUntil", big(env, entry.held_until));
  Napi::Array records = Napi::Array::New(env);
  if (layout::word_kind(entry.word) == layout::kLog) {
    BlockScan scan(view, index, layout::word_serial(entry.word));
    block.Set("headerValid", scan.header_valid());
    layout::RecordHeader header;
    while ((!layout::sealed(entry) || scan.offset() < entry.end_bytes) && scan.next(&header))
      records.Set(records.Length(), record_object(env, header, scan));
    block.Set("scannedBytes", scan.offset());
  }
  block.Set("records", records);
  return block;
}

// What make_object() makes of each block that is wanted.
template <typename Wanted, typename MakeObject>
Napi::Array blocks_of(Napi::Env env, const StoreView& view, Wanted wanted, MakeObject make_object) {
  Napi::Array blocks = Napi::Array::New(env);
  for (uint32_t index = 0; index < view.superblock->block_count; ++index)
    if (const layout::DirectoryEntry entry = view.entry(index); wanted(entry))
      blocks.Set(blocks.Length(), make_object(env, view, index, entry));
  return blocks;
}

// indexOf(path): the runs of each index block, as a reader finds them: { block, serial, whole, end, runs, covers }
Napi::Value index_of(const Info& info) {
  StoreFile store;
  if (!store.open(info)) return info.Env().Undefined();
  const auto wanted = [](const layout::DirectoryEntry& entry) { return layout::word_kind(entry.word) == layout::kIndex; };
  return blocks_of(info.Env(), store.view, wanted, index_block);
}

// scanStore(path): every used block with its records, read-only
Napi::Value scan_store(const Info& info) {
  Napi::Env env = info.Env();
  StoreFile store;
  if (!store.open(info)) return env.Undefined();
  const layout::Superblock& superblock = store.superblock;
  Napi::Object result = Napi::Object::New(env);
  result.Set("clean", superblock.clean != 0);
  result.Set("epoch", superblock.epoch);
  result.Set("blockCount", superblock.block_count);
  result.Set("blockBytes", superblock.block_bytes);
  result.Set("blocksOffset", from_u64(env, superblock.blocks_offset));
  result.Set("nextSequence", big(env, superblock.next_sequence));
  result.Set("trimmedBefore", big(env, superblock.trimmed_before));
  const auto used = [](const layout::DirectoryEntry& entry) { return entry.word != 0; };
  result.Set("blocks", blocks_of(env, store.view, used, scanned_block));
  return result;
}

}  // namespace

void add_store(Napi::Env env, Napi::Object exports) {
  add_function(env, exports, "openDriver", open_driver);
  add_function(env, exports, "scanStore", scan_store);
  add_function(env, exports, "indexOf", index_of);
}

}  // namespace paste::test
