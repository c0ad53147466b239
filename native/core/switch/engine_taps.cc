// Live taps come and go with their connections. What the forwarding threads look at is made anew with each of them, and with each port.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <string>

#include "core/base/glob.h"
#include "core/switch/engine_impl.h"

namespace paste {

using namespace live_tap;

namespace {

// Whether a tap on this port, these ports or any looks at the port of that name.
bool watches(const std::string& wish, const std::string& name) { return wish == kAnyPort || glob_matches(wish, name); }

// A client's program, copied before it is looked at.
Status read_filter(int fd, std::unique_ptr<BpfProgram>* filter) {
  std::vector<BpfInsn> program(kFilterInstructionsMax + 1);
  const ssize_t got = pread(fd, program.data(), program.size() * sizeof(BpfInsn), 0);
  const size_t count = got <= 0 ? 0 : static_cast<size_t>(got) / sizeof(BpfInsn);
  if (count == 0 || count > kFilterInstructionsMax || static_cast<size_t>(got) % sizeof(BpfInsn) != 0)
    return {Code::kUsage, "a tap's filter has 1 to " + std::to_string(kFilterInstructionsMax) + " instructions"};
  program.resize(count);
  auto made = std::make_unique<BpfProgram>();
  if (Status status = BpfProgram::load(program, made.get()); !status.ok()) return status;
  *filter = std::move(made);
  return {};
}

}  // namespace

// One at a time: only the ports server's thread opens and closes taps.
Status SwitchEngine::open_tap(const ClientIdentity& client, const std::string& name, const TapWish& wish, int filter, int* fd,
                              uint64_t* bytes) {
  auto tap = std::make_unique<LiveTap>(LiveTap{client, name, wish, nullptr, nullptr});
  if (filter >= 0)
    if (Status status = read_filter(filter, &tap->filter); !status.ok()) return status;
  {
    const std::lock_guard lock(mutex_);
    if (Status status = check_tap(client, name, wish); !status.ok()) return status;
  }
  // Tens of milliseconds for the largest: nobody waits for the mutex meanwhile.
  if (Status status = TapMemory::create(static_cast<uint32_t>(workers_.size()), wish.ring_bytes, &tap->memory); !status.ok())
    return status;
  const std::lock_guard lock(mutex_);
  if (Status status = check_tap(client, name, wish); !status.ok()) return status;
  *fd = tap->memory->file().lend(O_RDONLY);
  if (*fd < 0) return {Code::kResource, std::string("no descriptor for a tap (") + std::strerror(errno) + ")"};
  for (const auto& [port, attached] : ports_) tap->memory->add_name(attached.port->id, port);
  *bytes = tap->memory->size_bytes();
  taps_.push_back(std::move(tap));
  change_taps();
  return {};
}

Status SwitchEngine::check_tap(const ClientIdentity& client, const std::string& name, const TapWish& wish) {
  if (drained_) return {Code::kPort, "the switch is shutting down"};
  std::erase_if(kept_taps_, [](const KeptTap& kept) { return !kept.memory->file().held(); });
  const auto keeps = [&](const KeptTap& kept) { return kept.uid == client.uid; };
  const auto has = [&](const auto& tap) { return tap->client.uid == client.uid; };
  const auto theirs = static_cast<size_t>(std::count_if(taps_.begin(), taps_.end(), has) +
                                          std::count_if(kept_taps_.begin(), kept_taps_.end(), keeps));
  const std::string kept = kept_taps_.empty() ? "" : " (" + std::to_string(kept_taps_.size()) + " closed, their memory kept by clients)";
  if (taps_.size() + kept_taps_.size() >= kTapsMax)
    return {Code::kResource, "no room for another tap: " + std::to_string(kTapsMax) + " are open" + kept + "; close one"};
  if (const uint32_t share = user_share(client.uid, kTapsMax); theirs >= share)
    return {Code::kResource, "user " + std::to_string(client.uid) + " has its share of taps, " + std::to_string(share) + " of " +
                                 std::to_string(kTapsMax) + kept + ": close one"};
  if ((wish.flags & (kIn | kOut)) == 0 || (wish.flags & ~(kIn | kOut | kDropped)) != 0 || wish.reserved != 0)
    return {Code::kUsage, "a tap looks at what comes in, what goes out, or both"};
  const auto watched = [&](const auto& port) { return watches(name, port.first); };
  if (name == kAnyPort || std::any_of(ports_.begin(), ports_.end(), watched) || std::any_of(standing_.begin(), standing_.end(), watched))
    return {};
  std::set<std::string> names;
  for (const auto& [port, attached] : ports_) names.insert(port);
  for (const auto& [port, waiting] : standing_) names.insert(port);
  std::string there;
  for (const std::string& port : names) there += (there.empty() ? ": there are " : ", ") + port;
  if (there.size() > 160) there = there.substr(0, there.rfind(',', 160)) + " and others";
  return {Code::kPort, "no such port" + (there.empty() ? std::string(", and no other") : there)};
}

void SwitchEngine::close_tap(uint64_t session) {
  std::unique_ptr<LiveTap> gone;  // and its memory with it: after the mutex
  const std::lock_guard lock(mutex_);
  const auto tap = std::find_if(taps_.begin(), taps_.end(), [session](const auto& each) { return each->client.session == session; });
  if (tap == taps_.end()) return;
  // Its memory stays until no thread knows of it.
  gone = std::move(*tap);
  taps_.erase(tap);
  change_taps();
  gone->memory->unmap();
  if (gone->memory->file().held()) kept_taps_.push_back({gone->client.uid, std::move(gone->memory)});
}

std::unique_ptr<TapSet> SwitchEngine::tap_set_of(uint32_t thread) const {
  auto set = std::make_unique<TapSet>();
  for (const auto& tap : taps_) {
    const uint16_t bit = static_cast<uint16_t>(1u << set->count);
    const uint32_t flags = tap->wish.flags;
    const bool lost_out = (flags & kOut) && (flags & kDropped);
    set->taps[set->count++] = {&tap->memory->ring(thread), tap->filter.get(), tap->wish.snaplen, (flags & kDropped) != 0};
    for (const auto& [name, attached] : ports_) {
      if (!watches(tap->port, name)) continue;
      if (lost_out) set->lost_out |= bit, set->lost[attached.number] |= bit;
      if (attached.number >> 8 != thread) continue;
      if (flags & kIn) set->in[attached.number & 0xff] |= bit;
      if (flags & kOut) set->out[attached.number & 0xff] |= bit;
    }
  }
  return set;
}

void SwitchEngine::change_taps() {
  std::vector<std::unique_ptr<TapSet>> sets;
  for (uint32_t w = 0; w < workers_.size(); w++) {
    if (!taps_.empty()) sets.push_back(tap_set_of(w));
    const TapSet* set = taps_.empty() ? nullptr : sets.back().get();
    workers_[w]->call([&, w] { workers_[w]->set_taps(set); });
  }
  tap_sets_ = std::move(sets);
}

}  // namespace paste
