#include "core/replay/pacer.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>

#include "core/ports/frame.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace paste {
namespace {

// A sleeping thread wakes up to this much late on an idle machine; the rest is spun.
constexpr uint64_t kSpinNs = 100'000;
// Sleeping is cut into pieces, so that stop() is noticed.
constexpr uint64_t kSleepNsMax = 50'000'000;
constexpr uint32_t kBurst = 64;
constexpr int kRingWaitMs = 50;
constexpr uint64_t kDrainNs = 2'000'000'000;

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void sleep_until(uint64_t time_ns) {
  timespec until;
  until.tv_sec = static_cast<time_t>(time_ns / 1'000'000'000);
  until.tv_nsec = static_cast<long>(time_ns % 1'000'000'000);
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

}  // namespace

Pacer::Pacer(const PacerOptions& options, std::vector<std::unique_ptr<PortClient>> ports)
    : options_(options), ports_(std::move(ports)), offsets_(kBurst), lengths_(kBurst) {
  report_.port_frames.resize(ports_.size());
  thread_ = std::thread([this] { run(); });
}

Pacer::~Pacer() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void Pacer::push(std::shared_ptr<const PacedBatch> batch, uint32_t count, bool loop_start) {
  PASTE_CHECK(count <= batch->items.size());
  if (count == 0) return;
  const std::lock_guard lock(mutex_);
  queued_bytes_ += batch->bytes.size();
  queue_.push_back(Entry{std::move(batch), count, loop_start});
  changed_.notify_all();
}

bool Pacer::room() {
  const std::lock_guard lock(mutex_);
  return has_room() || ended();
}

void Pacer::wait_room() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return has_room() || ended() || stop_; });
}

void Pacer::end() {
  const std::lock_guard lock(mutex_);
  no_more_ = true;
  changed_.notify_all();
}

void Pacer::stop() {
  const std::lock_guard lock(mutex_);
  stop_ = true;
  no_more_ = true;
  changed_.notify_all();
}

Status Pacer::finish(PacerReport* report) {
  if (thread_.joinable()) thread_.join();
  *report = report_;
  return status_;
}

bool Pacer::take(Entry* entry) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !queue_.empty() || no_more_; });
  if (stop_ || queue_.empty()) return false;
  *entry = std::move(queue_.front());
  queue_.pop_front();
  queued_bytes_ -= entry->batch->bytes.size();
  changed_.notify_all();
  return true;
}

void Pacer::run() {
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);  // of this thread: sleeps end as close to their time as can be
  Entry entry;
  while (take(&entry) && play(entry)) {}
  if (status_.ok()) drain_rings();
  report_.elapsed_ns = begun_ && last_sent_ns_ > start_ns_ ? last_sent_ns_ - start_ns_ : 0;
  report_.error_p50_ns = errors_.percentile_ns(500);
  report_.error_p99_ns = errors_.percentile_ns(990);
  report_.error_p999_ns = errors_.percentile_ns(999);
  report_.error_max_ns = errors_.max_ns();
  const std::lock_guard lock(mutex_);
  ended_.store(true, std::memory_order_release);
  changed_.notify_all();
}

// Times that run backwards do not: such a frame goes at once, in its place.
uint64_t Pacer::deadline_of(const PacedBatch::Item& item) {
  double after = 0;
  switch (options_.mode) {
    case PacerOptions::Mode::kOriginal:
      after = item.time_ns > first_time_ns_ ? static_cast<double>(item.time_ns - first_time_ns_) / options_.speed : 0;
      break;
    case PacerOptions::Mode::kFrameRate:
      after = static_cast<double>(planned_frames_) * 1e9 / options_.rate;
      break;
    case PacerOptions::Mode::kBitRate:
      after = static_cast<double>(planned_bits_) * 1e9 / options_.rate;
      break;
    case PacerOptions::Mode::kTop:
      return 0;
  }
  constexpr double kYears = 3e18;  // about a hundred; beyond it, and on nonsense, the frame just waits for stop()
  return std::max(last_deadline_ns_, start_ns_ + static_cast<uint64_t>(std::clamp(after, 0.0, kYears)));
}

