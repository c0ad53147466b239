#include "core/store/reader_index.h"

#include <algorithm>
#include <cstring>

#include "core/base/glob.h"

namespace paste {
namespace {

// Lanes are read side by side, and blocks that the indexer took up late lie in runs of later ones: far fewer are in use at a
// time. What is put away is scanned if it is asked for again.
constexpr size_t kRunsMax = 256;
constexpr uint32_t kNotCovered = ~0u;

IndexNode event_node() {
  IndexNode node{};
  node.op = IndexOp::kRange;
  node.field = static_cast<uint8_t>(IndexField::kEvent);
  node.high[sizeof node.high - 1] = 0xff;
  return node;
}

class RunSource final : public IndexSource {
 public:
  RunSource(ReaderSource& source, uint64_t offset, uint32_t size_bytes, bool written)
      : source_(source), offset_(offset), size_bytes_(size_bytes), written_(written) {}
  bool read(uint32_t offset, uint32_t size_bytes, uint8_t* to) override {
    if (offset > size_bytes_ || size_bytes > size_bytes_ - offset) return false;
    return written_ ? source_.copy(offset_ + offset, to, size_bytes) : source_.read(offset_ + offset, to, size_bytes);
  }

 private:
  ReaderSource& source_;
  uint64_t offset_;
  uint32_t size_bytes_;
  bool written_;  // all of it; what was never written may have no pages
};

}  // namespace

// What a run said of the blocks that it covers.
struct ReaderIndex::Run {
  std::vector<IndexedBlock> covered;
  uint64_t serial_min, serial_max;
  uint32_t next;     // behind the block asked last
  uint32_t unasked;  // blocks of it: a reading asks for each once
  bool failed, has_names;
  IndexAnswer answer;

  void take(std::span<const IndexedBlock> blocks) {
    covered.assign(blocks.begin(), blocks.end());
    next = 0;
    unasked = static_cast<uint32_t>(blocks.size());
    serial_min = ~0ull;
    serial_max = 0;
    for (const IndexedBlock& block : blocks) {
      serial_min = std::min(serial_min, block.serial);
      serial_max = std::max(serial_max, block.serial);
    }
  }

  // Where the block stands among those that are covered: mostly behind the one asked last.
  uint32_t find(const BlockRef& block) {
    if (block.serial < serial_min || block.serial > serial_max) return kNotCovered;
    const uint32_t count = static_cast<uint32_t>(covered.size());
    for (uint32_t step = 0, at = next < count ? next : 0; step < count; ++step, at = at + 1 < count ? at + 1 : 0) {
      if (covered[at].serial != block.serial || covered[at].index != block.index) continue;
      next = at + 1;
      return at;
    }
    return kNotCovered;
  }
};

class ReaderIndex::Names final : public NameAnswers {
 public:
  explicit Names(const std::vector<NameTest>& tests) : tests_(tests) {}
  IndexField field(uint32_t test) const override {
    switch (tests_[test].of) {
      case NameTest::Of::kIngress:
        return IndexField::kIngress;
      case NameTest::Of::kEgress:
        return IndexField::kEgress;
      default:
        return IndexField::kRule;
    }
  }
  bool holds(uint32_t test, std::string_view name) const override { return glob_matches(tests_[test].pattern, std::string(name)); }

 private:
  const std::vector<NameTest>& tests_;
};

ReaderIndex::ReaderIndex(ReaderView& view, ReaderNames& names, ReadCounters& counters)
    : view_(view), names_(names), counters_(counters) {}
ReaderIndex::~ReaderIndex() = default;

void ReaderIndex::start(const ReadOptions& options) {
  plan_ = options.plan;
  tests_ = options.names;
  runs_.clear();
  blocks_.clear();
  if (plan_.empty()) return;
  if (!options.frames_only) {
    IndexNode either{};
    either.op = IndexOp::kOr;
    either.count = 2;
    plan_.push_back(event_node());
    plan_.push_back(either);
  }
  for (const IndexBlockRef& ref : view_.index_blocks()) blocks_.push_back(IndexBlock{ref});
  std::sort(blocks_.begin(), blocks_.end(),
            [](const IndexBlock& a, const IndexBlock& b) { return a.ref.last_sequence < b.ref.last_sequence; });
  uint64_t lowest = ~0ull;
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block)
    block->lowest_from_here = lowest = std::min(lowest, block->ref.first_sequence);
}

ReaderIndex::Says ReaderIndex::ask(const BlockRef& block, std::vector<uint32_t>* offsets) {
  const Found found = find(block);
  if (!found.run) return Says::kScan;
  const Says says = answer(*found.run, found.at, offsets);
  if (--found.run->unasked == 0) {
    spare_.push_back(std::move(runs_.back()));
    runs_.pop_back();
  }
  return says;
}

