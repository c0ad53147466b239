// The ports of datagrams whose later fragments are still to come. Bounded: what it forgets too early it knows to be unsure of.
#pragma once

#include <cstdint>
#include <vector>

#include "core/frame/dissect.h"

namespace paste::index {

class Fragments {
 public:
  struct Ports {
    uint16_t source, destination;
  };
  explicit Fragments(uint64_t seed);

  // Frames up to this time were left out: among them may be first fragments that nothing is known of.
  void forget(uint64_t time_ns);

  // A first fragment; one without both ports makes its later ones unsure. `stream`: of which order it is, a lane.
  void put(uint32_t stream, const uint8_t* frame, const NetworkLayer& layer, uint64_t time_ns);
  // The ports of a later fragment; false unless every first fragment that it may belong to (of the same stream, before it, within
  // kFragmentWindow_ns) had the same ones, and there was one.
  bool find(uint32_t stream, const uint8_t* frame, const NetworkLayer& layer, uint64_t time_ns, Ports* ports) const;

 private:
  struct Key {
    uint64_t a, b;
    bool operator==(const Key&) const = default;
  };
  struct Entry {
    Key key{};
    uint64_t time_ns = 0;        // of the newest first fragment; 0 and no key = free
    uint64_t unsure_until = 0;   // another one with other ports may still count until then
    Ports ports{};
    bool used = false;
  };
  static constexpr uint32_t kWays = 4, kSets = 4096;
  struct Set {
    Entry entries[kWays];
    uint64_t unsure_until = 0;   // something was forgotten that may still count until then
  };
  Key key_of(uint32_t stream, const uint8_t* frame, const NetworkLayer& layer) const;

  const uint64_t seed_;
  uint64_t unsure_until_ = 0;    // of all
  std::vector<Set> sets_;        // made with the first fragment
};

}  // namespace paste::index
