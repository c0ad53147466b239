// What was logged, once more through the switch: whether it did with each frame what its record says (audit), or what a switch with
// another configuration would have done (what-if).
//
// The copy learns from the frames as the switch did, and is corrected by what the log says of the learning table: addresses that frames
// without a record taught, that grew old, were set or removed. Where both disagree with a record, the record is only held against
// the switch when the log leaves no doubt. These are doubts, each counted as not judged:
//
// - load: the frame was refused where it should go (a full ring, a port that was down or went, a frame too long for it). Where it should go is judged.
// - order: what the record says was true of the address within kOrderNs. Threads take their numbers after they looked an address up, and a
//   batch's changes of the table are logged behind its frames.
// - ageing: the address was about to grow old, or had just done so; the switch counts in ticks of 100 ms that no record shows.
// - before: the address was learned before the log begins, or while nothing was logged.
// - ports: ports were attached before the log begins and it has not described all of them since, or came or went within kPortsNs: the frame was flooded to more or less of them.
// - cut: too few bytes were kept to tell its addresses and VLAN.
// - lost: records or changes of the table are missing in the log.
// - imported: it never went through a switch.
// - baseline: (what-if) with the configuration it was logged with, too, the copy does not do what the record says.
#pragma once

#include <deque>

#include "core/replay/shadow_switch.h"
#include "core/store/reader.h"

namespace paste {

enum class Doubt : uint8_t { kLoad, kOrder, kAgeing, kBefore, kPorts, kCut, kLost, kImported, kBaseline, kCount };
inline constexpr const char* kDoubtNames[] = {"load", "order", "ageing", "before", "ports", "cut", "lost", "imported", "baseline"};
static_assert(std::size(kDoubtNames) == static_cast<size_t>(Doubt::kCount));

struct AuditReport {
  uint64_t frames = 0;
  uint64_t same = 0;             // what-if: the other configuration changes nothing
  uint64_t differ = 0;
  uint64_t not_judged[static_cast<size_t>(Doubt::kCount)] = {};
};

// A frame that differs, or whose ports would differ.
struct Finding {
  layout::RecordHeader record;
  Decision would;
  std::string would_ports;       // of a flood: names, separated by blanks
  std::string was_ports;         // what-if: those that it was flooded to
};

class Audit {
 public:
  static constexpr uint64_t kOrderNs = 1'000'000'000;
  static constexpr uint64_t kPortsNs = 100'000'000;
  static constexpr size_t kPendingMax = 65536;   // frames whose doubts wait for what the log says next

  // `other`: what-if. `findings_max`: how many findings are kept at a time; all are counted.
  Audit(ShadowOptions recorded, std::unique_ptr<ShadowOptions> other, size_t findings_max);

  // Records of a store in sequence order, events and descriptions among them, from `first` on. Stops behind a rule set, which the caller
  // reads: returns the place of that record, or their number. The bytes are needed until it returns.
  Status feed(const layout::RecordHeader* const* headers, const uint8_t* const* payloads, const uint32_t* lengths, uint32_t first,
              uint32_t count, uint32_t* stopped);
  // What the rule set that feed() stopped at means: whether anything is logged, and whether every frame is.
  void rules(bool any, bool every);
  // Blocks were overwritten before they were read: what they held is missing.
  void missed();
  // No more records: the last doubts are settled.
  void finish();

  const AuditReport& report() const { return report_; }
  std::vector<Finding> take_findings() { return std::move(findings_); }

 private:
  struct Change {
    uint64_t time_ns;
    uint32_t before, after;      // answers; Decision::kSomewhere: not known
    bool aged;
  };
  struct History {
    uint32_t answer = Decision::kSomewhere;
    std::deque<Change> changes;  // the latest, of some seconds
  };
  struct Suspect {
    Finding finding;
    uint64_t key;
    uint32_t recorded;           // answer
    bool ageing;
    bool unknown_before;         // the log cannot know the address
    bool lost;
    bool ports_known;
  };

  void frame(const layout::RecordHeader& header, const uint8_t* bytes, uint32_t length);
  Status event(const layout::RecordHeader& header, const uint8_t* bytes, uint32_t length);
  Status port_event(const layout::RecordHeader& header, const uint8_t* bytes, uint32_t length);
  void mac_change(const layout::MacPayload& change, uint64_t time_ns, bool trusted);
  void boot();
  void clock(uint64_t time_ns);
  void flush();
  void judge(const layout::RecordHeader& header, const ShadowFrame& frame, const Decision& decision, const Decision* other);
  Suspect suspect(const layout::RecordHeader& header, const ShadowFrame& frame, const Decision& decision);
  void flushed(const layout::MacPayload& change, uint64_t time_ns);
  bool other_address(uint32_t port, uint64_t* key) const;
  void settle(uint64_t until_ns);
  Doubt doubt(const Suspect& suspect) const;
  void keep(Finding finding);
  void not_judged(Doubt doubt) { ++report_.not_judged[static_cast<size_t>(doubt)]; }
  uint64_t history_key(uint64_t key, uint32_t id) const;
  uint64_t target_key(const layout::RecordHeader& header, const ShadowFrame& frame) const;
  static std::string names(const ShadowSwitch& shadow, const PortSet& ports);

  ShadowSwitch recorded_;
  std::unique_ptr<ShadowSwitch> other_;
  const size_t findings_max_;
  AuditReport report_;
  std::vector<Finding> findings_;

  // The run of frames of one port that goes through the copies next.
  std::vector<const layout::RecordHeader*> run_;
  std::vector<ShadowFrame> run_frames_;
  std::vector<Decision> decisions_, other_decisions_;

  std::unordered_map<uint64_t, History> history_;
  // Port id -> its switch's number, its name; also of ports that are gone.
  std::unordered_map<uint32_t, std::pair<uint32_t, std::string>> homes_;
  std::unordered_map<std::string, uint32_t> switches_;
  std::deque<Suspect> suspects_;
  std::deque<uint64_t> port_changes_;   // times
  uint64_t now_ns_ = 0;                 // latest time met
  int64_t stepped_ns_ = 0;              // what the wall clock was set by
  uint64_t first_ns_ = 0;
  uint64_t tick_events_ = 0;            // changes of tables in this tick
  uint32_t events_tick_ = 0;
  uint64_t lost_until_ns_ = 0;          // changes of tables are missing up to then
  bool ports_known_ = false, tables_known_ = false, lost_ = false;
  bool logging_ = false, attached_ = false;  // since the writer began: rules were there, ports were there
};

}  // namespace paste
