#include "bench/forward.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "bench/marking_port.h"
#include "bench/traffic.h"
#include "core/base/system_time.h"
#include "core/ports/vale/vale_port.h"
#include "core/switch/worker.h"

namespace paste::bench {
namespace {

constexpr uint32_t kAhead = 8;  // slots whose buffers are fetched before their turn

struct Random {  // xorshift64* (Marsaglia, Vigna): a few cycles, so that it does not become the benchmark
  uint64_t state;
  uint32_t next() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return static_cast<uint32_t>(state * 0x2545f4914f6cdd1d >> 32);
  }
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(uint64_t{next()} * limit >> 32); }
};

// The client's end of one port, working in place on its rings as a netmap program does.
class RingEnd {
 public:
  Status open(const std::string& name, const RegionGeometry& geometry, const Clock& clock) {
    ClientEnd end;
    if (Status status = ValePort::create(name, geometry, clock, &port_, &end); !status.ok()) return status;
    doorbell_ = end.doorbell;
    close(end.memory_fd);
    const ValeRegion& region = *port_->region();
    const PortRings& rings = port_->rings();
    tx_ring_ = region.ring(rings.tx(0));
    rx_ring_ = region.ring(rings.rx(0));
    tx_sync_ = region.ring_sync(rings.tx(0));
    rx_sync_ = region.ring_sync(rings.rx(0));
    buffers_ = region.memory() + region.layout().buffers;
    bytes_ = geometry.buffer_bytes;
    slots_ = geometry.tx_slots;
    return {};
  }
  ~RingEnd() {
    if (doorbell_ >= 0) close(doorbell_);
  }
  ValePort* vale() { return port_.get(); }
  Port* port() { return marking_ ? static_cast<Port*>(marking_.get()) : port_.get(); }
  // From now on sent frames are written into buffers of the store.
  void send_through(BufferPool* pool) { marking_ = std::make_unique<MarkingPort>(port_.get(), pool); }

  // Writes `count` frames from `make(buffer)` and publishes them.
  template <typename Make>
  void send(uint32_t count, Make make) {
    if (marking_) {
      send_marking(count, make);
      return;
    }
    netmap::Ring* ring = tx_ring_;
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t ahead = tx_ + kAhead >= slots_ ? tx_ + kAhead - slots_ : tx_ + kAhead;
      __builtin_prefetch(buffers_ + uint64_t{ring->slot[ahead].buf_idx} * bytes_, 1);
      netmap::Slot& slot = ring->slot[tx_];
      slot.len = static_cast<uint16_t>(make(buffers_ + uint64_t{slot.buf_idx} * bytes_));
      slot.flags = 0;
      tx_ = tx_ + 1 == slots_ ? 0 : tx_ + 1;
    }
    netmap::RingSync* sync = tx_sync_;
    sync->client.cur = tx_;
    __atomic_store_n(&sync->client.head, tx_, __ATOMIC_RELEASE);
  }
  template <typename Make>
  void send_marking(uint32_t count, Make make) {
    for (uint32_t i = 0; i < count; i++) {
      uint8_t* buffer;
      while ((buffer = marking_->next_buffer()) == nullptr) sched_yield();  // the store's keeper makes some ready
      marking_->filled(make(buffer));
    }
    marking_->sent();
  }
  // The switch has taken (and, for the one thread of this benchmark, delivered) everything.
  bool sent_all() {
    if (marking_) return marking_->empty();
    return __atomic_load_n(&tx_sync_->daemon.hwcur, __ATOMIC_ACQUIRE) == tx_;
  }
  // Reads every frame that waits with `take(bytes, length)` and gives the slots back.
  template <typename Take>
  void receive(Take take) {
    netmap::Ring* ring = rx_ring_;
    netmap::RingSync* sync = rx_sync_;
    const uint32_t tail = __atomic_load_n(&sync->daemon.hwtail, __ATOMIC_ACQUIRE);
    while (rx_ != tail) {
      const uint32_t ahead = rx_ + kAhead >= slots_ ? rx_ + kAhead - slots_ : rx_ + kAhead;
      __builtin_prefetch(buffers_ + uint64_t{ring->slot[ahead].buf_idx} * bytes_);
      const netmap::Slot& slot = ring->slot[rx_];
      take(buffers_ + uint64_t{slot.buf_idx} * bytes_, slot.len);
      rx_ = rx_ + 1 == slots_ ? 0 : rx_ + 1;
    }
    sync->client.cur = rx_;
    __atomic_store_n(&sync->client.head, rx_, __ATOMIC_RELEASE);
  }

 private:
  std::unique_ptr<ValePort> port_;
  std::unique_ptr<MarkingPort> marking_;
  netmap::Ring* tx_ring_ = nullptr;
  netmap::Ring* rx_ring_ = nullptr;
  netmap::RingSync* tx_sync_ = nullptr;
  netmap::RingSync* rx_sync_ = nullptr;
  uint8_t* buffers_ = nullptr;
  uint32_t bytes_ = 0, slots_ = 0, tx_ = 0, rx_ = 0;
  int doorbell_ = -1;
};

