#include "bench/spinner.h"

#include <sched.h>

#include <atomic>
#include <functional>
#include <thread>

#include "core/base/cpu.h"
#include "core/base/system_time.h"
#include "core/replay/realtime.h"

namespace paste::bench {
namespace {

void spin(const SpinnerOptions& options, Lateness* lateness, bool* refused) {
  Realtime realtime;
  *refused = options.realtime && !realtime.take();
  if (*refused) return;
  const uint64_t begun = monotonic_ns();
  for (uint64_t i = 0; i < options.count; ++i) {
    const uint64_t due = begun + i * options.gap_ns;
    uint64_t now = monotonic_ns();
    while (now < due) now = monotonic_ns();
    lateness->add(now - begun, now - due);
    realtime.keep(now);
  }
}

void keep_company(const std::atomic<bool>& ended) {
  constexpr uint32_t kPausesPerLook = 16;  // as switch/worker.cc
  while (!ended.load(std::memory_order_relaxed)) {
    for (uint32_t i = 0; i < kPausesPerLook; ++i) pause_briefly();
    sched_yield();
  }
}

}  // namespace

Status run_spinner(const SpinnerOptions& options, Lateness* lateness) {
  bool refused = false;
  std::atomic<bool> ended{false};
  std::thread company;
  if (options.company) company = std::thread(keep_company, std::cref(ended));
  std::thread(spin, options, lateness, &refused).join();
  ended = true;
  if (company.joinable()) company.join();
  return refused ? Status(Code::kPrivilege, "real time was refused: it needs CAP_SYS_NICE, or a limit in `ulimit -r`") : Status();
}

}  // namespace paste::bench
