// The rules at work: compiled once, never changed. A change makes a new set, which each forwarding thread takes over between two
// batches; the old one is freed when the last thread has let go of it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/bpf/bpf.h"
#include "core/ports/frame.h"

namespace paste {

struct RuleSpec;

inline constexpr uint32_t kRulesMax = 256;
inline constexpr uint32_t kSwitchPortsMax = 4096;  // of all threads: thread << 8 | index

// A set of ports, by number.
class PortBits {
 public:
  bool has(uint32_t port) const { return (words_[port / 64] >> (port % 64)) & 1; }
  void add(uint32_t port) { words_[port / 64] |= uint64_t{1} << (port % 64); }
  void remove(uint32_t port) { words_[port / 64] &= ~(uint64_t{1} << (port % 64)); }
  // True when both sets have a port in common that is not `without`.
  bool meets(const PortBits& other, uint32_t without) const {
    for (uint32_t i = 0; i < kSwitchPortsMax / 64; i++) {
      uint64_t both = words_[i] & other.words_[i];
      if (i == without / 64) both &= ~(uint64_t{1} << (without % 64));
      if (both != 0) return true;
    }
    return false;
  }

 private:
  uint64_t words_[kSwitchPortsMax / 64] = {};
};

struct Rule {
  uint32_t id = 0;
  std::string name, filter;
  BpfProgram program;
  bool everything = false;             // the program accepts every frame
  bool any_in = true, any_out = true;
  PortBits in, out;
  uint32_t snaplen = ~0u;
  uint32_t sample = 1;
  bool skip = false;
  bool strict = true;
};

struct PortName {
  std::string name;
  uint32_t number;
};

// Where a frame goes, as far as a rule can ask for it.
struct Whereto {
  enum Kind : uint8_t { kNowhere, kOne, kFlood } kind;
  uint32_t port = 0;               // kOne
  const PortBits* flood = nullptr; // kFlood: every port of the switch that takes frames
};

class RuleSet {
 public:
  // Checks and compiles. `take_id` gives a fresh id for each rule. Port names are resolved by resolve().
  static Status compile(std::span<const RuleSpec> specs, bool strict_default, uint32_t version, std::span<const uint32_t> ids,
                        std::unique_ptr<RuleSet>* set);
  // The same rules for another set of ports: names and globs are looked up anew.
  std::unique_ptr<RuleSet> resolve(std::span<const PortName> ports) const;

  // The first rule that matches, or -1. `keep` = bytes of the frame to keep. Safe for any frame of at least 14 bytes.
  int32_t select(const Frame& frame, uint32_t ingress, const Whereto& to, uint32_t* keep) const;
  // True when one rule takes everything from everywhere: select() would always say 0.
  bool everything() const { return everything_; }

  bool empty() const { return rules_.empty(); }
  const std::vector<Rule>& rules() const { return rules_; }
  uint32_t version() const { return version_; }

 private:
  std::vector<Rule> rules_;
  std::vector<std::vector<std::string>> in_names_, out_names_;
  uint32_t version_ = 0;
  bool everything_ = false;
};

// What one thread counts for one rule: written by that thread, read by anyone (relaxed 8-byte loads).
struct RuleTally {
  uint64_t hits = 0, logged = 0, bytes = 0;
  uint64_t turn = 0;  // of the sample
};

}  // namespace paste
