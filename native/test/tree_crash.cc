#include "test/tree_crash.h"

#include <malloc.h>

#include <cstring>
#include <map>
#include <random>

#include "core/tree/tree.h"
#include "test/sim_region.h"

namespace paste::test {
namespace {

using tree::Bytes;
using tree::Outcome;
using Model = std::map<std::string, std::string>;

constexpr uint64_t kPagesOffset = uint64_t{tree::kFirstPage} * tree::kPageBytes;
constexpr Subset kChosen[] = {Subset::kLines, Subset::kWords, Subset::kAllButOne, Subset::kOnlyOne, Subset::kAll};

constexpr uint32_t bit(Part part) { return 1u << static_cast<uint32_t>(part); }
constexpr uint32_t kPagesPart = bit(Part::kBlock);
constexpr uint32_t kRootsPart = bit(Part::kWord) | bit(Part::kHeld) | bit(Part::kEntry) | bit(Part::kSeal);

// Everything in an image, read as a reader does that comes after a crash; "" or what is wrong.
std::string read_all(Region& region, Model* model) {
  std::unique_ptr<tree::File> file;
  if (const Status status = tree::File::open(region, &file); !status.ok()) return status.message();
  tree::Snapshot snapshot;
  if (const Status status = tree::Snapshot::take(*file, &snapshot); !status.ok()) return status.message();
  // The live page is not to be trusted after a crash; whoever reads then starts from a snapshot that nobody overtakes.
  std::vector<tree::Problem> problems;
  if (snapshot.verify(1, &problems) != Outcome::kFound) return "overtaken with nobody writing";
  if (!problems.empty()) return "page " + std::to_string(problems[0].page) + ": " + problems[0].what;
  tree::Cursor cursor(snapshot);
  Outcome outcome = cursor.first();
  for (; outcome == Outcome::kFound; outcome = cursor.next()) model->emplace(cursor.key(), cursor.value());
  return outcome == Outcome::kAbsent ? "" : file->problem().message();
}

class TreeCrash {
 public:
  explicit TreeCrash(const TreeCrashConfig& config) : config_(config), random_(config.seed) {}

  TreeCrashResult run() {
    std::vector<uint8_t> image(uint64_t{config_.pages} * tree::kPageBytes);
    create(&image);
    for (uint32_t life = 0; life < config_.lives && result_.wrong.empty(); ++life) {
      live(image);
      if (!next_image_.empty()) image = std::move(next_image_), committed_ = next_model_;
      next_image_.clear();
      ++result_.lives;
    }
    return std::move(result_);
  }

 private:
  void say(const std::string& what) {
    result_.wrong.push_back("seed " + std::to_string(config_.seed) + ", image " + std::to_string(result_.images) + ": " + what);
  }
  uint64_t below(uint64_t n) { return random_() % n; }

  // A crash while the tree is made: no tree, or an empty one.
  void create(std::vector<uint8_t>* image) {
    SimMemory memory(*image, kPagesOffset);
    SimObserver observer;
    observer.before_fence = [&] {
      for (const Subset subset : kChosen) {
        SimMemory left(memory.image(subset, random_), kPagesOffset);
        SimRegion region(left, config_.disk);
        ++result_.images;
        Model model;
        std::unique_ptr<tree::File> file;
        if (tree::File::open(region, &file).ok() && (!read_all(region, &model).empty() || !model.empty()))
          say("a tree cut while it was made is no empty tree");
      }
    };
    SimRegion region(memory, config_.disk, observer);
    if (const Status status = tree::File::create(region); !status.ok()) say(status.message());
    *image = memory.image(Subset::kNone, random_);
  }

  void live(const std::vector<uint8_t>& image) {
    SimMemory memory(image, kPagesOffset);
    if (config_.fault == TreeFault::kPagesNotFlushed) memory.faults.drop_flushes = kPagesPart;
    if (config_.fault == TreeFault::kRootNotFlushed) memory.faults.drop_flushes = kRootsPart;
    SimObserver observer;
    observer.before_fence = [&] { at_fence(memory); };
    auto region = std::make_unique<SimRegion>(memory, config_.disk, observer);
    std::unique_ptr<tree::Tree> tree;
    if (const Status status = tree::Tree::open_region(std::move(region), &tree); !status.ok()) return say(status.message());
    pending_ = committed_;
    for (uint32_t step = 0; step < config_.steps && result_.wrong.empty(); ++step) batch(*tree, memory);
    if (const uint64_t raw = memory.untracked(); raw != ~0ull) say("stored past the domain at " + std::to_string(raw));
  }

  void at_fence(SimMemory& memory) {
    look(memory);
    memory.faults.drop_fences = 0;
    const bool roots = root_stored(memory);
    if (config_.fault == TreeFault::kPagesNotFenced && !roots) memory.faults.drop_fences = kPagesPart;
    if (config_.fault == TreeFault::kRootNotFenced && roots) memory.faults.drop_fences = kRootsPart;
  }

