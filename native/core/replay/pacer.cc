#include "core/replay/pacer.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>

#include "core/base/cpu.h"
#include "core/base/system_time.h"
#include "core/ports/frame.h"
#include "core/replay/marker.h"

namespace paste {
namespace {

// A sleeping thread wakes tens of microseconds late, and later after a longer sleep: how much of the time before a deadline is spun
// follows what sleeping did before, within these.
constexpr uint64_t kWakeNsMin = 100'000, kWakeNsMax = 400'000;
// A side that sleeps is woken so long before a frame for it is due, and no later: waking it takes some microseconds of this thread.
constexpr uint64_t kRouseNs = 50'000, kRouseNsMin = 10'000;
// Sleeping is cut into pieces, so that stop() is noticed.
constexpr uint64_t kSleepNsMax = 50'000'000;
constexpr uint64_t kHeadStartNs = 200'000'000;
constexpr uint32_t kBurst = 64;
// How often ports are looked after where there is time to sleep; without, a port that is gone shows when its ring is full.
constexpr uint64_t kLookNs = 10'000'000;
constexpr int kRingWaitMs = 50;
constexpr uint64_t kDrainNs = 2'000'000'000;

void sleep_until(uint64_t time_ns) {
  timespec until;
  until.tv_sec = static_cast<time_t>(time_ns / 1'000'000'000);
  until.tv_nsec = static_cast<long>(time_ns % 1'000'000'000);
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

}  // namespace

Pacer::Pacer(const PacerOptions& options, std::vector<std::unique_ptr<ReplaySink>> ports)
    : options_(options), ports_(std::move(ports)), wake_ns_(2 * kWakeNsMin), offsets_(kBurst), lengths_(kBurst) {
  report_.port_frames.resize(ports_.size());
  touched_.resize(ports_.size());
  thread_ = std::thread([this] { run(); });
}

Pacer::~Pacer() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void Pacer::push(std::shared_ptr<const PacedBatch> batch, uint32_t count) {
  PASTE_CHECK(count <= batch->items.size());
  if (count > 0) queue_.push({std::move(batch), count});
}

void Pacer::stop() {
  const std::lock_guard lock(mutex_);
  stop_ = true;
  queue_.close();
  changed_.notify_all();
}

void Pacer::pause() {
  const std::lock_guard lock(mutex_);
  paused_ = true;
}

void Pacer::resume() {
  const std::lock_guard lock(mutex_);
  paused_ = false;
  steps_ = 0;
  changed_.notify_all();
}

void Pacer::step() {
  const std::lock_guard lock(mutex_);
  paused_ = true;
  ++steps_;
  changed_.notify_all();
}

Status Pacer::finish(PacerReport* report) {
  if (thread_.joinable()) thread_.join();
  ports_.clear();
  *report = report_;
  return status_;
}

void Pacer::run() {
  pthread_setname_np(pthread_self(), "paste-replay");
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);  // of this thread: sleeps end as close to their time as can be
  report_.realtime = wants_realtime() && realtime_.take();
  if (options_.mode != PacerOptions::Mode::kTop) queue_.settle(std::chrono::nanoseconds(head_start_ns()));
  PacerQueue::Entry entry;
  while (queue_.take(&entry) && play(entry)) {}
  if (marked_ && status_.ok()) send_markers("end");
  if (status_.ok()) drain_rings();
  report();
  ended_.store(true, std::memory_order_release);
  queue_.close();
}

bool Pacer::wants_realtime() const {
  if (options_.ahead != PacerOptions::Ahead::kWithDeadlines) return options_.ahead == PacerOptions::Ahead::kAlways;
  return options_.mode != PacerOptions::Mode::kTop && Realtime::has_cores();
}

// How long the thread that reads may be ahead of the first frame: it needs the cores that the sides of a port run on, too.
uint64_t Pacer::head_start_ns() const {
  const uint64_t wall = wall_ns();
  if (options_.begin_at_ns == 0) return kHeadStartNs;
  return options_.begin_at_ns > wall ? std::min(kHeadStartNs, options_.begin_at_ns - wall) : 0;
}

void Pacer::report() {
  for (const std::unique_ptr<ReplaySink>& port : ports_) report_.refused += port->refused();
  const bool sent = begun_ && last_sent_ns_ > origin_ns_;
  report_.elapsed_ns = sent ? last_sent_ns_ - origin_ns_ : 0;
  if (begun_) report_.ended_ns = report_.began_ns + report_.elapsed_ns;
  const TimingHistogram &all = lateness_.all(), &first = lateness_.first(), &last = lateness_.last();
  report_.late = lateness_.late();
  report_.missed = lateness_.missed();
  report_.error_p50_ns = all.percentile_ns(500);
  report_.error_p99_ns = all.percentile_ns(990);
  report_.error_p999_ns = all.percentile_ns(999);
  report_.error_max_ns = all.max_ns();
  report_.drift_known = first.total() > 0 && last.total() > 0;
  report_.first_p50_ns = first.percentile_ns(500);
  report_.last_p50_ns = last.percentile_ns(500);
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
  const int64_t deadline = std::max(last_deadline_ns_, start_ns_ + static_cast<int64_t>(std::clamp(after, 0.0, kYears)));
  return static_cast<uint64_t>(std::max<int64_t>(deadline, 0));
}

// The first frame's deadline is the start.
void Pacer::begin(uint64_t first_time_ns) {
  begun_ = true;
  first_time_ns_ = first_time_ns;
  const uint64_t wall = wall_ns(), now = monotonic_ns();
  const uint64_t later = options_.begin_at_ns > wall ? options_.begin_at_ns - wall : 0;
  if (options_.begin_at_ns != 0 && later == 0) report_.start_late_ns = wall - options_.begin_at_ns;
  origin_ns_ = now + later;
  start_ns_ = last_deadline_ns_ = static_cast<int64_t>(origin_ns_);
  report_.began_ns = wall + later;
}

// A step before the time that the replay was to begin at.
void Pacer::begin_now() {
  const uint64_t now = monotonic_ns();
  if (now >= origin_ns_) return;
  report_.began_ns -= origin_ns_ - now;
  origin_ns_ = now;
}

bool Pacer::play(const PacerQueue::Entry& entry) {
  const PacedBatch& batch = *entry.batch;
  const bool paced = options_.mode != PacerOptions::Mode::kTop;
  const bool original = options_.mode == PacerOptions::Mode::kOriginal;
  bool alone = false;
  if (!begun_) {
    begin(batch.items[0].time_ns);
    const Turn turn = wait_turn(origin_ns_, batch.items[0].port);
    if (turn == Turn::kStopped) return false;
    alone = turn == Turn::kOne;
    if (alone) begin_now();
    marked_ = !options_.marker.empty();
    if (marked_ && !send_markers("begin")) return false;
  } else if (original && batch.source_start &&
             deadline_of(batch.items[0]) == static_cast<uint64_t>(std::max<int64_t>(last_deadline_ns_, 0))) {
    start_ns_ = last_deadline_ns_;  // what came before counts as time that has passed
    first_time_ns_ = batch.items[0].time_ns;
  }
  uint64_t deadlines[kBurst];
  for (uint32_t at = 0; at < entry.count;) {
    if (stop_.load(std::memory_order_relaxed)) return false;
    // A burst: every frame that is due already, up to the first that is not.
    if (!alone && paused_.load(std::memory_order_relaxed)) {
      const Turn turn = wait_turn(deadline_of(batch.items[at]), batch.items[at].port);
      if (turn == Turn::kStopped) return false;
      alone = turn == Turn::kOne;
    }
    uint64_t now = paced ? monotonic_ns() : 0;
    uint32_t count = 0;
    while (count < (alone ? 1 : kBurst) && at + count < entry.count) {
      const PacedBatch::Item& item = batch.items[at + count];
      uint64_t deadline = deadline_of(item);
      if (paced && deadline > now) {
        if (count > 0) break;
        const Turn turn = wait_turn(deadline, item.port);
        if (turn == Turn::kStopped) return false;
        alone = turn == Turn::kOne;
        deadline = deadline_of(item);  // a pause moved it
        now = monotonic_ns();
      }
      deadlines[count++] = deadline;
      last_deadline_ns_ = static_cast<int64_t>(deadline);
      ++planned_frames_;
      planned_bits_ += uint64_t{item.length} * 8;
    }
    if (!send(batch, at, count)) return false;
    realtime_.keep(last_sent_ns_);
    if (paced) count_errors(deadlines, count);
    at += count;
    alone = false;
  }
  return true;
}

void Pacer::count_errors(const uint64_t* deadlines, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i)
    lateness_.add(last_sent_ns_ - origin_ns_, last_sent_ns_ > deadlines[i] ? last_sent_ns_ - deadlines[i] : 0);
}

Pacer::Turn Pacer::wait_turn(uint64_t deadline_ns, uint32_t port) {
  wake_ns_ = std::max(wake_ns_ - wake_ns_ / 64, kWakeNsMin);  // here, since who spins for all of the time never sleeps to find out
  for (;;) {
    if (stop_.load(std::memory_order_relaxed)) return Turn::kStopped;
    if (paused_.load(std::memory_order_relaxed)) {
      const uint64_t begun = monotonic_ns();
      const Turn turn = wait_paused(deadline_ns);
      const uint64_t now = monotonic_ns();
      if (turn == Turn::kStopped) return turn;  // a pause behind the last frame is none of its time, as one before the first deadline
      report_.paused_ns += now - std::min(now, std::max(begun, origin_ns_));
      if (turn == Turn::kOne) return turn;
      deadline_ns += now - begun;  // goes on with what was left
      continue;
    }
    const uint64_t now = monotonic_ns();
    if (now >= deadline_ns) return Turn::kDue;
    const uint64_t rest = deadline_ns - now;
    if (rest > wake_ns_) {
      if (now - looked_ns_ > kLookNs) {
        looked_ns_ = now;
        if (!all_alive()) return Turn::kStopped;
        continue;
      }
      discard();
      sleep_before(now + std::min(rest, kSleepNsMax));
    } else {
      if (rest < kRouseNs && rest > kRouseNsMin) ports_[port]->rouse();
      pause_briefly();
    }
  }
}

// Twice what sleeping was late by lately is spun instead.
void Pacer::sleep_before(uint64_t deadline_ns) {
  const uint64_t until = deadline_ns - wake_ns_, begun = monotonic_ns();
  sleep_until(until);
  const uint64_t woken = monotonic_ns();
  realtime_.slept(woken - begun);
  realtime_.keep(woken);
  const uint64_t late = woken > until ? woken - until : 0;
  wake_ns_ = std::clamp(2 * late, wake_ns_, kWakeNsMax);
}

// Until the replay goes on, or one frame is asked for: then that one is due now.
Pacer::Turn Pacer::wait_paused(uint64_t deadline_ns) {
  const uint64_t begun = monotonic_ns();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stop_ || !paused_ || steps_ > 0; });
  if (stop_) return Turn::kStopped;
  const auto now = static_cast<int64_t>(monotonic_ns());
  if (!paused_) {
    shift(now - static_cast<int64_t>(begun));
    return Turn::kDue;
  }
  --steps_;
  if (deadline_ns != 0) shift(now - static_cast<int64_t>(deadline_ns));  // 0: at top speed nothing is due
  return Turn::kOne;
}

