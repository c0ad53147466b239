// A lane: one forwarding thread's own stream of records into the store. Every call but durable_ticket() is made by the
// lane's owner thread; none allocates, locks, faults, blocks or makes a system call.
//
// A batch goes through a lane in this order:
//   plan(frame)   for each selected frame, in arrival order, before anything is reserved at destinations
//   append(...)   for exactly the frames that plan() accepted, in the same order: sequence numbers are taken once, records
//                 and bytes are written, nothing is durable yet
//   commit()      one fence (or, on a disk, a ticket for the keeper's next group commit); then readers see the records
// Strict: deliver when durable(ticket). Relaxed: deliver before commit().
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/store/layout.h"
#include "core/switch/outcome.h"

namespace paste {

// One frame to be logged. `bytes` stays as it is until append() returned.
struct FrameRecord {
  const uint8_t* bytes = nullptr;   // when `framed`: 64-byte aligned, one writable line (the header's room) in front of it and the
                                    // last line writable, too, so that header and frame stream out as one run
  uint32_t length = 0;              // bytes to keep (after snaplen), at most layout::kFrameBytesMax
  uint32_t wire_length = 0;
  uint64_t time_ns = 0;
  uint64_t store_offset = 0;        // where `bytes` lie inside the store, 0 = elsewhere; then they can be marked in place
  bool framed = false;
  bool padded = true;               // framed: the last line's rest is zero already; else append() zeroes it
  bool mark = false;                // mark in place (needs store_offset); else pack
  uint8_t flags = 0;                // kStrict | kFlooded | kVlanTagged
  uint8_t outcome = 0;              // 0 or 1 + Drop
  uint32_t ingress = 0, egress = 0, rule = 0;  // ids; ports and rules must have been described to this lane
  uint32_t flow_hash = 0;
  uint16_t vlan_tci = 0;
  uint16_t copies_reserved = 0, copies_refused = 0;
  uint64_t sequence = 0;            // out: set by append()
  bool follows = false;             // out: set by plan(): lies right behind the record before it, and its block lacks nothing
};

enum class PlanResult : uint8_t {
  kRoom,         // append() will take the frame
  kFull,         // no free block, policy stop (or nothing could be retired in time): count it as refusal()
  kBlock,        // hold this ingress back and plan again later: policy block, or the keeper is only late with a spare block
};

class Lane {
 public:
  virtual ~Lane() = default;

  virtual PlanResult plan(FrameRecord& frame) = 0;
  virtual NotLogged refusal() const = 0;  // why the last plan() said kFull
  virtual void append(std::span<FrameRecord> frames) = 0;
  virtual uint64_t commit() = 0;          // the ticket of everything appended so far
  // The highest ticket that is durable. Any thread. On immediate media this is always the last one that commit() returned.
  virtual uint64_t durable_ticket() const = 0;
  bool durable(uint64_t ticket) const { return durable_ticket() >= ticket; }
  // True once the medium failed: no ticket will become durable any more (NotLogged::sync_failed).
  virtual bool failed() const = 0;
  // Bytes of the medium written so far, records, padding and directory included (wear accounting).
  virtual uint64_t medium_bytes() const = 0;

  // Events are records with a sequence of their own, in order with the frames. append_event() writes at once when there is
  // room and is counted as lost otherwise (a kLost record follows when there is room again); commit() as above.
  virtual bool append_event(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload) = 0;
  // The same for what can be said later: without room nothing is written, nor counted as lost.
  virtual bool offer_event(layout::RecordType type, uint64_t time_ns, std::span<const uint8_t> payload) = 0;

  // What ids mean. Called by the owner thread when a port is attached or a rule set is installed; kept until forget_*().
  // Each block gets a description before the first record that needs it, so that any block can be read by itself.
  virtual void describe_port(uint32_t id, uint32_t epoch, layout::PortKind kind, std::string_view name) = 0;
  virtual void forget_port(uint32_t id) = 0;
  virtual void describe_rule(uint32_t id, uint32_t rule_set, std::string_view name, std::string_view filter) = 0;
  virtual void forget_rules_before(uint32_t rule_set) = 0;
};

// Packet buffers that lie in the store (media with immediate domains only). A port takes whole buffer blocks, hands out
// pieces of them as it likes and says how many pieces are in use (posted, received, in flight): the block is reused when
// that count is zero and no live record names bytes in it.
struct BufferBlock {
  uint8_t* memory = nullptr;   // layout::Superblock::block_bytes long, populated
  uint64_t store_offset = 0;
  uint32_t size_bytes = 0;
  uint32_t index = 0;          // of the block
};

class BufferPool {
 public:
  virtual ~BufferPool() = default;
  // The owner thread of a port; false when none is free (the keeper makes more ready). The block comes with one use.
  virtual bool take(BufferBlock* block) = 0;
  // Any thread. add_uses before a piece is handed to somebody, drop_uses when it came back; at zero the block is reusable.
  virtual void add_uses(uint32_t index, uint32_t count) = 0;
  virtual void drop_uses(uint32_t index, uint32_t count) = 0;
  // For pieces that are used again while their block stays taken. Any thread.
  virtual uint32_t block_bytes() const { return 0; }
  // How many blocks of the store may be buffers at most.
  virtual uint32_t limit() const { return 0; }
  // Serial of the newest log block with a record that names bytes in this block: after a lane's append() it covers that record.
  virtual uint64_t held_until(uint32_t index) const {
    (void)index;
    return 0;
  }
  // True when every record that names bytes in this block and was written when held_until() said `until`, or earlier, is retired,
  // durably: readers that copied such bytes notice, and a crash cannot bring the record back. Exact but for blocks of other lanes.
  virtual bool retired(uint32_t index, uint64_t until) const {
    (void)index, (void)until;
    return true;
  }
};

}  // namespace paste
