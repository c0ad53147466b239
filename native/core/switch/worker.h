// A forwarding thread: it owns its ports, its lane and its batches. Passes over a batch:
//
//   receive (each port in turn) -> learn + look up -> select -> plan in the lane -> reserve at destinations -> append
//   -> commit -> [ticket durable] -> deliver -> account -> release -> notify (once per destination and round)
//
// Nothing between receive and deliver allocates, locks, faults or blocks. Everything else reaches the thread as a command
// that it runs between two batches, which is the quiescent point of engine.h.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/base/clock.h"
#include "core/ports/port.h"
#include "core/store/lane.h"
#include "core/switch/crossing.h"
#include "core/switch/engine.h"
#include "core/switch/mac_memory.h"
#include "core/switch/mac_table.h"
#include "core/switch/pending.h"
#include "core/switch/rule_set.h"
#include "core/switch/switch_view.h"
#include "core/switch/tap_set.h"

namespace paste {

// Written by the thread, read by anyone (relaxed 8-byte loads).
struct WorkerCounters {
  uint64_t selected = 0, logged = 0, not_logged[kNotLogged] = {};
  uint64_t batches = 0, strict_batches = 0, tickets_waiting = 0, blocked_ns = 0;
  uint64_t mac_events_lost = 0;
};

struct WorkerOptions {
  uint32_t thread = 0;
  WaitMode wait = WaitMode::kAdaptive;
  PersistMode persist = PersistMode::kAuto;
  uint32_t mark_bytes_min = 0;
  uint32_t queue = 1;                 // batches that may wait for their ticket: 1 where a commit is durable at once
};

class Worker {
 public:
  Worker(const WorkerOptions& options, Lane* lane);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  Status prepare();                   // descriptors
  // Before start(): the rings to and from every other thread, by thread; this thread's own place is null.
  void set_peers(std::vector<Worker*> peers, std::vector<Crossing*> out, std::vector<Crossing*> in);
  void start();
  void stop();                        // after the batches that wait were delivered, or after the medium failed

  // --- control thread: runs `command` in this thread between two batches and returns when that is done ---
  void call(const std::function<void()>& command);
  // One round in the caller's thread (benchmarks and tests, never beside start()): true when there was work.
  bool round();
  // Beside round(): the learning table's time is this tick from now on, and what the last round with frames decided.
  void hold_tick(uint32_t tick) { held_tick_ = tick; }
  const Pending& last_batch() const { return *pending_[(received_batches_ - 1) % pending_.size()]; }

  // --- in commands only ---
  // The index must be free; `view` and `port` stay until remove_port() is through.
  void add_port(Port* port, uint16_t index, const SwitchView* view, bool mirror = false);
  // The port's doorbell() is another descriptor than it was: it is watched instead.
  void change_doorbell(uint16_t index, int before);
  // From now on the port is no destination and gives no frames. It is still needed until port_left().
  void remove_port(uint16_t index);
  void set_view(const SwitchView* old_view, const SwitchView* view);
  // What this thread counted for a port of another, or for frames of one; zero again afterwards. The port has left.
  PortCounters take_foreign(uint32_t number);
  // The id of a port of any thread, for records and crossings; 0 when it goes.
  void set_port_id(uint32_t number, uint32_t id) { if (view_ids_) view_ids_[number] = id; }
  // The number of a mirror port of any thread; kNowhere when it goes.
  void set_mirror(uint32_t index, uint32_t number);
  // `tallies`: one per rule, this thread's own.
  void set_rules(const RuleSet* rules, RuleTally* tallies);
  // Null: nobody looks.
  void set_taps(const TapSet* taps) { taps_ = taps; }
  void log_event(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload);
  // Lane::offer_event(): false, and nothing is counted, when there is no room.
  bool offer_event(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload);
  void set_receiving(bool receiving) { receiving_ = receiving; }
  Lane* lane() { return lane_; }

