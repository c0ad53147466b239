// The learning table of one switch: (FID, MAC) -> port. Read and written by all forwarding threads and by the control
// thread at once, without a lock that anybody waits for on the hot path.
//
// Built as buckets of one cache line (three entries and a version), two buckets to choose from for each key by a keyed
// universal hash: a look-up touches two lines at most, whatever is in the table.
//
// Worst case, all of it counted and none of it slow:
// - `entries` learned addresses (capacity), of them at most `entries_per_port` behind one port; there are 3 places for
//   each (64 bytes of table per entry), and an eighth of the capacity more may be static;
// - a pair of buckets without a free or expired place refuses to learn: nothing is evicted, so nobody can push another's
//   address out. The keys of the hash are random, so nobody can aim at a pair either (timing and floods may tell an
//   attacker which of his own addresses share a pair; that fills this pair, no more);
// - measured (test/switch/mac-table.test.ts, five seeds each): random addresses fill 1024 and 16384 entries to 100 % of the
//   capacity before the first refusal, 131072 to 96 %. With half the buckets the first refusals came at 46 to 67 %;
// - a place is taken under its bucket's version as a try-lock. A forwarding thread that finds it taken tries kLockTries
//   times and then forwards without learning (`contended`); the station's next frame learns. A reader that meets a writer
//   as often counts it as unknown, and the frame is flooded: correct, only wider.
//
// The life of an entry: learned or moved -> refreshed by the first frame of each tick -> expired (dead for every reader from
// that tick on) -> its place reclaimed by the next key that needs it or by the sweep. The port's generation is part of the
// value: when a port is removed its entries are dead at once, before anything is swept, and a port that takes the index
// later has another generation and inherits nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>

#include "core/store/layout.h"

namespace paste {

inline constexpr uint32_t kMacTickMs = 100;        // resolution of ageing
inline constexpr uint32_t kMacPortsMax = 4096;     // (thread << 8 | index) fits
inline constexpr uint32_t kMacUnknown = ~0u;
inline constexpr uint64_t kMacMask = 0xffff'ffff'ffffull;

// FID in the upper 16 bits, the address as it lies in memory (little-endian load) in the lower 48.
inline uint64_t mac_key(const uint8_t mac[6], uint16_t fid) {
  uint64_t key = 0;
  std::memcpy(&key, mac, 6);
  return key | static_cast<uint64_t>(fid) << 48;
}
inline bool mac_is_group(uint64_t key) { return (key & 1) != 0; }

// What happened to the table, for the log. Bounded: what does not fit is counted.
struct MacEvents {
  static constexpr uint32_t kMax = 256;
  layout::MacPayload items[kMax];
  uint32_t count = 0;
  uint64_t lost = 0;

  void add(uint64_t key, uint32_t port_id, layout::MacEvent event) {
    if (count == kMax) {
      lost++;
      return;
    }
    layout::MacPayload& item = items[count++];
    std::memcpy(item.mac, &key, 6);
    item.fid = static_cast<uint16_t>(key >> 48);
    item.port = port_id;
    item.event = event;
    std::memset(item.reserved, 0, sizeof item.reserved);
  }
};

enum class Learn : uint8_t {
  kKnown,
  kLearned,
  kMoved,
  kRefusedSource,  // multicast, broadcast or all-zero
  kRefusedStatic,  // a static entry holds the address at another port
  kRefusedFull,    // both buckets, the table or the port's share is full
  kContended,
};

struct MacEntry {
  uint64_t key;
  uint32_t port;
  bool is_static;
  uint64_t age_ms;
};

struct MacCounters {
  std::atomic<uint64_t> learned{0}, moved{0}, aged{0}, refused{0}, contended{0};
};

class MacTable {
 public:
  struct Options {
    uint32_t entries = 16384;          // power of two, 16..1 Mi
    uint32_t entries_per_port = 4096;
    uint32_t age_ms = 300'000;         // 0 = never
    uint64_t seed = 0;                 // of the hash keys; 0 = from the operating system
  };
  explicit MacTable(const Options& options);