// Who writes to whom is drawn beforehand: drawing is not what is measured.
struct Traffic {
  struct Pair {
    uint64_t to, from;                  // addresses as little-endian loads
  };
  static constexpr uint32_t kPairs = 1024;
  std::vector<uint64_t> address;
  std::vector<uint32_t> home;           // port of each address
  std::vector<std::vector<Pair>> pairs; // of each port, to stations behind the others
  NumberedFrame frame;

  explicit Traffic(const ForwardOptions& options) : pairs(options.ports), frame(options.frame_bytes) {
    Random random{options.seed * 2 + 1};
    for (uint32_t i = 0; i < options.addresses; i++) {
      address.push_back((uint64_t{random.next()} << 16 | 0x02) & 0xffff'ffff'ffff);
      home.push_back(i % options.ports);
    }
    for (uint32_t port = 0; port < options.ports; port++)
      while (pairs[port].size() < kPairs) {
        const uint32_t from = random.below(options.addresses), to = random.below(options.addresses);
        if (home[from] == port && home[to] != port) pairs[port].push_back({address[to], address[from]});
      }
  }
};

class Forward {
 public:
  explicit Forward(const ForwardOptions& options) : options_(options), traffic_(options) {}

  Status prepare() {
    if (options_.log != LogMode::kNone) {
      StoreOptions store;
      store.spare_blocks = 16;  // as the daemon has it
      store.index = options_.index;
      if (Status status = Store::open(options_.store_path, store, &store_, &report_); !status.ok()) return status;
    }
    WorkerOptions worker;
    worker.queue = store_ && !store_->region().domain().immediate() ? 32 : 1;
    worker.persist = options_.log == LogMode::kMark ? PersistMode::kMark : PersistMode::kPack;
    worker_ = std::make_unique<Worker>(worker, store_ ? &store_->lane(0) : nullptr);
    ends_.resize(options_.ports);
    view_.table = &table_;
    const RegionGeometry geometry = {1, 1, options_.slots, options_.slots, 2048};
    for (uint32_t i = 0; i < options_.ports; i++) {
      ends_[i] = std::make_unique<RingEnd>();
      const std::string name = "vale0:p" + std::to_string(i);
      if (Status status = ends_[i]->open(name, geometry, clock_); !status.ok()) return status;
      if (options_.log == LogMode::kMark) {
        if (store_->buffers() == nullptr)
          return {Code::kUsage, options_.store_path + ": on this medium nothing can be marked in place"};
        ends_[i]->send_through(store_->buffers());
      }
      Port* port = ends_[i]->port();
      port->index = static_cast<uint16_t>(i);
      port->id = store_ ? store_->take_id() : i + 1;
      table_.add_port(i, port->id);
      view_.sinks.push_back(static_cast<uint16_t>(i));
      view_.sink_bits.add(i);
      if (store_) store_->lane(0).describe_port(port->id, store_->epoch(), port->kind(), port->name());
    }
    for (uint32_t i = 0; i < options_.ports; i++) worker_->add_port(ends_[i]->port(), static_cast<uint16_t>(i), &view_);
    return options_.log == LogMode::kNone ? Status() : set_rule();
  }

  // Round 0 warms up and teaches the switch every address.
  void round(uint32_t number, ForwardResult* result) {
    const WorkerCounters before = worker_->counters();
    const uint64_t medium_before = medium_bytes();
    received_ = wrong_ = 0;
    const uint64_t start = monotonic_ns();
    const uint64_t sent = one_round(number == 0);
    const uint64_t elapsed = monotonic_ns() - start;
    if (number == 0) return;
    const WorkerCounters& after = worker_->counters();
    result->ns_per_frame.push_back(static_cast<double>(elapsed) / static_cast<double>(sent));
    result->sent += sent;
    result->received += received_;
    result->wrong += wrong_;
    result->logged += after.logged - before.logged;
    result->not_logged += after.selected - after.logged - (before.selected - before.logged);
    result->held_back_ns += after.blocked_ns - before.blocked_ns;
    result->medium_bytes += medium_bytes() - medium_before;
    result->buffers = uint64_t{options_.ports} * 2 * options_.slots;
  }
  Status finish() {
    worker_.reset();
    ends_.clear();  // buffers go back to the store before it closes
    return store_ ? store_->close() : Status();
  }

