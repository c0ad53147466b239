// Ports on devices: made off the forwarding threads and outside the engine's mutex, told of their interface's ups and downs, taken
// away when it goes and made again when it is back. One thread, the device keeper, waits for all of that.
//
// Two mutexes: devices_mutex_ is held while a device is opened or closed, which may take long, and before mutex_, never after it.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/system_time.h"
#include "core/ports/vale/vale_region.h"
#include "core/ports/xdp/xdp_umem.h"
#include "core/switch/engine_impl.h"
#include "core/switch/scratch.h"

namespace paste {
namespace {

constexpr int kRetryMs = 100;                       // between two tries for a device that is away
constexpr uint64_t kRetryNs = kRetryMs * 1'000'000ull;
// A device that is there and refuses is asked less and less often, up to 3.2 s apart: each try may reset its queues.
constexpr uint32_t kRetryDoublings = 5;

bool may_wait(const Status& status) { return status.code() == Code::kPort || status.code() == Code::kResource; }

}  // namespace

Status SwitchEngine::attach_device(const std::string& name, const std::string& spec, const PortKind& kind,
                                   const PortOptions& options, bool wait) {
  uint64_t ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!runs()) return {Code::kUsage, name + ": the engine does not run: no device can be attached"};
    if (standing_.contains(name) || ports_.contains(name)) return {Code::kPort, name + " is attached already"};
    if (Status status = check_interface(kind, interface_of(kind, spec)); !status.ok()) return status;
    if (!devices_) devices_ = options_.devices();
    if (!device_keeper_.joinable()) device_keeper_ = std::thread([this] { keep_devices(); });
    ticket = ++last_ticket_;
    Standing& wish = standing_[name];
    wish.options = options;
    wish.kind = &kind;
    wish.spec = spec;
    wish.interface = interface_of(kind, spec);
    wish.phase = Standing::kBusy;
    wish.ticket = ticket;
    broken_.erase(name);
  }
  const Status status = open_device(name, ticket);
  if (status.ok() || (wait && may_wait(status))) {
    wake_device_keeper();
    return {};
  }
  const std::lock_guard lock(mutex_);
  if (wish_of(name, ticket) != nullptr) standing_.erase(name);
  return status;
}

// One interface is one port, also while it is away; only netmap has several on one (its rings, the host's). mutex_ held.
Status SwitchEngine::check_interface(const PortKind& kind, const PortInterface& interface) const {
  if (interface.name.empty() || kind.kind == layout::kNetmapPort) return {};
  for (const auto& [name, other] : standing_)
    if (other.kind == &kind && other.interface.text() == interface.text())
      return {Code::kPort, "interface " + interface.text() + " is port " + name + " already"};
  return {};
}

SwitchEngine::Standing* SwitchEngine::wish_of(const std::string& name, uint64_t ticket) {
  const auto it = standing_.find(name);
  return it == standing_.end() || it->second.ticket != ticket || drained_ ? nullptr : &it->second;
}

// Of a wish that is kBusy; afterwards it is kUp, or kDown with the reason.
Status SwitchEngine::open_device(const std::string& name, uint64_t ticket) {
  const std::lock_guard turn(devices_mutex_);
  Standing wish;
  {
    const std::lock_guard lock(mutex_);
    Standing* found = wish_of(name, ticket);
    if (found == nullptr) return {Code::kPort, name + " was detached meanwhile"};
    if (found->thread == kAnyThread) found->thread = choose_thread();
    wish = *found;
  }
  InterfaceInfo info;
  std::unique_ptr<Port> port;
  Status status = make_port(name, wish, &port, &info);
  {
    const std::lock_guard lock(mutex_);
    Standing* found = wish_of(name, ticket);
    if (found == nullptr) status = {Code::kPort, name + " was detached meanwhile"};
    if (status.ok()) status = attach_locked(std::move(port), 0, wish.options, wish.thread);
    if (found != nullptr) {
      found->phase = status.ok() ? Standing::kUp : Standing::kDown;
      found->reason = status.message();
      found->lost = false;
      found->refusals = status.ok() || info.index == 0 ? 0 : found->refusals + 1;
      found->retry_at_ns = monotonic_ns() + (kRetryNs << std::min(found->refusals, kRetryDoublings));
      found->interface_index = info.index;
      found->running = true;
      if (status.ok() && info.index != 0) follow_link(name, *found, info.index, info.up && info.running);
    }
  }
  if (port) bury(std::move(port), wish.thread);
  return status;
}

