// The indexer's other half: runs on their way into index blocks.
//
// A run's bytes are durable before its first line, so that no crash leaves a run that is valid and not whole. On media with immediate
// domains that is done here; on a disk the keeper flushes and syncs, because a thread of low priority must hold nothing that a
// group commit waits for.
#include <time.h>

#include <algorithm>

#include "core/store/indexer.h"

namespace paste {
namespace {

constexpr timespec kPause{0, 1'000'000};
constexpr uint32_t kPausesMax = 1000;       // for a block that the run under way needs
constexpr uint32_t kKeeperRoundsMax = 8;    // the same without a keeper's thread
constexpr uint32_t kNurseryShare = 4;       // fewer index blocks than that: small runs lie among the others
constexpr uint64_t kTellingRecords = 1000;
constexpr uint32_t kDataShare = 8;          // of the data: beyond, fields are left out rather than runs made smaller

}  // namespace

void Indexer::end_run() {
  const bool small = from_ == From::kLog && under_way_.size() * 2 < superblock_.segment_blocks && !run_full();
  const uint64_t records = builder_.records();
  builder_.finish(&run_);
  learn_size(records);
  OpenBlock* const open = find_room(small, static_cast<uint32_t>(run_.size()));
  if (open != nullptr && write_run(*open)) {
    for (const Covered& block : under_way_) space_.cover(block.index, block.serial, open->block.index);
    if (open == &small_open_) small_.insert(small_.end(), under_way_.begin(), under_way_.end());
    runs_.fetch_add(1, std::memory_order_relaxed);
    run_bytes_.fetch_add(run_.size(), std::memory_order_relaxed);
    blocks_.fetch_add(under_way_.size(), std::memory_order_relaxed);
    frames_.fetch_add(summary_.frame_count, std::memory_order_relaxed);
  } else {
    unlisted_ = true;  // for when there is room
  }
  under_way_.clear();
  summary_ = {};
  newest_serial_ = 0;
  if (space_.sealed_waiting() == 0) pending_since_ns_.store(0, std::memory_order_relaxed);
}

// Null: there is no block to be had.
Indexer::OpenBlock* Indexer::find_room(bool small, uint32_t run_bytes) {
  const auto fits = [&](OpenBlock& open, bool wait) {
    if (open.end != 0 && run_bytes > block_bytes_ - open.end) close_block(open);
    return open.end != 0 || take_block(open, wait);
  };
  if (small && space_.blocks_max() >= kNurseryShare) {
    const bool fresh = small_open_.end == 0 || run_bytes > block_bytes_ - small_open_.end;
    if (fits(small_open_, true)) {
      small_blocks_ += fresh;
      return &small_open_;
    }
  }
  return fits(full_, true) ? &full_ : nullptr;
}

bool Indexer::take_block(OpenBlock& open, bool wait) {
  const uint32_t tries = manual_ ? kKeeperRoundsMax : wait ? kPausesMax : 0;
  SpareBlock block;
  for (uint32_t i = 0; !space_.take(&block); ++i) {
    keeper_bell_.ring();
    if (i >= tries || keeper_.failed() || (!manual_ && stopping_.load())) return false;
    if (manual_)
      keeper_.round();
    else
      nanosleep(&kPause, nullptr);
  }
  open = {};
  open.block = block;
  open.end = layout::kLine;
  return true;
}

bool Indexer::write_run(OpenBlock& open) {
  if (!usable()) return false;
  seal_run(run_, open.block.serial);
  uint8_t* const to = open.block.memory + open.end;
  const auto bytes = static_cast<uint32_t>(run_.size());
  constexpr uint32_t kFirst = kIndexRunHeaderBytes;
  domain_.store(to + kFirst, run_.data() + kFirst, bytes - kFirst);
  if (!carry_out({open.block.index, to + kFirst, bytes - kFirst, newest_serial_, false, {}})) return false;
  domain_.store(to, run_.data(), kFirst);
  if (!carry_out({open.block.index, to, kFirst, 0, false, {}})) return false;
  space_.count_written(bytes);
  open.end = layout::next_run_offset(open.end, bytes);
  open.summary.span(summary_);
  open.summary.record_count += 1;
  open.summary.end_bytes = open.end;
  return true;
}

void Indexer::close_block(OpenBlock& open) {
  open.summary.end_bytes = open.end;
  carry_out({open.block.index, nullptr, 0, 0, true, open.summary});
  space_.close(open.block.index);
  open = {};
}

// Returns when the piece is persistent; false when it never will be.
bool Indexer::carry_out(const IndexPiece& piece) {
  if (!usable()) return false;
  if (domain_.immediate()) {
    space_.apply(piece);
    domain_.fence();
    return true;
  }
  const uint64_t ticket = space_.post(piece);
  while (!space_.carried_out(ticket)) {
    if (keeper_.failed()) return false;
    if (manual_) {
      keeper_.round();
    } else {
      keeper_bell_.ring();
      nanosleep(&kPause, nullptr);
    }
  }
  return true;
}

// How many bytes of index a record takes, so that the next run fills its room and no field has to be left out.
void Indexer::learn_size(uint64_t records) {
  if (records < kTellingRecords) return;
  // Smaller runs keep every field, but of records that have little in common they would take far more than there is room for.
  const uint64_t wanted = std::min<uint64_t>(builder_.wanted_bytes(), under_way_.size() * uint64_t{block_bytes_} / kDataShare);
  const double measured = static_cast<double>(wanted) / static_cast<double>(records);
  bytes_per_record_ = std::max(1.0, (bytes_per_record_ + measured) / 2);
}

}  // namespace paste