// Moves every deadline to come. last_deadline_ns_ moves along: deadlines still never run backwards.
void Pacer::shift(int64_t by_ns) {
  start_ns_ += by_ns;
  last_deadline_ns_ += by_ns;
}

// Runs of frames for the same port go in one call. Then the frames count as handed over where the other side finds them by itself, and
// whoever sleeps there is woken afterwards.
bool Pacer::send(const PacedBatch& batch, uint32_t first, uint32_t count) {
  uint32_t touched[kBurst], ports = 0;
  for (uint32_t at = 0; at < count;) {
    const uint32_t port = batch.items[first + at].port;
    const uint32_t most = ports_[port]->frame_bytes_max();
    uint32_t run = 0;
    uint64_t bytes = 0;
    for (; at < count && batch.items[first + at].port == port; ++at) {
      const PacedBatch::Item& item = batch.items[first + at];
      if (__builtin_expect(item.length == 0 || item.length > most, 0)) {
        report_.too_long += item.length > most;
        report_.empty += item.length == 0;
        continue;
      }
      offsets_[run] = item.offset;
      lengths_[run++] = item.length;
      bytes += item.length;
      report_.cut += item.cut;
    }
    if (!send_run(port, batch.bytes.data(), run)) return false;
    report_.sent_frames += run;
    report_.sent_bytes += bytes;
    report_.port_frames[port] += run;
    if (!touched_[port]) touched[ports++] = port;
    touched_[port] = true;
  }
  sent_.store(report_.sent_frames, std::memory_order_relaxed);
  bool there = true;
  for (uint32_t i = 0; i < ports; ++i) there &= ports_[touched[i]]->publish();
  if (there) last_sent_ns_ = monotonic_ns();
  for (uint32_t i = 0; i < ports; ++i) {
    touched_[touched[i]] = false;
    if (!flush(touched[i])) return false;
  }
  if (!there) last_sent_ns_ = monotonic_ns();
  discard();
  return true;
}