// devices_mutex_ held, mutex_ not.
Status SwitchEngine::make_port(const std::string& name, const Standing& wish, std::unique_ptr<Port>* port, InterfaceInfo* info) {
  const PortInterface& interface = wish.interface;
  const auto look = [&] {
    return interface.name.empty() ? Status() : devices_->interface_info(interface.name, interface.netns, info);
  };
  if (!wish.kind->makes_interface) {
    if (Status status = look(); !status.ok()) return status;
    if (!interface.name.empty() && info->index == 0)
      return {Code::kPort, "there is no interface " + interface.text() + "; `ip link` lists those there are"};
  }
  PortSite site;
  if (Status status = frame_memory(wish.thread, &site.memory); !status.ok()) return status;
  site.clock = &clock_;
  site.devices = devices_.get();
  site.pool = store_ ? store_->buffers() : nullptr;
  site.region = store_ ? &store_->region() : nullptr;
  if (Status status = wish.kind->create(name, wish.spec, site, port); !status.ok()) return status;
  // Opening may have brought it up, or made it. What happens from here on comes as an event.
  *info = {};
  const Status status = look();
  if (!status.ok()) *info = {};
  return {};
}

// A thread's memory comes with its first port on a device, and stays.
Status SwitchEngine::frame_memory(uint32_t thread, FrameMemory** memory) {
  std::unique_ptr<FrameMemory>& place = frame_memories_[thread];
  if (!place) {
    FrameMemoryOptions options = options_.frame_memory;
    options.sharers = static_cast<uint32_t>(workers_.size());
    // AF_XDP pins it: half of what may be pinned, for another daemon of this user may run, but never less than four batches.
    const uint64_t fair = pinnable_bytes() / 2 / options.sharers / options.chunk_bytes;
    options.chunks_max = static_cast<uint32_t>(std::clamp<uint64_t>(fair, 4 * kBatchFrames, kNoChunk));
    Region* region = store_ ? &store_->region() : nullptr;
    if (Status status = FrameMemory::create(options, region, store_ ? store_->buffers() : nullptr, &place); !status.ok())
      return status;
  }
  *memory = place.get();
  return {};
}

// The last of a port that no batch knows any more. The mutex is not held: closing takes milliseconds.
void SwitchEngine::bury(std::unique_ptr<Port> port, uint32_t thread) {
  port->close();
  workers_[thread]->call([&] { port->give_back(); });
}

// --- the device keeper ---------------------------------------------------------------------------------------------------

void SwitchEngine::wake_device_keeper() {
  const uint64_t one = 1;
  PASTE_CHECK(write(device_wake_, &one, sizeof one) == sizeof one || errno == EAGAIN);
}

void SwitchEngine::stop_device_keeper() {
  {
    const std::lock_guard lock(mutex_);
    device_keeper_stops_ = true;
  }
  wake_device_keeper();
  if (device_keeper_.joinable()) device_keeper_.join();
}

