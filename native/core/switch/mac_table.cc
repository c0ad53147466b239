#include "core/switch/mac_table.h"

#include <sched.h>
#include <sys/random.h>

#include <bit>

#include "core/base/cpu.h"
#include "core/base/status.h"

namespace paste {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): turns one seed into the six keys of the hash.
uint64_t next_random(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

MacTable::MacTable(const Options& options)
    : age_ticks_(options.age_ms == 0 ? 0 : (options.age_ms + kMacTickMs - 1) / kMacTickMs),
      entries_max_(options.entries),
      share_max_(options.entries_per_port),
      statics_max_(options.entries / 8) {
  PASTE_CHECK(std::has_single_bit(options.entries) && options.entries >= 16 && options.entries <= 1u << 20);
  mask_ = options.entries - 1;
  buckets_ = std::make_unique<Bucket[]>(mask_ + 1);
  ports_ = std::make_unique<PortState[]>(kMacPortsMax);
  uint64_t seed = options.seed;
  if (seed != 0) {
    for (uint64_t& key : hash_) key = next_random(&seed);
  } else {
    PASTE_CHECK(getrandom(hash_, sizeof hash_, 0) == static_cast<ssize_t>(sizeof hash_));
  }
}

MacTable::Found MacTable::find_locked(uint64_t key, const Pair& pair) const {
  for (uint32_t index : pair.bucket)
    for (uint32_t e = 0; e < kEntries; e++) {
      const uint64_t value = buckets_[index].value[e].load(std::memory_order_relaxed);
      if ((value & kValid) && buckets_[index].key[e].load(std::memory_order_relaxed) == key) return {index, e, value};
    }
  return {};
}

// Whatever is not a frame from where its address was last seen within this tick. `value` is what read() found.
Learn MacTable::learn_slowly(uint64_t key, uint32_t place, uint32_t port, uint32_t now, uint64_t value,
                             MacEvents* events) {
  if (mac_is_group(key) || (key & kMacMask) == 0) return Learn::kRefusedSource;
  if (lives(value, now) && (value & kStatic)) return port_of(value) == port ? Learn::kKnown : Learn::kRefusedStatic;
  if (lives(value, now) && port_of(value) == port && static_cast<uint32_t>(value >> 32) == now) return Learn::kKnown;
  const Pair buckets = pair(key, place);
  if (!lock_pair(buckets, kLockTries)) {
    counters_.contended.fetch_add(1, std::memory_order_relaxed);
    return Learn::kContended;
  }
  const Learn result = learn_locked(key, buckets, port, now, events);
  unlock_pair(buckets);
  return result;
}

Learn MacTable::learn_locked(uint64_t key, const Pair& pair, uint32_t port, uint32_t now, MacEvents* events) {
  Found found = find_locked(key, pair);
  if (found.value && !lives(found.value, now)) {
    clear_locked(found.bucket, found.entry, layout::kAged, events);
    found.value = 0;
  }
  if (found.value) return move_locked(found, key, port, now, events);
  Found chosen;
  if (!choose_locked(pair, now, false, &chosen, events) || !take_share(port)) {
    counters_.refused.fetch_add(1, std::memory_order_relaxed);
    return Learn::kRefusedFull;
  }
  write_locked(chosen.bucket, chosen.entry, key, make_value(port, now, false));
  counters_.learned.fetch_add(1, std::memory_order_relaxed);
  if (events) events->add(key, ports_[port].id.load(std::memory_order_relaxed), layout::kLearned);
  return Learn::kLearned;
}

Learn MacTable::move_locked(const Found& found, uint64_t key, uint32_t port, uint32_t now, MacEvents* events) {
  if (found.value & kStatic) return port_of(found.value) == port ? Learn::kKnown : Learn::kRefusedStatic;
  if (port_of(found.value) == port) {  // the tick's first frame, or another thread learned it just now
    if (ticks_since(found.value, now) != 0)
      buckets_[found.bucket].value[found.entry].store(make_value(port, now, false), std::memory_order_release);
    return Learn::kKnown;
  }
  give_share(port_of(found.value));
  if (!take_share(port)) {
    // The station is not where the entry says: better unknown (and flooded) than sent to the wrong port.
    write_locked(found.bucket, found.entry, 0, 0);
    counters_.refused.fetch_add(1, std::memory_order_relaxed);
    if (events) events->add(key, ports_[port_of(found.value)].id.load(std::memory_order_relaxed), layout::kRemoved);
    return Learn::kRefusedFull;
  }
  write_locked(found.bucket, found.entry, key, make_value(port, now, false));
  counters_.moved.fetch_add(1, std::memory_order_relaxed);
  if (events) events->add(key, ports_[port].id.load(std::memory_order_relaxed), layout::kMoved);
  return Learn::kMoved;
}

// A free place in the emptier of the two buckets; dead entries are reclaimed on the way. `evict_learned`: a static entry
// may take the place of a learned one.
bool MacTable::choose_locked(const Pair& pair, uint32_t now, bool evict_learned, Found* chosen, MacEvents* events) {
  uint32_t free_count[2] = {0, 0}, free_entry[2] = {0, 0};
  for (uint32_t side = 0; side < 2; side++)
    for (uint32_t e = 0; e < kEntries; e++) {
      const uint64_t value = buckets_[pair.bucket[side]].value[e].load(std::memory_order_relaxed);
      if ((value & kValid) && !lives(value, now)) clear_locked(pair.bucket[side], e, layout::kAged, events);
      else if (value & kValid) continue;
      free_count[side]++;
      free_entry[side] = e;
    }
  if (free_count[0] + free_count[1] != 0) {
    const uint32_t side = free_count[1] > free_count[0] ? 1 : 0;
    *chosen = {pair.bucket[side], free_entry[side], 0};
    return true;
  }
  for (uint32_t index : pair.bucket)
    for (uint32_t e = 0; evict_learned && e < kEntries; e++)
      if (!(buckets_[index].value[e].load(std::memory_order_relaxed) & kStatic)) {
        clear_locked(index, e, layout::kRemoved, events);
        *chosen = {index, e, 0};
        return true;
      }
  return false;
}

void MacTable::clear_locked(uint32_t bucket, uint32_t entry, layout::MacEvent event, MacEvents* events) {
  const uint64_t value = buckets_[bucket].value[entry].load(std::memory_order_relaxed);
  const uint64_t key = buckets_[bucket].key[entry].load(std::memory_order_relaxed);
  if (value & kStatic) statics_.fetch_sub(1, std::memory_order_relaxed);
  else give_share(port_of(value));
  if (event == layout::kAged && generation_lives(value)) counters_.aged.fetch_add(1, std::memory_order_relaxed);
  if (events)
    events->add(key, ports_[port_of(value)].id.load(std::memory_order_relaxed),
                event == layout::kAged && !generation_lives(value) ? layout::kRemoved : event);
  write_locked(bucket, entry, 0, 0);
}

void MacTable::write_locked(uint32_t bucket, uint32_t entry, uint64_t key, uint64_t value) {
  // Release, so that a reader who sees either new word also sees the odd version in front of it.
  buckets_[bucket].key[entry].store(key, std::memory_order_release);
  buckets_[bucket].value[entry].store(value, std::memory_order_release);
  changes_.fetch_add(1, std::memory_order_release);
}

bool MacTable::lock(uint32_t bucket, uint32_t tries) {
  std::atomic<uint32_t>& version = buckets_[bucket].version;
  for (uint32_t i = 0; i < tries; i++) {
    uint32_t seen = version.load(std::memory_order_relaxed);
    if ((seen & 1) == 0 && version.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) return true;
    pause_briefly();
  }
  return false;
}

void MacTable::unlock(uint32_t bucket) { buckets_[bucket].version.fetch_add(1, std::memory_order_release); }

bool MacTable::lock_pair(const Pair& pair, uint32_t tries) {
  if (!lock(pair.bucket[0], tries)) return false;
  if (lock(pair.bucket[1], tries)) return true;
  unlock(pair.bucket[0]);
  return false;
}

void MacTable::unlock_pair(const Pair& pair) {
  unlock(pair.bucket[0]);
  unlock(pair.bucket[1]);
}

bool MacTable::take_share(uint32_t port) {
  if (learned_.fetch_add(1, std::memory_order_relaxed) < entries_max_) {
    if (ports_[port].learned.fetch_add(1, std::memory_order_relaxed) < share_max_) return true;
    ports_[port].learned.fetch_sub(1, std::memory_order_relaxed);
  }
  learned_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void MacTable::give_share(uint32_t port) {
  ports_[port].learned.fetch_sub(1, std::memory_order_relaxed);
  learned_.fetch_sub(1, std::memory_order_relaxed);
}

void MacTable::add_port(uint32_t port, uint32_t id) { ports_[port].id.store(id, std::memory_order_relaxed); }

void MacTable::kill_port(uint32_t port) {
  ports_[port].generation.fetch_add(1, std::memory_order_acq_rel);
  changes_.fetch_add(1, std::memory_order_release);
}

uint32_t MacTable::sweep_port(uint32_t port, MacEvents* events) {
  return sweep(0, buckets(), [port](uint64_t value) { return port_of(value) == port; }, layout::kRemoved, events);
}

uint32_t MacTable::flush(uint32_t port, MacEvents* events) {
  const auto dead = [port](uint64_t value) {
    return !(value & kStatic) && (port == kMacUnknown || port_of(value) == port);
  };
  return sweep(0, buckets(), dead, layout::kRemoved, events);
}

uint32_t MacTable::age(uint32_t now, uint32_t from, uint32_t count, MacEvents* events) {
  const uint32_t end = from + count < buckets() ? from + count : buckets();
  sweep(from, end - from, [this, now](uint64_t value) { return !lives(value, now); }, layout::kAged, events);
  return end == buckets() ? 0 : end;
}

uint32_t MacTable::sweep(uint32_t from, uint32_t count, const std::function<bool(uint64_t value)>& dead,
                         layout::MacEvent event, MacEvents* events) {
  uint32_t removed = 0;
  for (uint32_t b = from; b < from + count; b++) {
    bool any = false;
    for (auto& word : buckets_[b].value) {
      const uint64_t value = word.load(std::memory_order_acquire);
      any |= (value & kValid) && dead(value);
    }
    if (!any) continue;
    while (!lock(b, kLockTries)) sched_yield();
    for (uint32_t e = 0; e < kEntries; e++) {
      const uint64_t value = buckets_[b].value[e].load(std::memory_order_relaxed);
      if (!(value & kValid) || !dead(value)) continue;
      clear_locked(b, e, event, events);
      removed++;
    }
    unlock(b);
  }
  return removed;
}

bool MacTable::add(uint64_t key, uint32_t port, uint32_t now, MacEvents* events) {
  const Pair where = pair(key, place(key));
  while (!lock_pair(where, kLockTries)) sched_yield();
  Found found = find_locked(key, where);
  const bool was_static = found.value & kStatic;
  bool done = was_static || statics_.load(std::memory_order_relaxed) < statics_max_;
  if (done && found.value == 0) done = choose_locked(where, now, true, &found, events);
  else if (done && !was_static) give_share(port_of(found.value));
  if (done) {
    write_locked(found.bucket, found.entry, key, make_value(port, now, true));
    if (!was_static) statics_.fetch_add(1, std::memory_order_relaxed);
    if (events) events->add(key, ports_[port].id.load(std::memory_order_relaxed), layout::MacEvent::kStatic);
  }
  unlock_pair(where);
  return done;
}

bool MacTable::remove(uint64_t key, uint32_t now, MacEvents* events) {
  const Pair where = pair(key, place(key));
  while (!lock_pair(where, kLockTries)) sched_yield();
  const Found found = find_locked(key, where);
  const bool lived = lives(found.value, now);
  if (found.value) clear_locked(found.bucket, found.entry, layout::kRemoved, events);
  unlock_pair(where);
  return lived;
}

void MacTable::each(uint32_t now, const std::function<void(const MacEntry&)>& visit) const {
  for (uint32_t b = 0; b < buckets(); b++)
    for (uint32_t e = 0; e < kEntries; e++) {
      const uint64_t key = buckets_[b].key[e].load(std::memory_order_acquire);
      const uint64_t value = key == 0 ? 0 : read(key, place(key));
      if (!lives(value, now)) continue;
      visit({key, port_of(value), (value & kStatic) != 0, uint64_t{ticks_since(value, now)} * kMacTickMs});
    }
}

}  // namespace paste
