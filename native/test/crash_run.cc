#include "test/crash_run.h"

#include <malloc.h>

#include <algorithm>
#include <cstring>

#include "core/store/layout.h"
#include "test/crash_check.h"
#include "test/crash_life.h"

namespace paste::test {
namespace {

constexpr Subset kChosen[] = {Subset::kLines, Subset::kWords, Subset::kAllButOne, Subset::kOnlyOne};

class CrashRun {
 public:
  CrashRun(const CrashConfig& config, const std::vector<uint8_t>& initial)
      : config_(config), initial_(initial), random_(config.seed) {
    layout::Superblock superblock;
    std::memcpy(&superblock, initial.data(), sizeof superblock);
    blocks_offset_ = superblock.blocks_offset;
    block_count_ = superblock.block_count;
  }

  CrashResult run() {
    CrashLife life(config_, random_(), initial_, blocks_offset_, {}, [this](CrashLife& at) { look(at); });
    life.memory().faults = config_.faults;
    if (const Status status = life.open(); !status.ok()) say("opening a fresh store", status.message());
    for (uint32_t i = 0; i < config_.steps && !enough(); ++i) life.step();
    if (const std::string raw = life.untracked(); !raw.empty()) say("first life", raw);
    result_.fences += life.memory().fences();
    result_.acknowledged = life.model().acknowledged();
    result_.retired += life.retired();
    return std::move(result_);
  }

 private:
  // What a crash image is compared with: the words that the writer had, and those that the crash left.
  struct Crash {
    const CrashModel& model;
    const std::vector<uint64_t>& must;
    std::vector<uint64_t> may;
    std::string name;
  };

  bool enough() const {
    const bool stop = config_.stop_at_first && !result_.wrong.empty();
    return stop || result_.images >= config_.images_max || result_.wrong.size() > 20;
  }
  void say(const std::string& where, const std::string& what) {
    result_.wrong.push_back("seed " + std::to_string(config_.seed) + ", " + where + ": " + what);
  }
  void say_all(const std::string& where, const std::vector<std::string>& what) {
    for (const std::string& one : what) say(where, one);
  }
  bool one_in(uint64_t n) { return random_() % n == 0; }

  void look(CrashLife& life) {
    if (enough() || (depth_ == 0 && !one_in(config_.look_every))) return;
    const std::vector<uint64_t> must = life.words();
    const std::string place = "image " + std::to_string(result_.images);
    say_all(place, life.model().dangling(must));
    if (config_.full != FullPolicy::kOverwrite) say_all(place, life.model().given_up(must));
    crash(life, must, Subset::kNone);
    if (life.memory().pending_lines() == 0) return;
    crash(life, must, kChosen[random_() % std::size(kChosen)]);
    if (one_in(4)) crash(life, must, Subset::kAll);
  }

  void crash(CrashLife& life, const std::vector<uint64_t>& must, Subset subset) {
    std::vector<uint8_t> image = life.memory().image(subset, random_);
    kill_writer(image);
    if (config_.stale_seeds) forge_stale_records(image);
    const std::string name = "image " + std::to_string(result_.images++) + " (fence " +
                             std::to_string(life.memory().fences()) + ", subset " +
                             std::to_string(static_cast<uint32_t>(subset)) + ")";
    const Crash at{life.model(), must, directory_words(image.data(), block_count_), name};
    if (one_in(4)) compare(at, image, "unrecovered");
    examine(at, image, true);
    if (depth_ == 0 && one_in(12)) go_on(at, image);
  }

  // The real reader's answer against the model's.
  ReadBatch compare(const Crash& at, const std::vector<uint8_t>& image, const char* when) {
    ReadBatch got;
    const Status status = file_.read(image, &got);
    if (!status.ok()) say(at.name + ", " + when, status.message());
    result_.records += got.records.size();
    say_all(at.name + ", " + when, at.model.compare(got, at.must, at.may));
    if (config_.index) say_all(at.name + ", " + when, wrong_runs(image, &result_.runs));
    return got;
  }

