#include "core/search/regex.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>

namespace paste {
namespace {

constexpr uint32_t kSetBytes = 32;

bool holds(const uint8_t* set, uint32_t byte) { return (set[byte / 8] >> (byte % 8) & 1) != 0; }

Status refuse(const std::string& what) { return Status(Code::kUsage, "regular expression's program: " + what); }

}  // namespace

Status RegexProgram::load(std::span<const uint8_t> bytes, std::shared_ptr<const RegexProgram>* program) {
  uint32_t sets = 0;
  if (bytes.size() < sizeof sets) return refuse("it is cut off");
  std::memcpy(&sets, bytes.data(), sizeof sets);
  bytes = bytes.subspan(sizeof sets);
  if (sets > kRegexInstructionsMax || bytes.size() < size_t{sets} * kSetBytes) return refuse("it is cut off");
  auto loaded = std::make_shared<RegexProgram>();
  loaded->sets_.assign(bytes.begin(), bytes.begin() + sets * kSetBytes);
  bytes = bytes.subspan(size_t{sets} * kSetBytes);
  const size_t count = bytes.size() / sizeof(RegexInstruction);
  if (count == 0 || count > kRegexInstructionsMax || bytes.size() % sizeof(RegexInstruction) != 0)
    return refuse("it has no instruction, too many, or part of one");
  loaded->code_.resize(count);
  std::memcpy(loaded->code_.data(), bytes.data(), bytes.size());
  for (size_t i = 0; i < count; ++i) {
    const RegexInstruction& each = loaded->code_[i];
    const bool goes_on = each.op == RegexInstruction::kSet || each.op == RegexInstruction::kBegin || each.op == RegexInstruction::kEnd;
    if (each.op > RegexInstruction::kEnd) return refuse("an unknown instruction");
    if (goes_on && i + 1 == count) return refuse("it runs past its end");
    if (each.op == RegexInstruction::kSet && each.x >= sets) return refuse("a set that is not there");
    if ((each.op == RegexInstruction::kSplit || each.op == RegexInstruction::kJump) && each.x >= count) return refuse("a jump past its end");
    if (each.op == RegexInstruction::kSplit && each.y >= count) return refuse("a jump past its end");
  }
  std::map<std::vector<bool>, uint8_t> kinds;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    std::vector<bool> in(sets);
    for (uint32_t set = 0; set < sets; ++set) in[set] = holds(&loaded->sets_[set * kSetBytes], byte);
    const auto [known, added] = kinds.try_emplace(std::move(in), static_cast<uint8_t>(kinds.size()));
    if (added) loaded->byte_of_[known->second] = static_cast<uint8_t>(byte);
    loaded->kind_of_[byte] = known->second;
  }
  loaded->kinds_ = static_cast<uint32_t>(kinds.size());
  *program = std::move(loaded);
  return {};
}

RegexSearch::RegexSearch(std::shared_ptr<const RegexProgram> program) : program_(std::move(program)) {
  seen_.assign(program_->code_.size(), 0);
  find_idle_bytes();
  forget();
}

bool RegexSearch::in(const uint8_t* bytes, uint32_t length) {
  if (length == 0) return matches_nothing();
  if (begin_ == kUnknown) begin_ = begin();
  const uint8_t* const kind_of = program_->kind_of_;
  uint32_t state = begin_;
  for (uint32_t i = 0; i < length; ++i) {
    if (state == idle_) {
      while (i < length && idle_bytes_[bytes[i]]) ++i;
      if (i == length) break;
    }
    const uint8_t kind = kind_of[bytes[i]];
    const uint32_t next = next_[state + kind];
    if (next + 1 > 1) {
      state = next;
      continue;
    }
    if (next == kMatched) return true;
    state = step(state, kind);
    if (state == kMatched) return true;
  }
  return matches_at_end(state);
}

void RegexSearch::forget() {
  next_.assign(program_->kinds_, kMatched);  // state kMatched
  places_.assign(1, nullptr);
  end_.assign(1, 1);
  states_.clear();
  bytes_ = 0;
  begin_ = idle_ = kUnknown;
  ++emptied_;
}

// No bytes: the beginning is the end.
bool RegexSearch::matches_nothing() {
  reached_.clear();
  ++round_;
  return follow(0, true, true);
}

