// A lane's unsealed log blocks, as recovery reads them: which of their records are to be kept, which are taken out, and why.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/store/recovery.h"

namespace paste {

struct SequenceRange {
  uint64_t from, to;
};

// A block in the order of its lane. A sealed one is there only for what begins in an unsealed one before it.
struct LaneBlock {
  uint64_t serial;
  uint32_t index;
  bool sealed;
};

// One line more for people; beyond a limit only counted.
void add_reason(RecoveryReport* report, std::string reason);

class LaneScan {
 public:
  // What the scan of one unsealed block came to.
  struct Result {
    uint32_t index = 0;
    uint64_t serial = 0;
    BlockSummary summary;                  // of the records to keep; none: the block becomes free
    uint32_t orphans = 0;                  // records among them that are parts of a frame whose beginning is gone
    std::vector<SequenceRange> sequences;  // kept, of this block
    std::vector<uint32_t> buffers;         // buffer blocks that kept records name
  };

  // `before`: the sealed block in front of the first unsealed one; serial 0 = none.
  LaneScan(const StoreView& view, RecoveryPlan* plan, const LaneBlock& before);

  void scan(const std::vector<LaneBlock>& blocks);  // in serial order
  const std::vector<Result>& results() const { return results_; }

 private:
  // A frame in parts whose last part has not come yet.
  struct OpenFrame {
    size_t result = 0;    // where part 0 lies
    uint32_t offset = 0;
    BlockSummary before;  // that block's summary without the frame
    uint64_t sequence = 0;
    uint16_t next_part = 1, parts = 0;
  };
  // The frame that a sealed block ends in the middle of: the next block of its lane goes on with it.
  struct Unfinished {
    uint64_t sequence = 0;  // 0 = none
    uint32_t next_part = 0;
  };

  Unfinished end_of(uint32_t index, uint64_t serial) const;
  void scan_block(uint32_t index, uint64_t serial);
  void pass_sealed(uint32_t index, uint64_t serial);
  bool goes_on(const layout::RecordHeader& header) const;
  // False: the record contradicts what came before it.
  bool take(const layout::RecordHeader& header, const BlockScan& scan);
  bool take_unowned_part(const layout::RecordHeader& header, const BlockScan& scan);
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

}  // namespace paste
