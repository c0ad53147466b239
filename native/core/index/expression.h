// What an index is asked: a boolean tree in postfix order, made by the planner (TypeScript), evaluated on each run. Its answer
// is a superset of the records that the filter takes: what an index cannot tell is kAll, and the filter decides afterwards.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "core/base/status.h"

namespace paste {

enum class IndexOp : uint8_t {
  kAll = 0,    // any record
  kNone = 1,   // no record
  kRange = 2,  // `field` has a value in [low, high]
  kAnd = 3,    // the `count` subtrees before it
  kOr = 4,
  kName = 5,   // the record's port or rule passes the name test number `count`
};

// A record has every value of a field that occurs in any of its layers.
enum class IndexField : uint8_t {
  kMacSource = 1,          // 6 bytes
  kMacDestination = 2,     // 6
  kVlan = 3,               // VID, 2
  kEthertype = 4,          // from 1536 on, each one on the way inwards; 2
  kIpSource = 5,           // 16; IPv4 as ::ffff:a.b.c.d; ARP and RARP protocol addresses, too
  kIpDestination = 6,      // 16
  kProtocol = 7,           // 1; of IPv6 every next header on the way
  kPortSource = 8,         // TCP, UDP, SCTP, DCCP; 2
  kPortDestination = 9,    // 2
  kIcmpType = 10,          // 2: 4 or 6, then the type
  kCommunity = 11,         // 8: the first bytes of the Community ID's digest
  kIngress = 12,           // port id, 4
  kEgress = 13,            // 4; flooded: ffffffff
  kRule = 14,              // rule id, 4
  kOutcome = 15,           // RecordHeader.outcome, 1
  kFirstFragmentPort = 16, // either port of a first fragment, 2
  kUnresolvedFragment = 17,// 1: a later fragment whose first one was not met, 1
  kEvent = 18,             // RecordType of a record that is no frame and no repeated description, 1
};

// Bytes of `field`: the answer is only right where the run looked into tunnels; a run that did not says kAll.
inline constexpr uint8_t kIndexNeedsTunnels = 0x80;

struct IndexNode {
  IndexOp op;
  uint8_t field;     // kRange: an IndexField, perhaps with kIndexNeedsTunnels
  uint16_t zero;
  uint32_t count;    // kAnd, kOr: subtrees, at least one; kName: number of the NameTest
  uint8_t low[16];   // kRange: both inclusive, big-endian, at the right end of the 16 bytes
  uint8_t high[16];
};
static_assert(sizeof(IndexNode) == 40);

inline constexpr size_t kIndexNodesMax = 4096;

// Nodes as TypeScript packs them. kUsage when they are no single tree: `nodes` is unchanged then. `names`: how many name tests
// there are.
inline Status decode_expression(std::span<const uint8_t> bytes, size_t names, std::vector<IndexNode>* nodes) {
  const auto refuse = [](const char* what) { return Status(Code::kUsage, std::string("index expression: ") + what); };
  if (bytes.size() % sizeof(IndexNode) != 0) return refuse("a node has 40 bytes");
  if (bytes.size() > kIndexNodesMax * sizeof(IndexNode)) return refuse("more than 4096 nodes");
  std::vector<IndexNode> decoded(bytes.size() / sizeof(IndexNode));
  if (!decoded.empty()) memcpy(decoded.data(), bytes.data(), bytes.size());
  size_t depth = 0;
  for (const IndexNode& node : decoded) {
    if (node.op > IndexOp::kName) return refuse("unknown operation");
    const bool joins = node.op == IndexOp::kAnd || node.op == IndexOp::kOr;
    if (joins && (node.count == 0 || node.count > depth)) return refuse("an operation without its operands");
    if (node.op == IndexOp::kName && node.count >= names) return refuse("a name test that is not there");
    depth = joins ? depth - node.count + 1 : depth + 1;
  }
  if (!decoded.empty() && depth != 1) return refuse("not one tree");
  *nodes = std::move(decoded);
  return Status();
}

}  // namespace paste
