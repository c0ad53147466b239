#include "core/export/record_chain.h"

#include <algorithm>
#include <cstring>

namespace paste {
namespace {

// Little-endian; the chain before it stands in front.
struct Head {
  uint8_t before[32];
  uint64_t time_ns, packet_id;
  uint32_t wire_length, length, interface, lost;
};
static_assert(sizeof(Head) == 64);

}  // namespace

void RecordChain::add(const ChainedRecord& record) {
  Head head;
  memcpy(head.before, part_.after.data(), sizeof head.before);
  head.time_ns = record.time_ns;
  head.packet_id = record.packet_id;
  head.wire_length = record.wire_length;
  head.length = record.length;
  head.interface = record.interface;
  head.lost = static_cast<uint32_t>(std::min<uint64_t>(record.lost, 0xffffffff));
  Sha256 hash;
  hash.update(reinterpret_cast<const uint8_t*>(&head), sizeof head);
  hash.update(record.bytes, record.length);
  part_.after = hash.digest();

  const bool first = part_.records++ == 0;
  part_.first_ns = first ? record.time_ns : std::min(part_.first_ns, record.time_ns);
  part_.last_ns = first ? record.time_ns : std::max(part_.last_ns, record.time_ns);
  if (record.packet_id != 0) {
    part_.first_id = part_.first_id == 0 ? record.packet_id : std::min(part_.first_id, record.packet_id);
    part_.last_id = std::max(part_.last_id, record.packet_id);
  }
  if (part_.records % part_.stride == 0) mark();
}

void RecordChain::mark() {
  part_.marks.push_back(part_.after);
  if (fixed_ || part_.marks.size() < kMarksMax) return;
  // Every second mark stays: the one behind 2, 4, 6 strides.
  for (size_t i = 0; i < kMarksMax / 2; ++i) part_.marks[i] = part_.marks[2 * i + 1];
  part_.marks.resize(kMarksMax / 2);
  part_.stride *= 2;
}

ChainPart RecordChain::take() {
  ChainPart done = std::move(part_);
  part_ = ChainPart{};
  part_.before = part_.after = done.after;
  part_.stride = fixed_ ? done.stride : kStrideMin;
  return done;
}

}  // namespace paste
