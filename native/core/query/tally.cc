#include "core/query/tally.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "core/frame/dissect.h"
#include "core/frame/wire.h"

namespace paste {
namespace {

constexpr uint32_t kTcpFlagsAt = 13;

template <class Row, class Less>
std::vector<uint32_t> sorted(const std::vector<Row>& rows, Less less) {
  std::vector<uint32_t> numbers(rows.size());
  std::iota(numbers.begin(), numbers.end(), 0u);
  std::stable_sort(numbers.begin(), numbers.end(), [&](uint32_t a, uint32_t b) { return less(rows[a], rows[b]); });
  return numbers;
}

}  // namespace

void FlowTally::add(const TallyFrame& frame) {
  all.add(frame.wire_length);
  FlowTuple flow;
  if (!flow_tuple(frame.bytes, frame.length, &flow)) return without.add(frame.wire_length);
  flow.bytes[0] = static_cast<uint8_t>(flow.length);
  bool is_new;
  FlowRow* row = table_.find_or_add(flow.bytes, &is_new);
  if (!row) return left_out.add(frame.wire_length);
  if (is_new || frame.time_ns < row->first_ns) {
    // Of several sources a later one may have the flow's first frame.
    if (!is_new && row->swapped != flow.swapped) {
      std::swap(row->packets[0], row->packets[1]);
      std::swap(row->bytes[0], row->bytes[1]);
      std::swap(row->tcp_flags[0], row->tcp_flags[1]);
    }
    row->first_ns = frame.time_ns;
    row->first_sequence = frame.sequence;
    row->swapped = flow.swapped;
  }
  row->last_ns = std::max(row->last_ns, frame.time_ns);
  const uint32_t way = flow.swapped != row->swapped;
  ++row->packets[way];
  row->bytes[way] += frame.wire_length;
  const uint8_t protocol = flow.bytes[flow.length >= 36 ? 34 : 10];
  if (protocol == wire::kTcp && flow.transport_bytes > kTcpFlagsAt) row->tcp_flags[way] |= flow.transport[kTcpFlagsAt];
}

std::vector<uint32_t> FlowTally::order(RowOrder order) const {
  const auto packets = [](const FlowRow& row) { return row.packets[0] + row.packets[1]; };
  const auto bytes = [](const FlowRow& row) { return row.bytes[0] + row.bytes[1]; };
  switch (order) {
    case RowOrder::kLast: return sorted(table_.rows(), [](const auto& a, const auto& b) { return a.last_ns < b.last_ns; });
    case RowOrder::kPackets: return sorted(table_.rows(), [&](const auto& a, const auto& b) { return packets(a) > packets(b); });
    case RowOrder::kBytes: return sorted(table_.rows(), [&](const auto& a, const auto& b) { return bytes(a) > bytes(b); });
    case RowOrder::kFirst: break;
  }
  return sorted(table_.rows(), [](const auto& a, const auto& b) { return a.first_ns < b.first_ns; });
}

bool top_field(std::string_view name, TopField* field) {
  static constexpr std::string_view kNames[] = {"src", "dst", "host", "src-port", "dst-port", "port", "proto", "vlan", "ethertype",
                                                "src-mac", "dst-mac", "mac", "in-port", "out-port", "rule", "outcome", "icmp-type"};
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (kNames[i] == name) {
      *field = static_cast<TopField>(i);
      return true;
    }
  return false;
}

namespace {

// The values of a field that one frame has: at most two different ones, or a stack of tags.
struct Values {
  uint8_t keys[kTagsMax][24];
  uint32_t count = 0;

