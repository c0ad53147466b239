#include "core/switch/worker.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/cpu.h"
#include "core/base/system_time.h"
#include "core/switch/scratch.h"

namespace paste {
namespace {

constexpr uint64_t kSpinNsMax = 20'000;        // adaptive waiting: longer than the gap between frames of a busy port
constexpr uint64_t kSpinNsMin = 1'000;
constexpr uint64_t kYieldIsLongNs = 20'000;    // a yield that took this long gave the core to somebody who needed it
constexpr uint64_t kSpinGrowth = 8;            // a short yield adds one part of so many: some six make up for a long one, often an interrupt
constexpr uint32_t kPausesPerLook = 16;
constexpr int64_t kPollSleepNs = 100'000;      // ports without a doorbell, tickets and ports held back are looked at this often
constexpr uint64_t kAliveEvery = 1024;         // batches between two looks at every port's life while there is no idle time
constexpr uint32_t kWakeTag = ~0u;
constexpr uint32_t kMarkNever = ~0u;
constexpr uint32_t kMarkBytesDefault = 1024;   // where a device's DMA filled the buffer: see switch/DESIGN.md, "Mark or pack"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

// Nanosecond time-outs where the kernel has them (Linux 5.11), else whole milliseconds.
int wait_for_events(int epoll, epoll_event* events, int max, int64_t timeout_ns) {
  const timespec timeout = {static_cast<time_t>(timeout_ns / 1'000'000'000), static_cast<long>(timeout_ns % 1'000'000'000)};
  const long ready = syscall(SYS_epoll_pwait2, epoll, events, max, timeout_ns < 0 ? nullptr : &timeout, nullptr, 0);
  if (ready >= 0 || errno != ENOSYS) return static_cast<int>(ready);
  return epoll_wait(epoll, events, max, timeout_ns < 0 ? -1 : static_cast<int>((timeout_ns + 999'999) / 1'000'000));
}

}  // namespace

// A few ns, and exact to one scheduler tick: enough for stamps of kMacTickMs.
uint32_t mac_tick() {
  return static_cast<uint32_t>(clock_ns(CLOCK_MONOTONIC_COARSE) / (uint64_t{kMacTickMs} * 1'000'000));
}

struct Worker::Command {
  const std::function<void()>* run;
  Command* next;
  std::atomic<uint32_t> done{0};
};

Worker::Worker(const WorkerOptions& options, Lane* lane)
    : options_(options), lane_(lane), slots_(new PortSlot[kPortsMax]), scratch_(new Scratch), spin_ns_(kSpinNsMax) {
  // Value-initialized, every byte: what a batch will touch is there before the first frame comes.
  for (uint32_t i = 0; i < options.queue; i++) pending_.push_back(std::make_unique<Pending>());
}

Worker::~Worker() {
  stop();
  if (epoll_ >= 0) close(epoll_);
  if (wake_ >= 0) close(wake_);
}

Status Worker::prepare() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  epoll_event event = {.events = EPOLLIN, .data = {.u32 = kWakeTag}};
  if (epoll_ < 0 || wake_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) != 0)
    return {Code::kResource, std::string("a forwarding thread needs two descriptors: ") + std::strerror(errno)};
  return {};
}

void Worker::start() {
  PASTE_CHECK(!running_);
  running_ = true;
  thread_ = std::thread([this] { run(); });
}

void Worker::stop() {
  if (!running_) return;
  stop_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  PASTE_CHECK(write(wake_, &one, sizeof one) == sizeof one || errno == EAGAIN);
  thread_.join();
  running_ = false;
}

void Worker::call(const std::function<void()>& command) {
  if (!running_) {
    command();
    return;
  }
  Command entry{&command, commands_.load(std::memory_order_relaxed), {}};
  while (!commands_.compare_exchange_weak(entry.next, &entry, std::memory_order_acq_rel)) {
  }
  const uint64_t one = 1;
  PASTE_CHECK(write(wake_, &one, sizeof one) == sizeof one || errno == EAGAIN);
  entry.done.wait(0, std::memory_order_acquire);
}

void Worker::run_commands() {
  Command* list = commands_.exchange(nullptr, std::memory_order_acq_rel);
  while (list != nullptr) {
    Command* next = list->next;
    (*list->run)();
    list->done.store(1, std::memory_order_release);
    list->done.notify_one();
    list = next;
  }
}

void Worker::run() {
  pthread_setname_np(pthread_self(), "paste-forward");
  while (!stop_.load(std::memory_order_relaxed)) {
    if (__builtin_expect(commands_.load(std::memory_order_relaxed) != nullptr, 0)) run_commands();
    if (work())
      idle_since_ns_ = 0;
    else
      idle();
  }
  // What is on its way still leaves, unless its medium failed or takes longer than anybody should wait for an end.
  const uint64_t give_up_ns = monotonic_ns() + 5'000'000'000;
  while (finished_batches_ != received_batches_ && monotonic_ns() < give_up_ns)
    if (!deliver_waiting()) sched_yield();
  while (finished_batches_ != received_batches_) {
    Pending& batch = *pending_[finished_batches_ % pending_.size()];
    give_up_undurable(batch);
    deliver(batch);
  }
  finish_leaving();
  notify_all();
  run_commands();
}

bool Worker::round() { return work(); }

bool Worker::work() {
  bool worked = deliver_waiting();
  if (!peers_.empty()) worked |= take_crossings();
  if (receiving_ && received_batches_ - finished_batches_ < pending_.size()) {  // else the queue is full: no more for now
    Pending& batch = *pending_[received_batches_ % pending_.size()];
    batch.reset();
    receive_all(batch);
    if (batch.batch.count != 0) {
      worked = true;
      counters_.batches++;
      const uint32_t tick = held_tick_ != 0 ? held_tick_ : mac_tick();
      if (tick != mac_tick_) {
        mac_tick_ = tick;
        mac_budget_ = MacEvents::kMax;
      }
      classify(batch);
      select(batch);
      release(batch, false);
      list_destinations(batch);
      reserve(batch);
      if (__builtin_expect(mirrors_ != 0, 0)) mirror(batch);
      received_batches_++;
      append(batch);  // delivers, or leaves the batch in the queue
      if (counters_.batches % kAliveEvery == 0)
        for (uint32_t i = 0; i < port_count(); i++) look_alive(order_[i]);
    }
  }
  notify_all();
  if (__builtin_expect(leaving_ports_ != 0, 0)) finish_leaving();
  return worked;
}

void Worker::look_alive(uint16_t index) {
  PortSlot& slot = slots_[index];
  if (slot.port->alive() || slot.dead.load(std::memory_order_relaxed)) return;
  slot.dead.store(true, std::memory_order_relaxed);
}

// --- waiting -----------------------------------------------------------------------------------------------------------

void Worker::idle() {
  const uint64_t now = monotonic_ns();
  if (idle_since_ns_ == 0) idle_since_ns_ = now;
  const bool busy = options_.wait == WaitMode::kBusy;
  const bool spinning = options_.wait == WaitMode::kAdaptive && now - idle_since_ns_ < spin_ns_;
  if (!busy && !spinning) {
    sleep(-1);
    return;
  }
  if (busy && now - idle_since_ns_ > 1'000'000) {
    for (uint32_t i = 0; i < port_count(); i++) look_alive(order_[i]);
    idle_since_ns_ = now;
  }
  // Whoever else wants this core gets it: a peer that has to write the next frame is more use than looking again.
  for (uint32_t i = 0; i < kPausesPerLook; i++) pause_briefly();
  sched_yield();
  const uint64_t away = monotonic_ns() - now;
  if (away > kYieldIsLongNs)
    spin_ns_ = std::max(kSpinNsMin, spin_ns_ / 2);
  else if (spin_ns_ < kSpinNsMax)
    spin_ns_ += spin_ns_ / kSpinGrowth;
}

void Worker::sleep(int64_t timeout_ns) {
  bool stay = false;
  const bool may_receive = receiving_ && received_batches_ - finished_batches_ < pending_.size();
  const uint32_t count = port_count();
  for (uint32_t i = 0; i < count; i++) {
    PortSlot& slot = slots_[order_[i]];
    look_alive(order_[i]);
    if (slot.port->doorbell() < 0) timeout_ns = kPollSleepNs;
    if (may_receive && slot.held_until_ns == 0 && slot.port->arm()) stay = true;
  }
  // A port leaves when other threads are done with its frames, and nobody rings for that.
  if (held_ports_ != 0 || leaving_ports_ != 0 || finished_batches_ != received_batches_) timeout_ns = kPollSleepNs;
  // As with doorbells: say that we sleep, then look once more; who publishes looks whether we sleep afterwards.
  if (!peers_.empty()) asleep_.store(1, std::memory_order_seq_cst);
  if (crossings_wait() || commands_.load(std::memory_order_acquire) != nullptr || stop_.load(std::memory_order_acquire))
    stay = true;
  epoll_event events[64];
  const int ready = stay ? 0 : wait_for_events(epoll_, events, 64, timeout_ns);
  asleep_.store(0, std::memory_order_relaxed);
  for (uint32_t i = 0; i < count; i++) slots_[order_[i]].port->disarm();
  for (int i = 0; i < ready; i++) {
    if (events[i].data.u32 == kWakeTag) {
      uint64_t drained;
      if (read(wake_, &drained, sizeof drained) < 0) PASTE_CHECK(errno == EAGAIN);
    } else if (PortSlot& slot = slots_[events[i].data.u32]; slot.up) {
      slot.port->rang();
      look_alive(static_cast<uint16_t>(events[i].data.u32));
    }
  }
  idle_since_ns_ = 0;
}

// --- commands ----------------------------------------------------------------------------------------------------------

void Worker::add_port(Port* port, uint16_t index, const SwitchView* view, bool mirror) {
  PortSlot& slot = slots_[index];
  PASTE_CHECK(slot.port == nullptr);
  slot.port = port;
  slot.view = view;
  slot.frame_bytes_max = port->frame_bytes_max();
  slot.id = port->id;
  slot.mark_bytes_min = mark_bytes_min(*port);
  slot.up = true;
  // An address behind a port that takes no frames would only make its frames vanish: they flood instead.
  slot.learns = port->sink() && !mirror;
  slot.mirror = mirror;
  slot.measures = slot.frame_bytes_max < kLiveFrameBytesMax || port->vlan.aware();
  slot.held_until_ns = slot.blocked_since_ns = 0;
  slot.dead.store(false, std::memory_order_relaxed);
  const uint32_t count = port_count();
  order_[count] = index;
  port_count_.store(count + 1, std::memory_order_relaxed);
  if (port->doorbell() >= 0) {
    epoll_event event = {.events = EPOLLIN, .data = {.u32 = index}};
    PASTE_CHECK(epoll_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, port->doorbell(), &event) == 0);
  }
}

// From which length on the log keeps the port's frames where they lie.
uint32_t Worker::mark_bytes_min(const Port& port) const {
  if (options_.persist == PersistMode::kPack) return kMarkNever;
  if (options_.persist == PersistMode::kMark) return 0;
  if (options_.mark_bytes_min != 0) return options_.mark_bytes_min;
  return port.filled_by_device() ? kMarkBytesDefault : kMarkNever;
}

void Worker::change_doorbell(uint16_t index, int before) {
  const int now = slots_[index].port->doorbell();
  if (now == before || epoll_ < 0) return;
  if (before >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, before, nullptr);
  epoll_event event = {.events = EPOLLIN, .data = {.u32 = index}};
  PASTE_CHECK(now < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, now, &event) == 0);
}

