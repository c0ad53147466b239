// The batch: how puts and removals change pages in memory. tree_commit.cc writes them, tree_load.cc loads in bulk.
#include "core/tree/tree.h"

#include <algorithm>
#include <cstring>

namespace paste::tree {
namespace {

// Pages that puts leave for removals, which must copy pages, too, before any becomes free: for a few of them.
constexpr uint32_t kept_for_removals(uint32_t height) { return 4 * height + 8; }

std::string number(uint64_t value) { return std::to_string(value); }

}  // namespace

Ref Tree::new_dirty(uint32_t level) {
  if (spare_.empty()) {
    spare_.push_back(static_cast<uint32_t>(dirty_.size()));
    dirty_.emplace_back().bytes = {static_cast<uint8_t*>(std::aligned_alloc(64, kPageBytes)), std::free};
    PASTE_CHECK(dirty_.back().bytes != nullptr);
  }
  const uint32_t index = spare_.back();
  spare_.pop_back();
  dirty_[index].used = true;
  ++dirty_count_;
  const Ref ref{kPagesMax + index, 0};
  if (level < kHeightMax) dirty(ref).clear(level);
  return ref;
}

void Tree::recycle(Ref ref) {
  if (!is_dirty(ref)) return freed_.push_back(ref.page);
  dirty_[ref.page - kPagesMax].used = false;
  spare_.push_back(ref.page - kPagesMax);
  --dirty_count_;
}

Status Tree::view(Ref ref, uint32_t level, PageView* page) {
  if (is_dirty(ref)) {
    *page = dirty(ref);
  } else if (!file_->check(ref, level)) {
    return file_->problem();
  } else {
    *page = PageView(file_->address(ref.page));
  }
  return {};
}

Status Tree::make_dirty(Ref* ref, uint32_t level) {
  if (is_dirty(*ref)) return {};
  if (!file_->check(*ref, level)) return file_->problem();
  const Ref copy = new_dirty(kHeightMax);
  std::memcpy(dirty_[copy.page - kPagesMax].bytes.get(), file_->address(ref->page), kPageBytes);
  freed_.push_back(ref->page);
  *ref = copy;
  return {};
}

Status Tree::usable() const {
  if (!failed_.ok()) return failed_;
  if (loading_) return {Code::kUsage, file_->path() + ": a bulk load is under way: finish it first"};
  return {};
}

Status Tree::room(uint32_t pages) const {
  if (pages_available() >= pages) return {};
  return {Code::kResource, file_->path() + ": the tree is full (" + number(file_->page_count()) + " pages of " +
                               number(kPageBytes) + " bytes, " + number(pages_available()) +
                               " free): commit what the batch freed, delete entries, or load it into a larger file"};
}

Status Tree::descend(Bytes key) {
  changed_ = true;
  if (Status status = make_dirty(&top_, height_ - 1); !status.ok()) return status;
  Ref ref = top_;
  for (uint32_t level = height_ - 1;; --level) {
    Page page = dirty(ref);
    path_[level].ref = ref;
    if (level == 0) return {};
    uint32_t index = 0;
    PASTE_CHECK(page.child_index(key, &index));
    Ref child = page.child_at(index);
    path_[level].index = index;
    if (!is_dirty(child)) {
      if (Status status = make_dirty(&child, level - 1); !status.ok()) return status;
      page.set_child(index, child);
    }
    ref = child;
  }
}

Status Tree::put(Bytes key, Bytes value) {
  if (Status status = usable(); !status.ok()) return status;
  if (key.empty() || key.size() > kKeyBytesMax)
    return {Code::kUsage, file_->path() + ": a key of " + number(key.size()) + " bytes: 1 to " + number(kKeyBytesMax) +
                              " are possible"};
  if (key.size() + value.size() > kEntryBytesMax)
    return {Code::kUsage, file_->path() + ": key and value have " + number(key.size() + value.size()) + " bytes, at most " +
                              number(kEntryBytesMax) + " are possible: keep larger values elsewhere and their place here"};
  if (height_ + 1 >= kHeightMax) return {Code::kResource, file_->path() + ": the tree is as high as it can be"};
  if (Status status = room(2 * height_ + 2 + kept_for_removals(height_)); !status.ok()) return status;
  if (height_ == 0) {
    top_ = new_dirty(0);
    height_ = 1;
  }
  if (Status status = descend(key); !status.ok()) return status;
  Page leaf = dirty(path_[0].ref);
  uint32_t index = 0;
  bool found = false;
  PASTE_CHECK(leaf.search(key, &index, &found));
  if (found) {
    if (leaf.used() - leaf.value_at(index).size() + value.size() <= kRoom) {
      leaf.replace(index, value);
      return {};
    }
    leaf.remove(index);
    --entries_;
  }
  insert(0, index, key, value);
  ++entries_;
  return {};
}

void Tree::insert(uint32_t level, uint32_t index, Bytes key, Bytes value) {
  Page page = dirty(path_[level].ref);
  if (page.fits(static_cast<uint32_t>(key.size() + value.size())))
    page.insert(index, key, value);
  else
    split(level, index, key, value);
}

// Two pages of what was one and the new entry; what separates them goes to the parent.
void Tree::split(uint32_t level, uint32_t index, Bytes key, Bytes value) {
  const Ref left_ref = path_[level].ref, right_ref = new_dirty(level);
  Page left = dirty(left_ref), right = dirty(right_ref);
  alignas(64) uint8_t copy[kPageBytes];
  std::memcpy(copy, left.bytes(), kPageBytes);
  const Page old(copy);
  const uint32_t count = old.count();
  const auto entry = [&](uint32_t i, Bytes* k, Bytes* v) {
    if (i == index) {
      *k = key;
      *v = value;
    } else {
      PASTE_CHECK(old.entry(i < index ? i : i - 1, k, v));
    }
  };
  // Ascending keys arrive at the end: the left page stays full then.
  uint32_t kept = index == count ? count : 0;
  Bytes k, v;
  const uint32_t half = (old.used() + static_cast<uint32_t>(key.size() + value.size()) + kEntryExtra) / 2;
  for (uint32_t bytes = 0; kept < count && index != count && bytes < half; ++kept) {
    entry(kept, &k, &v);
    bytes += static_cast<uint32_t>(k.size() + v.size()) + kEntryExtra;
  }
  const Ref leftmost = old.child_at(0);
  left.clear(level);
  left.set_leftmost(leftmost);
  for (uint32_t i = 0; i < kept; ++i) {
    entry(i, &k, &v);
    left.append(k, v);
  }
  entry(kept, &k, &v);
  std::string up(k);
  uint32_t next = kept;
  if (level > 0) {  // the middle key moves up, its child becomes the right page's first
    Ref child;
    std::memcpy(&child, v.data(), sizeof child);
    right.set_leftmost(child);
    ++next;
  } else {
    up = separator(left.key_at(kept - 1), k);
  }
  for (; next <= count; ++next) {
    entry(next, &k, &v);
    right.append(k, v);
  }
  const Bytes child(reinterpret_cast<const char*>(&right_ref), sizeof right_ref);
  if (level + 1 < height_) return insert(level + 1, path_[level + 1].index, up, child);
  const Ref root = new_dirty(level + 1);
  Page page = dirty(root);
  page.set_leftmost(left_ref);
  page.append(up, child);
  top_ = root;
  ++height_;
}

Status Tree::find(Bytes key, std::string* value, bool* found) {
  *found = false;
  if (!failed_.ok()) return failed_;
  Ref ref = top_;
  for (uint32_t level = height_; level-- > 0;) {
    PageView page(nullptr);
    if (Status status = view(ref, level, &page); !status.ok()) return status;
    uint32_t index = 0;
    if (level > 0) {
      if (page.child_index(key, &index) && page.child(index, &ref)) continue;
      return file_->fail(ref.page, "an entry lies outside of it"), file_->problem();
    }
    Bytes there, bytes;
    if (!page.search_exact(key, &index, found) || (*found && !page.entry(index, &there, &bytes)))
      return file_->fail(ref.page, "an entry lies outside of it"), file_->problem();
    if (*found) value->assign(bytes);
  }
  return {};
}

Status Tree::remove(Bytes key, bool* was_there) {
  *was_there = false;
  if (Status status = usable(); !status.ok()) return status;
  std::string value;
  if (Status status = find(key, &value, was_there); !status.ok() || !*was_there) return status;
  *was_there = false;
  if (Status status = room(2 * height_ + 1); !status.ok()) return status;
  if (Status status = descend(key); !status.ok()) return status;
  Page leaf = dirty(path_[0].ref);
  uint32_t index = 0;
  if (!leaf.search(key, &index, was_there) || !*was_there) {  // found by its bytes, but not where its order says
    *was_there = false;
    return file_->fail(path_[0].ref.page, "its keys are not in order"), file_->problem();
  }
  leaf.remove(index);
  --entries_;
  return shrink();
}

// Empty pages go, sparse ones join a neighbour, a root with one child gives way to it.
Status Tree::shrink() {
  for (uint32_t level = 0; level < height_; ++level) {
    const Ref ref = path_[level].ref;
    Page page = dirty(ref);
    if (level + 1 == height_) break;
    Page parent = dirty(path_[level + 1].ref);
    if (level == 0 && page.count() == 0 && parent.count() > 0) {
      recycle(ref);
      parent.remove_child(path_[1].index);
      continue;
    }
    if (page.used() >= kUsedMin) break;
    bool joined = false;
    if (Status status = join(level, &joined); !status.ok()) return status;
    // An empty leaf that is its parent's only child: both go, and so does what had nothing else.
    if (!joined && level == 0 && page.count() == 0) {
      uint32_t top = 1;
      while (top + 1 < height_ && dirty(path_[top].ref).count() == 0) ++top;
      for (uint32_t gone = 0; gone < top; ++gone) recycle(path_[gone].ref);
      if (dirty(path_[top].ref).count() == 0) {
        recycle(path_[top].ref);
        top_ = {};
        height_ = 0;
        return {};
      }
      dirty(path_[top].ref).remove_child(path_[top].index);
      level = top - 1;
      continue;
    }
    if (!joined) break;
  }
  while (height_ > 1 && is_dirty(top_) && dirty(top_).count() == 0) {
    const Ref child = dirty(top_).child_at(0);
    recycle(top_);
    top_ = child;
    --height_;
  }
  if (height_ == 1 && is_dirty(top_) && dirty(top_).count() == 0) {
    recycle(top_);
    top_ = {};
    height_ = 0;
  }
  return {};
}

// Page `level` of the path and a neighbour below the same parent become one, if they fit.
Status Tree::join(uint32_t level, bool* joined) {
  Page parent = dirty(path_[level + 1].ref);
  if (parent.count() == 0) return {};
  const uint32_t at = path_[level + 1].index;
  const uint32_t right_at = at < parent.count() ? at + 1 : at;
  Ref left_ref = parent.child_at(right_at - 1);
  const Ref right_ref = parent.child_at(right_at);
  PageView other(nullptr);
  const Ref other_ref = at == right_at ? left_ref : right_ref;
  if (Status status = view(other_ref, level, &other); !status.ok()) return status;
  alignas(64) uint8_t copy[kPageBytes];
  std::memcpy(copy, other.bytes(), kPageBytes);
  const Bytes between = parent.key_at(right_at - 1);
  const uint32_t extra = level > 0 ? static_cast<uint32_t>(between.size() + sizeof(Ref)) + kEntryExtra : 0;
  // Some room is left, so that the next put does not part them again.
  if (dirty(path_[level].ref).used() + Page(copy).used() + extra > kRoom - kRoom / 8) return {};
  if (Status status = make_dirty(&left_ref, level); !status.ok()) return status;
  Page left = dirty(left_ref);
  if (is_dirty(right_ref)) std::memcpy(copy, dirty(right_ref).bytes(), kPageBytes);
  const Page right(copy);
  if (level > 0) {
    const Ref child = right.child_at(0);
    left.append(between, {reinterpret_cast<const char*>(&child), sizeof child});
  }
  for (uint32_t i = 0; i < right.count(); ++i) left.append(right.key_at(i), right.value_at(i));
  recycle(right_ref);
  parent.set_child(right_at - 1, left_ref);
  parent.remove_child(right_at);
  *joined = true;
  return {};
}

}  // namespace paste::tree