  void add(const uint8_t* value, uint32_t bytes, uint8_t kind = 0) {
    uint8_t key[24] = {};
    std::memcpy(key + 16 - bytes, value, bytes);
    key[16] = kind;
    for (uint32_t i = 0; i < count; ++i)
      if (std::memcmp(keys[i], key, sizeof key) == 0) return;
    if (count < kTagsMax) std::memcpy(keys[count++], key, sizeof key);
  }
  void number(uint32_t value, uint8_t kind = 0) {
    const uint8_t big[4] = {static_cast<uint8_t>(value >> 24), static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 8),
                            static_cast<uint8_t>(value)};
    add(big, 4, kind);
  }
  void address(const uint8_t* at, uint32_t bytes) {
    if (bytes == 16) return add(at, 16);
    uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    std::memcpy(mapped + 12, at, 4);
    add(mapped, 16);
  }
};

constexpr uint8_t kKindEtherType = 1;
constexpr uint32_t kFloodedPort = 0xffffffff;

// What records say, frames need not be looked into for.
bool record_values(TopField field, const TallyFrame& frame, Values* values) {
  switch (field) {
    case TopField::kInPort:
      if (frame.ingress != 0) values->number(frame.ingress);
      return true;
    case TopField::kOutPort:
      if (frame.egress != 0 || frame.flooded) values->number(frame.egress != 0 ? frame.egress : kFloodedPort);
      return true;
    case TopField::kRule:
      if (frame.rule != 0) values->number(frame.rule);
      return true;
    case TopField::kOutcome:
      values->number(frame.outcome);
      return true;
    default:
      return false;
  }
}

bool link_values(TopField field, const TallyFrame& frame, Values* values) {
  if (frame.length < 14) return false;
  switch (field) {
    case TopField::kMac:
      values->add(frame.bytes, 6);
      values->add(frame.bytes + 6, 6);
      return true;
    case TopField::kDestinationMac:
      values->add(frame.bytes, 6);
      return true;
    case TopField::kSourceMac:
      values->add(frame.bytes + 6, 6);
      return true;
    default:
      return false;
  }
}

// Of the outermost IP header, as the other tools count.
void network_values(TopField field, const TallyFrame& frame, const Dissection& d, Values* values) {
  const NetworkLayer* const layer = d.layer_count > 0 ? &d.layers[0] : nullptr;
  const bool is_ip = layer && layer->version != NetworkLayer::kArp;
  const bool both = field == TopField::kHost || field == TopField::kPort;
  switch (field) {
    case TopField::kSource:
    case TopField::kDestination:
    case TopField::kHost:
      if (!layer) return;
      if (both || field == TopField::kSource) values->address(frame.bytes + layer->source, layer->address_bytes);
      if (both || field == TopField::kDestination) values->address(frame.bytes + layer->destination, layer->address_bytes);
      return;
    case TopField::kSourcePort:
    case TopField::kDestinationPort:
    case TopField::kPort:
      if (!is_ip) return;
      if ((both || field == TopField::kSourcePort) && layer->has_source_port) values->number(layer->port_source);
      if ((both || field == TopField::kDestinationPort) && layer->has_destination_port) values->number(layer->port_destination);
      return;
    case TopField::kProtocol:
      if (is_ip && layer->protocol_count > 0) values->number(layer->protocol);
      else if (d.type_count > 0) values->number(d.types[d.type_count - 1], kKindEtherType);
      return;
    case TopField::kEtherType:
      for (uint32_t i = 0; i < d.type_count && i < kTagsMax; ++i) values->number(d.types[i]);
      return;
    case TopField::kVlan:
      for (uint32_t i = 0; i < d.tag_count; ++i) values->number(d.tags[i] & 0xfffu);
      return;
    case TopField::kIcmpType:
      if (is_ip && layer->has_icmp_type) values->number(uint32_t{layer->version} << 8 | layer->icmp_type);
      return;
    default:
      return;
  }
}

}  // namespace

void TopTally::add(const TallyFrame& frame) {
  all.add(frame.wire_length);
  Values values;
  if (!record_values(field_, frame, &values) && !link_values(field_, frame, &values)) {
    Dissection d;
    dissect(frame.bytes, frame.length, false, &d);
    network_values(field_, frame, d, &values);
  }
  if (values.count == 0) return without.add(frame.wire_length);
  bool fits = true;
  for (uint32_t i = 0; i < values.count; ++i) {
    bool is_new;
    TopRow* row = table_.find_or_add(values.keys[i], &is_new);
    if (!row) {
      fits = false;
      continue;
    }
    if (is_new) row->first_ns = row->last_ns = frame.time_ns;
    row->first_ns = std::min(row->first_ns, frame.time_ns);
    row->last_ns = std::max(row->last_ns, frame.time_ns);
    row->sum.add(frame.wire_length);
  }
  if (!fits) left_out.add(frame.wire_length);
}

std::vector<uint32_t> TopTally::order(RowOrder order) const {
  switch (order) {
    case RowOrder::kFirst: return sorted(table_.rows(), [](const auto& a, const auto& b) { return a.first_ns < b.first_ns; });
    case RowOrder::kLast: return sorted(table_.rows(), [](const auto& a, const auto& b) { return a.last_ns < b.last_ns; });
    case RowOrder::kBytes:
      return sorted(table_.rows(), [](const auto& a, const auto& b) { return a.sum.bytes > b.sum.bytes; });
    case RowOrder::kPackets: break;
  }
  return sorted(table_.rows(), [](const auto& a, const auto& b) { return a.sum.packets > b.sum.packets; });
}

}  // namespace paste
