#include "core/store/recovery_lane.h"

#include <algorithm>
#include <utility>

#include "core/store/checksums.h"

namespace paste {

using layout::RecordHeader;

LaneScan::LaneScan(const StoreView& view, RecoveryPlan* plan, const LaneBlock& before) : view_(view), plan_(*plan) {
  if (before.serial != 0) before_ = end_of(before.index, before.serial);
}

LaneScan::Unfinished LaneScan::end_of(uint32_t index, uint64_t serial) const {
  Unfinished end;
  BlockScan scan(view_, index, serial);
  RecordHeader header;
  while (scan.offset() < view_.entry(index).end_bytes && scan.next(&header))
    end = header.part + 1u < header.parts ? Unfinished{header.sequence, header.part + 1u} : Unfinished{};
  return end;
}

void add_reason(RecoveryReport* report, std::string reason) {
  constexpr size_t kReasonsMax = 64;
  if (report->reasons.size() < kReasonsMax)
    report->reasons.push_back(std::move(reason));
  else
    report->reasons_left_out += 1;
}

void LaneScan::say(uint32_t index, uint32_t offset, const std::string& what) {
  add_reason(&plan_.report, "block " + std::to_string(index) + ", offset " + std::to_string(offset) + ": " + what);
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
  before_ = open_ ? Unfinished{} : end_of(index, serial);
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
  SequenceRange& newest = block.sequences.back();
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

}  // namespace paste
