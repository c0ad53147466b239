// What a commit left, for reading: point look-ups and ranges both ways, beside a writer in this or another process. Reading writes
// nothing and waits for nobody; the price is that a snapshot may be overtaken.
//
// One thread at a time for all snapshots and cursors of one File.
#pragma once

#include <string>
#include <vector>

#include "core/tree/file.h"

namespace paste::tree {

enum class Outcome {
  kFound,
  kAbsent,
  kOvertaken,  // pages of the snapshot may have been reused: take a new one, and start anew
  kDamaged,    // File::problem() says where
};

struct Problem {
  uint32_t page = 0;
  std::string what;
};

class Snapshot {
 public:
  // The newest committed state.
  static Status take(File& file, Snapshot* snapshot);
  Snapshot() = default;
  Snapshot(File& file, const Root& root) : file_(&file), root_(root) {}

  const Root& root() const { return root_; }
  uint64_t generation() const { return root_.generation; }
  uint64_t entries() const { return root_.entries; }
  File& file() const { return *file_; }
  bool overtaken() const { return file_->overtaken(root_.generation); }

  Outcome find(Bytes key, std::string* value) const;
  // Reads everything; every page, order and count. At most `limit` problems. kFound: it was read to the end.
  Outcome verify(size_t limit, std::vector<Problem>* problems) const;

 private:
  File* file_ = nullptr;
  Root root_{};
};

// Walks the entries in order. Holds a checked copy of one leaf: key() and value() stay valid until the next move.
class Cursor {
 public:
  explicit Cursor(const Snapshot& snapshot) : snapshot_(snapshot) {}

  Outcome first();
  Outcome last();
  Outcome at_or_above(Bytes key);  // the first entry whose key is not below
  Outcome below(Bytes key);        // the last entry whose key is below
  Outcome next();
  Outcome previous();

  Bytes key() const { return key_; }
  Bytes value() const { return value_; }

 private:
  struct Step {
    Ref ref{};
    uint32_t index = 0;  // of the child that was taken
  };
  enum class Way { kFirst, kLast, kKey };
  Outcome descend(Ref ref, uint32_t level, Way way, Bytes key);
  Outcome load_leaf(Ref ref);
  Outcome sideways(bool forward);
  Outcome damaged() const { return snapshot_.overtaken() ? Outcome::kOvertaken : Outcome::kDamaged; }
  Outcome here();
  PageView leaf() const { return PageView(leaf_); }

  Snapshot snapshot_;
  Step path_[kHeightMax];
  uint32_t index_ = 0, count_ = 0;  // in the leaf
  Bytes key_, value_;
  alignas(64) uint8_t leaf_[kPageBytes];
};

}  // namespace paste::tree
