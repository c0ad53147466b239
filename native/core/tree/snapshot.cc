#include "core/tree/snapshot.h"

#include <cstring>

namespace paste::tree {

Status Snapshot::take(File& file, Snapshot* snapshot) {
  if (!file.region().intact())
    return {Code::kStore, file.path() + " was truncated while it was open: restore it from a copy"};
  Root root;
  if (Status status = file.read_root(&root); !status.ok()) return status;
  *snapshot = Snapshot(file, root);
  return {};
}

Outcome Snapshot::find(Bytes key, std::string* value) const {
  Outcome outcome = Outcome::kAbsent;
  Ref ref = root_.root;
  for (uint32_t level = root_.height; level-- > 0;) {
    uint32_t index = 0;
    bool found = false;
    Bytes there, bytes;
    if (file_->in_range(ref)) PageView(file_->address(ref.page)).prefetch();
    if (!file_->check(ref, level)) {
      outcome = Outcome::kDamaged;
      break;
    }
    const PageView page(file_->address(ref.page));
    if (level > 0) {
      if (page.child_index(key, &index) && page.child(index, &ref)) continue;
      file_->fail(ref.page, "an entry lies outside of it");
      outcome = Outcome::kDamaged;
      break;
    }
    if (!page.search_exact(key, &index, &found) || (found && !page.entry(index, &there, &bytes))) {
      file_->fail(ref.page, "an entry lies outside of it");
      outcome = Outcome::kDamaged;
    } else if (found) {
      value->assign(bytes);
      outcome = Outcome::kFound;
    }
  }
  return overtaken() ? Outcome::kOvertaken : outcome;
}

Outcome Cursor::load_leaf(Ref ref) {
  if (!snapshot_.file().in_range(ref)) return damaged();
  std::memcpy(leaf_, snapshot_.file().address(ref.page), kPageBytes);
  const bool right = snapshot_.file().check_copy(ref, 0, leaf_);
  if (snapshot_.overtaken()) return Outcome::kOvertaken;
  if (!right) return Outcome::kDamaged;
  count_ = leaf().count();
  return Outcome::kFound;
}

Outcome Cursor::descend(Ref ref, uint32_t level, Way way, Bytes key) {
  File& file = snapshot_.file();
  for (; level > 0; --level) {
    if (!file.check(ref, level)) return damaged();
    const PageView page(file.address(ref.page));
    uint32_t index = way == Way::kLast ? page.count() : 0;
    path_[level] = {ref, 0};
    if ((way == Way::kKey && !page.child_index(key, &index)) || !page.child(index, &ref)) {
      file.fail(ref.page, "an entry lies outside of it");
      return damaged();
    }
    path_[level].index = index;
  }
  return load_leaf(ref);
}

// The neighbouring leaf; its first or last entry.
Outcome Cursor::sideways(bool forward) {
  File& file = snapshot_.file();
  for (uint32_t level = 1; level < snapshot_.root().height; ++level) {
    Step& step = path_[level];
    if (!file.check(step.ref, level)) return damaged();
    const PageView page(file.address(step.ref.page));
    if (forward ? step.index >= page.count() : step.index == 0) continue;
    step.index += forward ? 1u : ~0u;
    Ref child;
    if (!page.child(step.index, &child)) return damaged();
    const Outcome outcome = descend(child, level - 1, forward ? Way::kFirst : Way::kLast, {});
    if (outcome != Outcome::kFound) return outcome;
    index_ = forward ? 0 : count_ - 1;
    return here();
  }
  return snapshot_.overtaken() ? Outcome::kOvertaken : Outcome::kAbsent;
}

Outcome Cursor::here() {
  if (index_ < count_ && leaf().entry(index_, &key_, &value_)) return Outcome::kFound;
  snapshot_.file().fail(leaf().page(), "a leaf without this entry");
  return damaged();
}

Outcome Cursor::first() {
  if (snapshot_.root().height == 0) return Outcome::kAbsent;
  const Outcome outcome = descend(snapshot_.root().root, snapshot_.root().height - 1, Way::kFirst, {});
  index_ = 0;
  return outcome == Outcome::kFound ? here() : outcome;
}

Outcome Cursor::last() {
  if (snapshot_.root().height == 0) return Outcome::kAbsent;
  const Outcome outcome = descend(snapshot_.root().root, snapshot_.root().height - 1, Way::kLast, {});
  index_ = count_ - 1;
  return outcome == Outcome::kFound ? here() : outcome;
}

Outcome Cursor::at_or_above(Bytes key) {
  if (snapshot_.root().height == 0) return Outcome::kAbsent;
  const Outcome outcome = descend(snapshot_.root().root, snapshot_.root().height - 1, Way::kKey, key);
  if (outcome != Outcome::kFound) return outcome;
  bool found = false;
  if (!leaf().search(key, &index_, &found)) return damaged();
  return index_ < count_ ? here() : sideways(true);
}

Outcome Cursor::below(Bytes key) {
  if (snapshot_.root().height == 0) return Outcome::kAbsent;
  const Outcome outcome = descend(snapshot_.root().root, snapshot_.root().height - 1, Way::kKey, key);
  if (outcome != Outcome::kFound) return outcome;
  bool found = false;
  if (!leaf().search(key, &index_, &found)) return damaged();
  if (index_ == 0) return sideways(false);
  --index_;
  return here();
}

Outcome Cursor::next() {
  if (index_ + 1 >= count_) return sideways(true);
  ++index_;
  return here();
}

Outcome Cursor::previous() {
  if (index_ == 0) return sideways(false);
  --index_;
  return here();
}

namespace {

// Depth first, with the bounds that the parents promise.
class Walk {
 public:
  Walk(const Snapshot& snapshot, size_t limit, std::vector<Problem>* problems)
      : snapshot_(snapshot), limit_(limit), problems_(problems), used_(snapshot.file().page_count()) {}

