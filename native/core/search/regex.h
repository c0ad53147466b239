// Regular expressions over bytes, without going back: whether a match occurs, in time linear in the bytes searched. The compiler
// (logger/filter/regex.ts) makes the program, a nondeterministic automaton; searching builds the deterministic one state by state
// as the bytes ask for it (Thompson 1968; Aho, Sethi and Ullman, section 3.7), in memory that is bounded: when it is full, it is
// emptied and begun anew.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/base/status.h"

namespace paste {

inline constexpr uint32_t kRegexInstructionsMax = 2048;

struct RegexInstruction {  // little-endian
  enum Op : uint32_t {
    kMatch,
    kSet,    // a byte of set x, then the next instruction
    kSplit,  // on to x and to y
    kJump,   // on to x
    kBegin,  // at the beginning only, then the next instruction
    kEnd,    // at the end only, then the next instruction
  };
  uint32_t op, x, y;
};
static_assert(sizeof(RegexInstruction) == 12);

// Checked, and never changed: any number of searches may share one.
class RegexProgram {
 public:
  // u32 sets, then each as 256 bits (byte b: bit b % 8 of byte b / 8), then the instructions, the first of which begins. kUsage
  // for what could run wrong.
  static Status load(std::span<const uint8_t> bytes, std::shared_ptr<const RegexProgram>* program);

 private:
  friend class RegexSearch;
  std::vector<RegexInstruction> code_;
  std::vector<uint8_t> sets_;         // 32 bytes each
  uint8_t kind_of_[256] = {};         // bytes that no set tells apart are of one kind
  uint8_t byte_of_[256] = {};         // some byte of a kind
  uint32_t kinds_ = 0;                // 1 to 256
};

// One thread's search.
class RegexSearch {
 public:
  explicit RegexSearch(std::shared_ptr<const RegexProgram> program);
  bool in(const uint8_t* bytes, uint32_t length);

 private:
  // A state is known by the place of its row in next_.
  static constexpr uint32_t kMatched = 0;         // the state in which a match was found: nothing can take it back
  static constexpr uint32_t kUnknown = UINT32_MAX;
  static constexpr size_t kCacheBytes = 1u << 20;  // of states kept, at most; and one more

  // Instructions of kSet and kEnd that a state waits at, sorted.
  using Places = std::vector<uint16_t>;
  struct PlacesHash {
    size_t operator()(const Places& places) const;
  };

  void forget();
  uint32_t begin();
  uint32_t step(uint32_t state, uint8_t kind);
  bool matches_at_end(uint32_t state);
  bool matches_nothing();
  void find_idle_bytes();
  // Adds what is reached from `from` without a byte; true when that is a match.
  bool follow(uint32_t from, bool at_begin, bool at_end);
  uint32_t state_of_reached(bool matched);

  std::shared_ptr<const RegexProgram> program_;
  std::vector<uint32_t> next_;         // rows, each by kind
  std::vector<const Places*> places_;  // by number of the row
  std::vector<uint8_t> end_;           // by number of the row: whether the end matches there; 2 = not yet known
  std::unordered_map<Places, uint32_t, PlacesHash> states_;
  size_t bytes_ = 0;
  uint32_t begin_ = kUnknown;
  uint32_t idle_ = kUnknown;           // nothing of a match has been seen
  bool idle_bytes_[256] = {};          // those that leave it so: they are passed over at a glance
  uint64_t emptied_ = 0;               // how often

  Places reached_, waiting_, idle_places_;
  std::vector<uint64_t> seen_;  // by instruction: the round in which it was reached
  uint64_t round_ = 0;
};

}  // namespace paste
