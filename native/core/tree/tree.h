// The writer of a tree: one process, one thread at a time. Changes gather in a batch in memory and become visible to readers, and
// durable, all together with commit(). Nothing of a batch touches the file before that, so abort() forgets it for nothing.
//
// What holds after a crash anywhere: the tree is as one commit left it, the last that returned or the one that was under way.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/tree/snapshot.h"
#include "core/tree/space.h"

namespace paste::tree {

struct CreateOptions {
  uint64_t size_bytes = 0;
  bool sparse = false;
  uint32_t mode = 0600;
  bool replace = false;  // device-DAX only
};

class Tree {
 public:
  // Makes the file (never over one) with an empty tree in it.
  static Status create(const std::string& path, const CreateOptions& options);
  // For the only writer (a lock that dies with it). Reads every inner page to learn which pages are free.
  static Status open(const std::string& path, std::unique_ptr<Tree>* tree);
  // The same for a region that is open already.
  static Status open_region(std::unique_ptr<Region> region, std::unique_ptr<Tree>* tree);

  // Into the batch. kUsage: too long (kKeyBytesMax, kEntryBytesMax). kResource: no free page; the batch is as it was before.
  Status put(Bytes key, Bytes value);
  Status remove(Bytes key, bool* was_there);
  // Sees the batch.
  Status find(Bytes key, std::string* value, bool* found);
  // kResource: the file system has no space for a sparse file; the batch is still there. Any other failure is final for this Tree.
  Status commit();
  void abort();

  // Bulk load into an empty tree, no batch under way: keys strictly ascending, pages filled to the brim and written as they fill.
  // load_finish() commits; a failure in between leaves the tree empty.
  Status load_start();
  Status load(Bytes key, Bytes value);
  Status load_finish();
  void load_abort();  // the tree stays empty

  const Root& root() const { return root_; }        // committed
  uint64_t entries() const { return entries_; }     // with the batch
  uint64_t pages_available() const { return space_.available() - dirty_count_; }
  Region& region() { return *region_; }
  File& file() { return *file_; }
  Snapshot snapshot() { return {*file_, root_}; }

 private:
  struct Dirty {
    std::unique_ptr<uint8_t[], void (*)(void*)> bytes{nullptr, nullptr};
    bool used = false;
  };
  struct Step {
    Ref ref{};
    uint32_t index = 0;  // of the child taken
  };
  struct LoadLevel {
    std::unique_ptr<uint8_t[], void (*)(void*)> bytes{nullptr, nullptr};
    bool open = false;
    std::string low;     // what separates it from its left neighbour
  };

  explicit Tree(std::unique_ptr<Region> region) : region_(std::move(region)) {}
  Status learn_free_pages();
  Status mark(Ref ref, uint32_t level, std::vector<bool>* used, uint64_t* pages);

  static bool is_dirty(Ref ref) { return ref.page >= kPagesMax; }
  Page dirty(Ref ref) { return Page(dirty_[ref.page - kPagesMax].bytes.get()); }
  Ref new_dirty(uint32_t level);
  void recycle(Ref ref);
  Status view(Ref ref, uint32_t level, PageView* page);
  Status make_dirty(Ref* ref, uint32_t level);
  Status descend(Bytes key);           // makes the whole path dirty
  Status usable() const;
  Status room(uint32_t pages) const;

  void insert(uint32_t level, uint32_t index, Bytes key, Bytes value);
  void split(uint32_t level, uint32_t index, Bytes key, Bytes value);
  Status shrink();                     // after a removal from path_[0]
  Status join(uint32_t level, bool* joined);

  Status populate(const std::vector<uint32_t>& pages);
  Status write_run(const uint8_t* const* from, uint32_t first, uint32_t count);
  void raise_oldest(uint64_t generation);
  Status publish(Root root);
  uint64_t seal_dirty(const std::vector<uint32_t>& pages, uint64_t generation);

  Status load_child(uint32_t level, Bytes low, Ref ref);
  Status load_close(uint32_t level, Ref* ref);
  Status load_write();
  void load_abandon();
  LoadLevel& load_level(uint32_t level);

  std::unique_ptr<Region> region_;  // outlives the file
  std::unique_ptr<File> file_;
  uint8_t* head_ = nullptr;
  Space space_{{}};
  Root root_{};
  Status failed_;                   // final
  uint64_t oldest_ = 0;
  uint32_t unsynced_ = 0;           // runs written since the last sync, on a disk
  std::vector<bool> populated_;     // by chunk

  // The batch.
  Ref top_{};
  uint32_t height_ = 0;
  uint64_t entries_ = 0;
  bool changed_ = false;
  std::vector<Dirty> dirty_;
  std::vector<uint32_t> spare_;     // indices of dirty_ that are not used
  uint32_t dirty_count_ = 0;
  std::vector<uint32_t> freed_;     // pages of root_ that the batch does not reach any more
  Step path_[kHeightMax];

  bool loading_ = false;
  std::vector<LoadLevel> load_;
  std::vector<uint32_t> load_pages_;
  std::unique_ptr<uint8_t[], void (*)(void*)> load_run_{nullptr, nullptr};  // closed pages that lie behind each other
  uint32_t load_run_first_ = 0, load_run_count_ = 0;
  std::string load_last_;
};

}  // namespace paste::tree
