#include "core/store/recovery.h"

#include <algorithm>
#include <optional>

#include "core/store/checksums.h"
#include "core/store/index_check.h"

namespace paste {
namespace {

using layout::RecordHeader;

constexpr size_t kReasonsMax = 64;
constexpr size_t kGapsMax = 1024;

struct Interval {
  uint64_t from, to;
};

// A block in the order of its lane. A sealed one is there only for what begins in an unsealed one before it.
struct LaneBlock {
  uint64_t serial;
  uint32_t index;
  bool sealed;
};

// What the scan of one unsealed block came to.
struct Result {
  uint32_t index = 0;
  uint64_t serial = 0;
  BlockSummary summary;               // of the records to keep; none: the block becomes free
  uint32_t orphans = 0;               // records among them that are parts of a frame whose beginning is gone
  std::vector<Interval> sequences;    // kept, of this block
  std::vector<uint32_t> buffers;      // buffer blocks that kept records name
};

// A frame in parts whose last part has not come yet.
struct OpenFrame {
  size_t result = 0;          // where part 0 lies
  uint32_t offset = 0;
  BlockSummary before;        // that block's summary without the frame
  uint64_t sequence = 0;
  uint16_t next_part = 1, parts = 0;
};

// The frame that a sealed block ends in the middle of: the next block of its lane goes on with it.
struct Unfinished {
  uint64_t sequence = 0;  // 0 = none
  uint32_t next_part = 0;
};

Unfinished end_of(const StoreView& view, uint32_t index, uint64_t serial) {
  Unfinished end;
  BlockScan scan(view, index, serial);
  RecordHeader header;
  while (scan.offset() < view.entry(index).end_bytes && scan.next(&header))
    end = header.part + 1u < header.parts ? Unfinished{header.sequence, header.part + 1u} : Unfinished{};
  return end;
}

class LaneScan {
 public:
  // `before`: what the sealed block in front of the first unsealed one ends in.
  LaneScan(const StoreView& view, RecoveryPlan* plan, Unfinished before) : view_(view), plan_(*plan), before_(before) {}

  void scan(const std::vector<LaneBlock>& blocks);  // in serial order
  const std::vector<Result>& results() const { return results_; }

 private:
  void scan_block(uint32_t index, uint64_t serial);
  void pass_sealed(uint32_t index, uint64_t serial);
  bool goes_on(const RecordHeader& header) const;
  // False: the record contradicts what came before it.
  bool take(const RecordHeader& header, const BlockScan& scan);
  bool take_unowned_part(const RecordHeader& header, const BlockScan& scan);
  void cut_open_frame(const char* why);
  void end_block(uint32_t offset, const std::string& why);
  void say(uint32_t index, uint32_t offset, const std::string& what);

