#include "core/store/log_lane.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/base/system_time.h"
#include "core/store/checksums.h"

namespace paste {
namespace {

constexpr uint32_t kLostLines = 2;
constexpr size_t kNameBytesMax = 255;
constexpr size_t kFilterBytesMax = 8192;
// The largest group that must lie in one block: a part, and the descriptions that its block may lack.
static_assert(layout::kPartBytes + kFilterBytesMax + 3 * (kNameBytesMax + 3 * layout::kLine) + 2 * layout::kLine <
              layout::kBlockBytesMin);

// Lines of a frame's first record.
uint32_t first_lines(const FrameRecord& frame) {
  return frame.mark ? 2 : 1 + layout::lines_of(layout::part_bytes(frame.length, 0));
}

}  // namespace

LogLane::LogLane(const LaneSetup& setup)
    : domain_(setup.region->domain()),
      directory_(*setup.directory),
      live_(*setup.live),
      sequence_counter_(*setup.sequence_counter),
      link_(*setup.link),
      bell_(*setup.bell),
      full_(setup.full),
      block_timeout_ms_(setup.block_timeout_ms),
      keeper_grace_ms_(setup.keeper_grace_ms),
      exact_times_(setup.exact_times),
      immediate_(domain_.immediate()),
      block_bytes_(setup.directory->block_bytes()),
      lane_(static_cast<uint32_t>(setup.live - setup.directory->live().lanes)) {
  planned_.offset = written_.offset = block_bytes_;  // no block: full
  deferred_.reserve(16u << 10);
}

bool LogLane::claim_block(Cursor& at) {
  if (at.ordinal + 1 == claimed_end_) {
    if (claimed_end_ - handed_ >= kClaimedMax) return false;
    if (!link_.spares.pop(&claimed(claimed_end_))) return false;
    ++claimed_end_;
    if (link_.spares.size() <= link_.spare_target / 2) bell_.ring();
  }
  at.ordinal += 1;
  at.offset = layout::kLine;  // behind the block's header
  return true;
}

bool LogLane::reserve(Cursor& at, uint32_t lines) {
  if (!fits(at, lines) && !claim_block(at)) return false;
  at.offset += lines * layout::kLine;
  return true;
}

void LogLane::find_needs(const FrameRecord& frame, uint64_t ordinal, Mark mark, Needs& needs) {
  needs.count = needs.lines = 0;
  Description* const wanted[] = {ports_.find(frame.ingress), ports_.find(frame.egress), rules_.find(frame.rule)};
  for (Description* description : wanted) {
    if (description == nullptr || description->*mark == ordinal) continue;
    if (needs.count > 0 && needs.items[0] == description) continue;  // ingress and egress are the same port
    needs.items[needs.count++] = description;
    needs.lines += description->lines();
  }
}

// Must place exactly as append() does: lost record, then descriptions and first record in one block, then further parts. Nearly
// every frame is like the one before it and fits behind it.
PlanResult LogLane::plan(FrameRecord& frame) {
  const uint32_t lines = first_lines(frame);
  if (lost_count_ != 0 || frame.length > layout::kPartBytes || failed() || !fits(planned_, lines) ||
      !described(frame))
    return plan_slowly(frame);
  frame.follows = true;
  planned_.offset += lines * layout::kLine;
  ++outstanding_;
  return PlanResult::kRoom;
}

PlanResult LogLane::plan_slowly(FrameRecord& frame) {
  frame.follows = false;
  PASTE_CHECK(frame.length <= layout::kFrameBytesMax);
  if (failed()) {
    refusal_ = NotLogged::sync_failed;
    return PlanResult::kFull;
  }
  Cursor next = planned_;
  const bool with_lost = lost_count_ != 0 && lost_at_ == ~0u;
  if (with_lost && !reserve(next, kLostLines)) return refuse(frame.time_ns);

  Needs needs;
  find_needs(frame, next.ordinal, &Description::planned, needs);
  if (!fits(next, needs.lines + first_lines(frame))) {
    if (!claim_block(next)) return refuse(frame.time_ns);
    find_needs(frame, next.ordinal, &Description::planned, needs);
  }
  const uint64_t ordinal = next.ordinal;
  next.offset += (needs.lines + first_lines(frame)) * layout::kLine;
  if (!frame.mark)
    for (uint32_t part = 1; part < layout::parts_of(frame.length); ++part)
      if (!reserve(next, 1 + layout::lines_of(layout::part_bytes(frame.length, part)))) return refuse(frame.time_ns);

  for (uint32_t i = 0; i < needs.count; ++i) needs.items[i]->planned = ordinal;
  ports_.recall(frame.ingress, ordinal);
  ports_.recall(frame.egress, ordinal);
  rules_.recall(frame.rule, ordinal);
  planned_ = next;
  if (with_lost) lost_at_ = outstanding_;
  ++outstanding_;
  refused_since_ns_ = 0;
  return PlanResult::kRoom;
}

// No room now. A keeper that is only late is waited for: refusing at once would lose records that the store has room for.
PlanResult LogLane::refuse(uint64_t time_ns) {
  bell_.ring();
  const uint64_t now = monotonic_ns();
  if (refused_since_ns_ == 0) refused_since_ns_ = now;
  const bool exhausted = link_.exhausted.load(std::memory_order_acquire);
  const bool blocking = full_ == FullPolicy::kBlock;
  const uint32_t patience_ms = blocking ? block_timeout_ms_ : exhausted ? 0 : keeper_grace_ms_;
  if (now - refused_since_ns_ < uint64_t{patience_ms} * 1'000'000) return PlanResult::kBlock;
  refusal_ = blocking ? NotLogged::block_timeout : NotLogged::store_full;
  count_lost(time_ns, refusal_);
  return PlanResult::kFull;
}

void LogLane::count_lost(uint64_t time_ns, NotLogged reason) {
  if (lost_count_++ == 0) lost_time_ns_ = time_ns;  // of the first: never later than the record that follows the loss
  lost_reason_ = reason;
}

// The watermark stands before the numbers are taken: a reader that sees a later next_sequence sees the watermark, too.
uint64_t LogLane::take_sequences(uint64_t count) {
  if (!under_way_) {
    const uint64_t bound = __atomic_load_n(&sequence_counter_, __ATOMIC_SEQ_CST);
    if (immediate_)
      domain_.store64(&live_.watermark, bound);
    else
      link_.watermark.store(bound, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    under_way_ = true;
  }
  const uint64_t first = __atomic_fetch_add(&sequence_counter_, count, __ATOMIC_SEQ_CST);
  ticket_ = first + count - 1;
  return first;
}

uint64_t LogLane::commit() {
  if (!under_way_) return ticket_;
  under_way_ = false;
  ++commits_;
  link_.medium_bytes.store(medium_bytes_, std::memory_order_relaxed);
  link_.frame_bytes.store(frame_bytes_, std::memory_order_relaxed);
  link_.commits.store(commits_, std::memory_order_relaxed);
  if (immediate_) {
    domain_.fence();
    publish_live();
    hand_over();
    return ticket_;
  }
  hand_over();
  link_.position.store(uint64_t{claimed(written_.ordinal).index} << 32 | written_.offset, std::memory_order_release);
  link_.appended.store(ticket_, std::memory_order_release);
  link_.watermark.store(layout::kIdle, std::memory_order_release);
  bell_.ring();
  return ticket_;
}

// Behind the fence: everything that the tail covers is durable. While the block changes there is no tail, so that no reader
// pairs one block's tail with the other's serial.
void LogLane::publish_live() {
  if (published_ordinal_ != written_.ordinal) {
    domain_.store64(&live_.tail, uint64_t{layout::kNoBlock} << 32);
    domain_.store64(&live_.serial, serial_);
    published_ordinal_ = written_.ordinal;
  }
  domain_.store64(&live_.tail, uint64_t{claimed(written_.ordinal).index} << 32 | written_.offset);
  domain_.store64(&live_.durable_sequence, ticket_);
  domain_.store64(&live_.watermark, layout::kIdle);
  link_.durable.store(ticket_, std::memory_order_release);
}

void LogLane::hand_over() {
  const uint64_t before = handed_;
  for (; handed_ < written_.ordinal; ++handed_) {
    const SpareBlock& block = claimed(handed_);
    PASTE_CHECK(link_.filled.push({block.index, block.serial, summaries_[handed_ % kClaimedMax]}));
  }
  if (handed_ != before && link_.spares.size() <= link_.spare_target / 2) bell_.ring();
}

void LogLane::finish(std::vector<SpareBlock>* unused) {
  commit();
  if (written_.ordinal >= handed_) {
    summary().end_bytes = written_.offset;
    PASTE_CHECK(link_.filled.push({claimed(written_.ordinal).index, serial_, summary()}));
  }
  for (uint64_t ordinal = std::max(handed_, written_.ordinal + 1); ordinal < claimed_end_; ++ordinal)
    unused->push_back(claimed(ordinal));
  handed_ = claimed_end_;
  written_ = planned_ = {claimed_end_ - 1, block_bytes_};
  if (!immediate_) link_.position.store(uint64_t{layout::kNoBlock} << 32, std::memory_order_release);
}

void LogLane::describe_port(uint32_t id, uint32_t epoch, layout::PortKind kind, std::string_view name) {
  name = name.substr(0, kNameBytesMax);
  const layout::PortPayload fixed{id, epoch, kind, layout::kDescribed, 0};
  Description description{id, 0, layout::kPort, 0, 0, 0, {}, static_cast<uint32_t>(sizeof fixed + name.size())};
  description.payload.resize(layout::lines_of(description.payload_bytes) * layout::kLine);
  std::memcpy(description.payload.data(), &fixed, sizeof fixed);
  std::memcpy(description.payload.data() + sizeof fixed, name.data(), name.size());
  description.payload_crc = crc32c(0, description.payload.data(), description.payload_bytes);
  ports_.put(std::move(description));
}

void LogLane::forget_port(uint32_t id) {
  PASTE_CHECK(outstanding_ == 0);
  ports_.remove_if([id](const Description& port) { return port.id == id; });
}

void LogLane::describe_rule(uint32_t id, uint32_t rule_set, std::string_view name, std::string_view filter) {
  name = name.substr(0, kNameBytesMax);
  filter = filter.substr(0, kFilterBytesMax);
  const layout::RulePayload fixed{id, rule_set, static_cast<uint16_t>(name.size()), static_cast<uint16_t>(filter.size())};
  Description description{id, rule_set, layout::kRule, 0, 0, 0, {},
                          static_cast<uint32_t>(sizeof fixed + name.size() + filter.size())};
  description.payload.resize(layout::lines_of(description.payload_bytes) * layout::kLine);
  std::memcpy(description.payload.data(), &fixed, sizeof fixed);
  std::memcpy(description.payload.data() + sizeof fixed, name.data(), name.size());
  std::memcpy(description.payload.data() + sizeof fixed + name.size(), filter.data(), filter.size());
  description.payload_crc = crc32c(0, description.payload.data(), description.payload_bytes);
  rules_.put(std::move(description));
}

void LogLane::forget_rules_before(uint32_t rule_set) {
  PASTE_CHECK(outstanding_ == 0);
  rules_.remove_if([rule_set](const Description& rule) { return rule.rule_set < rule_set; });
}

}  // namespace paste