  // --- any thread ---
  // Returns when a removed port is out of every batch and belongs to the caller again.
  void wait_until_left(uint16_t index) const { slots_[index].leaving.wait(true, std::memory_order_acquire); }
  // True while batches wait for their ticket.
  bool waiting() const { return __atomic_load_n(&counters_.tickets_waiting, __ATOMIC_RELAXED) != 0; }
  bool port_is_dead(uint16_t index) const { return slots_[index].dead.load(std::memory_order_relaxed); }
  const WorkerCounters& counters() const { return counters_; }
  // What this thread counts for ports of others (and for copies whose port went while they crossed: gone()).
  const PortCounters* foreign(uint32_t number) const { return foreign_ ? &foreign_[number] : nullptr; }
  const PortCounters& gone() const { return gone_; }
  uint32_t thread_number() const { return options_.thread; }
  uint32_t port_count() const { return port_count_.load(std::memory_order_relaxed); }

 private:
  struct PortSlot {
    Port* port = nullptr;
    const SwitchView* view = nullptr;
    uint32_t frame_bytes_max = 0;
    uint32_t mark_bytes_min = 0;       // its frames that lie in the store are marked from this length on
    uint32_t id = 0;
    bool up = false;                   // gives frames and takes them
    bool learns = false;
    bool mirror = false;               // only listens
    bool measures = false;             // some frames may be too long for it, as they came or as they would leave it
    bool to_notify = false;
    uint64_t held_until_ns = 0;        // FullPolicy::kBlock: not asked for frames before that time
    uint64_t blocked_since_ns = 0;
    uint64_t leaves_after = 0;         // batches to be finished before the port may go
    uint64_t fates_after = 0;          // and fates of frames that crossed
    std::atomic<bool> leaving{false};
    std::atomic<bool> dead{false};     // alive() said no
  };
  struct Scratch;                      // per-frame values that live for the passes of one batch only
  struct Command;

  void run();
  void run_commands();
  bool work();
  void idle();
  void sleep(int64_t timeout_ns);
  void finish_leaving();
  uint32_t mark_bytes_min(const Port& port) const;
  void look_alive(uint16_t index);

  void receive_all(Pending& batch);
  void classify(Pending& batch);
  template <bool vlans>
  void classify_run(Pending& batch, const Run& run);
  void keep_back(Pending& batch, uint32_t frame, Drop reason);
  void forget_vlans(Pending& batch, const Run& run);
  void keep_inside(Pending& batch, const Run& run);
  void ask_table(Pending& batch, const Run& run, std::span<const uint16_t> asked);
  void ask_table(Pending& batch, const Run& run, uint32_t frame);
  void set_destination(Pending& batch, uint32_t frame, uint64_t to, uint64_t self);
  uint64_t memory_word(const SwitchView& view) { return mac_memory_->version(*view.table, view.index, mac_tick_); }
  void select(Pending& batch);
  uint32_t select_run(Pending& batch, const Run& run);
  uint32_t plan_everything(Pending& batch, const Run& run);
  bool plan(Pending& batch, uint32_t frame, uint32_t rule, uint32_t keep);
  void hold_back(Pending& batch, uint32_t run, uint32_t frame);
  void release(Pending& batch, bool zero_copy);
  void list_destinations(Pending& batch);
  void list_flood(Pending& batch, const SwitchView& view, uint16_t ingress, uint32_t frame);
  void reserve(Pending& batch);
  void reserve_port(Pending& batch, uint32_t list);
  uint32_t refuse_oversize(Pending& batch, const PortSlot& slot, std::span<uint16_t> frames);
  void append(Pending& batch);
  void fill_record(FrameRecord& record, const Pending& batch, uint32_t frame, const Rule& rule, uint32_t keep);
  void count_records();
  // The number of the port that a frame of a batch came from, of whatever thread.
  uint16_t ingress_of(const Pending& batch, uint32_t frame) const {
    if (&batch == crossed_.get()) return crossed_entries_[frame]->ingress;
    return static_cast<uint16_t>(options_.thread << 8 | batch.batch.frames[frame].ingress);
  }
  uint32_t port_id(uint32_t number) const {
    return number >> 8 == options_.thread ? slots_[number & 0xff].id : view_ids_[number];
  }
  void log_mac_events();

  bool deliver_waiting();
  void deliver(Pending& batch);
  void deliver_list(Pending& batch, uint32_t list, std::span<const uint16_t> frames);
  void refuse_all(Pending& batch, const PortSlot& slot, std::span<const uint16_t> frames, Refusal reason);
  void give_up_undurable(Pending& batch);
  void account(Pending& batch);
  void notify_all();

