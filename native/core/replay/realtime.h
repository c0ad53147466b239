// A thread that spins, ahead of others on its core (SCHED_FIFO), and still never halted for it.
#pragma once

#include <cstdint>

namespace paste {

// A thread that has run so for 950 ms of a second is halted by the kernel for the other 50 (sched_rt_runtime_us), at once: one that
// sleeps too little is a thread as any other for a part of each second instead; of nice -20 where there are cores for the others.
class Realtime {
 public:
  // Whether the calling thread has more than one core to run on: with one only, whoever takes the frames would wait for it.
  static bool has_cores();

  // Of the calling thread, once. False: it needs CAP_SYS_NICE or a limit of real time (`ulimit -r`).
  bool take();

  void slept(uint64_t ns) { slept_ns_ += ns; }

  // Often, with a monotonic clock.
  void keep(uint64_t now_ns) {
    if (__builtin_expect(now_ns >= turn_ns_, 0)) turn(now_ns);
  }

 private:
  static constexpr uint64_t kAheadNs = 850'000'000, kEqualNs = 150'000'000;
  // What else wants the core has a slice of it (4 ms) in 0.3 s then, instead of every second one. Short work still gets its turn.
  static constexpr int kNice = -20;

  void turn(uint64_t now_ns);

  bool ahead_ = false;
  uint64_t turn_ns_ = UINT64_MAX, slept_ns_ = 0;
};

}  // namespace paste
