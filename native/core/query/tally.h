// What many frames are together: how many, which flows, who most. Frames of stores and captures go through the same code.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/query/row_table.h"
#include "core/store/community_id.h"

namespace paste {

// What is known of a frame besides its bytes.
struct TallyFrame {
  const uint8_t* bytes;
  uint32_t length;       // captured
  uint32_t wire_length;
  uint64_t time_ns;
  uint64_t sequence;     // 0 in captures
  uint32_t ingress, egress, rule;
  uint8_t outcome;
  bool flooded;
};

struct TallySum {
  uint64_t packets = 0, bytes = 0;
  void add(uint64_t wire_length) {
    ++packets;
    bytes += wire_length;
  }
};

// Who is counted by --top.
enum class TopField : uint8_t {
  kSource, kDestination, kHost, kSourcePort, kDestinationPort, kPort, kProtocol, kVlan, kEtherType,
  kSourceMac, kDestinationMac, kMac, kInPort, kOutPort, kRule, kOutcome, kIcmpType
};
// False: no such field.
bool top_field(std::string_view name, TopField* field);

enum class RowOrder : uint8_t { kFirst, kLast, kPackets, kBytes };

class Tally {
 public:
  // `rows_max`: rows kept at most; frames of further ones are counted in `left_out`.
  explicit Tally(uint32_t rows_max) : rows_max_(rows_max) {}
  virtual ~Tally() = default;
  virtual void add(const TallyFrame& frame) = 0;
  virtual uint64_t row_count() const { return 0; }
  // Numbers of rows in this order; equal ones as they came.
  virtual std::vector<uint32_t> order(RowOrder) const { return {}; }

  TallySum all;       // every frame
  TallySum without;   // frames that have no such thing: no flow, no port
  TallySum left_out;  // frames of rows for which there was no room

 protected:
  uint32_t rows_max_;
};

// Only the sums.
class CountTally final : public Tally {
 public:
  CountTally() : Tally(0) {}
  void add(const TallyFrame& frame) override { all.add(frame.wire_length); }
};

// A flow is what has a Community ID: both directions are one row.
struct FlowRow {
  uint8_t key[FlowTuple::kBytesMax];  // FlowTuple's bytes, with its length in the first (which is zero there)
  uint64_t first_ns, last_ns;         // lowest and highest time: sources may overlap, and run backwards
  uint64_t first_sequence;            // of the frame with the lowest time
  uint64_t packets[2], bytes[2];      // [0]: in the direction of that frame
  uint8_t tcp_flags[2];
  bool swapped;                       // it went from the tuple's second end to its first
};

class FlowTally final : public Tally {
 public:
  explicit FlowTally(uint32_t rows_max) : Tally(rows_max), table_(rows_max) {}
  void add(const TallyFrame& frame) override;
  uint64_t row_count() const override { return table_.rows().size(); }
  std::vector<uint32_t> order(RowOrder order) const override;
  const FlowRow& row(uint32_t number) const { return table_.rows()[number]; }

 private:
  RowTable<FlowRow, FlowTuple::kBytesMax> table_;
};

// The value, big-endian at the right end of 16 bytes (as in the index); IPv4 as ::ffff:a.b.c.d, flooded as out-port ffffffff,
// an ICMP type behind 4 or 6. `kind`: 1 = an EtherType where a protocol was asked for, else 0.
struct TopRow {
  uint8_t key[24];  // 16 of value, then kind
  TallySum sum;
  uint64_t first_ns, last_ns;
};

class TopTally final : public Tally {
 public:
  TopTally(TopField field, uint32_t rows_max) : Tally(rows_max), field_(field), table_(rows_max) {}
  void add(const TallyFrame& frame) override;
  uint64_t row_count() const override { return table_.rows().size(); }
  std::vector<uint32_t> order(RowOrder order) const override;
  const TopRow& row(uint32_t number) const { return table_.rows()[number]; }

 private:
  TopField field_;
  RowTable<TopRow, 24> table_;
};

}  // namespace paste
