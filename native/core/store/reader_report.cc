#include "core/store/reader_report.h"

#include <algorithm>
#include <cstring>

#include "core/store/checksums.h"
#include "core/store/index_check.h"
#include "core/store/reader_block.h"

namespace paste {
namespace {

bool is_frame(const layout::RecordHeader& header) {
  return header.type == layout::kFrame || header.type == layout::kContinuation;
}
bool is_last_part(const layout::RecordHeader& header) { return is_frame(header) && header.part + 1u >= header.parts; }

// The sums over log blocks, whoever did the adding: a seal or a scan.
struct Totals {
  Reader::Info& info;

  void span(uint64_t first, uint64_t last, uint64_t time_min, uint64_t time_max) {
    if (first == 0) return;
    if (info.first_sequence == 0 || first < info.first_sequence) info.first_sequence = first;
    info.durable_sequence = std::max(info.durable_sequence, last);
    if (info.oldest_ns == 0 || time_min < info.oldest_ns) info.oldest_ns = time_min;
    info.newest_ns = std::max(info.newest_ns, time_max);
  }
  void add_seal(const layout::DirectoryEntry& entry) {
    span(entry.first_sequence, entry.last_sequence, entry.time_min_ns, entry.time_max_ns);
    info.records += entry.record_count;
    info.frames += entry.frame_count;
    info.frame_bytes += entry.frame_bytes;
  }
  void add_record(const layout::RecordHeader& header) {
    if (!(header.flags & layout::kRepeated)) span(header.sequence, header.sequence, header.time_ns, header.time_ns);
    ++info.records;
    info.frames += is_last_part(header);
    if (is_last_part(header)) info.frame_bytes += header.payload_length;
  }
};

void count_blocks(ReaderSource& source, const layout::Superblock& geometry, Reader::Info* info) {
  std::vector<layout::DirectoryEntry> entries(std::min(8192u, geometry.block_count));
  for (uint32_t first = 0; first < geometry.block_count; first += static_cast<uint32_t>(entries.size())) {
    const uint32_t count = std::min(static_cast<uint32_t>(entries.size()), geometry.block_count - first);
    if (!source.read(ReaderView::entry_offset(first), entries.data(), count * sizeof entries[0])) return;
    for (uint32_t i = 0; i < count; ++i) {
      const layout::BlockKind kind = layout::word_kind(entries[i].word);
      info->blocks_free += kind == layout::kFree;
      info->blocks_buffers += kind == layout::kBuffers;
      info->blocks_index += kind == layout::kIndex;
      info->blocks_log += kind == layout::kLog;
      info->blocks_unsealed += kind == layout::kLog && !layout::sealed(entries[i]);
    }
  }
}

// Every record of every block, lane by lane in order.
class Verifier {
 public:
  Verifier(ReaderView& view, uint32_t limit, ReadCounters* counters) : view_(view), limit_(limit), counters_(counters) {}

  std::vector<BlockProblem> run() {
    for (uint32_t lane = 0; lane < layout::kLanesMax; ++lane) {
      last_sequence_ = 0;
      part_due_ = 0;
      for (const BlockRef& block : view_.blocks(lane)) check_block(lane, block);
    }
    for (const IndexBlockRef& block : view_.index_blocks()) check_index(block);
    for (const uint32_t block : view_.damaged_entries())
      report(block, 0, "its directory entry makes no sense: what the block holds is not read until `store recover` restores it");
    return std::move(problems_);
  }

 private:
  void report(uint32_t block, uint32_t offset, std::string what) {
    ++counters_->corrupt;
    if (problems_.size() < limit_) problems_.push_back(BlockProblem{block, offset, std::move(what)});
  }

  // Records are all there without it: a damaged index costs time only, and is said all the same.
  void check_index(const IndexBlockRef& block) {
    layout::DirectoryEntry entry;
    std::vector<uint8_t> bytes(view_.superblock().block_bytes);
    if (!view_.read_entry(block.index, &entry) || entry.word != layout::entry_word(block.serial, layout::kIndex)) return;
    if (!view_.source().read(view_.block_offset(block.index), bytes.data(), bytes.size())) return;
    const IndexCheck check = check_index_block(bytes.data(), view_.superblock().block_bytes, entry);
    if (check.whole || view_.entry_word(block.index) != entry.word) return;
    ++counters_->runs_damaged;
    if (problems_.size() < limit_)
      problems_.push_back(BlockProblem{block.index, check.end, "the index is damaged (checksum): what it covers is scanned until "
                                                               "the next writer makes it anew"});
  }

