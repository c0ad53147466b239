#include "test/crash_life.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/store/checksums.h"

namespace paste::test {
namespace {

// Sizes with something about them: line edges, common frames, jumbo, one part, just over a part, many parts.
static_assert((layout::kStrict | layout::kFlooded | layout::kVlanTagged) == 7 << 1);

constexpr uint32_t kSizes[] = {14,   60,   63,   64,   65,   100,  128,   512,   1000,  1514,
                               1518, 2048, 4095, 9018, 9216, 16384, 16385, 20000, 33000, 60000};
}  // namespace

CrashLife::CrashLife(const CrashConfig& config, uint64_t seed, const std::vector<uint8_t>& image,
                     uint64_t blocks_offset, CrashModel model, Look look)
    : config_(config),
      random_(seed),
      blocks_offset_(blocks_offset),
      memory_(image, blocks_offset),
      model_(std::move(model)),
      look_(std::move(look)) {}

Status CrashLife::open() {
  SimObserver observer;
  observer.before_fence = [this] { look_(*this); };
  observer.streamed = [this](uint64_t offset, const uint8_t* lines, size_t count) {
    note_streamed(offset, lines, count);
  };
  auto region = std::make_unique<SimRegion>(memory_, config_.disk, std::move(observer));
  region_ = region.get();
  layout::Superblock geometry;
  std::memcpy(&geometry, memory_.base(), sizeof geometry);
  if (geometry.magic != layout::kMagic)
    std::memcpy(&geometry, memory_.base() + layout::kSuperblockOffset[1], sizeof geometry);
  block_count_ = geometry.block_count;
  block_bytes_ = geometry.block_bytes;
  StoreOptions options;
  options.lanes = config_.lanes;
  options.full = config_.full;
  options.block_timeout_ms = 0;
  options.spare_blocks = 1;
  options.start_keeper = false;
  options.index = config_.index;
  RecoveryReport report;
  Status status = Store::open_region(std::move(region), options, &store_, &report);
  if (!status.ok()) return status;
  described_.clear();
  has_buffers_ = false;
  for (uint32_t i = 0; i < 4; ++i) store_->keeper_round();
  streamed_.clear();
  return {};
}

uint64_t CrashLife::retired() { return store_->counters().retired_blocks; }

std::string CrashLife::untracked() const {
  const uint64_t at = memory_.untracked();
  return at == ~0ull ? "" : "bytes at " + std::to_string(at) + " were stored past the domain";
}

// Which life of which block a record went to: the word that is there now must be the one its checksum is seeded with.
void CrashLife::note_streamed(uint64_t offset, const uint8_t* lines, size_t count) {
  if (offset < blocks_offset_ || count == 0) return;
  layout::RecordHeader header;
  std::memcpy(&header, lines, sizeof header);
  const bool frame = header.type == layout::kFrame || header.type == layout::kContinuation;
  if (!(frame || header.type == layout::kMac) || (header.flags & layout::kRepeated) != 0) return;
  const auto block = static_cast<uint32_t>((offset - blocks_offset_) / block_bytes_);
  const auto* entries = reinterpret_cast<const layout::DirectoryEntry*>(region_->head() + layout::kDirectoryOffset);
  const uint64_t serial = layout::word_serial(entries[block].word);
  if (header.header_crc == layout::record_header_crc(header, serial))
    streamed_.push_back({header.sequence, header.type, {block, serial}});
}

void CrashLife::step() {
  const auto lane = static_cast<uint32_t>(pick(config_.lanes));
  const uint64_t what = pick(100);
  if (what < 62) {
    append(lane);
    if (pick(10) < 8) commit(lane);
  } else if (what < 72) {
    event(lane);
  } else if (what < 90) {
    store_->keeper_round();
  } else if (what < 94) {
    describe(lane);
  } else if (what < 97) {
    trim();
  } else {
    reopen();
  }
  if (pick(3) == 0) store_->keeper_round();
  if (config_.index && pick(6) == 0) store_->index_round(pick(2) == 0);
  acknowledge();
  look_(*this);
}

void CrashLife::make_frame(Arena& arena) {
  FrameRecord frame;
  ModelRecord model;
  frame.length = pick(3) == 0 ? kSizes[pick(std::size(kSizes))] : 14 + static_cast<uint32_t>(pick(1600));
  frame.framed = pick(2) == 0;
  // A line in front for the header, whole lines behind.
  const uint32_t room = 64 + (frame.length + 63) / 64 * 64;
  arena.memory.emplace_back(static_cast<uint8_t*>(std::aligned_alloc(64, room)), std::free);
  uint8_t* const bytes = arena.memory.back().get() + 64;
  std::memset(bytes, 0, room - 64);
  for (uint32_t i = 0; i < frame.length; ++i) bytes[i] = static_cast<uint8_t>(random_());
  frame.bytes = bytes;
  frame.wire_length = frame.length + static_cast<uint32_t>(pick(2) * 4);
  frame.time_ns = time_ns_ += pick(1000);
  frame.ingress = described_.empty() ? 0 : described_[pick(described_.size())];
  frame.egress = described_.empty() ? 0 : described_[pick(described_.size())];
  frame.flow_hash = static_cast<uint32_t>(random_());
  frame.flags = static_cast<uint8_t>(pick(8) << 1);  // any of kStrict, kFlooded, kVlanTagged
  frame.vlan_tci = static_cast<uint16_t>(pick(4096));
  frame.copies_reserved = static_cast<uint16_t>(pick(5));
  frame.copies_refused = static_cast<uint16_t>(pick(5));
  frame.outcome = static_cast<uint8_t>(pick(3));
  if (config_.placed && store_->buffers() != nullptr && frame.length <= layout::kBufferBytes && pick(2) == 0)
    place(frame, model);
  layout::RecordHeader& header = model.expected;
  header.type = layout::kFrame;
  header.flags = frame.flags;
  header.time_ns = frame.time_ns;
  header.ingress = frame.ingress;
  header.egress = frame.egress;
  header.wire_length = frame.wire_length;
  header.flow_hash = frame.flow_hash;
  header.vlan_tci = frame.vlan_tci;
  header.copies_reserved = frame.copies_reserved;
  header.copies_refused = frame.copies_refused;
  header.outcome = frame.outcome;
  model.bytes.assign(frame.bytes, frame.bytes + frame.length);
  arena.frames.push_back(frame);
  arena.models.push_back(std::move(model));
}

// The frame as a device would have received it: in a buffer of the store, written past the domain.
void CrashLife::place(FrameRecord& frame, ModelRecord& model) {
  if (has_buffers_ && buffers_used_ + layout::kBufferBytes > buffers_.size_bytes) {
    full_buffers_.push_back(buffers_.index);  // given back when what lies in it is appended
    has_buffers_ = false;
  }
  if (!has_buffers_) {
    if (!store_->buffers()->take(&buffers_)) return;  // none is ready: this frame is packed
    has_buffers_ = true;
    buffers_used_ = 0;
  }
  uint8_t* const to = buffers_.memory + buffers_used_;
  std::memcpy(to, frame.bytes, frame.length);
  memory_.written(buffers_.store_offset + buffers_used_, frame.length);
  frame.store_offset = buffers_.store_offset + buffers_used_;
  frame.bytes = to;
  frame.mark = true;
  frame.framed = false;
  buffers_used_ += layout::kBufferBytes;
  model.buffer_block = buffers_.index;
  model.buffer_word = words()[buffers_.index];
}

void CrashLife::append(uint32_t lane_index) {
  Lane& lane = store_->lane(lane_index);
  Arena made, taken;
  for (uint64_t count = 1 + pick(12); count > 0; --count) make_frame(made);
  for (size_t i = 0; i < made.frames.size(); ++i) {
    PlanResult plan = lane.plan(made.frames[i]);
    if (plan == PlanResult::kBlock) {
      store_->keeper_round();
      plan = lane.plan(made.frames[i]);
    }
    if (plan != PlanResult::kRoom) continue;
    taken.frames.push_back(made.frames[i]);
    taken.models.push_back(std::move(made.models[i]));
  }
  streamed_.clear();
  model_.under_way = taken.models;
  lane.append(taken.frames);
  model_.under_way.clear();
  for (const uint32_t index : full_buffers_) store_->buffers()->drop_uses(index, 1);
  full_buffers_.clear();
  for (size_t i = 0; i < taken.frames.size(); ++i) {
    ModelRecord& record = taken.models[i];
    record.lane = lane_index;
    for (const Streamed& part : streamed_)
      if (part.sequence == taken.frames[i].sequence && part.type != layout::kMac) record.lives.push_back(part.life);
    PASTE_CHECK(!record.lives.empty());  // every record was seen on its way into a block
    model_.records[taken.frames[i].sequence] = std::move(record);
  }
}

void CrashLife::event(uint32_t lane_index) {
  layout::MacPayload payload{};
  for (uint8_t& byte : payload.mac) byte = static_cast<uint8_t>(random_());
  payload.port = static_cast<uint32_t>(pick(100));
  payload.event = layout::kLearned;
  ModelRecord record;
  record.expected.type = layout::kMac;
  record.expected.time_ns = time_ns_ += pick(1000);
  record.lane = lane_index;
  const auto* bytes = reinterpret_cast<const uint8_t*>(&payload);
  record.bytes.assign(bytes, bytes + sizeof payload);
  streamed_.clear();
  model_.under_way = {record};
  const bool taken = store_->lane(lane_index).append_event(layout::kMac, record.expected.time_ns, record.bytes);
  model_.under_way.clear();
  if (!taken) return;
  for (const Streamed& part : streamed_)
    if (part.type == layout::kMac) {
      record.lives = {part.life};
      model_.records[part.sequence] = record;
    }
  commit(lane_index);
}

void CrashLife::commit(uint32_t lane_index) {
  const uint64_t ticket = store_->lane(lane_index).commit();
  for (auto& [sequence, record] : model_.records)
    if (record.lane == lane_index && record.ticket == 0 && !record.lost) record.ticket = ticket;
  acknowledge();
}

void CrashLife::acknowledge() {
  for (uint32_t lane = 0; lane < config_.lanes; ++lane) model_.acknowledge(lane, store_->lane(lane).durable_ticket());
}

void CrashLife::trim() {
  if (model_.records.empty()) return;
  const uint64_t first = model_.records.begin()->first, last = model_.records.rbegin()->first;
  const uint64_t before = first + pick(last - first + 1) / 2;
  model_.trimmed_before = std::max(model_.trimmed_before, before);
  store_->trim(before);
}

void CrashLife::describe(uint32_t lane_index) {
  (void)lane_index;
  const uint32_t id = store_->take_id();
  const std::string name = "vale0:port" + std::to_string(id);
  for (uint32_t lane = 0; lane < config_.lanes; ++lane)
    store_->lane(lane).describe_port(id, 1, layout::kValePort, name);
  described_.push_back(id);
}

// A clean end and a new beginning: everything committed survives, tickets start anew.
void CrashLife::reopen() {
  for (uint32_t lane = 0; lane < config_.lanes; ++lane) commit(lane);
  if (has_buffers_) store_->buffers()->drop_uses(buffers_.index, 1);
  has_buffers_ = false;
  const Status closed = store_->close();
  PASTE_CHECK(closed.ok());
  acknowledge();
  for (auto& [sequence, record] : model_.records)
    if (!record.lost) record.acknowledged = true;  // closing made everything durable
  look_(*this);
  store_.reset();
  const Status opened = open();
  PASTE_CHECK(opened.ok());
}

}  // namespace paste::test
