#include "core/tree/page.h"

#include <algorithm>

#include "core/base/crc32c.h"
#include "core/base/status.h"

namespace paste::tree {
namespace {

uint32_t head_of(Bytes key, uint32_t prefix) {
  const auto* const at = reinterpret_cast<const uint8_t*>(key.data()) + prefix;
  const size_t left = key.size() > prefix ? key.size() - prefix : 0;
  if (left >= 4) {
    uint32_t word;
    std::memcpy(&word, at, 4);
    return __builtin_bswap32(word);
  }
  uint32_t head = 0;
  for (size_t i = 0; i < left; ++i) head |= uint32_t{at[i]} << (24 - 8 * i);
  return head;
}

uint32_t shared(Bytes a, Bytes b) {
  const size_t least = std::min(a.size(), b.size());
  size_t i = 0;
  while (i < least && a[i] == b[i]) ++i;
  return static_cast<uint32_t>(i);
}

int order(Bytes a, Bytes b) {
  const int difference = std::memcmp(a.data(), b.data(), std::min(a.size(), b.size()));
  if (difference != 0) return difference;
  return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

}  // namespace

Bytes separator(Bytes low, Bytes high) { return high.substr(0, shared(low, high) + 1); }

bool PageView::search(Bytes key, uint32_t* index, bool* found) const {
  const uint32_t entries = count();
  *index = 0;
  *found = false;
  if (entries == 0) return true;
  const uint32_t prefix = load_once(&header()->prefix);
  if (prefix > 0) {
    Bytes first;
    if (!this->key(0, &first) || first.size() < prefix) return false;
    const int difference = order(key.substr(0, prefix), first.substr(0, prefix));
    if (difference != 0) {
      *index = difference < 0 ? 0 : entries;
      return true;
    }
  }
  return search_heads(key, prefix, index, found);
}

// Among keys that all begin as `key` does, for `prefix` bytes.
bool PageView::search_heads(Bytes key, uint32_t prefix, uint32_t* index, bool* found) const {
  const uint32_t entries = count();
  *index = 0;
  *found = false;
  if (entries == 0) return true;
  const uint32_t head = head_of(key, prefix);
  uint32_t low = 0, length = entries;  // heads below, without a branch to mispredict
  const Slot* const all = slots();
  while (length > 1) {
    const uint32_t half = length / 2;
    low += load_once(&all[low + half - 1].head) < head ? half : 0;
    length -= half;
  }
  low += load_once(&all[low].head) < head ? 1 : 0;
  uint32_t high = low;
  // Equal heads: mostly one. They are searched by whole keys.
  if (low < entries && load_once(&all[low].head) == head) {
    uint32_t end = entries;
    if (low + 1 == entries || load_once(&all[low + 1].head) != head) end = low + 1;
    high = end;
    while (low < high) {
      const uint32_t middle = (low + high) / 2;
      Bytes there;
      if (!this->key(middle, &there)) return false;
      const int difference = order(there, key);
      if (difference == 0) {
        *index = middle;
        *found = true;
        return true;
      }
      if (difference < 0)
        low = middle + 1;
      else
        high = middle;
    }
  }
  *index = low;
  return true;
}

uint32_t PageView::crc(uint32_t seed) const { return crc32c(seed, bytes_ + 4, kPageBytes - 4); }

std::string PageView::problem(uint32_t page, uint32_t generation, uint32_t seed) const {
  PageHeader h;
  std::memcpy(&h, bytes_, sizeof h);
  if (h.crc != crc(seed)) return "its checksum is wrong";
  if (h.page != page) return "it is page " + std::to_string(h.page) + ", misplaced";
  if (static_cast<uint32_t>(h.generation) != generation)
    return "it is of generation " + std::to_string(h.generation) + ", not of the one expected";
  if (h.level >= kHeightMax) return "its level is " + std::to_string(h.level);
  if (h.heap > kPageBytes || sizeof(PageHeader) + h.count * sizeof(Slot) > h.heap) return "its entries overlap its slots";
  Bytes before;
  uint32_t bytes = 0;
  for (uint32_t i = 0; i < h.count; ++i) {
    Bytes key, value;
    const std::string where = "entry " + std::to_string(i);
    if (!entry(i, &key, &value) || slots()[i].offset < h.heap) return where + " lies outside the entries";
    if (key.size() > kKeyBytesMax || key.size() < h.prefix) return where + " has a key of " + std::to_string(key.size()) + " bytes";
    if (h.level > 0 && value.size() != sizeof(Ref)) return where + " names no child";
    if (h.level == 0 && key.size() + value.size() > kEntryBytesMax) return where + " is longer than entries are";
    if (i > 0 && order(before, key) >= 0) return where + " is not above the one before";
    if (slots()[i].head != head_of(key, h.prefix)) return where + " has another key's head";
    before = key;
    bytes += static_cast<uint32_t>(2 + key.size() + value.size());
  }
  if (bytes + h.garbage != kPageBytes - h.heap) return "its entries overlap, or bytes of it belong to none";
  return "";
}

void Page::clear(uint32_t level) {
  std::memset(mutable_, 0, kPageBytes);
  changeable()->level = static_cast<uint8_t>(level);
  changeable()->heap = kPageBytes;
}

Bytes Page::key_at(uint32_t index) const {
  Bytes key;
  PASTE_CHECK(index < header()->count && this->key(index, &key));
  return key;
}

Bytes Page::value_at(uint32_t index) const {
  Bytes key, value;
  PASTE_CHECK(index < header()->count && entry(index, &key, &value));
  return value;
}

Ref Page::child_at(uint32_t index) const {
  Ref ref;
  PASTE_CHECK(index <= header()->count && child(index, &ref));
  return ref;
}

void Page::set_prefix(uint32_t prefix) {
  changeable()->prefix = static_cast<uint16_t>(prefix);
  for (uint32_t i = 0; i < header()->count; ++i) slot(i)->head = head_of(key_at(i), prefix);
}

// Entries move together at the page's end, in the order of their slots.
void Page::compact() {
  uint8_t old[kPageBytes];
  std::memcpy(old, mutable_, kPageBytes);
  uint32_t heap = kPageBytes;
  for (uint32_t i = 0; i < header()->count; ++i) {
    const uint8_t* const from = old + slot(i)->offset;
    const uint32_t bytes = 2u + slot(i)->key_bytes + (from[0] | uint32_t{from[1]} << 8);
    heap -= bytes;
    std::memcpy(mutable_ + heap, from, bytes);
    slot(i)->offset = static_cast<uint16_t>(heap);
  }
  changeable()->heap = static_cast<uint16_t>(heap);
  changeable()->garbage = 0;
}

void Page::insert(uint32_t index, Bytes key, Bytes value) {
  const uint32_t count = header()->count;
  const auto bytes = static_cast<uint32_t>(2 + key.size() + value.size());
  PASTE_CHECK(index <= count && fits(static_cast<uint32_t>(key.size() + value.size())));
  // What the page's keys share with their neighbours they share with all between: only a new first or last key can share less.
  if (count == 0) {
    changeable()->prefix = static_cast<uint16_t>(key.size());
  } else if (const uint32_t common = shared(key_at(index == 0 ? 0 : index - 1), key); common < header()->prefix) {
    set_prefix(common);
  }
  if (sizeof(PageHeader) + (count + 1) * sizeof(Slot) + bytes > header()->heap) compact();
  const uint32_t heap = header()->heap - bytes;
  std::memmove(slot(index + 1), slot(index), (count - index) * sizeof(Slot));
  *slot(index) = {head_of(key, header()->prefix), static_cast<uint16_t>(heap), static_cast<uint16_t>(key.size())};
  uint8_t* const at = mutable_ + heap;
  at[0] = static_cast<uint8_t>(value.size());
  at[1] = static_cast<uint8_t>(value.size() >> 8);
  std::memcpy(at + 2, key.data(), key.size());
  std::memcpy(at + 2 + key.size(), value.data(), value.size());
  changeable()->heap = static_cast<uint16_t>(heap);
  changeable()->count = static_cast<uint16_t>(count + 1);
}

void Page::remove(uint32_t index) {
  const uint32_t count = header()->count;
  const auto bytes = static_cast<uint32_t>(2 + key_at(index).size() + value_at(index).size());
  if (slot(index)->offset == header()->heap)
    changeable()->heap = static_cast<uint16_t>(header()->heap + bytes);
  else
    changeable()->garbage = static_cast<uint16_t>(header()->garbage + bytes);
  std::memmove(slot(index), slot(index + 1), (count - index - 1) * sizeof(Slot));
  changeable()->count = static_cast<uint16_t>(count - 1);
  if (count == 1) {
    changeable()->heap = kPageBytes;
    changeable()->garbage = 0;
  }
}

void Page::replace(uint32_t index, Bytes value) {
  const Bytes old = value_at(index);
  if (old.size() == value.size()) {
    std::memcpy(const_cast<char*>(old.data()), value.data(), value.size());
    return;
  }
  char key[kKeyBytesMax];
  const size_t key_bytes = key_at(index).copy(key, sizeof key);
  remove(index);
  insert(index, {key, key_bytes}, value);
}

void Page::set_child(uint32_t index, Ref ref) {
  if (index == 0)
    changeable()->leftmost = ref;
  else
    replace(index - 1, {reinterpret_cast<const char*>(&ref), sizeof ref});
}

void Page::remove_child(uint32_t index) {
  if (index == 0) {
    changeable()->leftmost = child_at(1);
    index = 1;
  }
  remove(index - 1);
}

void Page::truncate(uint32_t count) {
  changeable()->count = static_cast<uint16_t>(count);
  compact();
  if (count > 0) set_prefix(shared(key_at(0), key_at(count - 1)));
}

void Page::seal(uint32_t page, uint64_t generation, uint32_t seed) {
  PageHeader& h = *changeable();
  h.page = page;
  h.generation = generation;
  if (h.garbage > 0) compact();
  std::memset(mutable_ + sizeof h + h.count * sizeof(Slot), 0, h.heap - sizeof h - h.count * sizeof(Slot));
  h.crc = crc(seed);
}

}  // namespace paste::tree
