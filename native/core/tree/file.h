// A tree file as whoever reads it sees it: superblock, the current root, checked pages. A writer and a reader stand on the same.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/pmem/region.h"
#include "core/tree/page.h"

namespace paste::tree {

class File {
 public:
  // Checks magic, version, checksum and geometry, in this order, the geometry against the region's real size.
  static Status open(Region& region, std::unique_ptr<File>* file);
  // Whether a file of so many bytes can hold a tree.
  static Status check_size(const std::string& path, uint64_t size_bytes);
  // Makes an empty tree of all of the region, in both copies of superblock and root.
  static Status create(Region& region);

  const Superblock& superblock() const { return superblock_; }
  uint32_t page_count() const { return superblock_.page_count; }
  uint32_t seed() const { return seed_; }
  const std::string& path() const { return region_.path(); }
  Region& region() const { return region_; }

  // The newest root that is whole.
  Status read_root(Root* root) const;
  bool overtaken(uint64_t generation) const {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);  // what was read before was read before this
    return load_once(reinterpret_cast<const uint64_t*>(region_.base() + kLivePage * uint64_t{kPageBytes})) > generation;
  }

  const uint8_t* address(uint32_t page) const { return region_.base() + uint64_t{page} * kPageBytes; }
  // Whether `ref` names a page of that level in this file whose checksum is right. A page that was found right once is not summed
  // again (a word of memory a page). On "no", problem() says where and why; ask overtaken() first.
  bool check(Ref ref, uint32_t level) {
    if (ref.page < page_count() && ref.page >= kFirstPage && seen_[ref.page] == ref.generation + 1)
      return level == PageView(address(ref.page)).level() || wrong_level(ref, level);
    return examine(ref, level, address(ref.page));
  }
  // The same for a copy of the page, and all of its structure with it.
  bool check_copy(Ref ref, uint32_t level, const uint8_t* copy) {
    if (seen_[ref.page] == ref.generation + 1) return true;
    return examine(ref, level, copy);
  }
  bool in_range(Ref ref);
  void set_seen(uint32_t page, uint64_t generation) { seen_[page] = static_cast<uint32_t>(generation) + 1; }
  const Status& problem() const { return problem_; }
  bool fail(uint32_t page, const std::string& what);

 private:
  explicit File(Region& region) : region_(region) {}
  bool examine(Ref ref, uint32_t level, const uint8_t* bytes);
  bool wrong_level(Ref ref, uint32_t level);

  Region& region_;
  Superblock superblock_{};
  uint32_t seed_ = 0;
  std::unique_ptr<uint32_t[], void (*)(void*)> seen_{nullptr, std::free};  // page -> generation + 1 when it was found right
  Status problem_;
};

uint32_t root_crc(const Root& root, uint32_t seed);

}  // namespace paste::tree
