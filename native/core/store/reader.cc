#include "core/store/reader.h"

#include <algorithm>
#include <cstring>

#include "core/store/reader_lane.h"
#include "core/store/reader_report.h"
#include "core/store/reader_view.h"

namespace paste {
namespace {

constexpr uint32_t lines_up(uint32_t bytes) { return (bytes + layout::kLine - 1) & ~(layout::kLine - 1); }

// One call searches at most this many bytes for a match, so that whoever called can be interrupted; enough that the way to another
// thread and back does not count. Followers are called on JavaScript's own thread.
constexpr uint64_t kBudgetBytes = 32u << 20, kFollowBudgetBytes = 8u << 20;
// Where an index is asked, this much is searched first, and four times as much each time after that, so that what is found first is
// given before the last is found.
constexpr uint64_t kFirstBudgetBytes = 64u << 10;
constexpr uint32_t kWholeBytesMax = 1u << 20;

class StoreReader final : public Reader {
 public:
  explicit StoreReader(std::unique_ptr<ReaderSource> source) : source_(std::move(source)), view_(*source_), state_(view_) {}

  Status open() { return view_.open(); }

  void start(const ReadOptions& options) override {
    state_.options = options;
    state_.counters = ReadCounters{};
    state_.words.start(options);
    start_status_ = view_.reload();
    state_.counters.corrupt = view_.damaged_entries().size();
    if (start_status_.ok() && options.reverse && options.follow)
      start_status_ = Status(Code::kUsage, "what is followed cannot be read newest first");
    if (options.reverse && view_.horizon() != ~0ull)
      state_.options.to_sequence = std::min(options.to_sequence, view_.horizon() - std::min<uint64_t>(view_.horizon(), 1));
    state_.index.start(options);
    budget_max_ = options.follow ? kFollowBudgetBytes : kBudgetBytes;
    call_bytes_ = state_.index.useful() ? kFirstBudgetBytes : budget_max_;
    lanes_.clear();
    lanes_.reserve(layout::kLanesMax);
    for (uint32_t lane = 0; lane < layout::kLanesMax; ++lane) lanes_.emplace_back(view_, state_, lane);
    fresh_ = true;
  }

  More next(ReadBatch* batch, uint32_t max_records, uint32_t max_bytes) override {
    state_.budget_bytes = call_bytes_ < budget_max_ ? call_bytes_ : std::max<uint64_t>(budget_max_, max_bytes);
    call_bytes_ = std::min(call_bytes_ * 4, budget_max_);
    const size_t before = batch->records.size();
    // Places are 32-bit offsets: whatever is asked for, a batch stays far below that.
    max_bytes = std::min(max_bytes, 256u << 20);
    look();
    for (;;) {
      bool budget_left = true;
      for (LaneReader& lane : lanes_) budget_left &= lane.load() != LaneReader::Load::kBudget;
      if (!status().ok()) return More::kEnd;
      LaneReader* first = nullptr;
      const uint64_t until = next_run(&first);
      if (!budget_left) {
        // What is small for the sake of the first record grows while there is none.
        if (call_bytes_ == budget_max_ || batch->records.size() > before) return More::kYes;
        state_.budget_bytes = call_bytes_;
        call_bytes_ = std::min(call_bytes_ * 4, budget_max_);
        continue;
      }
      if (!first) return More::kEnd;
      if (take_whole(batch, first, until, max_records)) {
        state_.chunk_bytes = std::clamp(max_bytes, kChunkBytes, kWholeBytesMax);
        return More::kYes;
      }
      state_.chunk_bytes = kChunkBytes;
      do {
        if (batch->records.size() - before >= max_records || batch->bytes.size() >= max_bytes) return More::kYes;
        copy_record(batch, first);
      } while (first->has_record() && order(first->head_sequence()) < until);
    }
  }