  // Recovers an image with the real recovery; `cut`: also cut at its fences, and what that leaves is recovered in turn.
  void examine(const Crash& at, const std::vector<uint8_t>& image, bool cut) {
    SimMemory memory(image, blocks_offset_);
    RecoveryReport report;
    {
      SimObserver observer;
      if (cut)
        observer.before_fence = [&] {
          if (one_in(3)) cut_recovery(at, memory);
        };
      SimRegion region(memory, config_.disk, observer);
      if (const Status status = Store::recover_region(region, false, &report); !status.ok())
        return say(at.name + ", recovery", status.message());
    }
    const std::vector<uint8_t> recovered = memory.image(Subset::kNone, random_);
    const ReadBatch got = compare(at, recovered, "recovered");
    say_all(at.name + ", recovered", unowned_buffers(recovered, got));
    if (cut && one_in(4)) repeat(at, recovered, got);
  }

  void cut_recovery(const Crash& at, SimMemory& memory) {
    const Subset subset = one_in(3) ? Subset::kNone : kChosen[random_() % std::size(kChosen)];
    ++result_.recovery_images;
    std::vector<uint8_t> image = memory.image(subset, random_);
    kill_writer(image);
    const Crash again{at.model, at.must, at.may, at.name + ", recovery cut"};
    examine(again, image, false);
  }

  // A second recovery changes nothing and gives the same answer.
  void repeat(const Crash& at, const std::vector<uint8_t>& recovered, const ReadBatch& first) {
    SimMemory memory(recovered, blocks_offset_);
    SimRegion region(memory, config_.disk);
    RecoveryReport report;
    if (const Status status = Store::recover_region(region, false, &report); !status.ok())
      return say(at.name + ", second recovery", status.message());
    const std::vector<uint8_t> again = memory.image(Subset::kNone, random_);
    const uint64_t difference = first_difference(recovered, again);
    if (difference != ~0ull) say(at.name, "a second recovery changed the byte at " + std::to_string(difference));
    const ReadBatch got = compare(at, again, "recovered twice");
    if (got.records.size() != first.records.size()) say(at.name, "a second recovery returns another number of records");
  }

  // Life behind the crash: the store is opened for writing (cut at its fences, too), written, and crashes again.
  void go_on(const Crash& at, const std::vector<uint8_t>& image) {
    ++depth_;
    ++result_.lives;
    bool opening = true;
    CrashLife life(config_, random_(), image, blocks_offset_, at.model, [&](CrashLife& now) {
      if (opening)
        cut_opening(at, now);
      else
        look(now);
    });
    if (const Status status = life.open(); !status.ok()) {
      say(at.name + ", opening", status.message());
    } else {
      opening = false;
      std::vector<uint8_t> opened = life.memory().image(Subset::kNone, random_);
      kill_writer(opened);
      life.model().settle(compare_opened(at, life, opened));
      for (int i = 0; i < 6 && !enough(); ++i) life.step();
      if (const std::string raw = life.untracked(); !raw.empty()) say(at.name + ", life behind the crash", raw);
    }
    --depth_;
  }

  ReadBatch compare_opened(const Crash& at, CrashLife& life, const std::vector<uint8_t>& opened) {
    const std::vector<uint64_t> must = still_there(at.must, life.words());
    return compare({at.model, must, at.may, at.name}, opened, "opened");
  }

  static std::vector<uint64_t> still_there(const std::vector<uint64_t>& before, const std::vector<uint64_t>& now) {
    std::vector<uint64_t> both = now;
    for (size_t i = 0; i < both.size(); ++i)
      if (before[i] != now[i]) both[i] = 0;
    return both;
  }

  // Opening goes on behind recovery: the policy may retire blocks at once to make spares.
  void cut_opening(const Crash& at, CrashLife& life) {
    const std::vector<uint64_t> must = still_there(at.must, life.words());
    const Subset subset = one_in(3) ? Subset::kNone : kChosen[random_() % std::size(kChosen)];
    ++result_.recovery_images;
    std::vector<uint8_t> image = life.memory().image(subset, random_);
    kill_writer(image);
    examine({at.model, must, at.may, at.name + ", opening cut"}, image, false);
  }

  const CrashConfig& config_;
  const std::vector<uint8_t>& initial_;
  ImageFile file_{initial_.size()};
  std::mt19937_64 random_;
  CrashResult result_;
  uint64_t blocks_offset_ = 0;
  uint32_t block_count_ = 0;
  int depth_ = 0;
};

}  // namespace

CrashResult run_crash(const CrashConfig& config, const std::vector<uint8_t>& initial) {
  // Images are a MiB each and live for a millisecond: as mappings of their own they cost more in page faults than in work.
  mallopt(M_MMAP_THRESHOLD, 256 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  return CrashRun(config, initial).run();
}

}  // namespace paste::test