  // Crossings (cross.cc)
  void reserve_crossing(Pending& batch, uint32_t list);
  void deliver_crossing(Pending& batch, uint32_t list, std::span<const uint16_t> frames);
  void cancel_crossing(Pending& batch, uint32_t list, std::span<const uint16_t> frames);
  void refuse_crossing(Pending& batch, uint32_t list, uint32_t frame, Refusal reason);
  bool take_crossings();
  bool take_crossing(uint32_t from);
  void list_crossed(const CrossingEntry& entry, uint32_t frame);
  void finish_crossed(uint32_t frame);
  uint32_t crossing_copies(const Pending& batch, uint32_t thread, uint32_t frame) const;
  bool crossings_wait() const;
  void ring_peer(uint32_t thread);

  // Mirror ports (mirror.cc)
  void mirror(Pending& batch);
  void mirror_crossed();
  void list_crossed_mirror(const CrossingEntry& entry, uint32_t frame);
  void want_out(Pending& batch);
  void list_mirrors(Pending& batch, uint32_t frame, uint64_t mirrors);
  void reserve_mirrors(Pending& batch, uint32_t first_list);
  void reserve_mirror_crossing(Pending& batch, uint32_t list);
  void deliver_mirrors(Pending& batch, uint32_t list, std::span<const uint16_t> frames);
  void cancel_mirrors(Pending& batch, uint32_t list, std::span<const uint16_t> frames);

  // Live taps (taps.cc)
  uint8_t outcome_of(const Pending& batch, uint32_t frame) const;
  void tap_received(const Pending& batch);
  void tap_delivered(const Pending& batch, uint32_t list, std::span<const uint16_t> frames);
  void publish_taps();

  WorkerOptions options_;
  Lane* lane_;
  WorkerCounters counters_;
  std::unique_ptr<MacMemory> mac_memory_ = std::make_unique<MacMemory>();
  MacEvents mac_events_;
  uint32_t mac_tick_ = 0;
  uint32_t held_tick_ = 0;             // 0: the clock's
  uint32_t mac_budget_ = 0;
  uint64_t last_time_ns_ = 0;
  uint64_t lane_ticket_ = 0;
  bool commit_due_ = false;            // events were appended that no commit covers yet

  std::unique_ptr<PortSlot[]> slots_;
  uint16_t order_[kPortsMax];          // ports that are up, in the order they are asked
  std::atomic<uint32_t> port_count_{0};
  uint32_t cursor_ = 0;
  uint32_t busy_ports_ = 1;
  uint16_t notify_[kPortsMax];
  uint32_t notify_count_ = 0;
  uint32_t held_ports_ = 0;
  uint32_t leaving_ports_ = 0;

  const RuleSet* rules_ = nullptr;
  RuleTally* tallies_ = nullptr;
  bool receiving_ = true;
  const TapSet* taps_ = nullptr;

  std::unique_ptr<Scratch> scratch_;
  std::vector<std::unique_ptr<Pending>> pending_;
  uint64_t received_batches_ = 0, finished_batches_ = 0;  // the queue: [finished, received) modulo its size

  std::vector<Worker*> peers_;         // empty with one thread
  std::vector<Crossing*> out_, in_;
  std::unique_ptr<Fates> fates_ = std::make_unique<Fates>();  // of frames that this thread received
  std::unique_ptr<PortCounters[]> foreign_;
  PortCounters gone_;
  std::unique_ptr<Pending> crossed_;   // frames of other threads, on their way to ports of this one
  const CrossingEntry* crossed_entries_[kBatchFrames];
  const SwitchView* views_[kSwitchesMax] = {};
  std::unique_ptr<uint32_t[]> view_ids_;  // ids of all threads' ports, by number
  uint64_t mirrors_ = 0;               // indexes of mirror ports in use, a bit for each
  uint16_t mirror_number_[kMirrorsMax];
  bool published_[kThreadsMax] = {};   // to this thread, since it was last rung

  std::atomic<uint32_t> asleep_{0};
  int epoll_ = -1, wake_ = -1;
  std::atomic<Command*> commands_{nullptr};
  std::atomic<bool> stop_{false};
  bool running_ = false;
  std::thread thread_;
  uint64_t idle_since_ns_ = 0;
  uint64_t spin_ns_;
};

}  // namespace paste