  // Where a key is looked for first: worth computing and prefetching for a whole batch before its first look-up. The other
  // bucket is worked out when it is needed, which is rare while the table is not crowded: the first one is preferred.
  uint32_t place(uint64_t key) const { return hash(key, 0); }
  void prefetch(uint32_t place) const { __builtin_prefetch(&buckets_[place]); }

  // --- forwarding threads ---
  // `now` counts ticks of kMacTickMs on a clock that never steps. Nothing here allocates, waits or makes a system call.
  Learn learn(uint64_t key, uint32_t place, uint32_t port, uint32_t now, MacEvents* events) {
    return learn_slowly(key, place, port, now, read(key, place), events);
  }
  // The port behind the address, or kMacUnknown.
  uint32_t lookup(uint64_t key, uint32_t place, uint32_t now) const {
    const uint64_t value = read(key, place);
    return lives(value, now) ? port_of(value) : kMacUnknown;
  }

  // Changes with whatever could change an answer: an entry written, removed or moved, a port killed. Refreshes do not count,
  // and expiry comes with the tick.
  uint64_t changes() const { return changes_.load(std::memory_order_acquire); }

  // --- control thread (one at a time) ---
  void add_port(uint32_t port, uint32_t id);
  // Removing a port takes two steps. From kill_port() on every entry of it is dead, static ones too: called where no thread
  // learns for it any more. sweep_port() reclaims their places, before the number is used again; returns how many there were.
  void kill_port(uint32_t port);
  uint32_t sweep_port(uint32_t port, MacEvents* events);
  // False when six static entries fill the pair, or too many are static.
  bool add(uint64_t key, uint32_t port, uint32_t now, MacEvents* events);
  // False when there was no such entry.
  bool remove(uint64_t key, uint32_t now, MacEvents* events);
  // Removes learned entries (of one port, or kMacUnknown = all); static ones stay. Returns how many.
  uint32_t flush(uint32_t port, MacEvents* events);
  // Reclaims what expired in `count` buckets from `from` on; returns the bucket to go on with (0 after the last).
  uint32_t age(uint32_t now, uint32_t from, uint32_t count, MacEvents* events);
  void each(uint32_t now, const std::function<void(const MacEntry&)>& visit) const;

  uint32_t buckets() const { return mask_ + 1; }
  uint32_t learned() const { return learned_.load(std::memory_order_relaxed); }
  uint32_t statics() const { return statics_.load(std::memory_order_relaxed); }
  const MacCounters& counters() const { return counters_; }