void SwitchEngine::keep_devices() {
  LinkWatch watch;
  while (true) {
    std::vector<Wish> lost, away, asked;
    {
      const std::lock_guard lock(mutex_);
      if (device_keeper_stops_) return;
      std::vector<LinkEvent> events;
      const bool whole = watch.read(&events);
      for (const LinkEvent& event : events) take_link_event(event);
      const uint64_t now = monotonic_ns();
      for (auto& [name, wish] : standing_) {
        if (wish.kind == nullptr || wish.phase == Standing::kBusy) continue;
        const bool unheard = !wish.interface.name.empty() && (!whole || !wish.interface.netns.empty());
        if (wish.lost) lost.push_back({name, wish.ticket, wish.interface});
        else if (wish.phase == Standing::kUp && unheard) asked.push_back({name, wish.ticket, wish.interface});
        else if (wish.phase == Standing::kDown && now >= wish.retry_at_ns) away.push_back({name, wish.ticket, wish.interface});
      }
    }
    for (const Wish& wish : asked) ask_for_link(wish);
    for (const Wish& wish : lost) take_away(wish);
    for (const Wish& wish : lost) try_again(wish);
    for (const Wish& wish : away) try_again(wish);
    pollfd fds[] = {{device_wake_, POLLIN, 0}, {watch.descriptor(), POLLIN, 0}};
    poll(fds, 2, patience_ms(watch.descriptor() >= 0));
    uint64_t drained;
    if (::read(device_wake_, &drained, sizeof drained) < 0) PASTE_CHECK(errno == EAGAIN);
  }
}

// How long the keeper may sleep when nobody rings.
int SwitchEngine::patience_ms(bool hears) {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, wish] : standing_) {
    if (wish.kind == nullptr) continue;
    if (!hears || wish.phase != Standing::kUp || wish.lost || !wish.interface.netns.empty()) return kRetryMs;
  }
  return -1;
}

void SwitchEngine::take_link_event(const LinkEvent& event) {
  for (auto& [name, wish] : standing_) {
    if (wish.kind == nullptr || wish.interface.name.empty() || !wish.interface.netns.empty()) continue;
    if (wish.phase == Standing::kUp && wish.interface_index == event.index)
      follow_link(name, wish, event.gone ? 0 : event.index, event.running);
    if (wish.phase == Standing::kDown && !event.gone && wish.interface.name == event.name) wish.retry_at_ns = 0;
  }
}

// Interfaces of other namespaces give no events here: they are asked for.
void SwitchEngine::ask_for_link(const Wish& asked) {
  InterfaceInfo info;
  const std::lock_guard turn(devices_mutex_);
  if (Status status = devices_->interface_info(asked.interface.name, asked.interface.netns, &info); !status.ok()) {
    // Only a namespace that is gone takes its interfaces along; without a broker to ask, nothing was heard of them.
    if (status.code() != Code::kPort) return;
    info = {};
  }
  const std::lock_guard lock(mutex_);
  Standing* wish = wish_of(asked.name, asked.ticket);
  if (wish != nullptr && wish->phase == Standing::kUp && wish->interface_index != 0)
    follow_link(asked.name, *wish, info.index, info.up && info.running);
}

// The interface of a port that is up is now this one, or (0) gone from where it was.
void SwitchEngine::follow_link(const std::string& name, Standing& wish, uint32_t index, bool running) {
  if (index != wish.interface_index) {
    // A TAP device was perhaps only moved to another namespace, where it works on; if not, its descriptor says so.
    if (!wish.kind->makes_interface) {
      wish.lost = true;
      wish.reason = "interface " + wish.interface.text() + " was removed";
      return;
    }
    wish.interface_index = 0;
    running = true;
  }
  if (running == wish.running) return;
  wish.running = running;
  if (const auto it = ports_.find(name); it != ports_.end()) it->second.port->link(running);
}

void SwitchEngine::take_away(const Wish& gone) {
  const std::lock_guard turn(devices_mutex_);
  std::unique_ptr<Port> port;
  uint32_t thread = 0;
  {
    const std::lock_guard lock(mutex_);
    Standing* wish = wish_of(gone.name, gone.ticket);
    const auto it = ports_.find(gone.name);
    if (wish == nullptr || it == ports_.end()) return;
    wish->phase = Standing::kDown;
    wish->lost = false;
    thread = it->second.number >> 8;
    port = detach_locked(it);
  }
  bury(std::move(port), thread);
}

void SwitchEngine::try_again(const Wish& away) {
  {
    const std::lock_guard lock(mutex_);
    Standing* wish = wish_of(away.name, away.ticket);
    if (wish == nullptr || wish->phase != Standing::kDown) return;
    wish->phase = Standing::kBusy;
  }
  const Status status = open_device(away.name, away.ticket);
  (void)status;  // it stands in the wish, for people
}

}  // namespace paste
