// Measured on a Zen 4 VM: now_ns() 8 ns, of which rdtsc 7; clock_gettime(CLOCK_REALTIME) 24 ns.
#include "core/base/clock.h"

#include <time.h>

#include <algorithm>

#include "core/base/cpu.h"
#include "core/base/system_time.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace paste {
namespace {

constexpr int64_t kStepNs = 1'000'000;            // more than this is a step, less is slewed
constexpr uint64_t kSlewOverNs = 1'000'000'000;   // a slew is spread over the second until the next calibration
constexpr uint64_t kRateNsMin = 50'000'000;       // shorter spans tell the rate too badly to change it
// At the start somebody waits: a pair is read to 25 ns, so that the rate is wrong by 25 ppm until the first calibration.
constexpr timespec kFirstSpan = {0, 2'000'000};

uint64_t read_ticks() {
#if defined(__x86_64__)
  return __rdtsc();
#elif defined(__aarch64__)
  uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  return 0;
#endif
}

// A clock read together with the counter: of a few tries the one that took least, so that neither an interrupt nor a lost core
// lies between the two.
struct Pair {
  uint64_t ticks = 0, ns = 0;
};
Pair read_pair(clockid_t id) {
  Pair best;
  uint64_t best_span = ~0ull;
  for (int i = 0; i < 8; ++i) {
    const uint64_t before = read_ticks();
    const uint64_t ns = clock_ns(id);
    const uint64_t span = read_ticks() - before;
    if (span >= best_span) continue;
    best_span = span;
    best = {before + span / 2, ns};
  }
  return best;
}

uint64_t multiplier_of(uint64_t ns, uint64_t ticks) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(ns) << 32) / ticks);
}

// Signed: another core may have read its counter just before the base was taken.
uint64_t at(uint64_t base_ns, uint64_t base_ticks, uint64_t multiplier, uint64_t ticks) {
  const auto passed = static_cast<__int128>(static_cast<int64_t>(ticks - base_ticks));
  return base_ns + static_cast<uint64_t>(passed * static_cast<__int128>(multiplier) >> 32);
}

}  // namespace

Clock::Clock() : counter_usable_(cpu_features().invariant_counter) {
  if (!counter_usable_) return;
  const Pair first = read_pair(CLOCK_MONOTONIC);
  nanosleep(&kFirstSpan, nullptr);
  const Pair second = read_pair(CLOCK_MONOTONIC);
  if (second.ticks <= first.ticks || second.ns <= first.ns) {
    counter_usable_ = false;
    return;
  }
  rate_ticks_ = second.ticks;
  rate_ns_ = second.ns;
  rate_multiplier_ = multiplier_of(second.ns - first.ns, second.ticks - first.ticks);
  const Pair now = read_pair(CLOCK_REALTIME);
  slots_[0].base_ticks.store(now.ticks, std::memory_order_relaxed);
  slots_[0].base_ns.store(now.ns, std::memory_order_relaxed);
  slots_[0].multiplier.store(rate_multiplier_, std::memory_order_release);
}

uint64_t Clock::now_ns() const {
  const uint64_t held = held_ns_.load(std::memory_order_relaxed);
  if (held != 0) [[unlikely]] return held;
  if (!counter_usable_) [[unlikely]] return clock_ns(CLOCK_REALTIME);
  for (;;) {
    const uint32_t version = version_.load(std::memory_order_acquire);
    const Slot& slot = slots_[version & 1];
    const uint64_t base_ticks = slot.base_ticks.load(std::memory_order_relaxed);
    const uint64_t base_ns = slot.base_ns.load(std::memory_order_relaxed);
    const uint64_t multiplier = slot.multiplier.load(std::memory_order_relaxed);
    const uint64_t ticks = read_ticks();
    std::atomic_thread_fence(std::memory_order_acquire);
    if (version_.load(std::memory_order_relaxed) == version) [[likely]] return at(base_ns, base_ticks, multiplier, ticks);
  }
}

// Only the calibrator writes, so it may read without the version.
Clock::Calibration Clock::current() const {
  const Slot& slot = slots_[version_.load(std::memory_order_relaxed) & 1];
  return {slot.base_ticks.load(std::memory_order_relaxed), slot.base_ns.load(std::memory_order_relaxed),
          slot.multiplier.load(std::memory_order_relaxed)};
}

// The new line starts at this moment on the old one (plus `shift_ns`), so that a reader of the old and a reader of the new one
// agree there. Between this moment and the turn readers follow the old line a little longer: at a slew of at most 0.1 % the lines
// are 1 ns apart after 1 us.
void Clock::publish(uint64_t multiplier, int64_t shift_ns) {
  const Calibration old = current();
  const uint32_t next = version_.load(std::memory_order_relaxed) + 1;
  Slot& slot = slots_[next & 1];
  std::atomic_thread_fence(std::memory_order_release);
  const uint64_t ticks = read_ticks();
  slot.base_ticks.store(ticks, std::memory_order_relaxed);
  slot.base_ns.store(at(old.base_ns, old.base_ticks, old.multiplier, ticks) + static_cast<uint64_t>(shift_ns),
                     std::memory_order_relaxed);
  slot.multiplier.store(multiplier, std::memory_order_relaxed);
  version_.store(next, std::memory_order_release);
}

Clock::Step Clock::calibrate() {
  if (!counter_usable_ || held_ns_.load(std::memory_order_relaxed) != 0) return {};
  const Pair rate = read_pair(CLOCK_MONOTONIC);  // never stepped, and slewed by NTP as CLOCK_REALTIME is
  if (rate.ns - rate_ns_ >= kRateNsMin && rate.ticks > rate_ticks_) {
    rate_multiplier_ = multiplier_of(rate.ns - rate_ns_, rate.ticks - rate_ticks_);
    rate_ticks_ = rate.ticks;
    rate_ns_ = rate.ns;
  }
  const Pair real = read_pair(CLOCK_REALTIME);
  const Calibration old = current();
  const uint64_t ours = at(old.base_ns, old.base_ticks, old.multiplier, real.ticks);
  const auto error = static_cast<int64_t>(real.ns - ours);  // > 0: we are behind
  if (error > kStepNs || error < -kStepNs) {
    publish(rate_multiplier_, error);
    return {ours, real.ns, true};
  }
  const auto slewed = static_cast<__int128>(kSlewOverNs) + error;
  publish(static_cast<uint64_t>(static_cast<__int128>(rate_multiplier_) * slewed / kSlewOverNs), 0);
  return {};
}

}  // namespace paste
