// Copies for live taps (live_tap.h). Both kinds are taken when a batch is delivered, hence when what had to be durable is: what came in
// with its outcome, and each copy that left. Nothing is reserved and nobody is waited for; with no tap open a batch pays one comparison.
#include <algorithm>
#include <bit>

#include "core/switch/tap_set.h"
#include "core/switch/worker.h"

namespace paste {
namespace {

template <class Each>
void each_tap(const TapSet& set, uint32_t bits, Each each) {
  for (; bits != 0; bits &= bits - 1) each(set.taps[std::countr_zero(bits)]);
}

void push(const TapSet::Tap& tap, live_tap::Record record, const Frame& frame, bool withheld) {
  // Of withheld bytes a filter must not tell either.
  if (tap.filter != nullptr && tap.filter->run(frame.bytes, frame.wire_length, withheld ? 0 : frame.length) == 0) return;
  record.length = withheld ? 0 : std::min(frame.length, tap.snaplen);
  record.wire_length = frame.wire_length;
  record.time_ns = frame.time_ns;
  tap.ring->push(record, frame.bytes);
}

}  // namespace

// What a frame became, as account() counts it; a copy that another thread took is one (as in a record, engine's DESIGN "Several threads").
uint8_t Worker::outcome_of(const Pending& pending, uint32_t i) const {
  if (pending.intended[i] > pending.refused[i]) return 0;
  return pending.drop[i] != 0 ? pending.drop[i] : static_cast<uint8_t>(1 + static_cast<uint32_t>(drop_for(pending.why[i])));
}

void Worker::tap_received(const Pending& pending) {
  const TapSet& set = *taps_;
  for (uint32_t r = 0; r < pending.run_count; r++) {
    const Run& run = pending.runs[r];
    const uint32_t listening = set.in[run.port];
    if ((listening | set.lost_out) == 0) continue;
    for (uint32_t i = run.first; i < static_cast<uint32_t>(run.first + run.count); i++) {
      const uint32_t to = pending.destination[i];
      live_tap::Record record = {};
      record.outcome = outcome_of(pending, i);
      record.ingress = slots_[run.port].id;
      record.egress = to == kFlood ? live_tap::kFlooded : to < kSwitchPortsMax ? port_id(to) : 0;
      // Strict, and its record never became durable: that it was there may be told, its bytes stay.
      const bool withheld = pending.undurable && pending.must_wait[i];
      each_tap(set, listening, [&](const TapSet::Tap& tap) {
        if (record.outcome == 0 || tap.dropped) push(tap, record, pending.batch.frames[i], withheld);
      });
      if (record.outcome == 0 || to >= kSwitchPortsMax) continue;
      each_tap(set, set.lost[to] & ~listening, [&](const TapSet::Tap& tap) { push(tap, record, pending.batch.frames[i], withheld); });
    }
  }
  publish_taps();
}

// Copies that have just left by a port of this thread.
void Worker::tap_delivered(const Pending& pending, uint32_t list, std::span<const uint16_t> frames) {
  live_tap::Record record = {};
  record.flags = live_tap::kLeft;
  record.egress = slots_[list].id;
  for (const uint16_t i : frames) {
    const Frame& frame = pending.batch.frames[i];
    record.ingress = port_id(ingress_of(pending, i));
    each_tap(*taps_, taps_->out[list], [&](const TapSet::Tap& tap) { push(tap, record, frame, false); });
  }
}

void Worker::publish_taps() {
  for (uint32_t k = 0; k < taps_->count; k++) taps_->taps[k].ring->publish();
}

}  // namespace paste
