// A tree file, to the byte: a mutable B+ tree of byte strings in pages of 4 KiB, made persistent through one Domain.
//
//   page 0, 1   Superblock, two copies, written once: what the file is, and its geometry
//   page 2      LivePage: what readers must know and recovery must not trust; page 3 is reserved
//   page 4, 5   Root, alternating: generation g lies in page 4 + (g & 1)
//   page 6...   leaves and inner pages
//
// Copy-on-write with alternating roots. A commit writes every page that it changed to a free place, makes those pages persistent
// (first fence), writes one line, the root record, into the page that does not hold the current root, and makes that persistent
// (second fence). The record carries its checksum, so a torn one is none, and the other one counts: a crash at any store, flush or
// fence leaves exactly the last committed state, or the one that was being committed, whole. Nothing is repaired at opening.
// Why so, and not leaves that are changed in place under a log:
//   - a page that never changes while anyone can reach it is what lets readers in other processes take no lock and write nothing;
//     with changes in place each would need a version and a retry for each page, and could still see two halves of one commit;
//   - a page has one checksum for all of it, and on a disk the same order holds with fdatasync in the place of the fence;
//   - what it costs is a page per level for a commit of one entry (a height of 3: 12 KiB streamed). Batches share that: with
//     1,000 entries at random in a million, a commit writes about one leaf an entry, an inner page for hundreds.
// The root is published by its checksum, not by an 8-byte store: one line then says generation, place and size together.
//
// Readers: a snapshot is a copy of the root record. Pages that a commit freed are given out again only after a grace of
// generations (sooner when nothing else is free), and before one is overwritten LivePage.oldest is raised to the first generation
// whose pages are all intact. Whoever read looks at it after reading: a snapshot below it is overtaken, and what was read counts for
// nothing. On open the writer walks the inner pages to learn what is free, so that no free list can be wrong.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paste::tree {

inline constexpr uint64_t kMagic = 0x3145455254505344;  // "DSPTREE1"
inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kPageBytes = 4096;
inline constexpr uint32_t kLivePage = 2;
inline constexpr uint32_t kRootPage = 4;
inline constexpr uint32_t kFirstPage = 6;      // of the tree's own
inline constexpr uint32_t kPagesMin = 32;      // of a file
inline constexpr uint32_t kPagesMax = 1u << 31;
inline constexpr uint32_t kHeightMax = 24;     // 0 = empty, 1 = one leaf
inline constexpr uint32_t kGrace = 64;         // generations that freed pages rest while others are free

struct Superblock {
  uint64_t magic;
  uint32_t version;
  uint32_t page_bytes;
  uint64_t region_bytes;
  uint32_t page_count;  // of the whole file, these six included
  uint32_t zero;
  uint8_t uuid[16];
  uint64_t created_ns;  // of the wall clock
  uint32_t reserved;
  uint32_t crc;         // CRC-32C of everything before it
};
static_assert(sizeof(Superblock) == 64 && offsetof(Superblock, crc) == 60);

// A page and the commit that wrote it: a page that was lost, misplaced or overwritten does not pass for its successor.
struct Ref {
  uint32_t page;        // 0 = none. In a batch that is not committed yet: the number of a page in memory
  uint32_t generation;  // low half of the page's
};
static_assert(sizeof(Ref) == 8);

struct Root {
  uint64_t generation;  // of the commit; 1 is the empty tree of creation
  uint64_t entries;
  Ref root;
  uint32_t height;
  uint32_t pages;       // that the tree consists of
  uint64_t committed_ns;
  uint8_t zero[20];
  uint32_t crc;         // CRC-32C of everything before it, seeded with the uuid's first four bytes
};
static_assert(sizeof(Root) == 64 && offsetof(Root, crc) == 60);

struct LivePage {
  uint64_t oldest;  // snapshots of an earlier generation are overtaken
};

// Header, slots in the order of their keys upwards, entries from the page's end downwards.
struct PageHeader {
  uint32_t crc;         // CRC-32C of the page behind this field, seeded with the uuid's first four bytes
  uint32_t page;        // its own number
  uint64_t generation;
  uint8_t level;        // 0 = leaf
  uint8_t zero;
  uint16_t count;       // of slots
  uint16_t heap;        // offset of the lowest entry
  uint16_t garbage;     // bytes of entries at or above `heap` that no slot names
  uint16_t prefix;      // bytes that all keys of the page share and the heads leave out; a lower bound
  uint16_t reserved;
  uint32_t reserved2;
  Ref leftmost;         // inner pages: the child below the first key
};
static_assert(sizeof(PageHeader) == 40);

// The four key bytes behind the shared prefix, as a number that orders like them (absent bytes are 0): most comparisons of a search
// end in the slots, which lie together, and do not touch the keys.
struct Slot {
  uint32_t head;
  uint16_t offset;      // of the entry: value_bytes (16 bits), key, value
  uint16_t key_bytes;
};
static_assert(sizeof(Slot) == 8);

inline constexpr uint32_t kRoom = kPageBytes - sizeof(PageHeader);
inline constexpr uint32_t kEntryExtra = sizeof(Slot) + 2;  // bytes of an entry besides key and value
inline constexpr uint32_t kKeyBytesMax = 512;
// Key and value together. A third of a page, so that any page with one entry too many can be split in two: a half of at most
// (kRoom + e) / 2 + e bytes must fit, which is e <= kRoom / 3.
inline constexpr uint32_t kEntryBytesMax = 1280 + 48;
static_assert((kEntryBytesMax + kEntryExtra) * 3 <= kRoom);
// A leaf or inner page below this is joined with a neighbour if both fit into one.
inline constexpr uint32_t kUsedMin = kRoom / 4;

}  // namespace paste::tree