uint32_t RegexSearch::begin() {
  reached_.clear();
  ++round_;
  return state_of_reached(follow(0, true, false));
}

// A search begins anew at each byte, but only the first one is at the beginning.
uint32_t RegexSearch::step(uint32_t state, uint8_t kind) {
  const Places from = *places_[state / program_->kinds_];  // a copy: the cache may be emptied below
  const uint8_t byte = program_->byte_of_[kind];
  reached_.clear();
  ++round_;
  bool matched = false;
  for (const uint16_t place : from) {
    const RegexInstruction& at = program_->code_[place];
    if (at.op == RegexInstruction::kSet && holds(&program_->sets_[at.x * kSetBytes], byte)) matched = follow(place + 1u, false, false) || matched;
  }
  matched = follow(0, false, false) || matched;
  const uint64_t emptied = emptied_;
  const uint32_t next = state_of_reached(matched);
  if (emptied_ == emptied) next_[state + kind] = next;
  return next;
}

// The state between matches comes by itself, by bytes that begin none; it is told by what it waits for.
void RegexSearch::find_idle_bytes() {
  reached_.clear();
  ++round_;
  if (follow(0, false, false)) return;
  std::sort(reached_.begin(), reached_.end());
  idle_places_ = reached_;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    idle_bytes_[byte] = true;
    for (const uint16_t place : idle_places_) {
      const RegexInstruction& at = program_->code_[place];
      if (at.op == RegexInstruction::kSet && holds(&program_->sets_[at.x * kSetBytes], byte)) idle_bytes_[byte] = false;
    }
  }
}

bool RegexSearch::matches_at_end(uint32_t state) {
  const uint32_t row = state / program_->kinds_;
  if (end_[row] != 2) return end_[row] == 1;
  bool matched = false;
  reached_.clear();
  ++round_;
  for (const uint16_t place : *places_[row])
    if (program_->code_[place].op == RegexInstruction::kEnd) matched = follow(place + 1u, false, true) || matched;
  end_[row] = matched;
  return matched;
}

bool RegexSearch::follow(uint32_t from, bool at_begin, bool at_end) {
  bool matched = false;
  waiting_.assign(1, static_cast<uint16_t>(from));
  while (!waiting_.empty()) {
    const uint32_t place = waiting_.back();
    waiting_.pop_back();
    if (seen_[place] == round_) continue;
    seen_[place] = round_;
    const RegexInstruction& at = program_->code_[place];
    switch (at.op) {
      case RegexInstruction::kMatch:
        matched = true;
        break;
      case RegexInstruction::kSplit:
        waiting_.push_back(static_cast<uint16_t>(at.y));
        waiting_.push_back(static_cast<uint16_t>(at.x));
        break;
      case RegexInstruction::kJump:
        waiting_.push_back(static_cast<uint16_t>(at.x));
        break;
      case RegexInstruction::kBegin:
        if (at_begin) waiting_.push_back(static_cast<uint16_t>(place + 1));
        break;
      case RegexInstruction::kEnd:
        if (at_end) waiting_.push_back(static_cast<uint16_t>(place + 1));
        else reached_.push_back(static_cast<uint16_t>(place));
        break;
      default:
        reached_.push_back(static_cast<uint16_t>(place));
    }
  }
  return matched;
}

uint32_t RegexSearch::state_of_reached(bool matched) {
  if (matched) return kMatched;
  std::sort(reached_.begin(), reached_.end());
  if (const auto known = states_.find(reached_); known != states_.end()) return known->second;
  const size_t bytes = program_->kinds_ * sizeof(uint32_t) + reached_.size() * sizeof(uint16_t) + 128;
  if (bytes_ + bytes > kCacheBytes) forget();
  const auto state = static_cast<uint32_t>(next_.size());
  const auto added = states_.emplace(reached_, state).first;
  places_.push_back(&added->first);
  next_.resize(next_.size() + program_->kinds_, kUnknown);
  end_.push_back(2);
  bytes_ += bytes;
  if (reached_ == idle_places_) idle_ = state;
  return state;
}

size_t RegexSearch::PlacesHash::operator()(const Places& places) const {
  size_t hash = 0xcbf29ce484222325;
  for (const uint16_t place : places) hash = (hash ^ place) * 0x100000001b3;
  return hash ^ (hash >> 29);
}

}  // namespace paste
