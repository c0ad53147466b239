#include "core/replay/audit.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/frame/wire.h"

namespace paste {
namespace {

constexpr uint32_t kRunMax = kBatchFrames;
constexpr uint32_t kTagged = kEthernetHeaderBytes + kVlanTagBytes;
constexpr uint64_t kTickNs = kMacTickMs * 1'000'000ull;
constexpr uint32_t kAgeingTicks = 15;  // a tick's phase, and how much later the sweep logs an address than it dies

bool is(uint8_t outcome, Drop drop) { return outcome == 1 + static_cast<uint8_t>(drop); }

// Dropped behind the decision where it goes.
bool is_load(uint8_t outcome) {
  return is(outcome, Drop::destination_full) || is(outcome, Drop::destination_gone) || is(outcome, Drop::destination_oversize) ||
         is(outcome, Drop::destination_bad_slot) || is(outcome, Drop::crossing_full) || is(outcome, Drop::not_durable) ||
         is(outcome, Drop::destination_down);
}

// What the learning table said, as the record shows it.
uint32_t answer_of(const layout::RecordHeader& record) {
  if (record.egress != 0) return record.egress;
  if (is(record.outcome, Drop::hairpin)) return record.ingress;
  if (is(record.outcome, Drop::vlan_egress)) return Decision::kSomewhere;
  return Decision::kUnknown;
}

// The record says what the copy does, as far as reserving is no part of it.
bool agrees(const layout::RecordHeader& record, const Decision& decision) {
  if (record.outcome != 0 && !is_load(record.outcome)) return decision.drop == record.outcome;
  if (decision.drop != 0) return false;
  if (record.flags & layout::kFlooded)
    return decision.flooded && decision.copies == record.copies_reserved + record.copies_refused;
  return !decision.flooded && decision.answer == record.egress;
}

}  // namespace

Audit::Audit(ShadowOptions recorded, std::unique_ptr<ShadowOptions> other, size_t findings_max)
    : recorded_(std::move(recorded)),
      other_(other ? std::make_unique<ShadowSwitch>(std::move(*other)) : nullptr),
      findings_max_(findings_max) {}

Status Audit::feed(const layout::RecordHeader* const* headers, const uint8_t* const* payloads, const uint32_t* lengths,
                   uint32_t first, uint32_t count, uint32_t* stopped) {
  for (uint32_t i = first; i < count; ++i) {
    const layout::RecordHeader& header = *headers[i];
    if (header.type == layout::kFrame) {
      frame(header, payloads[i], lengths[i]);
      continue;
    }
    flush();
    if (Status status = event(header, payloads[i], lengths[i]); !status.ok()) return status;
    if (header.type != layout::kRuleSet) continue;
    *stopped = i;
    return {};
  }
  flush();
  *stopped = count;
  return {};
}

void Audit::clock(uint64_t time_ns) {
  now_ns_ = std::max(now_ns_, time_ns);
  const uint64_t steady = time_ns - static_cast<uint64_t>(stepped_ns_);
  if (first_ns_ == 0 || steady < first_ns_) {
    if (first_ns_ != 0) return;
    first_ns_ = steady;
  }
  const auto tick = static_cast<uint32_t>(1 + (steady - first_ns_) / kTickNs);
  if (tick <= recorded_.tick()) return;
  flush();
  recorded_.set_tick(tick);
  if (other_) other_->set_tick(tick);
  settle(now_ns_ - std::min(now_ns_, 2 * kOrderNs));
}

// --- frames --------------------------------------------------------------------------------------------------------------

void Audit::frame(const layout::RecordHeader& header, const uint8_t* bytes, uint32_t length) {
  ++report_.frames;
  const auto home = homes_.find(header.ingress);
  if (home != homes_.end() && home->second.first == ~0u) return not_judged(Doubt::kImported);  // nor is its time the switch's
  clock(header.time_ns);
  const bool tagged = length >= kEthernetHeaderBytes && wire::is_tag(wire::big16(bytes + 12));
  if (!recorded_.has(header.ingress)) return not_judged(Doubt::kPorts);
  const bool cut = length < header.wire_length && (length < kEthernetHeaderBytes || (tagged && length < kTagged));
  if (cut || length < kEthernetHeaderBytes) return not_judged(Doubt::kCut);
  if (!run_.empty() && (run_[0]->ingress != header.ingress || run_.size() == kRunMax)) flush();
  run_.push_back(&header);
  run_frames_.push_back({bytes, std::min(length, kLiveFrameBytesMax)});
}

void Audit::flush() {
  if (run_.empty()) return;
  const uint32_t ingress = run_[0]->ingress;
  recorded_.forward(ingress, run_frames_, &decisions_);
  if (other_) other_->forward(ingress, run_frames_, &other_decisions_);
  PASTE_CHECK(decisions_.size() == run_.size() && (!other_ || other_decisions_.size() == run_.size()));
  for (size_t i = 0; i < run_.size(); ++i)
    judge(*run_[i], run_frames_[i], decisions_[i], other_ ? &other_decisions_[i] : nullptr);
  run_.clear();
  run_frames_.clear();
}

void Audit::judge(const layout::RecordHeader& header, const ShadowFrame& frame, const Decision& decision, const Decision* other) {
  const bool load = is_load(header.outcome) || header.copies_refused != 0;
  if (!agrees(header, decision)) {
    Suspect made = suspect(header, frame, decision);
    if (other != nullptr) return not_judged(Doubt::kBaseline);
    suspects_.push_back(std::move(made));
    if (suspects_.size() > kPendingMax) settle(suspects_.front().finding.record.time_ns);
    return;
  }
  if (other == nullptr) {
    if (load) return not_judged(Doubt::kLoad);
    ++report_.same;
    return;
  }
  const bool same = other->drop == decision.drop && other->flooded == decision.flooded && other->ports == decision.ports;
  if (same) {
    ++report_.same;
    return;
  }
  ++report_.differ;
  const std::string was = decision.flooded ? names(recorded_, decision.ports) : std::string();
  keep({header, *other, names(*other_, other->ports), was});
}

Audit::Suspect Audit::suspect(const layout::RecordHeader& header, const ShadowFrame& frame, const Decision& decision) {
  Suspect made;
  made.finding = {header, decision, names(recorded_, decision.ports), {}};
  const uint64_t key = target_key(header, frame);
  made.key = history_key(key, header.ingress);
  made.recorded = answer_of(header);
  const uint32_t tick = recorded_.tick();
  const uint32_t sooner = tick > kAgeingTicks ? tick - kAgeingTicks : 1;
  const uint32_t a = recorded_.lookup(key, header.ingress, sooner), b = recorded_.lookup(key, header.ingress, tick + kAgeingTicks);
  made.ageing = a != b && (made.recorded == a || made.recorded == b);
  const auto found = history_.find(made.key);
  // An entry without changes is what an earlier frame made the copy take for granted, perhaps one of this run, which was decided as a whole.
  const bool told = found != history_.end() && !found->second.changes.empty();
  const bool seen = told || decision.answer != Decision::kUnknown;
  made.unknown_before = !tables_known_ && !seen && made.recorded != Decision::kUnknown;
  made.ports_known = ports_known_;
  made.lost = lost_ || now_ns_ < lost_until_ns_;
  // From now on the copies know what the switch knew.
  if (made.unknown_before && made.recorded != Decision::kSomewhere) {
    recorded_.learn(key, made.recorded);
    history_[made.key].answer = made.recorded;
    uint64_t other_key = key;
    if (other_ && other_address(made.recorded, &other_key)) other_->learn(other_key, made.recorded);
  }
  return made;
}

// Decides about those received up to then: whatever the log says of their time has been read.
void Audit::settle(uint64_t until_ns) {
  while (!suspects_.empty() && suspects_.front().finding.record.time_ns <= until_ns) {
    Suspect& suspect = suspects_.front();
    if (const Doubt why = doubt(suspect); why != Doubt::kCount) {
      not_judged(why);
    } else {
      ++report_.differ;
      keep(std::move(suspect.finding));
    }
    suspects_.pop_front();
  }
  while (!port_changes_.empty() && port_changes_.front() + 4 * kOrderNs < until_ns) port_changes_.pop_front();
}

// kCount: none.
Doubt Audit::doubt(const Suspect& suspect) const {
  const layout::RecordHeader& record = suspect.finding.record;
  const auto near = [&](uint64_t time_ns) { return time_ns + kOrderNs >= record.time_ns && time_ns <= record.time_ns + kOrderNs; };
  const uint32_t would = suspect.finding.would.answer;
  if (would == suspect.recorded || would == Decision::kSomewhere || suspect.recorded == Decision::kSomewhere) {
    const bool floods = (record.flags & layout::kFlooded) && suspect.finding.would.flooded;
    if (!floods) return Doubt::kCount;
    if (!suspect.ports_known) return Doubt::kPorts;
    // A thread that had heard of a port, or not yet: as many copies more or less as ports came or went.
    const auto changed = std::count_if(port_changes_.begin(), port_changes_.end(), [&](uint64_t time_ns) {
      return time_ns + kPortsNs >= record.time_ns && time_ns <= record.time_ns + kPortsNs;
    });
    const int was = record.copies_reserved + record.copies_refused, is = suspect.finding.would.copies;
    return was != is && std::abs(was - is) <= changed ? Doubt::kPorts : Doubt::kCount;
  }
  if (suspect.unknown_before) return Doubt::kBefore;
  if (suspect.ageing) return Doubt::kAgeing;
  if (const auto found = history_.find(suspect.key); found != history_.end())
    for (const Change& change : found->second.changes) {
      if (!near(change.time_ns) && !(change.aged && change.time_ns > record.time_ns && change.time_ns - record.time_ns < 2 * kOrderNs))
        continue;
      if (change.before == suspect.recorded || change.after == suspect.recorded || change.before == Decision::kSomewhere)
        return change.aged ? Doubt::kAgeing : Doubt::kOrder;
    }
  return suspect.lost ? Doubt::kLost : Doubt::kCount;
}

void Audit::keep(Finding finding) {
  if (findings_.size() < findings_max_) findings_.push_back(std::move(finding));
}

void Audit::finish() {
  flush();
  settle(~0ull);
}

std::string Audit::names(const ShadowSwitch& shadow, const PortSet& ports) {
  std::string text;
  for (uint32_t word = 0; word < ports.size(); ++word)
    for (uint64_t bits = ports[word]; bits != 0; bits &= bits - 1)
      text += (text.empty() ? "" : " ") + shadow.name_at(word * 64 + static_cast<uint32_t>(__builtin_ctzll(bits)));
  return text;
}

// The target as the learning table knows it, by the configuration that was logged with.
uint64_t Audit::target_key(const layout::RecordHeader& header, const ShadowFrame& frame) const {
  const auto home = homes_.find(header.ingress);
  const VlanConfig& vlan = recorded_.options_of(home == homes_.end() ? "" : home->second.second).vlan;
  Frame admitted;
  admitted.bytes = frame.bytes;
  admitted.length = frame.length;
  uint16_t fid = 0;
  if (vlan.aware()) {
    admit_frame(vlan, admitted);
    fid = admitted.vlan;
  } else if (wire::is_tag(wire::big16(frame.bytes + 12)) && frame.length >= 16) {
    fid = wire::big16(frame.bytes + 14) & 0xfff;
  }
  return mac_key(frame.bytes, fid);
}

}  // namespace paste
