#include "core/switch/engine.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "core/base/system_time.h"
#include "core/switch/engine_impl.h"
#include "core/switch/scratch.h"

namespace paste {
namespace {

constexpr uint32_t kQueueOnDisk = 32;             // batches that wait for a group commit
constexpr uint64_t kDrainNs = 5'000'000'000;      // longest wait for a group commit at the end
constexpr auto kHousekeeping = std::chrono::milliseconds(20);
constexpr uint32_t kSweepRounds = 16;             // rounds of housekeeping in which each table is swept once
constexpr uint32_t kClockRounds = 50;             // ... between two looks at the wall clock
constexpr uint32_t kDescribedAtOnce = 32;         // ports, between two batches of the thread that writes it

std::string mac_text(const uint8_t mac[6]) {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  return text;
}

}  // namespace

Status Engine::create(const EngineOptions& options, std::unique_ptr<Store> store, std::unique_ptr<Engine>* engine) {
  if (options.threads == 0 || options.threads > kThreadsMax)
    return {Code::kUsage, "threads: " + std::to_string(options.threads) + " is not between 1 and " + std::to_string(kThreadsMax)};
  if (!std::has_single_bit(options.mac_entries) || options.mac_entries < 16 || options.mac_entries > 1u << 20)
    return {Code::kUsage, "macEntries: " + std::to_string(options.mac_entries) + " is not a power of two between 16 and 1048576"};
  if (options.mac_entries_per_port == 0)
    return {Code::kUsage, "macEntriesPerPort: 0 would learn nothing; give at least 1"};
  auto made = std::make_unique<SwitchEngine>(options, std::move(store));
  if (Status status = made->prepare(); !status.ok()) return status;
  *engine = std::move(made);
  return {};
}

SwitchEngine::SwitchEngine(const EngineOptions& options, std::unique_ptr<Store> store)
    : options_(options), store_(std::move(store)) {}

Status SwitchEngine::prepare() {
  device_wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (device_wake_ < 0) return {Code::kResource, std::string("the engine needs a descriptor: ") + std::strerror(errno)};
  const bool immediate = !store_ || store_->region().domain().immediate();
  for (uint32_t i = 0; i < options_.threads; i++) {
    const WorkerOptions worker = {i, options_.wait, options_.persist, options_.mark_bytes_min, immediate ? 1 : kQueueOnDisk};
    workers_.push_back(std::make_unique<Worker>(worker, store_ ? &store_->lane(i) : nullptr));
    if (Status status = workers_.back()->prepare(); !status.ok()) return status;
  }
  tallies_.resize(options_.threads);
  frame_memories_.resize(options_.threads);
  if (options_.threads > 1) make_crossings();
  return {};
}

// A ring for each ordered pair of threads.
void SwitchEngine::make_crossings() {
  const size_t threads = workers_.size();
  std::vector<Worker*> peers;
  for (auto& worker : workers_) peers.push_back(worker.get());
  std::vector<std::vector<Crossing*>> from_to(threads, std::vector<Crossing*>(threads));
  for (size_t from = 0; from < threads; from++)
    for (size_t to = 0; to < threads; to++) {
      if (from == to) continue;
      crossings_.push_back(std::make_unique<Crossing>());
      from_to[from][to] = crossings_.back().get();
    }
  for (size_t self = 0; self < threads; self++) {
    std::vector<Crossing*> in(threads);
    for (size_t from = 0; from < threads; from++) in[from] = from_to[from][self];
    workers_[self]->set_peers(peers, from_to[self], in);
  }
}

SwitchEngine::~SwitchEngine() {
  server_.reset();  // its thread may be in on_attach(): without the mutex
  stop_device_keeper();
  quiesce();
  stop_threads();
  if (device_wake_ >= 0) close(device_wake_);
}

Status SwitchEngine::start() {
  {
    const std::lock_guard lock(mutex_);
    if (started_) return {Code::kUsage, "the engine was started before"};
    started_ = true;
    for (auto& worker : workers_) worker->start();
    housekeeper_ = std::thread([this] { keep_house(); });
  }
  if (options_.ports_socket.empty()) return {};
  PortsServerOptions server;
  server.path = options_.ports_socket;
  server.mode = options_.socket_mode;
  server.allowed_uids = options_.allowed_uids;
  server.gid = options_.socket_gid;
  return PortsServer::start(server, clock_, *this, &server_);
}

void SwitchEngine::set_receiving(bool receiving) {
  const std::lock_guard lock(mutex_);
  if (drained_) return;
  for (auto& worker : workers_) worker->call([&] { worker->set_receiving(receiving); });
}

void SwitchEngine::stop_threads() {
  {
    const std::lock_guard lock(mutex_);
    housekeeper_stops_ = true;
  }
  housekeeping_.notify_all();
  if (housekeeper_.joinable()) housekeeper_.join();
  for (auto& worker : workers_) worker->stop();
}

// No frame comes in any more, what is on its way leaves, then the ports go; the threads still run.
void SwitchEngine::quiesce() {
  const std::lock_guard turn(devices_mutex_);
  const std::lock_guard lock(mutex_);
  for (auto& worker : workers_) worker->call([&] { worker->set_receiving(false); });
  const auto on_its_way = [this] {
    for (const auto& worker : workers_)
      if (worker->waiting()) return true;
    for (const auto& crossing : crossings_)
      if (!crossing->idle()) return true;
    return false;
  };
  const uint64_t give_up_ns = monotonic_ns() + kDrainNs;  // a failed medium lets go of it, too
  // Asked twice: a mirrored frame may cross once more just when the first ring looks empty.
  while (started_ && (on_its_way() || on_its_way()) && monotonic_ns() < give_up_ns) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  standing_.clear();
  while (!ports_.empty()) {
    const uint32_t thread = ports_.begin()->second.number >> 8;
    bury(detach_locked(ports_.begin()), thread);
  }
  drained_ = true;
}

Status SwitchEngine::drain() {
  {
    const std::lock_guard lock(mutex_);
    if (drained_) return {};
  }
  server_.reset();
  stop_device_keeper();
  quiesce();
  stop_threads();
  if (!store_) return {};
  frame_memories_.clear();  // gives its blocks back to the store
  last_store_counters_ = store_->counters();
  const Status status = store_->close();
  store_.reset();  // and with it its lock; the threads that knew its lanes have ended
  return status;
}

// --- rules ---------------------------------------------------------------------------------------------------------------

Status SwitchEngine::set_rules(const std::vector<RuleSpec>& specs, const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (drained_) return {Code::kUsage, "the engine is drained: no rules can be set any more"};
  std::vector<uint32_t> ids;
  for (size_t i = 0; i < specs.size(); i++) ids.push_back(next_id());
  std::unique_ptr<RuleSet> made;
  const bool strict = options_.durability == Durability::kStrict;
  if (Status status = RuleSet::compile(specs, strict, rule_version_ + 1, ids, &made); !status.ok()) return status;

  // A rule that keeps its name keeps what it counted.
  std::vector<RuleCounters> earlier;
  const EngineStats before = stats_locked();
  for (const Rule& rule : made->rules()) {
    RuleCounters counters{.name = rule.name};
    for (const RuleCounters& old : before.rules)
      if (!rule.name.empty() && old.name == rule.name) counters = old;
    earlier.push_back(counters);
  }
  rule_version_++;
  std::vector<std::vector<RuleTally>> tallies(workers_.size(), std::vector<RuleTally>(specs.size()));
  rules_ = std::move(made);
  std::unique_ptr<RuleSet> resolved = resolved_rules(nullptr);
  const layout::RuleSetPayload head = {rule_version_, static_cast<uint32_t>(specs.size())};
  std::vector<uint8_t> event(sizeof head + text.size());
  std::memcpy(event.data(), &head, sizeof head);
  std::memcpy(event.data() + sizeof head, text.data(), text.size());
  for (size_t w = 0; w < workers_.size(); w++) {
    Worker& worker = *workers_[w];
    worker.call([&] {
      if (Lane* lane = worker.lane()) {
        for (const Rule& rule : resolved->rules()) lane->describe_rule(rule.id, rule_version_, rule.name, rule.filter);
        if (w == 0) worker.log_event(layout::kRuleSet, clock_.now_ns(), event);
      }
      worker.set_rules(resolved.get(), tallies[w].data());
      if (Lane* lane = worker.lane()) lane->forget_rules_before(rule_version_);
    });
  }
  resolved_ = std::move(resolved);
  tallies_ = std::move(tallies);
  earlier_ = std::move(earlier);
  return {};
}

// --- MAC tables ----------------------------------------------------------------------------------------------------------

SwitchEngine::Switch* SwitchEngine::find_switch(const std::string& name) const {
  const auto it = switches_.find(name);
  return it == switches_.end() ? nullptr : it->second.get();
}

Status SwitchEngine::check_mac_entry(const std::string& switch_name, const uint8_t mac[6], const std::string& port,
                                     Switch** home, Attached** attached) {
  *home = find_switch(switch_name);
  if (*home == nullptr) {
    std::string there;
    for (const auto& [name, each] : switches_) there += (there.empty() ? "" : ", ") + name;
    return {Code::kUsage, "no switch " + switch_name + ": a switch comes with its first port" +
                              (there.empty() ? "" : "; there is " + there)};
  }
  if (mac != nullptr && (mac_is_group(mac[0]) || mac_key(mac, 0) == 0))
    return {Code::kUsage, mac_text(mac) + " is no station's address: it is a group address or all zero"};
  if (port.empty()) return {};
  const auto it = ports_.find(port);
  if (it == ports_.end() || it->second.home != *home)
    return {Code::kUsage, "no port " + port + " is attached to switch " + switch_name};
  *attached = &it->second;
  return {};
}

Status SwitchEngine::mac_add(const std::string& switch_name, const uint8_t mac[6], uint16_t fid, const std::string& port) {
  const std::lock_guard lock(mutex_);
  Switch* home = nullptr;
  Attached* attached = nullptr;
  if (port.empty()) return {Code::kUsage, "a static address needs a port"};
  if (Status status = check_mac_entry(switch_name, mac, port, &home, &attached); !status.ok()) return status;
  if (fid > 4095) return {Code::kUsage, "fid " + std::to_string(fid) + " is no VLAN id: 0 (untagged) to 4095"};
  if (!attached->port->sink()) return {Code::kUsage, "port " + port + " only gives frames: nothing can be sent to it"};
  if (attached->mirror.listens()) return {Code::kUsage, "port " + port + " is a mirror port: nothing is sent to it"};
  MacEvents events;
  if (!home->table.add(mac_key(mac, fid), attached->number, mac_tick(), &events))
    return {Code::kResource, "no room for " + mac_text(mac) + ": too many static addresses; remove some, or raise macEntries"};
  log_mac_events(events, true);
  return {};
}

Status SwitchEngine::mac_remove(const std::string& switch_name, const uint8_t mac[6], uint16_t fid) {
  const std::lock_guard lock(mutex_);
  Switch* home = nullptr;
  if (Status status = check_mac_entry(switch_name, mac, "", &home, nullptr); !status.ok()) return status;
  MacEvents events;
  if (!home->table.remove(mac_key(mac, fid), mac_tick(), &events))
    return {Code::kUsage, mac_text(mac) + " (VLAN " + std::to_string(fid) + ") is not in the table of " + switch_name};
  log_mac_events(events, true);
  return {};
}

Status SwitchEngine::mac_flush(const std::string& switch_name, const std::string& port, uint64_t* count) {
  const std::lock_guard lock(mutex_);
  Switch* home = nullptr;
  Attached* attached = nullptr;
  if (Status status = check_mac_entry(switch_name, nullptr, port, &home, &attached); !status.ok()) return status;
  MacEvents events;
  if (attached == nullptr) {  // any port tells whose table it was; without one it is empty
    const auto any = std::find_if(ports_.begin(), ports_.end(), [&](const auto& each) { return each.second.home == home; });
    if (any != ports_.end()) events.add(0, any->second.port->id, layout::kFlushedSwitch);
  } else {
    events.add(0, attached->port->id, layout::kFlushedPort);
  }
  *count = home->table.flush(attached ? attached->number : kMacUnknown, &events);
  if (*count > 0) log_mac_events(events);
  return {};
}

Status SwitchEngine::mac_list(const std::string& switch_name, std::vector<MacInfo>* list) {
  const std::lock_guard lock(mutex_);
  Switch* home = nullptr;
  Attached* none = nullptr;
  // A switch all of whose ports still wait for their programs has learned nothing.
  const auto waits = standing_.lower_bound(switch_name + ":");
  if (find_switch(switch_name) == nullptr && waits != standing_.end() && waits->first.starts_with(switch_name + ":")) return {};
  if (Status status = check_mac_entry(switch_name, nullptr, "", &home, &none); !status.ok()) return status;
  std::map<uint32_t, const std::string*> names;
  for (const auto& [name, port] : ports_)
    if (port.home == home) names[port.number] = &name;
  home->table.each(mac_tick(), [&](const MacEntry& entry) {
    const auto port = names.find(entry.port);
    if (port == names.end()) return;
    MacInfo info;
    std::memcpy(info.mac, &entry.key, 6);
    info.fid = static_cast<uint16_t>(entry.key >> 48);
    info.port = *port->second;
    info.is_static = entry.is_static;
    info.age_ms = entry.is_static ? 0 : entry.age_ms;
    list->push_back(std::move(info));
  });
  return {};
}

// Table changes are worth a record while rules keep anything at all; those of static addresses always, since later frames go by them.
void SwitchEngine::log_mac_events(MacEvents& events, bool always) {
  const bool kept = rules_ && !rules_->empty();
  if (!runs() || !store_ || !(kept || always) || events.count == 0) return;
  workers_[0]->call([&] {
    workers_[0]->log_event(layout::kMac, clock_.now_ns(),
                           {reinterpret_cast<const uint8_t*>(events.items), events.count * sizeof(layout::MacPayload)});
  });
}

// --- housekeeper ---------------------------------------------------------------------------------------------------------

void SwitchEngine::keep_house() {
  std::unique_lock lock(mutex_);
  for (uint32_t round = 1; !housekeeper_stops_; round++) {
    housekeeping_.wait_for(lock, kHousekeeping);
    if (housekeeper_stops_ || drained_) continue;
    for (auto it = ports_.begin(); it != ports_.end();) {
      const auto port = it++;
      const uint32_t number = port->second.number;
      if (!workers_[number >> 8]->port_is_dead(number & 0xff)) continue;
      if (const auto wish = standing_.find(port->first); wish != standing_.end() && wish->second.kind != nullptr) {
        if (!wish->second.lost) wish->second.reason = "its device is gone";
        wish->second.lost = true;
        wake_device_keeper();
        continue;
      }
      PortInfo last = port_info(port->first, port->second);
      last.counters = {};  // they go to those of all detached ports
      detach_locked(port);
      if (last.state.starts_with("error")) broken_[last.name] = std::move(last);
    }
    sweep_tables();
    describe_ports();
    if (round % kClockRounds == 0) follow_clock();
  }
}

void SwitchEngine::sweep_tables() {
  MacEvents events;
  for (auto& [name, home] : switches_)
    home->sweep_at = home->table.age(mac_tick(), home->sweep_at, home->table.buckets() / kSweepRounds + 1, &events);
  log_mac_events(events);
}

// What told of a port is overwritten one day, and no frame names one that stays silent: each segment's length of log has all of them.
// Where there is no room now, the next one has.
void SwitchEngine::describe_ports() {
  if (!store_) return;
  const layout::Superblock& geometry = store_->superblock();
  uint64_t written = 0;
  for (const auto& worker : workers_) written += worker->lane()->medium_bytes();
  if (written - described_at_bytes_ < uint64_t{geometry.segment_blocks} * geometry.block_bytes) return;
  described_at_bytes_ = written;
  bool taken = true;
  for (auto port = ports_.begin(); taken && port != ports_.end();)
    workers_[0]->call([&] {
      for (uint32_t i = 0; i < kDescribedAtOnce && taken && port != ports_.end(); i++, ++port)
        taken = workers_[0]->offer_event(layout::kPort, clock_.now_ns(), port_event(*port->second.port, layout::kDescribed));
    });
}

void SwitchEngine::follow_clock() {
  const Clock::Step step = clock_.calibrate();
  if (!step.stepped || !store_) return;
  const layout::ClockStepPayload payload = {step.from_ns, step.to_ns};
  workers_[0]->call([&] {
    workers_[0]->log_event(layout::kClockStep, step.to_ns, {reinterpret_cast<const uint8_t*>(&payload), sizeof payload});
  });
}

}  // namespace paste