  const StoreView& view_;
  RecoveryPlan& plan_;
  std::vector<Result> results_;
  Unfinished before_;
  std::optional<OpenFrame> open_;
  uint64_t last_sequence_ = 0;
};

void LaneScan::say(uint32_t index, uint32_t offset, const std::string& what) {
  auto& reasons = plan_.report.reasons;
  if (reasons.size() < kReasonsMax)
    reasons.push_back("block " + std::to_string(index) + ", offset " + std::to_string(offset) + ": " + what);
  else
    plan_.report.reasons_left_out += 1;
}

void LaneScan::scan(const std::vector<LaneBlock>& blocks) {
  for (const LaneBlock& block : blocks)
    if (block.sealed)
      pass_sealed(block.index, block.serial);
    else
      scan_block(block.index, block.serial);
  if (open_) cut_open_frame("a frame whose last parts are missing");
}

// Seals of one barrier persist in any order, so that a crash (of a keeper, or of a recovery) may leave an unsealed block in
// front of a sealed one. A frame that begins in the first and ends in the second is whole.
void LaneScan::pass_sealed(uint32_t index, uint64_t serial) {
  const layout::DirectoryEntry& entry = view_.entry(index);
  BlockScan scan(view_, index, serial);
  RecordHeader header;
  while (open_ && scan.offset() < entry.end_bytes && scan.next(&header)) {
    if (!goes_on(header))
      cut_open_frame("a frame whose last parts are missing");
    else if (++open_->next_part == open_->parts)
      open_.reset();
  }
  before_ = open_ ? Unfinished{} : end_of(view_, index, serial);
  last_sequence_ = std::max(last_sequence_, entry.last_sequence);
}

bool LaneScan::goes_on(const RecordHeader& header) const {
  return open_ && header.type == layout::kContinuation && header.sequence == open_->sequence &&
         header.part == open_->next_part && header.parts == open_->parts;
}

void LaneScan::scan_block(uint32_t index, uint64_t serial) {
  results_.push_back({.index = index, .serial = serial});
  results_.back().summary.end_bytes = layout::kLine;
  BlockScan scan(view_, index, serial);
  if (!scan.header_valid()) say(index, 0, "the block's header is damaged; its records are judged one by one");
  for (;;) {
    const uint32_t offset = scan.offset();
    RecordHeader header;
    if (!scan.next(&header)) {
      end_block(offset, scan.why());
      return;
    }
    plan_.next_sequence = std::max(plan_.next_sequence, header.sequence + 1);
    if (!take(header, scan)) {
      end_block(offset, "a record out of order");
      return;
    }
  }
}

bool LaneScan::take(const RecordHeader& header, const BlockScan& scan) {
  Result& result = results_.back();
  BlockSummary& summary = result.summary;
  const bool continuation = header.type == layout::kContinuation;
  const bool goes_on = this->goes_on(header);
  // A frame goes on in the block that follows; anything else there means that its end never became durable.
  if (open_ && !goes_on && summary.record_count == 0) cut_open_frame("a frame whose last parts are missing");
  if (goes_on) {
    if (++open_->next_part == open_->parts) open_.reset();
  } else if (open_) {
    return false;
  } else if (continuation) {
    if (summary.frame_count != 0 || header.sequence < last_sequence_) return false;
    return take_unowned_part(header, scan);
  } else {
    const bool repeated = header.flags & layout::kRepeated;
    if (repeated ? header.sequence < last_sequence_ : header.sequence <= last_sequence_) return false;
    if (header.parts > 1) open_ = OpenFrame{results_.size() - 1, scan.start(), summary, header.sequence, 1, header.parts};
    if (!repeated) {
      last_sequence_ = header.sequence;
      if (!result.sequences.empty() && result.sequences.back().to + 1 == header.sequence)
        result.sequences.back().to = header.sequence;
      else
        result.sequences.push_back({header.sequence, header.sequence});
    }
  }
  if (!(header.flags & layout::kRepeated)) summary.count(header.sequence, header.time_ns);
  summary.record_count += 1;
  summary.end_bytes = scan.offset();
  if (header.type == layout::kFrame) summary.frame_count += 1;
  if (header.type == layout::kFrame || continuation) summary.frame_bytes += scan.payload_bytes();
  if (scan.placed_in() != layout::kNoBlock && (result.buffers.empty() || result.buffers.back() != scan.placed_in()))
    result.buffers.push_back(scan.placed_in());
  return true;
}

// Takes a frame that never became whole out again: its block ends in front of it, and the blocks behind, which hold nothing but parts
// of it, are empty.
void LaneScan::cut_open_frame(const char* why) {
  Result& block = results_[open_->result];
  RecoveryReport& report = plan_.report;
  report.bytes_discarded += block.summary.end_bytes - open_->offset;
  report.records_discarded += block.summary.record_count - open_->before.record_count;
  block.summary = open_->before;
  if (block.summary.end_bytes == 0) block.summary.end_bytes = layout::kLine;
  Interval& newest = block.sequences.back();
  if (newest.from == newest.to)
    block.sequences.pop_back();
  else
    newest.to -= 1;
  for (size_t i = open_->result + 1; i < results_.size(); ++i) {
    BlockSummary& behind = results_[i].summary;
    report.bytes_discarded += behind.end_bytes - layout::kLine;
    report.records_discarded += behind.record_count;
    behind = {};
    behind.end_bytes = layout::kLine;
    results_[i].orphans = 0;
  }
  say(block.index, open_->offset, why);
  open_.reset();
}

// A part at a block's start that goes on from no frame of this scan: its frame began in a block that is sealed already, or its
// beginning was discarded; then the part is passed over.
bool LaneScan::take_unowned_part(const RecordHeader& header, const BlockScan& scan) {
  Result& result = results_.back();
  result.summary.record_count += 1;
  result.summary.end_bytes = scan.offset();
  if (header.sequence != before_.sequence || header.part != before_.next_part) {
    result.orphans += 1;
    return true;
  }
  before_.next_part += 1;
  last_sequence_ = header.sequence;
  result.summary.count(header.sequence, header.time_ns);
  result.summary.frame_bytes += scan.payload_bytes();
  if (result.sequences.empty()) result.sequences.push_back({header.sequence, header.sequence});
  return true;
}

// `why` empty: no record of this life begins at the offset, which is the natural end unless more of them can be read behind it.
void LaneScan::end_block(uint32_t offset, const std::string& why) {
  const Result& block = results_.back();
  const BlockScan::Rest rest = BlockScan(view_, block.index, block.serial, offset).look_behind();
  if (rest.records == 0 && why.empty()) return;
  plan_.next_sequence = std::max(plan_.next_sequence, rest.highest_sequence + 1);
  plan_.report.records_discarded += rest.records;
  plan_.report.bytes_discarded += rest.bytes;
  say(block.index, offset, (why.empty() ? std::string("a record that never became durable") : why) + "; " +
                               std::to_string(rest.records) + " records discarded from here");
  if (open_) cut_open_frame("a frame whose last parts are missing");
}

struct Found {
  std::vector<LaneBlock> lanes[layout::kLanesMax];    // from the first unsealed block on
  LaneBlock before[layout::kLanesMax] = {};           // the sealed one in front of it; serial 0 = none
  std::vector<uint32_t> buffers, indexes;
  std::vector<Interval> sealed;                       // sequences
  uint64_t lowest_serial = ~0ull;
};

void read_directory(const StoreView& view, RecoveryPlan* plan, Found* found) {
  for (uint32_t index = 0; index < view.superblock->block_count; ++index) {
    const layout::DirectoryEntry& entry = view.entry(index);
    if (entry.word == 0) continue;
    const uint64_t serial = layout::word_serial(entry.word);
    plan->next_serial = std::max(plan->next_serial, serial + 1);
    const layout::BlockKind kind = layout::word_kind(entry.word);
    if (kind == layout::kBuffers) {
      found->buffers.push_back(index);
    } else if (kind == layout::kIndex) {
      found->indexes.push_back(index);
    } else if (kind != layout::kLog || entry.lane >= layout::kLanesMax) {
      plan->report.reasons.push_back("block " + std::to_string(index) + ": its directory entry makes no sense; it is freed");
      plan->empty.push_back(index);
    } else if (!layout::sealed(entry)) {
      found->lanes[entry.lane].push_back({serial, index, false});
    } else {
      found->sealed.push_back({entry.first_sequence, entry.last_sequence});
      found->lowest_serial = std::min(found->lowest_serial, serial);
      plan->next_sequence = std::max(plan->next_sequence, entry.last_sequence + 1);
    }
  }
}

// Adds the sealed blocks behind each lane's first unsealed one, and puts them into order.
void complete_lanes(const StoreView& view, Found* found) {
  uint64_t first[layout::kLanesMax];
  for (uint32_t lane = 0; lane < layout::kLanesMax; ++lane) {
    first[lane] = ~0ull;
    for (const LaneBlock& block : found->lanes[lane]) first[lane] = std::min(first[lane], block.serial);
  }
  for (uint32_t index = 0; index < view.superblock->block_count; ++index) {
    const layout::DirectoryEntry& entry = view.entry(index);
    const uint64_t serial = layout::word_serial(entry.word);
    if (entry.lane >= layout::kLanesMax || first[entry.lane] == ~0ull || !layout::sealed(entry)) continue;
    if (serial > first[entry.lane])
      found->lanes[entry.lane].push_back({serial, index, true});
    else if (serial > found->before[entry.lane].serial)
      found->before[entry.lane] = {serial, index, true};
  }
  for (auto& blocks : found->lanes)
    std::sort(blocks.begin(), blocks.end(), [](const LaneBlock& a, const LaneBlock& b) { return a.serial < b.serial; });
}

// Numbers that are missing between the first and the last that was scanned. Sealed blocks count as without gaps: they are not read.
void find_gaps(std::vector<Interval> scanned, const std::vector<Interval>& sealed, RecoveryReport* report) {
  if (scanned.empty()) return;
  const auto by_start = [](const Interval& a, const Interval& b) { return a.from < b.from; };
  std::sort(scanned.begin(), scanned.end(), by_start);
  const uint64_t first = scanned.front().from;
  uint64_t last = 0;
  for (const Interval& interval : scanned) last = std::max(last, interval.to);
  for (const Interval& interval : sealed)
    if (interval.to >= first && interval.from <= last) scanned.push_back(interval);
  std::sort(scanned.begin(), scanned.end(), by_start);
  uint64_t next = first;
  for (const Interval& interval : scanned) {
    if (interval.from > next && report->gaps.size() < kGapsMax) report->gaps.push_back({next, interval.from - 1});
    next = std::max(next, interval.to + 1);
  }
}

}  // namespace

RecoveryPlan plan_recovery(const StoreView& view, bool check_index) {
  RecoveryPlan plan;
  RecoveryReport& report = plan.report;
  report.was_clean = view.superblock->clean != 0;
  report.epoch = view.superblock->epoch + 1;
  plan.next_sequence = std::max<uint64_t>(view.superblock->next_sequence, 1);
  plan.next_serial = std::max<uint64_t>(view.superblock->next_serial, 1);
  Found found;
  read_directory(view, &plan, &found);
  complete_lanes(view, &found);

  std::vector<Interval> scanned;
  std::vector<uint64_t> held(view.superblock->block_count);
  for (uint32_t lane_index = 0; lane_index < layout::kLanesMax; ++lane_index) {
    const auto& blocks = found.lanes[lane_index];
    for (const LaneBlock& block : blocks) report.blocks_scanned += block.sealed ? 0 : 1;
    const LaneBlock& before = found.before[lane_index];
    LaneScan lane(view, &plan, before.serial != 0 ? end_of(view, before.index, before.serial) : Unfinished{});
    lane.scan(blocks);
    for (const Result& result : lane.results()) {
      if (result.summary.record_count == result.orphans) {
        report.records_discarded += result.orphans;
        report.bytes_discarded += result.summary.end_bytes - layout::kLine;
        plan.empty.push_back(result.index);
        continue;
      }
      plan.seals.push_back({result.index, result.summary});
      report.records_kept += result.summary.record_count;
      report.frames_kept += result.summary.frame_count;
      found.lowest_serial = std::min(found.lowest_serial, result.serial);
      scanned.insert(scanned.end(), result.sequences.begin(), result.sequences.end());
      for (const uint32_t index : result.buffers) held[index] = std::max(held[index], result.serial);
    }
  }
  for (const uint32_t index : found.buffers) {
    const uint64_t before = view.entry(index).held_until;
    if (held[index] > before) plan.holds.push_back({index, held[index]});
    if (std::max(held[index], before) < found.lowest_serial) plan.buffers.push_back(index);
  }
  for (const uint32_t index : found.indexes) {
    const layout::DirectoryEntry& entry = view.entry(index);
    const bool outlived = entry.held_until < found.lowest_serial;
    const bool damaged =
        !outlived && check_index && !check_index_block(view.block(index), view.superblock->block_bytes, entry).whole;
    report.index_blocks_damaged += damaged;
    if (outlived || damaged) plan.indexes.push_back(index);
  }
  report.index_blocks = found.indexes.size();
  report.index_blocks_freed = plan.indexes.size();
  report.blocks_sealed = plan.seals.size();
  report.blocks_freed = plan.empty.size();
  report.buffer_blocks_freed = plan.buffers.size();
  for (const auto* intervals : {&scanned, &found.sealed})
    for (const Interval& interval : *intervals) {
      if (report.first_sequence == 0 || interval.from < report.first_sequence) report.first_sequence = interval.from;
      report.last_sequence = std::max(report.last_sequence, interval.to);
    }
  find_gaps(std::move(scanned), found.sealed, &report);
  if (report.reasons_left_out > 0)
    report.reasons.push_back("and " + std::to_string(report.reasons_left_out) + " more");
  return plan;
}

Status apply_recovery(const RecoveryPlan& plan, Directory& directory, Domain& domain) {
  const auto barrier = [&domain] {
    domain.fence();
    return domain.sync();
  };
  for (const RecoveryPlan::Hold& hold : plan.holds) directory.hold(hold.index, hold.serial);
  if (!plan.holds.empty())
    if (Status status = barrier(); !status.ok()) return status;
  for (const RecoveryPlan::Seal& seal : plan.seals) directory.seal(seal.index, seal.summary, layout::kSealedByRecovery);
  for (const uint32_t index : plan.empty) directory.retire(index);
  if (!plan.seals.empty() || !plan.empty.empty())
    if (Status status = barrier(); !status.ok()) return status;
  for (const uint32_t index : plan.buffers) directory.retire(index);
  for (const uint32_t index : plan.indexes) directory.retire(index);
  return plan.buffers.empty() && plan.indexes.empty() ? Status{} : barrier();
}

}  // namespace paste
