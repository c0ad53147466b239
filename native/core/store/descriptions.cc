#include "core/store/descriptions.h"

#include <utility>

namespace paste {

namespace {
constexpr uint32_t kSlotsMin = 64;
}

DescriptionTable::DescriptionTable() { rebuild({}); }

void DescriptionTable::put(Description description) {
  recent_.fill({});
  if (Description* known = find(description.id)) {
    *known = std::move(description);
    return;
  }
  if (2 * (used_ + 1) > slots_.size()) {
    std::vector<Description> all;
    for (Description& slot : slots_)
      if (slot.id != 0) all.push_back(std::move(slot));
    all.push_back(std::move(description));
    rebuild(std::move(all));
    return;
  }
  uint32_t i = hash(description.id);
  while (slots_[i].id != 0) i = (i + 1) & mask_;
  slots_[i] = std::move(description);
  ++used_;
}

void DescriptionTable::rebuild(std::vector<Description> descriptions) {
  uint32_t size = kSlotsMin;
  while (size < 4 * descriptions.size()) size *= 2;
  slots_.assign(size, {});
  mask_ = size - 1;
  used_ = 0;
  for (Description& description : descriptions) {
    uint32_t i = hash(description.id);
    while (slots_[i].id != 0) i = (i + 1) & mask_;
    slots_[i] = std::move(description);
    ++used_;
  }
}

}  // namespace paste