  Outcome run() {
    const Root& root = snapshot_.root();
    if (root.height > 0) visit(root.root, root.height - 1, nullptr, nullptr);
    if (problems_->empty() && (entries_ != root.entries || pages_ != root.pages))
      add(kRootPage + (root.generation & 1), "it counts " + std::to_string(root.entries) + " entries in " +
                                                 std::to_string(root.pages) + " pages, and there are " +
                                                 std::to_string(entries_) + " in " + std::to_string(pages_));
    return snapshot_.overtaken() ? Outcome::kOvertaken : Outcome::kFound;
  }

 private:
  bool full() const { return problems_->size() >= limit_; }
  void add(uint64_t page, const std::string& what) {
    if (!full()) problems_->push_back({static_cast<uint32_t>(page), what});
  }

  void visit(Ref ref, uint32_t level, const std::string* low, const std::string* high) {
    if (full() || snapshot_.overtaken()) return;
    File& file = snapshot_.file();
    if (!file.in_range(ref)) return add(ref.page, "its parent names it, and there is no such page");
    if (used_[ref.page]) return add(ref.page, "two parents name it");
    used_[ref.page] = true;
    ++pages_;
    auto copy = std::make_unique<uint8_t[]>(kPageBytes);
    std::memcpy(copy.get(), file.address(ref.page), kPageBytes);
    const PageView page(copy.get());
    if (const std::string what = page.problem(ref.page, ref.generation, file.seed()); !what.empty()) return add(ref.page, what);
    if (page.level() != level) return add(ref.page, "it is of level " + std::to_string(page.level()));
    const uint32_t count = page.count();
    std::string before;
    for (uint32_t i = 0; i <= count && !full(); ++i) {
      Bytes key;
      if (i < count) {
        if (!page.key(i, &key)) return add(ref.page, "entry " + std::to_string(i) + " lies outside of it");
        if ((low != nullptr && key < Bytes(*low)) || (high != nullptr && key >= Bytes(*high)))
          return add(ref.page, "the key of entry " + std::to_string(i) + " is outside its parent's bounds");
      }
      if (level == 0) {
        entries_ += i < count ? 1 : 0;
        continue;
      }
      Ref child;
      if (!page.child(i, &child)) return add(ref.page, "child " + std::to_string(i) + " lies outside of it");
      const std::string now(key);
      visit(child, level - 1, i == 0 ? low : &before, i == count ? high : &now);
      before = now;
    }
  }

  const Snapshot& snapshot_;
  const size_t limit_;
  std::vector<Problem>* problems_;
  std::vector<bool> used_;
  uint64_t entries_ = 0, pages_ = 0;
};

}  // namespace

Outcome Snapshot::verify(size_t limit, std::vector<Problem>* problems) const { return Walk(*this, limit, problems).run(); }

}  // namespace paste::tree
