#include "core/tree/space.h"

#include <algorithm>

#include "core/base/status.h"
#include "core/tree/layout.h"

namespace paste::tree {

Space::Space(std::vector<std::pair<uint32_t, uint32_t>> ranges) : ranges_(std::move(ranges)) {
  std::reverse(ranges_.begin(), ranges_.end());
  for (const auto& [first, end] : ranges_) free_ += end - first;
}

void Space::take_oldest(uint64_t count, std::vector<uint32_t>* pages) {
  auto& oldest = resting_.front().second;
  const uint64_t taken = std::min<uint64_t>(count, oldest.size());
  pages->insert(pages->end(), oldest.end() - static_cast<ptrdiff_t>(taken), oldest.end());
  oldest.resize(oldest.size() - taken);
  waiting_ -= taken;
  if (oldest.empty()) resting_.pop_front();
}

uint64_t Space::take(uint64_t count, uint64_t committed, std::vector<uint32_t>* pages) {
  PASTE_CHECK(count <= available());
  pages->clear();
  uint64_t intact_from = 0;
  while (pages->size() < count && !resting_.empty() && resting_.front().first + kGrace <= committed) {
    intact_from = resting_.front().first;
    take_oldest(count - pages->size(), pages);
  }
  while (pages->size() < count && !ranges_.empty()) {
    auto& [first, end] = ranges_.back();
    const auto taken = static_cast<uint32_t>(std::min<uint64_t>(count - pages->size(), end - first));
    for (uint32_t i = 0; i < taken; ++i) pages->push_back(first + i);
    first += taken;
    free_ -= taken;
    if (first == end) ranges_.pop_back();
  }
  while (pages->size() < count) {
    intact_from = resting_.front().first;
    take_oldest(count - pages->size(), pages);
  }
  std::sort(pages->begin(), pages->end());
  return intact_from;
}

void Space::release(uint64_t generation, std::vector<uint32_t>&& pages) {
  if (pages.empty()) return;
  waiting_ += pages.size();
  resting_.emplace_back(generation, std::move(pages));
}

void Space::give_back(const std::vector<uint32_t>& pages) {
  for (const uint32_t page : pages) ranges_.emplace_back(page, page + 1);
  free_ += pages.size();
}

}  // namespace paste::tree
