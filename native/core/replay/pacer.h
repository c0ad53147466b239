// Frames into ports, each at its time: a thread of its own that is fed batches and sends them by absolute deadlines, so that a
// late frame never makes the next one late.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/base/status.h"
#include "core/replay/lateness.h"
#include "core/replay/pacer_queue.h"
#include "core/replay/realtime.h"
#include "core/replay/sink.h"

namespace paste {

struct PacerOptions {
  enum class Mode : uint8_t {
    kOriginal,   // deadline = start + (time - first time) / speed
    kFrameRate,  // `rate` frames a second
    kBitRate,    // `rate` bits a second, frames' bytes only
    kTop,        // no deadlines
  };
  Mode mode = Mode::kOriginal;
  double speed = 1;
  double rate = 0;
  uint64_t begin_at_ns = 0;  // wall clock: the first frame's deadline; 0 or past = as soon as there is one
  // Whether the sending thread asks for SCHED_FIFO, so that others wait for their core while it spins.
  enum class Ahead : uint8_t { kWithDeadlines, kAlways, kNever };  // the first where there are cores enough, too
  Ahead ahead = Ahead::kWithDeadlines;
  // Not empty: each port gets a frame of EtherType 0x88b5 before the first frame and after the last one, which says so with this
  // text and the time (marker.h).
  std::string marker;
};

struct PacerReport {
  uint64_t sent_frames = 0, sent_bytes = 0;
  uint64_t too_long = 0;        // frames longer than their port takes, left out
  uint64_t refused = 0;         // of the sent: frames that a device or the kernel refused then
  uint64_t empty = 0;           // frames without bytes, left out
  uint64_t cut = 0;             // of the sent: frames that their source has not all of
  uint64_t late = 0;            // sent more than Lateness::kLateNs behind their deadline
  uint64_t missed = 0;          // sent more than Lateness::kMissedNs behind their deadline
  uint64_t waits = 0;           // times that a transmit ring was full
  uint64_t elapsed_ns = 0;      // from the first frame to the last, pauses included
  uint64_t paused_ns = 0;
  bool realtime = false;        // it was granted
  uint64_t start_late_ns = 0;   // how long begin_at_ns was past when the first frame was there
  uint64_t began_ns = 0, ended_ns = 0;  // wall clock: when the first frame was due and when the last one was handed over; 0: there was none
  uint64_t error_p50_ns = 0, error_p99_ns = 0, error_p999_ns = 0, error_max_ns = 0;
  // Medians of the first second and of the last whole one; only where there are two.
  bool drift_known = false;
  uint64_t first_p50_ns = 0, last_p50_ns = 0;
  uint64_t unconfirmed = 0;     // ports whose ring the switch had not emptied when waiting for that was given up
  std::vector<uint64_t> port_frames;
};

class Pacer {
 public:
  Pacer(const PacerOptions& options, std::vector<std::unique_ptr<ReplaySink>> ports);
  ~Pacer();  // stops

  // Feeding side, as PacerQueue has it. push() takes the first `count` frames. A source that begins with a frame that would be due before
  // those of the others begins where they end. Nothing waits for room once the pacer has ended.
  void push(std::shared_ptr<const PacedBatch> batch, uint32_t count);
  bool room() { return queue_.room(); }
  void wait_room() { queue_.wait_room(); }
  void end() { queue_.end(); }  // no more batches
  void stop();                  // any thread; drops what is queued, too

  // Any thread. While it is paused, time stands still for the frames that wait; step() sends the next one at once and pauses.
  void pause();
  void resume();
  void step();

  // Waits for the thread and detaches the ports. Not ok when a port disappeared.
  Status finish(PacerReport* report);
  uint64_t sent_frames() const { return sent_.load(std::memory_order_relaxed); }
  bool ended() const { return ended_.load(std::memory_order_acquire); }

 private:
  enum class Turn : uint8_t { kDue, kOne, kStopped };  // the frame is due / it alone, as a step / stop() was called

  void run();
  bool wants_realtime() const;
  uint64_t head_start_ns() const;
  void report();
  bool play(const PacerQueue::Entry& entry);
  void begin(uint64_t first_time_ns);
  void begin_now();
  Turn wait_turn(uint64_t deadline_ns, uint32_t port);
  void sleep_before(uint64_t deadline_ns);
  Turn wait_paused(uint64_t deadline_ns);
  void shift(int64_t by_ns);
  void count_errors(const uint64_t* deadlines, uint32_t count);
  uint64_t deadline_of(const PacedBatch::Item& item);
  bool send(const PacedBatch& batch, uint32_t first, uint32_t count);
  bool send_run(uint32_t port, const uint8_t* data, uint32_t count);
  bool send_markers(const char* what);
  bool all_alive();
  void discard() {
    for (const std::unique_ptr<ReplaySink>& port : ports_) port->discard();
  }
  bool flush(uint32_t port);
  bool wait_for_ring(uint32_t port);
  bool gone(uint32_t port);
  void drain_rings();

  const PacerOptions options_;
  std::vector<std::unique_ptr<ReplaySink>> ports_;

  PacerQueue queue_;
  std::mutex mutex_;                 // of pausing
  std::condition_variable changed_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> paused_{false};
  uint32_t steps_ = 0;  // asked for while paused; the mutex
  std::atomic<bool> ended_{false};
  std::atomic<uint64_t> sent_{0};

  // The pacing thread's own.
  Status status_;
  PacerReport report_;
  Lateness lateness_;
  Realtime realtime_;
  uint64_t origin_ns_ = 0;  // when it began; start_ns_ moves with loops and pauses
  // A step over a gap that is longer than the machine is up puts them before its start.
  int64_t start_ns_ = 0, last_deadline_ns_ = 0;
  uint64_t first_time_ns_ = 0, last_sent_ns_ = 0;
  uint64_t wake_ns_;        // how long before a deadline it stops sleeping
  uint64_t looked_ns_ = 0;  // when the ports were looked after last, between frames
  uint64_t planned_frames_ = 0, planned_bits_ = 0;
  bool begun_ = false, marked_ = false;
  std::vector<uint32_t> offsets_, lengths_;
  std::vector<bool> touched_;  // of each port: it has frames that are not flushed

  std::thread thread_;  // last: everything above is ready when it starts
};

}  // namespace paste