  // The newest root that the processor sees is above the one that the last commit returned.
  bool root_stored(const SimMemory& memory) const {
    for (uint32_t at = 0; at < 2; ++at) {
      tree::Root root;
      std::memcpy(&root, memory.base() + (tree::kRootPage + at) * uint64_t{tree::kPageBytes}, sizeof root);
      if (root.generation > generation_) return true;
    }
    return false;
  }

  void look(SimMemory& memory) {
    crash(memory, Subset::kNone);
    for (int i = 0; i < 2; ++i) crash(memory, kChosen[below(std::size(kChosen))]);
  }

  void crash(SimMemory& memory, Subset subset) {
    if (!result_.wrong.empty()) return;
    ++result_.images;
    std::vector<uint8_t> image = memory.image(subset, random_);
    Model found;
    {
      SimMemory left(image, kPagesOffset);
      SimRegion region(left, config_.disk);
      if (const std::string what = read_all(region, &found); !what.empty()) return say(what);
    }
    if (found != committed_ && found != pending_)
      return say(std::to_string(found.size()) + " entries, neither the committed state (" + std::to_string(committed_.size()) +
                 ") nor the one being committed (" + std::to_string(pending_.size()) + ")");
    if (below(8) == 0) go_on(image, found);
    next_image_ = std::move(image);
    next_model_ = std::move(found);
  }

  // The tree is opened for writing behind the crash, and goes on.
  void go_on(const std::vector<uint8_t>& image, Model model) {
    SimMemory memory(image, kPagesOffset);
    std::unique_ptr<tree::Tree> tree;
    Status status = tree::Tree::open_region(std::make_unique<SimRegion>(memory, config_.disk), &tree);
    if (status.ok()) status = tree->put("behind the crash", "1");
    if (status.code() == Code::kResource) return;
    if (status.ok()) status = tree->commit();
    if (!status.ok()) return say("behind the crash: " + status.message());
    model["behind the crash"] = "1";
    SimMemory left(memory.image(Subset::kNone, random_), kPagesOffset);
    SimRegion region(left, config_.disk);
    Model found;
    if (const std::string what = read_all(region, &found); !what.empty() || found != model) say("behind the crash: " + what);
  }

  std::string random_key() {
    const uint64_t number = below(config_.keys);
    // Lengths and shared beginnings of all kinds, always the same for one number.
    std::string key = number % 3 == 0 ? "shared/beginning/" : number % 3 == 1 ? "" : std::string(number % 90, 'x');
    return key + std::to_string(number * 2654435761u % 100000);
  }

  void change(tree::Tree& tree, Model* model) {
    const std::string key = random_key();
    const uint64_t kind = below(100);
    if (kind < growing_) {
      const uint64_t bytes = below(10) == 0 ? below(1100) : below(40);
      const std::string value(bytes, static_cast<char>('a' + below(26)));
      const Status status = tree.put(key, value);
      if (status.ok()) (*model)[key] = value;
      if (status.code() == Code::kResource) ++result_.full;
      if (!status.ok() && status.code() != Code::kResource) say(status.message());
      return;
    }
    bool was_there = false;
    const Status status = tree.remove(key, &was_there);
    if (status.code() == Code::kResource) return;
    if (!status.ok()) say(status.message());
    if (was_there != (model->erase(key) > 0)) say("remove of " + key + " does not agree with the model");
  }

  void batch(tree::Tree& tree, SimMemory& memory) {
    if (below(12) == 0) growing_ = 20 + below(80);
    Model next = committed_;
    const uint64_t changes = 1 + below(below(5) == 0 ? 60 : 8);
    if (next.empty() && below(2) == 0) {
      if (!tree.load_start().ok()) return say("a bulk load into an empty tree is refused");
      for (uint64_t i = 0; i < changes * 4; ++i) next[random_key()] = std::string(below(60), 'l');
      for (const auto& [key, value] : next)
        if (const Status status = tree.load(key, value); !status.ok()) return say(status.message());
      pending_ = next;
      generation_ = tree.root().generation;
      if (const Status status = tree.load_finish(); !status.ok()) return say(status.message());
    } else {
      generation_ = tree.root().generation;
      for (uint64_t i = 0; i < changes; ++i) change(tree, &next);
      if (below(10) == 0) return tree.abort();
      pending_ = next;
      if (const Status status = tree.commit(); !status.ok()) return say(status.message());
    }
    committed_ = next;
    result_.commits += 1;
    result_.entries_max = std::max<uint64_t>(result_.entries_max, next.size());
    generation_ = tree.root().generation;
    crash(memory, Subset::kNone);  // what commit() promised is there
    if (tree.entries() != next.size()) say("entries() is not what the model has");
  }

  const TreeCrashConfig config_;
  std::mt19937_64 random_;
  TreeCrashResult result_;
  Model committed_, pending_;
  uint64_t generation_ = 0;
  uint64_t growing_ = 80;  // percent of changes that put
  std::vector<uint8_t> next_image_;
  Model next_model_;
};

}  // namespace

TreeCrashResult run_tree_crash(const TreeCrashConfig& config) {
  // As in run_crash: images live for a millisecond, and would cost more in page faults than in work.
  mallopt(M_MMAP_THRESHOLD, 256 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  return TreeCrash(config).run();
}

}  // namespace paste::test
