#include "core/replay/realtime.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

namespace paste {
namespace {

bool set_ahead(bool ahead) {
  const sched_param parameters = {.sched_priority = ahead ? 1 : 0};
  return pthread_setschedparam(pthread_self(), ahead ? SCHED_FIFO : SCHED_OTHER, &parameters) == 0;
}

}  // namespace

bool Realtime::has_cores() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) > 1;
}

bool Realtime::take() {
  if (!set_ahead(true)) return false;
  if (has_cores()) setpriority(PRIO_PROCESS, 0, kNice);  // of this thread; a limit of real time alone does not allow it
  turn_ns_ = 0;  // the first keep() says when it began
  return true;
}

void Realtime::turn(uint64_t now_ns) {
  const bool rested = slept_ns_ >= kEqualNs;
  slept_ns_ = 0;
  const bool ahead = !ahead_ || rested;
  if (turn_ns_ != 0 && ahead != ahead_) set_ahead(ahead);
  ahead_ = ahead;
  turn_ns_ = now_ns + (ahead_ ? kAheadNs : kEqualNs);
}

}  // namespace paste