// The first `count` of offsets_ and lengths_. A full ring is waited for, so that no frame is lost on the way to the port.
bool Pacer::send_run(uint32_t port, const uint8_t* data, uint32_t count) {
  for (uint32_t done = 0; done < count;) {
    done += ports_[port]->send(data, offsets_.data() + done, lengths_.data() + done, count - done);
    if (done < count && !(flush(port) && wait_for_ring(port))) return false;
  }
  return true;
}

bool Pacer::send_markers(const char* what) {
  const uint64_t time_ns = wall_ns();
  const MarkerFrame frame = make_marker(options_.marker, what, time_ns, report_.sent_frames);
  for (uint32_t port = 0; port < ports_.size(); ++port) {
    offsets_[0] = 0;
    lengths_[0] = frame.length;
    if (!send_run(port, frame.bytes, 1) || !flush(port)) return false;
  }
  return true;
}

bool Pacer::all_alive() {
  for (uint32_t port = 0; port < ports_.size(); ++port)
    if (!ports_[port]->alive()) return gone(port);
  return true;
}

bool Pacer::flush(uint32_t port) { return ports_[port]->flush() || gone(port); }

bool Pacer::gone(uint32_t port) {
  status_ = Status(Code::kPort, "port " + ports_[port]->name() + " disappeared after " + std::to_string(report_.sent_frames) +
                                    (report_.sent_frames == 1 ? " frame was" : " frames were") + " sent: whoever held it stopped, or took it away");
  return false;
}

bool Pacer::wait_for_ring(uint32_t port) {
  ++report_.waits;
  for (;;) {
    if (stop_.load(std::memory_order_relaxed)) return false;
    discard();
    const ReplaySink::Wait wait = ports_[port]->wait_for_room(kRingWaitMs);
    if (wait == ReplaySink::Wait::kReady) return true;
    if (wait == ReplaySink::Wait::kGone) return gone(port);
  }
}

// A client that closes takes what the switch has not read yet with it.
void Pacer::drain_rings() {
  const uint64_t until = monotonic_ns() + kDrainNs;
  for (uint32_t i = 0; i < ports_.size(); ++i) {
    ReplaySink& port = *ports_[i];
    while (!port.sent_all() && monotonic_ns() < until) {
      if (!port.flush() || !port.alive()) break;
      discard();
      sleep_until(monotonic_ns() + 100'000);
    }
    if (port.sent_all()) continue;
    ++report_.unconfirmed;
    if (!port.alive()) gone(i);
  }
}

}  // namespace paste