ReaderIndex::Says ReaderIndex::answer(const Run& run, uint32_t at, std::vector<uint32_t>* offsets) {
  if (run.failed || run.covered[at].scan || at >= run.answer.blocks.size()) return Says::kScan;
  const BlockAnswer& answer = run.answer.blocks[at];
  if (answer.what == BlockAnswer::What::kNone) return Says::kNone;
  // Without names, records that are jumped to would have none.
  if (answer.what == BlockAnswer::What::kAll || !run.has_names) return Says::kScan;
  const auto first = run.answer.offsets.begin() + answer.first;
  offsets->assign(first, first + answer.count);
  for (const uint32_t offset : *offsets)
    if (offset % layout::kLine != 0) return Says::kScan;
  return Says::kSome;
}

ReaderIndex::Found ReaderIndex::find(const BlockRef& block) {
  if (const Found found = find_opened(block); found.run) return found;
  auto at = std::lower_bound(blocks_.begin(), blocks_.end(), block.first_sequence,
                             [](const IndexBlock& each, uint64_t sequence) { return each.ref.last_sequence < sequence; });
  for (; at != blocks_.end() && at->lowest_from_here <= block.last_sequence; ++at) {
    if (at->opened || at->ref.first_sequence > block.last_sequence) continue;
    open(*at);
    if (const Found found = find_opened(block); found.run) return found;
  }
  return Found{};
}

// Nearly always the run asked last, or the one opened last.
ReaderIndex::Found ReaderIndex::find_opened(const BlockRef& block) {
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    const uint32_t at = (*run)->find(block);
    if (at == kNotCovered) continue;
    std::rotate(run.base() - 1, run.base(), runs_.end());
    return Found{runs_.back().get(), at};
  }
  return Found{};
}

// All runs of an index block. One that is still being filled ends where no run begins.
void ReaderIndex::open(IndexBlock& block) {
  block.opened = true;
  uint32_t offset = layout::kLine;
  for (uint32_t number = 0; offset < block.ref.end_bytes; ++number) {
    const uint32_t room = block.ref.end_bytes - offset;
    RunSource source(view_.source(), view_.block_offset(block.ref.index) + offset, room, block.ref.sealed);
    if (!IndexRun::open(source, room, block.ref.serial, &reading_).ok()) {
      // It cannot be told where the next one would begin.
      if (block.ref.sealed && stands(block.ref)) counters_.runs_damaged += block.ref.runs - std::min(number, block.ref.runs);
      break;
    }
    offset = layout::next_run_offset(offset, reading_->bytes());
    std::unique_ptr<Run> run = spare_run();
    run->take(reading_->blocks());
    evaluate(*run, block.ref);
    runs_.push_back(std::move(run));
  }
}

// Asked where something is wrong: was the block reused, or is it damaged? What is right needs no such question: each part of a run is
// summed in the part that names it, and the header under its block's serial.
bool ReaderIndex::stands(const IndexBlockRef& block) {
  return view_.entry_word(block.index) == layout::entry_word(block.serial, layout::kIndex);
}

std::unique_ptr<ReaderIndex::Run> ReaderIndex::spare_run() {
  std::vector<std::unique_ptr<Run>>* from = runs_.size() >= kRunsMax ? &runs_ : &spare_;
  if (from->empty()) return std::make_unique<Run>();
  std::unique_ptr<Run> run = std::move(from->front());
  from->erase(from->begin());
  return run;
}

// All that is read of the run is read now: the memory for it serves the next one.
void ReaderIndex::evaluate(Run& run, const IndexBlockRef& block) {
  ++counters_.runs_read;
  run.has_names = reading_->has_names();
  run.failed = !reading_->evaluate(plan_, Names(tests_), &run.answer).ok() || !learn_names(run.answer);
  counters_.index_bytes += reading_->bytes_read();
  if (run.failed && stands(block)) ++counters_.runs_damaged;
}

// Blocks that are not read from their start do not describe what their records name. Where a filter asks for names, those of runs that
// have none of them count, too: whoever misspelt one wants to know which there are.
bool ReaderIndex::learn_names(const IndexAnswer& answer) {
  const auto some = [](const BlockAnswer& block) { return block.what == BlockAnswer::What::kSome; };
  if (!reading_->has_names()) return true;
  if (tests_.empty() && std::none_of(answer.blocks.begin(), answer.blocks.end(), some)) return true;
  std::vector<IndexName> names;
  if (!reading_->names(&names).ok()) return false;
  for (const IndexName& name : names) names_.learn(name);
  return true;
}

}  // namespace paste