 private:
  static constexpr uint32_t kEntries = 3;
  static constexpr uint32_t kLockTries = 64;
  struct alignas(64) Bucket {
    std::atomic<uint32_t> version{0};  // odd while a writer is at work
    uint32_t unused = 0;
    std::atomic<uint64_t> key[kEntries] = {};
    std::atomic<uint64_t> value[kEntries] = {};
    uint64_t unused1 = 0;
  };
  static_assert(sizeof(Bucket) == 64);
  struct PortState {
    std::atomic<uint16_t> generation{1};
    std::atomic<uint32_t> learned{0};
    std::atomic<uint32_t> id{0};
  };
  struct Pair {
    uint32_t bucket[2];
  };
  struct Found {
    uint32_t bucket = 0, entry = 0;
    uint64_t value = 0;  // 0 = not found
  };
  // Multilinear hashing (strongly universal over random 64-bit keys; Lemire & Kaser 2014): any two addresses collide with the
  // chance of a random function.
  uint32_t hash(uint64_t key, uint32_t which) const {
    const uint64_t* k = hash_ + 3 * which;
    return static_cast<uint32_t>((k[0] + k[1] * (key & 0xffff'ffff) + k[2] * (key >> 32)) >> 32) & mask_;
  }
  uint32_t other_place(uint64_t key, uint32_t place) const {
    const uint32_t other = hash(key, 1);
    return other == place ? place ^ 1 : other;
  }
  // The value under the key, or 0.
  uint64_t read(uint64_t key, uint32_t place) const {
    const uint64_t value = read_bucket(key, buckets_[place]);
    return __builtin_expect(value != 0, 1) ? value : read_bucket(key, buckets_[other_place(key, place)]);
  }
  // A bucket is read like a seqlock: version, entries, version again, so that a key and its value belong together. Without a
  // branch on where in it the key lies, since nothing could predict that.
  static uint64_t read_bucket(uint64_t key, const Bucket& bucket) {
    for (uint32_t tries = 0; tries < kLockTries; tries++) {
      const uint32_t version = bucket.version.load(std::memory_order_acquire);
      uint64_t value = 0;
#pragma GCC unroll 3
      for (uint32_t e = 0; e < kEntries; e++)
        value |= bucket.value[e].load(std::memory_order_acquire) & same(bucket.key[e].load(std::memory_order_acquire), key);
      std::atomic_thread_fence(std::memory_order_acquire);
      const uint32_t changed = (bucket.version.load(std::memory_order_relaxed) ^ version) | (version & 1);
      if (__builtin_expect(changed == 0, 1)) return value;
    }
    return 0;
  }
  static uint64_t same(uint64_t a, uint64_t b) { return uint64_t{0} - static_cast<uint64_t>(a == b); }

  // Value: bit 0 valid, 1 static, 4..15 port, 16..31 the port's generation, 32..63 tick of the last frame.
  static constexpr uint64_t kValid = 1, kStatic = 2;
  static uint32_t port_of(uint64_t value) { return static_cast<uint32_t>(value >> 4) & (kMacPortsMax - 1); }
  uint64_t make_value(uint32_t port, uint32_t now, bool is_static) const {
    const uint64_t generation = ports_[port].generation.load(std::memory_order_acquire);
    return kValid | (is_static ? kStatic : 0) | static_cast<uint64_t>(port) << 4 | generation << 16 |
           static_cast<uint64_t>(now) << 32;
  }
  bool generation_lives(uint64_t value) const {
    return static_cast<uint16_t>(value >> 16) == ports_[port_of(value)].generation.load(std::memory_order_acquire);
  }
  bool expired(uint64_t value, uint32_t now) const {
    return !(value & kStatic) && age_ticks_ != 0 && ticks_since(value, now) >= age_ticks_;
  }
  // Another thread's tick may be one ahead of this one's.
  static uint32_t ticks_since(uint64_t value, uint32_t now) {
    const int32_t ticks = static_cast<int32_t>(now - static_cast<uint32_t>(value >> 32));
    return ticks > 0 ? static_cast<uint32_t>(ticks) : 0;
  }
  bool lives(uint64_t value, uint32_t now) const {
    return (value & kValid) && generation_lives(value) && !expired(value, now);
  }

  Pair pair(uint64_t key, uint32_t place) const { return {{place, other_place(key, place)}}; }
  Found find_locked(uint64_t key, const Pair& pair) const;
  bool lock(uint32_t bucket, uint32_t tries);
  void unlock(uint32_t bucket);
  bool lock_pair(const Pair& pair, uint32_t tries);
  void unlock_pair(const Pair& pair);
  Learn learn_slowly(uint64_t key, uint32_t place, uint32_t port, uint32_t now, uint64_t value, MacEvents* events);
  Learn learn_locked(uint64_t key, const Pair& pair, uint32_t port, uint32_t now, MacEvents* events);
  Learn move_locked(const Found& found, uint64_t key, uint32_t port, uint32_t now, MacEvents* events);
  bool choose_locked(const Pair& pair, uint32_t now, bool evict_learned, Found* chosen, MacEvents* events);
  void clear_locked(uint32_t bucket, uint32_t entry, layout::MacEvent event, MacEvents* events);
  void write_locked(uint32_t bucket, uint32_t entry, uint64_t key, uint64_t value);
  uint32_t sweep(uint32_t from, uint32_t count, const std::function<bool(uint64_t value)>& dead, layout::MacEvent event,
                 MacEvents* events);
  bool take_share(uint32_t port);
  void give_share(uint32_t port);

  std::unique_ptr<Bucket[]> buckets_;
  std::unique_ptr<PortState[]> ports_;
  uint32_t mask_;
  uint32_t age_ticks_;
  uint32_t entries_max_, share_max_, statics_max_;
  uint64_t hash_[6];
  std::atomic<uint32_t> learned_{0}, statics_{0};
  std::atomic<uint64_t> changes_{0};
  MacCounters counters_;
};

}  // namespace paste