void Worker::remove_port(uint16_t index) {
  PortSlot& slot = slots_[index];
  PASTE_CHECK(slot.up);
  const uint32_t count = port_count();
  uint32_t at = 0;
  while (order_[at] != index) at++;
  std::memmove(order_ + at, order_ + at + 1, (count - at - 1) * sizeof order_[0]);
  port_count_.store(count - 1, std::memory_order_relaxed);
  cursor_ = 0;
  slot.up = false;
  if (slot.held_until_ns != 0) held_ports_--;
  if (slot.blocked_since_ns != 0) counters_.blocked_ns += monotonic_ns() - slot.blocked_since_ns;
  if (slot.port->doorbell() >= 0 && epoll_ >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, slot.port->doorbell(), nullptr);
  slot.leaves_after = received_batches_;
  slot.fates_after = fates_->taken();
  slot.leaving.store(true, std::memory_order_release);
  leaving_ports_++;
  finish_leaving();
}

// A port goes when the last batch that knew it is finished.
void Worker::finish_leaving() {
  for (uint32_t i = 0; i < kPortsMax; i++) {
    PortSlot& slot = slots_[i];
    if (!slot.leaving.load(std::memory_order_relaxed) || finished_batches_ < slot.leaves_after) continue;
    if (!fates_->done_before(slot.fates_after)) continue;
    slot.port = nullptr;
    slot.view = nullptr;
    leaving_ports_--;
    slot.leaving.store(false, std::memory_order_release);
    slot.leaving.notify_all();
  }
}

void Worker::set_view(const SwitchView* old_view, const SwitchView* view) {
  views_[view->index] = view;
  for (uint32_t i = 0; i < kPortsMax; i++)
    if (slots_[i].view == old_view && old_view != nullptr) slots_[i].view = view;
}

void Worker::set_mirror(uint32_t index, uint32_t number) {
  mirror_number_[index] = static_cast<uint16_t>(number);
  if (number == kNowhere) mirrors_ &= ~(uint64_t{1} << index);
  else mirrors_ |= uint64_t{1} << index;
}

void Worker::set_rules(const RuleSet* rules, RuleTally* tallies) {
  rules_ = rules == nullptr || rules->empty() ? nullptr : rules;
  tallies_ = tallies;
}

void Worker::log_event(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload) {
  if (lane_ == nullptr) return;
  last_time_ns_ = std::max(last_time_ns_, time_ns);
  lane_->append_event(type, last_time_ns_, payload);
  lane_ticket_ = lane_->commit();
}

bool Worker::offer_event(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload) {
  last_time_ns_ = std::max(last_time_ns_, time_ns);
  if (!lane_->offer_event(type, last_time_ns_, payload)) return false;
  lane_ticket_ = lane_->commit();
  return true;
}

}  // namespace paste