 private:
  Status set_rule() {
    RuleSpec everything;
    everything.name = "everything";
    everything.program = {{0x06, 0, 0, 0x40000}};  // ret #262144
    const uint32_t id = store_->take_id();
    std::unique_ptr<RuleSet> rules;
    if (Status status = RuleSet::compile({&everything, 1}, options_.strict, 1, {&id, 1}, &rules); !status.ok()) return status;
    rules_ = rules->resolve({});
    store_->lane(0).describe_rule(id, 1, everything.name, "");
    worker_->set_rules(rules_.get(), &tally_);
    return {};
  }

  // First every address sends once, then bursts from every port to random stations behind the others.
  uint64_t one_round(bool teach) {
    uint64_t sent = 0;
    for (uint32_t i = 0; teach && i < traffic_.address.size(); i++) {
      const uint64_t from = traffic_.address[i];
      ends_[traffic_.home[i]]->send(1, [&](uint8_t* frame) { return traffic_.frame.write(frame, kEverybody, from, i); });
      switch_and_sink();
    }
    while (sent < options_.frames_per_round) {
      for (uint32_t port = 0; port < options_.ports; port++) {
        const Traffic::Pair* pairs = traffic_.pairs[port].data();
        ends_[port]->send(options_.burst, [&](uint8_t* frame) {
          const uint64_t number = number_++;
          const Traffic::Pair& pair = pairs[number % Traffic::kPairs];
          return traffic_.frame.write(frame, pair.to, pair.from, number);
        });
      }
      sent += uint64_t{options_.burst} * options_.ports;
      switch_and_sink();
    }
    return sent;
  }

  // Until every frame that was sent is through. A lane that waits for its keeper holds ports back, a disk holds batches back:
  // that time counts.
  void switch_and_sink() {
    for (bool through = false; !through;) {
      if (!worker_->round()) sched_yield();
      through = !worker_->waiting();
      for (auto& end : ends_) {
        end->receive([&](const uint8_t* frame, uint32_t length) {
          received_++;
          uint64_t number;
          wrong_ += !traffic_.frame.read(frame, length, &number);
        });
        through &= end->sent_all();
      }
    }
  }

  uint64_t medium_bytes() { return store_ ? store_->lane(0).medium_bytes() : 0; }

  static constexpr uint64_t kEverybody = 0xffff'ffff'ffff;
  const ForwardOptions options_;
  Traffic traffic_;
  Clock clock_;
  MacTable table_{{.entries = 1024, .entries_per_port = 1024}};
  SwitchView view_;
  std::unique_ptr<RuleSet> rules_;
  RuleTally tally_;
  RecoveryReport report_;
  std::unique_ptr<Store> store_;
  std::vector<std::unique_ptr<RingEnd>> ends_;
  std::unique_ptr<Worker> worker_;  // goes first: it knows the ports
  uint64_t number_ = 0, received_ = 0, wrong_ = 0;
};

Status check(const ForwardOptions& options) {
  if (options.frame_bytes < 64 || options.frame_bytes > 2048)
    return {Code::kUsage, "frameBytes: " + std::to_string(options.frame_bytes) + " is not between 64 and 2048"};
  if (options.ports < 2 || options.ports > 64 || options.addresses < options.ports || options.burst == 0 ||
      options.slots > kRingSlotsMax || uint64_t{options.burst} * options.ports >= options.slots)
    return {Code::kUsage, "2 to 64 ports, an address or more for each, and bursts of all ports together that fit one ring"};
  return {};
}

}  // namespace

Status run_forward(std::span<const ForwardOptions> sides, uint32_t rounds, std::vector<ForwardResult>* results) {
  std::vector<std::unique_ptr<Forward>> running;
  results->resize(sides.size());
  for (const ForwardOptions& options : sides) {
    if (Status status = check(options); !status.ok()) return status;
    running.push_back(std::make_unique<Forward>(options));
    if (Status status = running.back()->prepare(); !status.ok()) return status;
  }
  for (uint32_t round = 0; round <= rounds; round++)
    for (size_t i = 0; i < sides.size(); i++) running[i]->round(round, &(*results)[i]);
  for (auto& side : running)
    if (Status status = side->finish(); !status.ok()) return status;
  return {};
}

}  // namespace paste::bench
