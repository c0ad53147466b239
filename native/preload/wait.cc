#include "preload/wait.h"

#include <sys/eventfd.h>
#include <sys/mman.h>

#include "preload/libc.h"

namespace paste::preload {

namespace {

constexpr int64_t kRetryNs = 20'000'000;    // while the daemon is away
constexpr int64_t kSharedNs = 100'000'000;  // another process may have taken the ring that was for us

// Eventfds of sleeping threads, used again and again.
constexpr uint32_t kWakersMax = 256;
Waker wakers[kWakersMax];

Waker* take_waker() {
  for (Waker& waker : wakers) {
    bool idle = false;
    if (waker.taken.load(std::memory_order_relaxed) || !waker.taken.compare_exchange_strong(idle, true)) continue;
    if (waker.fd.load() < 0) waker.fd = make_internal(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (waker.fd.load() >= 0) return &waker;
    waker.taken = false;
    return nullptr;
  }
  return nullptr;
}

void give_waker(Waker* waker) {
  if (waker) waker->taken.store(false, std::memory_order_release);
}

// One sleep: registers this thread with every file, and takes it off again.
class Sleep {
 public:
  Sleep(Watch* watches, uint32_t count) : watches_(watches), count_(count), waker_(take_waker()) {
    if (!waker_) all_wakeable_ = false;
    for (uint32_t i = 0; i < count_; i++) {
      if (waker_ && !enter(*watches_[i].file)) all_wakeable_ = false;
      if (arm(*watches_[i].file, watches_[i].events)) ready_ = true;
    }
  }
  ~Sleep() {
    const sys::KeepErrno keep;
    for (uint32_t i = 0; i < count_; i++) {
      disarm(*watches_[i].file, watches_[i].events);
      for (std::atomic<Waker*>& place : watches_[i].file->waiters) {
        Waker* mine = waker_;
        if (mine) place.compare_exchange_strong(mine, nullptr);
      }
    }
    give_waker(waker_);
  }
  bool ready() const { return ready_; }
  bool all_wakeable() const { return all_wakeable_; }
  const Waker* waker() const { return waker_; }

 private:
  bool enter(NetmapFile& file) {
    for (std::atomic<Waker*>& place : file.waiters) {
      Waker* none = nullptr;
      if (place.load(std::memory_order_relaxed) == nullptr && place.compare_exchange_strong(none, waker_)) return true;
    }
    return false;
  }

  Watch* watches_;
  uint32_t count_;
  Waker* waker_;
  bool ready_ = false;
  bool all_wakeable_ = true;
};

int real_poll(pollfd* fds, nfds_t count, int64_t wait_ns, const sigset_t* mask) {
  timespec timeout = {wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
  const timespec* limit = wait_ns < 0 ? nullptr : &timeout;
  const Libc* c = libc();
  if (c && c->ppoll) return c->ppoll(fds, count, limit, mask);
  return sys::poll(fds, count, limit, mask);
}

int count_ready(const pollfd* fds, nfds_t count, const Watch* watches, uint32_t watch_count) {
  int ready = 0;
  for (nfds_t i = 0; i < count; i++) ready += fds[i].revents != 0;
  for (uint32_t i = 0; i < watch_count; i++) ready += watches[i].revents != 0;
  return ready;
}

bool look_at_rings(Watch* watches, uint32_t count) {
  bool any = false;
  for (uint32_t i = 0; i < count; i++) {
    watches[i].revents = ready_events(*watches[i].file, watches[i].events);
    any |= watches[i].revents != 0;
  }
  return any;
}

// How long to sleep at most before looking again, for reasons of ours; negative: no bound.
int64_t patience(const Watch* watches, uint32_t count, bool all_wakeable) {
  int64_t most = all_wakeable ? -1 : kRetryNs;
  for (uint32_t i = 0; i < count; i++) {
    if (watches[i].file->state == NetmapFile::State::kLost) most = kRetryNs;
    if (most < 0 && watches[i].file->shared) most = kSharedNs;
  }
  return most;
}

}  // namespace

int64_t deadline_after_ms(int ms) { return ms < 0 ? -1 : ms == 0 ? 0 : sys::now_ns() + ms * 1'000'000LL; }

bool deadline_after(const timespec* timeout, int64_t* deadline_ns) {
  *deadline_ns = -1;
  if (!timeout) return true;
  if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= 1'000'000'000) return false;
  if (timeout->tv_sec > 1'000'000'000) return true;
  const int64_t ns = timeout->tv_sec * 1'000'000'000LL + timeout->tv_nsec;
  *deadline_ns = ns == 0 ? 0 : sys::now_ns() + ns;
  return true;
}

int wait_for(pollfd* fds, nfds_t count, Watch* watches, uint32_t watch_count, int64_t deadline_ns, const sigset_t* mask,
             pollfd* scratch) {
  for (bool last = false;;) {
    if (look_at_rings(watches, watch_count)) {
      if (count == 0) return count_ready(fds, 0, watches, watch_count);
      if (real_poll(fds, count, 0, nullptr) < 0 && errno != EINTR) return -1;
      return count_ready(fds, count, watches, watch_count);
    }
    if (last) return count_ready(fds, count, watches, watch_count);

    int result;
    {
      Sleep sleep(watches, watch_count);
      if (sleep.ready()) continue;
      nfds_t entries = count;
      for (nfds_t i = 0; i < count; i++) scratch[i] = fds[i];
      for (uint32_t i = 0; i < watch_count; i++) {
        NetmapFile& file = *watches[i].file;
        const bool up = file.state == NetmapFile::State::kUp;
        scratch[entries++] = {up ? file.doorbell.load() : -1, POLLIN, 0};
        scratch[entries++] = {up ? file.connection.load() : -1, POLLIN, 0};
      }
      scratch[entries++] = {sleep.waker() ? sleep.waker()->fd.load() : -1, POLLIN, 0};
      const int64_t bound = patience(watches, watch_count, sleep.all_wakeable());
      int64_t wait_ns = -1;
      if (deadline_ns >= 0) {
        const int64_t left = deadline_ns == 0 ? 0 : deadline_ns - sys::now_ns();
        wait_ns = left > 0 ? left : 0;
        if (bound < 0 || wait_ns <= bound) last = true;
      }
      if (bound >= 0 && !last) wait_ns = bound;
      result = real_poll(scratch, entries, wait_ns, mask);
      if (result < 0) return -1;
      if (result > 0) {
        last = false;
        for (uint32_t i = 0; i < watch_count; i++)
          if (scratch[count + 2 * i].revents || scratch[count + 2 * i + 1].revents) look(*watches[i].file, sleep.waker());
        if (scratch[entries - 1].revents) {
          uint64_t rung;
          (void)!sys::read(sleep.waker()->fd.load(), &rung, sizeof rung);
        }
      }
    }
    bool ordinary = false;
    for (nfds_t i = 0; i < count; i++) {
      fds[i].revents = scratch[i].revents;
      ordinary |= scratch[i].revents != 0;
    }
    if (ordinary) {
      look_at_rings(watches, watch_count);
      return count_ready(fds, count, watches, watch_count);
    }
  }
}

Scratch::Scratch(size_t bytes) : memory_(little_), bytes_(bytes) {
  if (bytes <= kLittle) return;
  memory_ = sys::map(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory_ == MAP_FAILED) memory_ = nullptr;
}

Scratch::~Scratch() {
  if (memory_ && memory_ != little_) {
    const sys::KeepErrno keep;
    sys::unmap(memory_, bytes_);
  }
}

}  // namespace paste::preload