  const ReadCounters& counters() const override { return state_.counters; }
  const Status& status() const override { return source_->status().ok() ? start_status_ : source_->status(); }
  std::vector<PortName> ports() const override { return state_.names.ports(); }
  std::vector<RuleName> rules() const override { return state_.names.rules(); }
  uint64_t names_version() const override { return state_.names.version(); }

  Info info() override { return read_info(*source_); }
  std::vector<BlockProblem> verify(uint32_t limit, ReadCounters* counters) override {
    return verify_store(*source_, limit, counters);
  }

 private:
  // A follower looks anew when it has used up what the last look showed.
  void look() {
    LaneReader* first = nullptr;
    next_run(&first);
    const uint64_t seen = std::min(view_.horizon(), view_.next_sequence());
    if (fresh_ || !state_.options.follow || first || !view_.refresh()) {
      fresh_ = false;
      return;
    }
    state_.counters.overtaken += view_.oldest_sequence() > seen;  // blocks that came and went unseen
    for (LaneReader& lane : lanes_) lane.dry = false;
  }

  // Grows in the order in which records are given.
  uint64_t order(uint64_t sequence) const { return state_.options.reverse ? ~sequence : sequence; }

  // The lane whose record comes next, and the first number of order() that is no longer its own to give.
  uint64_t next_run(LaneReader** first) {
    const uint64_t to = state_.options.to_sequence;
    const uint64_t end = state_.options.reverse ? ~0ull : std::min(view_.horizon(), to == ~0ull ? to : to + 1);
    uint64_t until = end;
    uint64_t lowest = ~0ull;
    for (LaneReader& lane : lanes_) {
      if (!lane.has_record()) continue;
      const uint64_t sequence = order(lane.head_sequence());
      if (!*first || sequence < lowest) {
        if (*first) until = std::min(until, lowest);
        lowest = sequence;
        *first = &lane;
      } else {
        until = std::min(until, sequence);
      }
    }
    if (*first && lowest >= end) *first = nullptr;
    return std::max(until, lowest == ~0ull ? lowest : lowest + 1);
  }

  // Nothing is copied again when a batch can simply be what a lane has found.
  bool take_whole(ReadBatch* batch, LaneReader* lane, uint64_t until, uint32_t max_records) {
    const std::vector<ReadRecord>& records = lane->ready.records;
    if (!batch->records.empty() || lane->at != 0 || records.size() > max_records || order(lane->last_sequence()) >= until) return false;
    // Few matches are better collected than given one piece's at a time.
    if (lane->ready.bytes.size() * 4 < state_.chunk_bytes) return false;
    std::swap(*batch, lane->ready);
    lane->ready.clear();
    return true;
  }

  static void copy_record(ReadBatch* batch, LaneReader* lane) {
    const ReadRecord record = lane->ready.records[lane->at++];
    const uint32_t header = lines_up(static_cast<uint32_t>(batch->bytes.size()));
    const uint32_t offset = header + layout::kLine;
    batch->bytes.resize(offset + record.length);
    memcpy(batch->bytes.data() + header, lane->ready.bytes.data() + record.header, layout::kLine);
    memcpy(batch->bytes.data() + offset, lane->ready.payload(record), record.length);
    batch->records.push_back(ReadRecord{header, offset, record.length});
  }

  std::unique_ptr<ReaderSource> source_;
  ReaderView view_;
  ReadingState state_;
  Status start_status_;
  std::vector<LaneReader> lanes_;
  bool fresh_ = false;
  uint64_t budget_max_ = kBudgetBytes;
  uint64_t call_bytes_ = kBudgetBytes;
};

}  // namespace

Status Reader::open(const std::string& path, std::unique_ptr<Reader>* reader) {
  std::unique_ptr<ReaderSource> source;
  Status status = ReaderSource::open(path, &source);
  if (!status.ok()) return status;
  auto opened = std::make_unique<StoreReader>(std::move(source));
  status = opened->open();
  if (!status.ok()) return status;
  *reader = std::move(opened);
  return Status();
}

}  // namespace paste
