// What the index says about a store's log blocks, run by run as a reading comes to them. Nothing is believed unchecked: what a
// damaged or overtaken run covered is scanned, like what no run covers.
#pragma once

#include <memory>
#include <vector>

#include "core/index/run.h"
#include "core/store/reader.h"
#include "core/store/reader_names.h"
#include "core/store/reader_view.h"

namespace paste {

class ReaderIndex {
 public:
  ReaderIndex(ReaderView& view, ReaderNames& names, ReadCounters& counters);
  ~ReaderIndex();

  // A new reading: takes its plan, and the index blocks that the view knows now. Events are asked for where they are wanted.
  void start(const ReadOptions& options);
  // False: there is nothing to ask, every block is to be scanned.
  bool useful() const { return !blocks_.empty() && !plan_.empty(); }

  enum class Says { kScan, kNone, kSome };
  // Which records of a sealed log block can be wanted; kSome: those at `offsets` in the block, ascending. Names that they need
  // have been learned then.
  Says ask(const BlockRef& block, std::vector<uint32_t>* offsets);

 private:
  struct Run;
  class Names;
  struct IndexBlock {
    IndexBlockRef ref;
    uint64_t lowest_from_here = 0;  // first sequence of it and of those behind it
    bool opened = false;
  };
  struct Found {
    Run* run = nullptr;
    uint32_t at = 0;  // in the run's blocks
  };

  static Says answer(const Run& run, uint32_t at, std::vector<uint32_t>* offsets);
  Found find(const BlockRef& block);
  Found find_opened(const BlockRef& block);
  void open(IndexBlock& block);
  bool stands(const IndexBlockRef& block);
  std::unique_ptr<Run> spare_run();
  void evaluate(Run& run, const IndexBlockRef& block);
  bool learn_names(const IndexAnswer& answer);

  ReaderView& view_;
  ReaderNames& names_;
  ReadCounters& counters_;
  std::vector<IndexNode> plan_;
  std::vector<NameTest> tests_;
  std::vector<IndexBlock> blocks_;          // by their last sequence
  std::vector<std::unique_ptr<Run>> runs_;  // that may be asked again; the one asked last comes last
  std::vector<std::unique_ptr<Run>> spare_;
  std::unique_ptr<IndexRun> reading_;       // the one being opened and evaluated
};

}  // namespace paste
