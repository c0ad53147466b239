#include "core/store/recovery.h"

#include <algorithm>

#include "core/store/checksums.h"
#include "core/store/index_check.h"
#include "core/store/recovery_lane.h"

namespace paste {
namespace {

constexpr size_t kGapsMax = 1024;

struct Found {
  std::vector<LaneBlock> lanes[layout::kLanesMax];    // from the first unsealed block on
  LaneBlock before[layout::kLanesMax] = {};           // the sealed one in front of it; serial 0 = none
  std::vector<uint32_t> buffers, indexes;
  std::vector<SequenceRange> sealed;                  // sequences
  uint64_t lowest_serial = ~0ull;
};

void add_log(const StoreView& view, const LaneBlock& block, uint32_t lane, RecoveryPlan* plan, Found* found) {
  plan->next_serial = std::max(plan->next_serial, block.serial + 1);
  if (!block.sealed) return found->lanes[lane].push_back(block);
  const layout::DirectoryEntry& entry = view.entry(block.index);
  found->sealed.push_back({entry.first_sequence, entry.last_sequence});
  found->lowest_serial = std::min(found->lowest_serial, block.serial);
  plan->next_sequence = std::max(plan->next_sequence, entry.last_sequence + 1);
}

void read_entry(const StoreView& view, uint32_t index, RecoveryPlan* plan, Found* found) {
  const layout::DirectoryEntry& entry = view.entry(index);
  const uint64_t serial = layout::word_serial(entry.word);
  const layout::BlockKind kind = layout::word_kind(entry.word);
  if (!layout::word_possible(entry) || (kind == layout::kLog && entry.lane >= layout::kLanesMax)) {
    add_reason(&plan->report, "block " + std::to_string(index) + ": its directory entry makes no sense; it is freed");
    plan->empty.push_back(index);
  } else if (kind == layout::kLog) {
    add_log(view, {serial, index, layout::sealed(entry)}, entry.lane, plan, found);
  } else {
    plan->next_serial = std::max(plan->next_serial, serial + 1);
    (kind == layout::kBuffers ? found->buffers : found->indexes).push_back(index);
  }
}

void read_directory(const StoreView& view, RecoveryPlan* plan, Found* found) {
  std::vector<uint32_t> doubtful;
  for (uint32_t index = 0; index < view.superblock->block_count; ++index) {
    const layout::DirectoryEntry& entry = view.entry(index);
    if (entry_doubtful(entry, view.superblock->clean != 0))
      doubtful.push_back(index);
    else if (entry.word != 0)
      read_entry(view, index, plan, found);
  }
  plan->restored = restorable(view, doubtful);
  for (const RestoredEntry& entry : plan->restored) {
    add_reason(&plan->report, "block " + std::to_string(entry.index) +
                                  ": its directory entry was damaged; it is restored from the block's own header");
    add_log(view, {entry.serial, entry.index, entry.sealed}, entry.lane, plan, found);
  }
  for (auto restored = plan->restored.begin(); const uint32_t index : doubtful)
    if (restored != plan->restored.end() && restored->index == index)
      ++restored;
    else
      read_entry(view, index, plan, found);
}

// Adds the sealed blocks behind each lane's first unsealed one, and puts them into order.
void complete_lanes(const StoreView& view, const std::vector<RestoredEntry>& restored, Found* found) {
  uint64_t first[layout::kLanesMax];
  for (uint32_t lane = 0; lane < layout::kLanesMax; ++lane) {
    first[lane] = ~0ull;
    for (const LaneBlock& block : found->lanes[lane]) first[lane] = std::min(first[lane], block.serial);
  }
  const auto add_sealed = [&](uint32_t lane, uint64_t serial, uint32_t index) {
    if (serial > first[lane])
      found->lanes[lane].push_back({serial, index, true});
    else if (first[lane] != ~0ull && serial > found->before[lane].serial)
      found->before[lane] = {serial, index, true};
  };
  for (uint32_t index = 0; index < view.superblock->block_count; ++index) {
    const layout::DirectoryEntry& entry = view.entry(index);
    if (entry.lane >= layout::kLanesMax || first[entry.lane] == ~0ull || !layout::sealed(entry)) continue;
    add_sealed(entry.lane, layout::word_serial(entry.word), index);
  }
  for (const RestoredEntry& entry : restored)
    if (entry.sealed) add_sealed(entry.lane, entry.serial, entry.index);
  for (auto& blocks : found->lanes)
    std::sort(blocks.begin(), blocks.end(), [](const LaneBlock& a, const LaneBlock& b) { return a.serial < b.serial; });
}

// Numbers that are missing between the first and the last that was scanned. Sealed blocks count as without gaps: they are not read.
void find_gaps(std::vector<SequenceRange> scanned, const std::vector<SequenceRange>& sealed, RecoveryReport* report) {
  if (scanned.empty()) return;
  const auto by_start = [](const SequenceRange& a, const SequenceRange& b) { return a.from < b.from; };
  std::sort(scanned.begin(), scanned.end(), by_start);
  const uint64_t first = scanned.front().from;
  uint64_t last = 0;
  for (const SequenceRange& interval : scanned) last = std::max(last, interval.to);
  for (const SequenceRange& interval : sealed)
    if (interval.to >= first && interval.from <= last) scanned.push_back(interval);
  std::sort(scanned.begin(), scanned.end(), by_start);
  uint64_t next = first;
  for (const SequenceRange& interval : scanned) {
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
  complete_lanes(view, plan.restored, &found);

  std::vector<SequenceRange> scanned;
  std::vector<uint64_t> held(view.superblock->block_count);
  for (uint32_t lane_index = 0; lane_index < layout::kLanesMax; ++lane_index) {
    const auto& blocks = found.lanes[lane_index];
    for (const LaneBlock& block : blocks) report.blocks_scanned += block.sealed ? 0 : 1;
    LaneScan lane(view, &plan, found.before[lane_index]);
    lane.scan(blocks);
    for (const LaneScan::Result& result : lane.results()) {
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
  report.blocks_restored = plan.restored.size();
  report.buffer_blocks_freed = plan.buffers.size();
  for (const auto* intervals : {&scanned, &found.sealed})
    for (const SequenceRange& interval : *intervals) {
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
  for (const RestoredEntry& entry : plan.restored) directory.restore(entry.index, entry.serial, entry.epoch, entry.lane);
  for (const RecoveryPlan::Hold& hold : plan.holds) directory.hold(hold.index, hold.serial);
  if (!plan.restored.empty() || !plan.holds.empty())
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
