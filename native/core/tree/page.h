// One page: search and change. A Page is memory of this process alone; a PageView may look at memory that another process changes
// meanwhile: it reads each number once and checks it before it is used, and answers "no" where one points out of the page.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "core/tree/layout.h"

namespace paste::tree {

using Bytes = std::string_view;  // compared as unsigned bytes, as memcmp does

template <class T>
inline T load_once(const T* from) {
  return __atomic_load_n(from, __ATOMIC_RELAXED);
}

class PageView {
 public:
  explicit PageView(const uint8_t* bytes) : bytes_(bytes) {}

  const uint8_t* bytes() const { return bytes_; }
  uint32_t page() const { return load_once(&header()->page); }
  uint64_t generation() const { return load_once(&header()->generation); }
  uint32_t level() const { return load_once(&header()->level); }
  // At most as many as fit.
  uint32_t count() const {
    const uint32_t count = load_once(&header()->count);
    return count <= kRoom / kEntryExtra ? count : kRoom / kEntryExtra;
  }

  // False: the entry is not inside the page.
  bool entry(uint32_t index, Bytes* key, Bytes* value) const {
    const Slot* const slot = slots() + index;
    const uint32_t offset = load_once(&slot->offset), key_bytes = load_once(&slot->key_bytes);
    if (offset < sizeof(PageHeader) || offset + 2 + key_bytes > kPageBytes) return false;
    const uint8_t* const at = bytes_ + offset;
    const uint32_t value_bytes = at[0] | uint32_t{at[1]} << 8;
    if (offset + 2 + key_bytes + value_bytes > kPageBytes) return false;
    *key = {reinterpret_cast<const char*>(at) + 2, key_bytes};
    *value = {reinterpret_cast<const char*>(at) + 2 + key_bytes, value_bytes};
    return true;
  }
  bool key(uint32_t index, Bytes* key) const {
    const Slot* const slot = slots() + index;
    const uint32_t offset = load_once(&slot->offset), key_bytes = load_once(&slot->key_bytes);
    if (offset < sizeof(PageHeader) || offset + 2 + key_bytes > kPageBytes) return false;
    *key = {reinterpret_cast<const char*>(bytes_) + offset + 2, key_bytes};
    return true;
  }
  // Child `index` of an inner page: 0 lies below the first key, i from key i - 1 on.
  bool child(uint32_t index, Ref* ref) const {
    if (index == 0) {
      std::memcpy(ref, bytes_ + offsetof(PageHeader, leftmost), sizeof *ref);
      return true;
    }
    Bytes key, value;
    if (!entry(index - 1, &key, &value) || value.size() != sizeof *ref) return false;
    std::memcpy(ref, value.data(), sizeof *ref);
    return true;
  }

  // The first entry whose key is not below `key` in *index, and whether it is that key in *found.
  bool search(Bytes key, uint32_t* index, bool* found) const;
  // Whether `key` is there, and where: without a look at the first key, which would be one more line from memory.
  bool search_exact(Bytes key, uint32_t* index, bool* found) const {
    return search_heads(key, load_once(&header()->prefix), index, found);
  }
  // Header and slots of a page of many entries, all at once: a search would meet them one after the other.
  void prefetch() const {
    for (uint32_t line = 0; line < 14; ++line) __builtin_prefetch(bytes_ + line * 64);
  }
  // The child that covers `key`.
  bool child_index(Bytes key, uint32_t* index) const {
    bool found = false;
    if (!search(key, index, &found)) return false;
    *index += found ? 1 : 0;
    return true;
  }
  // "" or what is wrong with the structure: for a page that nobody changes. `seed`: the file's. Everything an entry may name is
  // inside the page afterwards, and the keys ascend.
  std::string problem(uint32_t page, uint32_t generation, uint32_t seed) const;
  uint32_t crc(uint32_t seed) const;

 protected:
  const PageHeader* header() const { return reinterpret_cast<const PageHeader*>(bytes_); }
  bool search_heads(Bytes key, uint32_t prefix, uint32_t* index, bool* found) const;
  const Slot* slots() const { return reinterpret_cast<const Slot*>(bytes_ + sizeof(PageHeader)); }

 private:
  const uint8_t* bytes_;
};

// A page in memory of our own, which holds what we wrote or what was checked. 64-byte aligned, kPageBytes.
class Page : public PageView {
 public:
  explicit Page(uint8_t* bytes) : PageView(bytes), mutable_(bytes) {}

  void clear(uint32_t level);
  // Bytes of slots and entries in use.
  uint32_t used() const {
    return header()->count * uint32_t{sizeof(Slot)} + (kPageBytes - header()->heap) - header()->garbage;
  }
  bool fits(uint32_t entry_bytes) const { return used() + entry_bytes + kEntryExtra <= kRoom; }
  Bytes key_at(uint32_t index) const;
  Bytes value_at(uint32_t index) const;
  Ref child_at(uint32_t index) const;

  // Before entry `index`; there must be room.
  void insert(uint32_t index, Bytes key, Bytes value);
  void append(Bytes key, Bytes value) { insert(header()->count, key, value); }
  void remove(uint32_t index);
  // The value of entry `index`; there must be room for the difference.
  void replace(uint32_t index, Bytes value);
  void set_child(uint32_t index, Ref ref);
  void set_leftmost(Ref ref) { changeable()->leftmost = ref; }
  // Takes entry `index` of an inner page away, or child 0 with the first key when `index` is 0.
  void remove_child(uint32_t index);
  void truncate(uint32_t count);  // keeps the first `count` entries
  void seal(uint32_t page, uint64_t generation, uint32_t seed);

 private:
  PageHeader* changeable() { return reinterpret_cast<PageHeader*>(mutable_); }
  Slot* slot(uint32_t index) { return reinterpret_cast<Slot*>(mutable_ + sizeof(PageHeader)) + index; }
  void compact();
  void set_prefix(uint32_t prefix);

  uint8_t* mutable_;
};

// The shortest key that is above `low` and not above `high`; low < high.
Bytes separator(Bytes low, Bytes high);

}  // namespace paste::tree
