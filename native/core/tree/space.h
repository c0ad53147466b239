// Which pages a writer may give out: those that no snapshot can reach, and those that only snapshots can which are old enough.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace paste::tree {

class Space {
 public:
  // Ranges [first, end) of pages that nothing reaches, ascending.
  explicit Space(std::vector<std::pair<uint32_t, uint32_t>> ranges);

  // Pages that can be taken at all.
  uint64_t available() const { return free_ + waiting_; }
  // `count` pages (there must be as many) in ascending order. Rested ones come first, so that a tree that is changed in place does
  // not spread over its file; then untouched ones, then what was freed last. Returns the first generation all of whose pages are
  // still intact once the taken ones are overwritten; 0 = none was ever part of one. `committed`: the newest durable generation.
  uint64_t take(uint64_t count, uint64_t committed, std::vector<uint32_t>* pages);
  // Pages that generation `generation` does not reach any more; it is durable.
  void release(uint64_t generation, std::vector<uint32_t>&& pages);
  // Pages that were taken and never became reachable.
  void give_back(const std::vector<uint32_t>& pages);

 private:
  void take_oldest(uint64_t count, std::vector<uint32_t>* pages);

  std::vector<std::pair<uint32_t, uint32_t>> ranges_;              // the next range to take from is the last
  std::deque<std::pair<uint64_t, std::vector<uint32_t>>> resting_; // by generation
  uint64_t free_ = 0, waiting_ = 0;                                // pages in ranges_, in resting_
};

}  // namespace paste::tree
