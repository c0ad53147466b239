#include "bench/spinner.h"

#include <thread>

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

}  // namespace

Status run_spinner(const SpinnerOptions& options, Lateness* lateness) {
  bool refused = false;
  std::thread(spin, options, lateness, &refused).join();
  return refused ? Status(Code::kPrivilege, "real time was refused: it needs CAP_SYS_NICE, or a limit in `ulimit -r`") : Status();
}

}  // namespace paste::bench