  void check_block(uint32_t lane, const BlockRef& block) {
    ReaderBlock reader(view_);
    const ReaderBlock::Result result = reader.read(lane, block);
    if (result == ReaderBlock::Result::kGone) {
      ++counters_->overtaken;
      part_due_ = 0;
    }
    if (result != ReaderBlock::Result::kRead) return;
    std::vector<BlockProblem> kept = problems_;
    const ReadCounters before = *counters_;
    check_records(block, reader);
    if (reader.gone()) {  // then what looked like damage was its next life
      problems_ = std::move(kept);
      *counters_ = before;
      ++counters_->overtaken;
      part_due_ = 0;
      return;
    }
    counters_->bytes_scanned += reader.extent().end;
  }

  void check_records(const BlockRef& block, ReaderBlock& reader) {
    uint32_t records = 0, frames = 0;
    for (;;) {
      const ReaderBlock::Found found = reader.next();
      if (found == ReaderBlock::Found::kEnd) break;
      if (found == ReaderBlock::Found::kDamaged) {
        report(block.index, reader.offset(), reader.problem);
        part_due_ = 0;
        continue;
      }
      ++records;
      ++counters_->records;
      frames += is_last_part(reader.header);
      counters_->frames += is_last_part(reader.header);
      check_order(block, reader);
    }
    if (!reader.extent().sealed || !layout::sealed(reader.entry())) return;
    if (reader.entry().record_count != records)
      report(block.index, 0, "the seal counts " + std::to_string(reader.entry().record_count) + " records, the block has " +
                           std::to_string(records));
  }

  void check_order(const BlockRef& block, const ReaderBlock& reader) {
    const layout::RecordHeader& header = reader.header;
    if (is_frame(header) && header.parts > 1) {
      if (header.part != 0 && part_due_ != 0 && (header.part != part_due_ || header.sequence != last_sequence_))
        report(block.index, reader.offset(), "a part of a long frame does not follow the part before it");
      part_due_ = header.part + 1u < header.parts ? header.part + 1u : 0;
    } else if (!(header.flags & layout::kRepeated)) {
      if (part_due_ != 0) report(block.index, reader.offset(), "a long frame's last parts are missing before this record");
      part_due_ = 0;
    }
    if (header.flags & layout::kRepeated) return;
    const bool same_allowed = is_frame(header) && header.part > 0;
    if (header.sequence < last_sequence_ || (header.sequence == last_sequence_ && !same_allowed))
      report(block.index, reader.offset(), "sequence " + std::to_string(header.sequence) + " follows " + std::to_string(last_sequence_));
    last_sequence_ = header.sequence;
  }

  ReaderView& view_;
  uint32_t limit_;
  ReadCounters* counters_;
  std::vector<BlockProblem> problems_;
  uint64_t last_sequence_ = 0;
  uint32_t part_due_ = 0;
};

}  // namespace

Reader::Info read_info(ReaderSource& source) {
  Reader::Info info{};
  ReaderView view(source);
  if (!view.reload().ok()) return info;
  info.superblock = view.superblock();
  info.medium = source.region().medium();
  info.file_system = source.region().file_system();
  info.writer_alive = view.writer_alive();
  count_blocks(source, view.superblock(), &info);
  Totals totals{info};
  ReaderBlock reader(view);
  for (uint32_t lane = 0; lane < layout::kLanesMax; ++lane) {
    for (const BlockRef& block : view.blocks(lane)) {
      layout::DirectoryEntry entry;
      if (!view.read_entry(block.index, &entry)) return info;
      if (entry.word == layout::entry_word(block.serial, layout::kLog) && layout::sealed(entry)) {
        totals.add_seal(entry);
      } else if (reader.read(lane, block) == ReaderBlock::Result::kRead) {
        for (auto found = reader.next(); found != ReaderBlock::Found::kEnd; found = reader.next())
          if (found == ReaderBlock::Found::kRecord) totals.add_record(reader.header);
      }
    }
  }
  if (view.writer_alive()) {
    info.durable_sequence = view.durable_sequence();
    info.next_sequence = view.next_sequence();
  } else {
    info.next_sequence = info.superblock.clean ? info.superblock.next_sequence : info.durable_sequence + 1;
  }
  return info;
}

std::vector<BlockProblem> verify_store(ReaderSource& source, uint32_t limit, ReadCounters* counters) {
  *counters = ReadCounters{};
  ReaderView view(source);
  if (Status status = view.reload(); !status.ok()) return {BlockProblem{0, 0, status.message()}};
  std::vector<BlockProblem> problems = Verifier(view, limit, counters).run();
  if (!source.status().ok()) problems.push_back(BlockProblem{0, 0, source.status().message()});
  return problems;
}

}  // namespace paste
