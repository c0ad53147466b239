// The lane of a store's log: where records go, and in which order they become visible.
//
// Two cursors run through the same blocks. plan() moves the planned one and claims spare blocks on its way; append() moves the
// written one by the same rules, so it arrives where the plan said. commit() publishes the written one.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/pmem/region.h"
#include "core/store/descriptions.h"
#include "core/store/directory.h"
#include "core/store/lane.h"
#include "core/store/lane_link.h"
#include "core/store/store.h"

namespace paste {

struct LaneSetup {
  Region* region = nullptr;
  Directory* directory = nullptr;
  layout::LiveLane* live = nullptr;       // its line of the live page (immediate media publish there themselves)
  uint64_t* sequence_counter = nullptr;   // the store's next sequence, shared by all lanes
  LaneLink* link = nullptr;
  KeeperBell* bell = nullptr;
  FullPolicy full = FullPolicy::kOverwrite;
  uint32_t block_timeout_ms = 0;
  uint32_t keeper_grace_ms = 0;
  bool exact_times = false;               // imports: times are kept as they are, also when they run backwards
};

class LogLane final : public Lane {
 public:
  explicit LogLane(const LaneSetup& setup);

  PlanResult plan(FrameRecord& frame) override;
  NotLogged refusal() const override { return refusal_; }
  void append(std::span<FrameRecord> frames) override;
  uint64_t commit() override;
  uint64_t durable_ticket() const override { return link_.durable.load(std::memory_order_acquire); }
  bool failed() const override { return link_.failed.load(std::memory_order_acquire); }
  uint64_t medium_bytes() const override { return link_.medium_bytes.load(std::memory_order_relaxed); }
  bool append_event(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload) override;
  bool offer_event(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload) override;
  void describe_port(uint32_t id, uint32_t epoch, layout::PortKind kind, std::string_view name) override;
  void forget_port(uint32_t id) override;
  void describe_rule(uint32_t id, uint32_t rule_set, std::string_view name, std::string_view filter) override;
  void forget_rules_before(uint32_t rule_set) override;

  // Closing, the owner thread gone: hands the open block to the keeper; `unused` gets the claimed blocks without records.
  void finish(std::vector<SpareBlock>* unused);
  // The wall clock never runs backwards within a lane: the time of its newest record.
  uint64_t newest_time_ns() const { return time_ns_; }

 private:
  struct Cursor {
    uint64_t ordinal = 0;   // of the block, counted within the lane; 0 = none yet
    uint32_t offset = 0;    // of the next record in it
  };
  static constexpr size_t kRunMax = 32;  // frames whose headers are laid out before the first is streamed
  struct Needs {            // descriptions that a frame's block still lacks
    Description* items[3];
    uint32_t count = 0;
    uint32_t lines = 0;
  };
  using Mark = uint64_t Description::*;

  // Placing (log_lane.cc)
  bool fits(const Cursor& at, uint32_t lines) const { return at.offset + uint64_t{lines} * layout::kLine <= block_bytes_; }
  bool claim_block(Cursor& at);
  bool reserve(Cursor& at, uint32_t lines);
  PlanResult plan_slowly(FrameRecord& frame);
  void find_needs(const FrameRecord& frame, uint64_t ordinal, Mark mark, Needs& needs);
  // True when the planned block is known to lack no description that the frame needs.
  bool described(const FrameRecord& frame) const {
    const uint64_t block = planned_.ordinal;
    return ports_.recalls(frame.ingress, block) && ports_.recalls(frame.egress, block) && rules_.recalls(frame.rule, block);
  }
  PlanResult refuse(uint64_t time_ns);
  void count_lost(uint64_t time_ns, NotLogged reason);
  uint64_t take_sequences(uint64_t count);

  // Writing (lane_write.cc)
  void switch_block();
  uint8_t* room(uint32_t lines);
  size_t write_run(std::span<FrameRecord> frames, uint64_t sequence);
  void write_frame(FrameRecord& frame, uint64_t sequence);
  void write_descriptions(const FrameRecord& frame, uint32_t lines, uint64_t sequence);
  void write_packed(const FrameRecord& frame, uint64_t sequence, uint32_t lines);
  void write_placed(const FrameRecord& frame, uint64_t sequence);
  void write_part(const FrameRecord& frame, const layout::RecordHeader& header, uint32_t part);
  void write_description(Description& description, uint64_t next_sequence);
  void write_event(layout::RecordType type, uint64_t sequence, uint64_t time_ns, std::span<const uint8_t> payload);
  void write_lost(uint64_t sequence);
  void write_record(layout::RecordHeader& header, const uint8_t* payload, uint32_t payload_bytes);
  void seal_header(layout::RecordHeader& header) const;
  void advance_time(uint64_t time_ns) { time_ns_ = exact_times_ || time_ns > time_ns_ ? time_ns : time_ns_; }
  bool event_now(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload);
  bool defer_event(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload);
  void write_deferred();

  // Publishing (log_lane.cc)
  void publish_live();
  void hand_over();

  SpareBlock& claimed(uint64_t ordinal) { return claimed_[ordinal % kClaimedMax]; }
  BlockSummary& summary() { return summaries_[written_.ordinal % kClaimedMax]; }

  Domain& domain_;
  Directory& directory_;
  layout::LiveLane& live_;
  uint64_t& sequence_counter_;
  LaneLink& link_;
  KeeperBell& bell_;
  const FullPolicy full_;
  const uint32_t block_timeout_ms_;
  const uint32_t keeper_grace_ms_;
  const bool exact_times_;
  const bool immediate_;
  const uint32_t block_bytes_;
  const uint32_t lane_;            // its number in the store

  Cursor planned_, written_;
  uint8_t* memory_ = nullptr;      // of the block that is written
  uint64_t serial_ = 0;            // of it
  uint64_t claimed_end_ = 1;       // ordinal behind the newest claimed block
  uint64_t handed_ = 1;            // ordinal of the oldest block that the keeper has not got back
  uint64_t published_ordinal_ = 0; // block that the live page names
  SpareBlock claimed_[kClaimedMax];
  BlockSummary summaries_[kClaimedMax];

  DescriptionTable ports_, rules_;
  uint32_t outstanding_ = 0;       // frames planned and not appended yet
  bool under_way_ = false;         // records appended and not committed
  uint64_t ticket_ = 0;            // sequence of the newest record: tickets are sequences
  uint64_t time_ns_ = 0;
  uint64_t medium_bytes_ = 0, frame_bytes_ = 0, commits_ = 0;

  NotLogged refusal_ = NotLogged::store_full;
  uint64_t refused_since_ns_ = 0;  // monotonic time of the first refusal in a row
  uint64_t lost_count_ = 0, lost_time_ns_ = 0;
  NotLogged lost_reason_ = NotLogged::store_full;
  uint32_t lost_at_ = ~0u;         // index in the planned frames before which the lost record is planned
  std::vector<uint8_t> deferred_;  // events that came between plan() and append()
  // Room to lay out one record that is not framed: a header and a part.
  alignas(64) uint8_t bounce_[layout::kLine + layout::kPartBytes];
};

}  // namespace paste