bool Pacer::play(const Entry& entry) {
  const PacedBatch& batch = *entry.batch;
  const bool paced = options_.mode != PacerOptions::Mode::kTop;
  const bool original = options_.mode == PacerOptions::Mode::kOriginal;
  if (!begun_) {
    begun_ = true;
    start_ns_ = last_deadline_ns_ = now_ns();
    first_time_ns_ = batch.items[0].time_ns;
  } else if (entry.loop_start && original) {
    start_ns_ = last_deadline_ns_;  // the loops before count as time that has passed
    first_time_ns_ = batch.items[0].time_ns;
  }
  uint64_t deadlines[kBurst];
  for (uint32_t at = 0; at < entry.count;) {
    if (stop_.load(std::memory_order_relaxed)) return false;
    // A burst: every frame that is due already, up to the first that is not.
    uint64_t now = paced ? now_ns() : 0;
    uint32_t count = 0;
    while (count < kBurst && at + count < entry.count) {
      const PacedBatch::Item& item = batch.items[at + count];
      const uint64_t deadline = deadline_of(item);
      if (paced && deadline > now) {
        if (count > 0) break;
        if (!wait_until(deadline)) return false;
        now = now_ns();
      }
      deadlines[count++] = last_deadline_ns_ = deadline;
      ++planned_frames_;
      planned_bits_ += uint64_t{item.length} * 8;
    }
    if (!send(batch, at, count)) return false;
    last_sent_ns_ = now_ns();
    for (uint32_t i = 0; paced && i < count; ++i) {
      const uint64_t late = last_sent_ns_ - deadlines[i];
      errors_.add(late);
      report_.missed += late > kMissedNs;
    }
    at += count;
  }
  return true;
}

bool Pacer::wait_until(uint64_t deadline_ns) {
  for (;;) {
    const uint64_t now = now_ns();
    if (now >= deadline_ns) return true;
    if (stop_.load(std::memory_order_relaxed)) return false;
    const uint64_t rest = deadline_ns - now;
    if (rest > kSpinNs) {
      sleep_until(now + std::min(rest - kSpinNs, kSleepNsMax));
    } else {
      relax();
    }
  }
}

// Runs of frames for the same port go in one call; every port that got some is flushed once at the end.
bool Pacer::send(const PacedBatch& batch, uint32_t first, uint32_t count) {
  uint64_t touched[4] = {};  // ports by bit, the first 256; the others are flushed at once
  for (uint32_t at = 0; at < count;) {
    const uint32_t port = batch.items[first + at].port;
    uint32_t run = 0;
    uint64_t bytes = 0;
    for (; at < count && batch.items[first + at].port == port; ++at) {
      const PacedBatch::Item& item = batch.items[first + at];
      report_.too_long += item.length > kLiveFrameBytesMax;
      report_.empty += item.length == 0;
      if (item.length == 0 || item.length > kLiveFrameBytesMax) continue;
      offsets_[run] = item.offset;
      lengths_[run++] = item.length;
      bytes += item.length;
    }
    for (uint32_t done = 0; done < run;) {
      done += ports_[port]->send(batch.bytes.data(), offsets_.data() + done, lengths_.data() + done, run - done);
      if (done < run && !(flush(port) && wait_for_ring(port))) return false;
    }
    report_.sent_frames += run;
    report_.sent_bytes += bytes;
    report_.port_frames[port] += run;
    if (port < 256) {
      touched[port / 64] |= uint64_t{1} << port % 64;
    } else if (!flush(port)) {
      return false;
    }
  }
  sent_.store(report_.sent_frames, std::memory_order_relaxed);
  for (uint32_t port = 0; port < std::min<size_t>(ports_.size(), 256); ++port)
    if ((touched[port / 64] >> port % 64 & 1) && !flush(port)) return false;
  return true;
}

bool Pacer::flush(uint32_t port) {
  if (ports_[port]->flush()) return true;
  status_ = Status(Code::kPort, "port " + ports_[port]->name() + " disappeared after " + std::to_string(report_.sent_frames) +
                                    " frames were sent: the daemon stopped, or detached it");
  return false;
}

bool Pacer::wait_for_ring(uint32_t port) {
  ++report_.waits;
  for (;;) {
    if (stop_.load(std::memory_order_relaxed)) return false;
    const PortClient::Wake wake = ports_[port]->wait(true, kRingWaitMs);
    if (wake == PortClient::Wake::kReady) return true;
    if (wake == PortClient::Wake::kTimeout) continue;
    status_ = Status(Code::kPort, "port " + ports_[port]->name() + " disappeared after " + std::to_string(report_.sent_frames) +
                                      " frames were sent: the daemon stopped, or detached it");
    return false;
  }
}

// A client that closes takes what the switch has not read yet with it.
void Pacer::drain_rings() {
  const uint64_t until = now_ns() + kDrainNs;
  for (const std::unique_ptr<PortClient>& port : ports_) {
    while (!port->sent_all() && now_ns() < until) {
      if (!port->flush()) break;
      sleep_until(now_ns() + 100'000);
    }
    report_.unconfirmed += !port->sent_all();
  }
}

}  // namespace paste
