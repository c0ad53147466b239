#include "core/pmem/fault_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>

namespace paste {

struct FaultGuard::Place {
  std::atomic<bool> taken{false};
  std::atomic<uintptr_t> base{0}, end{0};  // end 0: not in use
  std::atomic<size_t> page_bytes{0};
  std::atomic<bool> struck{false};
};

namespace {

// A signal handler is told nothing but the address: what it looks up is the process's own, and never freed.
constexpr size_t kGuardsMax = 64;
FaultGuard::Place places[kGuardsMax];
struct sigaction handler_before;

// True when the address was in a guarded range, and reading there gives zeros now. Async-signal-safe.
bool give_zeros(uintptr_t address) {
  for (FaultGuard::Place& place : places) {
    const uintptr_t end = place.end.load(std::memory_order_acquire);
    const uintptr_t base = place.base.load(std::memory_order_acquire);
    // Both belong to one guard where the end is still the same: places are used again.
    if (address < base || address >= end || place.end.load(std::memory_order_acquire) != end) continue;
    const size_t page = place.page_bytes.load(std::memory_order_relaxed);
    const uintptr_t start = address - (address - base) % page;
    place.struck.store(true, std::memory_order_release);
    return mmap(reinterpret_cast<void*>(start), (end - start + page - 1) / page * page, PROT_READ,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
  }
  return false;
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const bool given = give_zeros(reinterpret_cast<uintptr_t>(info->si_addr));
  errno = error;
  if (given) return;
  if (handler_before.sa_flags & SA_SIGINFO) {
    handler_before.sa_sigaction(signal, info, context);
  } else if (handler_before.sa_handler != SIG_DFL && handler_before.sa_handler != SIG_IGN) {
    handler_before.sa_handler(signal);
  } else {
    sigaction(SIGBUS, &handler_before, nullptr);  // the access is repeated, and ends as it would have without this handler
  }
}

void install() {
  static const bool installed = [] {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, &handler_before) == 0;
  }();
  (void)installed;
}

}  // namespace

FaultGuard::FaultGuard(const uint8_t* base, size_t size_bytes, size_t page_bytes) {
  install();
  for (Place& place : places) {
    bool taken = false;
    if (!place.taken.compare_exchange_strong(taken, true)) continue;
    place_ = &place;
    place.struck.store(false, std::memory_order_relaxed);
    place.page_bytes.store(page_bytes, std::memory_order_relaxed);
    place.base.store(reinterpret_cast<uintptr_t>(base), std::memory_order_relaxed);
    place.end.store(reinterpret_cast<uintptr_t>(base) + size_bytes, std::memory_order_release);
    return;
  }
}

FaultGuard::~FaultGuard() {
  if (!place_) return;
  place_->end.store(0, std::memory_order_release);
  place_->taken.store(false, std::memory_order_release);
}

bool FaultGuard::struck() const { return place_ && place_->struck.load(std::memory_order_acquire); }

}  // namespace paste
