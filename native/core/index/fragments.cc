#include "core/index/fragments.h"

#include <algorithm>
#include <cstring>

#include "core/index/mix.h"

namespace paste::index {
namespace {

uint64_t window_end(uint64_t time_ns) {
  return time_ns > ~0ull - kFragmentWindow_ns ? ~0ull : time_ns + kFragmentWindow_ns;
}

}  // namespace

Fragments::Fragments(uint64_t seed) : seed_(seed) {}

void Fragments::forget(uint64_t time_ns) {
  unsure_until_ = std::max(unsure_until_, window_end(time_ns));
  sets_.clear();
}

// IPv4: addresses, protocol, id (RFC 791). IPv6: addresses, id (RFC 8200).
Fragments::Key Fragments::key_of(uint32_t stream, const uint8_t* frame, const NetworkLayer& layer) const {
  uint8_t bytes[48] = {};
  std::memcpy(bytes, &stream, 4);
  std::memcpy(bytes + 4, &layer.fragment_id, 4);
  bytes[8] = layer.version;
  bytes[9] = layer.version == 4 ? layer.protocols[0] : 0;
  std::memcpy(bytes + 16, frame + layer.source, layer.address_bytes);
  std::memcpy(bytes + 32, frame + layer.destination, layer.address_bytes);
  return {hash_bytes(seed_, bytes, sizeof bytes), hash_bytes(~seed_, bytes, sizeof bytes)};
}

void Fragments::put(uint32_t stream, const uint8_t* frame, const NetworkLayer& layer, uint64_t time_ns) {
  if (sets_.empty()) sets_.resize(kSets);
  const Key key = key_of(stream, frame, layer);
  const Ports ports{layer.port_source, layer.port_destination};
  const bool whole = layer.has_source_port && layer.has_destination_port;
  Set& set = sets_[key.a % kSets];
  Entry* place = nullptr;
  for (Entry& entry : set.entries)
    if (entry.used && entry.key == key) place = &entry;
  if (place != nullptr) {
    if (place->ports.source != ports.source || place->ports.destination != ports.destination)
      place->unsure_until = std::max(place->unsure_until, window_end(place->time_ns));
    if (!whole) place->unsure_until = std::max(place->unsure_until, window_end(time_ns));
    place->time_ns = time_ns;
    place->ports = ports;
    return;
  }
  for (Entry& entry : set.entries)
    if (place == nullptr || !entry.used || (place->used && entry.time_ns < place->time_ns)) place = &entry;
  if (place->used) set.unsure_until = std::max({set.unsure_until, place->unsure_until, window_end(place->time_ns)});
  *place = Entry{key, time_ns, whole ? 0 : window_end(time_ns), ports, true};
}

bool Fragments::find(uint32_t stream, const uint8_t* frame, const NetworkLayer& layer, uint64_t time_ns,
                     Ports* ports) const {
  if (sets_.empty()) return false;
  const Key key = key_of(stream, frame, layer);
  const Set& set = sets_[key.a % kSets];
  if (std::max(set.unsure_until, unsure_until_) >= time_ns) return false;
  for (const Entry& entry : set.entries) {
    if (!entry.used || !(entry.key == key)) continue;
    *ports = entry.ports;
    return entry.time_ns <= time_ns && time_ns - entry.time_ns <= kFragmentWindow_ns && entry.unsure_until < time_ns;
  }
  return false;
}

}  // namespace paste::index
