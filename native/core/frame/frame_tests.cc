#include "core/frame/frame_tests.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/frame/wire.h"

namespace paste {
namespace {

using namespace wire;

// First fragments that are remembered of a lane, a power of two; 80 bytes each.
constexpr uint32_t kFragments = 4096;

constexpr uint16_t kVxlan = 4789, kVxlanOfLinux = 8472, kGeneve = 6081;

bool is_address(const FrameTest& test, const uint8_t* address) {
  for (uint32_t i = 0; i < test.address_bytes; ++i)
    if ((address[i] & test.mask[i]) != test.address[i]) return false;
  return true;
}

bool directed(FrameTest::Direction direction, bool source, bool destination) {
  switch (direction) {
    case FrameTest::Direction::kSource:
      return source;
    case FrameTest::Direction::kDestination:
      return destination;
    case FrameTest::Direction::kBoth:
      return source && destination;
    default:
      return source || destination;
  }
}

}  // namespace

void FrameTests::start(std::vector<FrameTest> tests, uint64_t from_ns, uint64_t to_ns) {
  from_ns_ = from_ns;
  to_ns_ = to_ns;
  tests_.clear();
  fragments_.clear();
  follows_fragments_ = false;
  for (FrameTest& test : tests) {
    Test each;
    const bool searches = test.of == FrameTest::Of::kBytes || test.of == FrameTest::Of::kRegex;
    if (searches) each.bytes = std::make_unique<FindBytes>(std::move(test.bytes));
    if (test.of == FrameTest::Of::kRegex) each.regex = std::make_unique<RegexSearch>(test.regex);
    follows_fragments_ |= test.of == FrameTest::Of::kPort;
    each.test = std::move(test);
    tests_.push_back(std::move(each));
  }
}

void FrameTests::set(const uint8_t* frame, uint32_t length, uint64_t time_ns, uint32_t lane) {
  frame_ = frame;
  length_ = length;
  time_ns_ = time_ns;
  lane_ = lane;
  dissected_ = false;
  for (Test& each : tests_) each.known = kUnknown;
  // Whatever the program asks: the fragments behind this one may come to another word.
  if (follows_fragments_ && time_ns >= from_ns_ && time_ns < to_ns_ && !plainly_whole()) keep_first_fragments();
}

bool FrameTests::holds(size_t test) {
  Test& each = tests_[test];
  if (each.known != kUnknown) return each.known == kYes;
  bool holds = false;
  switch (each.test.of) {
    case FrameTest::Of::kHost:
      holds = has_host(each.test);
      break;
    case FrameTest::Of::kPort:
      holds = has_port(each.test);
      break;
    case FrameTest::Of::kProtocol:
      holds = has_protocol(each.test);
      break;
    case FrameTest::Of::kBytes:
      holds = each.bytes->in(frame_ + payload(), length_ - payload());
      break;
    case FrameTest::Of::kRegex:
      holds = each.bytes->in(frame_ + payload(), length_ - payload()) && each.regex->in(frame_ + payload(), length_ - payload());
      break;
  }
  each.known = holds ? kYes : kNo;
  return holds;
}

const Dissection& FrameTests::dissection() {
  if (!dissected_) dissect(frame_, length_, true, &dissection_);
  dissected_ = true;
  return dissection_;
}

// Behind the innermost header that is understood; of a frame without one, behind its type.
uint32_t FrameTests::payload() {
  const Dissection& d = dissection();
  uint32_t at = 0;
  if (d.link_count > 0) {
    at = d.links[d.link_count - 1] + 12;
    for (uint32_t tags = 0; tags < kTagsMax && at + 6 <= length_; ++tags, at += 4) {
      if (!is_tag_ever(big16(frame_ + at))) break;
    }
    at += 2;
  }
  if (d.layer_count > 0) at = std::max(at, d.layers[d.layer_count - 1].payload);
  return std::min(at, length_);
}

bool FrameTests::has_host(const FrameTest& test) {
  const Dissection& d = dissection();
  for (uint32_t i = 0; i < d.layer_count; ++i) {
    const NetworkLayer& layer = d.layers[i];
    if (layer.address_bytes == test.address_bytes &&
        directed(test.direction, is_address(test, frame_ + layer.source), is_address(test, frame_ + layer.destination)))
      return true;
  }
  return false;
}

bool FrameTests::has_port(const FrameTest& test) {
  const Dissection& d = dissection();
  const auto in = [&test](bool has, uint16_t port) { return has && port >= test.first && port <= test.last; };
  for (uint32_t i = 0; i < d.layer_count; ++i) {
    const NetworkLayer& layer = d.layers[i];
    Ports ports;
    if ((test.protocol == 0 || (layer.protocol_count > 0 && layer.protocol == test.protocol)) && ports_of(layer, &ports) &&
        directed(test.direction, in(ports.has_source, ports.source), in(ports.has_destination, ports.destination)))
      return true;
  }
  return false;
}

bool FrameTests::has_protocol(const FrameTest& test) {
  const Dissection& d = dissection();
  for (uint32_t i = 0; i < d.layer_count; ++i)
    for (uint32_t j = 0; j < d.layers[i].protocol_count; ++j)
      if (d.layers[i].protocols[j] == test.first) return true;
  return false;
}

bool FrameTests::ports_of(const NetworkLayer& layer, Ports* ports) {
  if (!layer.later) {
    *ports = {layer.port_source, layer.port_destination, layer.has_source_port, layer.has_destination_port};
    return layer.has_source_port || layer.has_destination_port;
  }
  if (lane_ >= fragments_.size() || fragments_[lane_].empty()) return false;
  Fragment key;
  const Fragment* const first = place_of(layer, &key);
  if (!first->used || first->id != key.id || first->protocol != key.protocol || first->address_bytes != key.address_bytes ||
      std::memcmp(first->addresses, key.addresses, 2u * key.address_bytes) != 0)
    return false;
  if (time_ns_ > first->time_ns && time_ns_ - first->time_ns > kFragmentWindow_ns) return false;
  *ports = {first->port_source, first->port_destination, true, true};
  return true;
}

// The usual frame, told without taking it apart: neither a fragment nor anything that could hold one.
bool FrameTests::plainly_whole() const {
  if (length_ < 34) return false;
  if (big16(frame_ + 12) == kArp) return true;
  if (big16(frame_ + 12) != kIpv4 || frame_[14] != 0x45 || (big16(frame_ + 20) & 0x3fff) != 0) return false;
  const uint8_t protocol = frame_[23];
  if (protocol == kTcp || protocol == kIcmp) return true;
  if (protocol != kUdp || length_ < 38) return false;
  const uint32_t to = big16(frame_ + 36);
  return to != kVxlan && to != kVxlanOfLinux && to != kGeneve;
}

void FrameTests::keep_first_fragments() {
  const Dissection& d = dissection();
  for (uint32_t i = 0; i < d.layer_count; ++i) {
    const NetworkLayer& layer = d.layers[i];
    if (!layer.fragment || layer.later || !layer.has_source_port || !layer.has_destination_port) continue;
    bool wanted = false;
    for (const Test& each : tests_) {
      const auto in = [&each](uint16_t port) { return port >= each.test.first && port <= each.test.last; };
      wanted |= each.test.of == FrameTest::Of::kPort && (in(layer.port_source) || in(layer.port_destination));
    }
    if (!wanted) continue;
    if (lane_ >= fragments_.size()) fragments_.resize(lane_ + 1);
    if (fragments_[lane_].empty()) fragments_[lane_].resize(kFragments);
    Fragment fragment;
    Fragment* const place = place_of(layer, &fragment);
    fragment.used = true;
    fragment.port_source = layer.port_source;
    fragment.port_destination = layer.port_destination;
    fragment.time_ns = time_ns_;
    *place = fragment;
  }
}

// IPv4: addresses, protocol, id (RFC 791). IPv6: addresses, id (RFC 8200).
FrameTests::Fragment* FrameTests::place_of(const NetworkLayer& layer, Fragment* key) {
  key->protocol = layer.version == 4 ? layer.protocols[0] : 0;
  key->address_bytes = layer.address_bytes;
  key->id = layer.fragment_id;
  std::memset(key->addresses, 0, sizeof key->addresses);
  std::memcpy(key->addresses, frame_ + layer.source, layer.address_bytes);
  std::memcpy(key->addresses + layer.address_bytes, frame_ + layer.destination, layer.address_bytes);
  uint64_t hash = (uint64_t{key->id} << 8 | key->protocol) * 0x9e3779b97f4a7c15;
  for (uint32_t i = 0; i < sizeof key->addresses; i += 8) {
    uint64_t word;
    std::memcpy(&word, key->addresses + i, sizeof word);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  return &fragments_[lane_][hash % kFragments];
}

}  // namespace paste
