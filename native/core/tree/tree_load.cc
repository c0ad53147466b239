// Bulk load: leaves from left to right, each inner page as its children are closed. In memory are one page a level, and the closed ones
// of a run.
#include <cstring>

#include "core/tree/tree.h"

namespace paste::tree {
namespace {

constexpr uint32_t kRunPages = 64;  // written at once: a disk pays for each write

}  // namespace

Status Tree::load_start() {
  if (Status status = usable(); !status.ok()) return status;
  if (changed_ || root_.entries != 0)
    return {Code::kUsage, file_->path() + ": a bulk load needs an empty tree and no batch under way (" +
                              std::to_string(entries_) + " entries are there): use put"};
  load_run_.reset(static_cast<uint8_t*>(std::aligned_alloc(64, kRunPages * kPageBytes)));
  load_run_.get_deleter() = std::free;
  if (!load_run_) return {Code::kResource, file_->path() + ": no memory for a bulk load"};
  load_run_count_ = 0;
  loading_ = true;
  load_.clear();
  load_pages_.clear();
  load_last_.clear();
  return {};
}

Tree::LoadLevel& Tree::load_level(uint32_t level) {
  while (load_.size() <= level) {
    load_.emplace_back().bytes = {static_cast<uint8_t*>(std::aligned_alloc(64, kPageBytes)), std::free};
    PASTE_CHECK(load_.back().bytes != nullptr);
  }
  return load_[level];
}

// What was written lies in free pages: nobody reaches it.
void Tree::load_abandon() {
  space_.give_back(load_pages_);
  load_pages_.clear();
  load_.clear();
  load_run_.reset();
  loading_ = false;
  abort();
}

void Tree::load_abort() {
  if (loading_) load_abandon();
}

Status Tree::load_write() {
  const uint8_t* from[kRunPages];
  for (uint32_t i = 0; i < load_run_count_; ++i) from[i] = load_run_.get() + i * kPageBytes;
  const uint32_t count = load_run_count_;
  load_run_count_ = 0;
  if (count == 0) return {};
  if (Status status = write_run(from, load_run_first_, count); !status.ok()) return failed_ = status;
  return {};
}

Status Tree::load_close(uint32_t level, Ref* ref) {
  std::vector<uint32_t> place;
  if (space_.available() == 0) return room(1);
  const uint64_t intact_from = space_.take(1, root_.generation, &place);
  load_pages_.push_back(place[0]);
  raise_oldest(intact_from);
  if (Status status = populate(place); !status.ok()) return status;
  Page page(load_[level].bytes.get());
  page.seal(place[0], root_.generation + 1, file_->seed());
  if (load_run_count_ == kRunPages || (load_run_count_ > 0 && place[0] != load_run_first_ + load_run_count_))
    if (Status status = load_write(); !status.ok()) return status;
  if (load_run_count_ == 0) load_run_first_ = place[0];
  std::memcpy(load_run_.get() + load_run_count_ * kPageBytes, page.bytes(), kPageBytes);
  ++load_run_count_;
  load_[level].open = false;
  *ref = {place[0], static_cast<uint32_t>(root_.generation + 1)};
  return {};
}

Status Tree::load_child(uint32_t level, Bytes low, Ref ref) {
  if (level + 1 >= kHeightMax) return {Code::kResource, file_->path() + ": the tree is as high as it can be"};
  const Bytes child(reinterpret_cast<const char*>(&ref), sizeof ref);
  if (load_level(level).open) {
    Page page(load_[level].bytes.get());
    if (page.fits(static_cast<uint32_t>(low.size() + child.size()))) {
      page.append(low, child);
      return {};
    }
    Ref closed;
    if (Status status = load_close(level, &closed); !status.ok()) return status;
    const std::string closed_low = load_[level].low;  // levels move when one is added
    if (Status status = load_child(level + 1, closed_low, closed); !status.ok()) return status;
  }
  LoadLevel& fresh = load_[level];
  Page page(fresh.bytes.get());
  page.clear(level);
  page.set_leftmost(ref);
  fresh.low.assign(low);
  fresh.open = true;
  return {};
}

Status Tree::load(Bytes key, Bytes value) {
  if (!failed_.ok()) return failed_;
  if (!loading_) return {Code::kUsage, file_->path() + ": no bulk load is under way: start one"};
  Status status;
  if (key.empty() || key.size() > kKeyBytesMax || key.size() + value.size() > kEntryBytesMax)
    status = {Code::kUsage, file_->path() + ": an entry with a key of " + std::to_string(key.size()) + " and a value of " +
                                std::to_string(value.size()) + " bytes: keys have 1 to " + std::to_string(kKeyBytesMax) +
                                ", both together at most " + std::to_string(kEntryBytesMax)};
  else if (!load_last_.empty() && key <= Bytes(load_last_))
    status = {Code::kUsage, file_->path() + ": a bulk load takes keys in strictly ascending order: sort them, or use put"};
  if (status.ok()) {
    LoadLevel& leaf = load_level(0);
    if (leaf.open && !Page(leaf.bytes.get()).fits(static_cast<uint32_t>(key.size() + value.size()))) {
      Ref closed;
      const std::string low = leaf.low;
      status = load_close(0, &closed);
      if (status.ok()) status = load_child(1, low, closed);
    }
  }
  if (!status.ok()) {
    load_abandon();
    return status;
  }
  LoadLevel& leaf = load_[0];
  if (!leaf.open) {
    Page(leaf.bytes.get()).clear(0);
    leaf.low = load_last_.empty() ? std::string() : std::string(separator(load_last_, key));
    leaf.open = true;
  }
  Page(leaf.bytes.get()).append(key, value);
  load_last_.assign(key);
  ++entries_;
  return {};
}

Status Tree::load_finish() {
  if (!failed_.ok()) return failed_;
  if (!loading_) return {Code::kUsage, file_->path() + ": no bulk load is under way: start one"};
  Root root{};
  Status status;
  for (uint32_t level = 0; level < load_.size() && status.ok(); ++level) {
    const bool top = level + 1 == load_.size();
    const Page page(load_[level].bytes.get());
    if (top && level > 0 && page.count() == 0) {  // one child: it is the root
      root.root = page.child_at(0);
      root.height = level;
      break;
    }
    Ref closed;
    status = load_close(level, &closed);
    if (!status.ok()) break;
    root.root = closed;
    root.height = level + 1;
    const std::string low = load_[level].low;
    if (!top) status = load_child(level + 1, low, closed);
  }
  if (status.ok()) status = load_write();
  if (status.ok() && entries_ > 0) {
    root.entries = entries_;
    root.pages = static_cast<uint32_t>(load_pages_.size());
    status = publish(root);
    if (status.ok())
      for (const uint32_t page : load_pages_) file_->set_seen(page, root_.generation);
    if (status.ok()) load_pages_.clear();
  }
  load_abandon();
  return status;
}

}  // namespace paste::tree
