// A lock that knows its owner: a signal handler that comes into the library while its thread holds the lock is told so instead
// of waiting for ever, and a child of fork() can free what another thread of its parent held.
#pragma once

#include <atomic>
#include <linux/futex.h>

#include "preload/sys.h"

namespace paste::preload {

// This thread's id; forgotten in a child of fork().
inline uint32_t& thread_id_slot() {
  static thread_local uint32_t id __attribute__((tls_model("initial-exec"))) = 0;
  return id;
}
inline uint32_t thread_id() {
  uint32_t& id = thread_id_slot();
  if (id == 0) id = static_cast<uint32_t>(sys::thread());
  return id;
}

class Lock {
 public:
  // False when this thread holds it already.
  bool take() {
    const uint32_t self = thread_id();
    uint32_t seen = 0;
    if (word_.compare_exchange_strong(seen, self, std::memory_order_acquire)) return true;
    const sys::KeepErrno keep;
    for (;;) {
      if ((seen & ~kWaiters) == self) return false;
      if (seen == 0) {
        // Others may still wait: the mark stays, and costs one system call too many at worst.
        if (word_.compare_exchange_weak(seen, self | kWaiters, std::memory_order_acquire)) return true;
        continue;
      }
      if (!(seen & kWaiters) && !word_.compare_exchange_weak(seen, seen | kWaiters, std::memory_order_relaxed)) continue;
      sys::futex(&word_, FUTEX_WAIT_PRIVATE, seen | kWaiters);
      seen = word_.load(std::memory_order_relaxed);
    }
  }
  void give() {
    if (!(word_.exchange(0, std::memory_order_release) & kWaiters)) return;
    const sys::KeepErrno keep;
    sys::futex(&word_, FUTEX_WAKE_PRIVATE, 1);
  }
  void reset() { word_.store(0, std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kWaiters = 1u << 31;
  std::atomic<uint32_t> word_{0};
};

class Hold {
 public:
  explicit Hold(Lock& lock) : lock_(lock), held_(lock.take()) {}
  ~Hold() {
    if (held_) lock_.give();
  }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  explicit operator bool() const { return held_; }

 private:
  Lock& lock_;
  bool held_;
};

}  // namespace paste::preload
