#include "core/store/reader_names.h"

#include <algorithm>

namespace paste {
namespace {
constexpr auto kKindUnknown = static_cast<layout::PortKind>(0);
}

void ReaderNames::learn(const layout::RecordHeader& header, const uint8_t* payload) {
  const uint32_t length = header.payload_length;
  const auto* text = reinterpret_cast<const char*>(payload);
  if (header.type == layout::kPort && length >= sizeof(layout::PortPayload)) {
    layout::PortPayload port;
    memcpy(&port, payload, sizeof port);
    if (const auto known = ports_.find(port.id); known != ports_.end() && known->second.kind != kKindUnknown) return;
    ports_[port.id] = Reader::PortName{port.id, port.epoch, static_cast<layout::PortKind>(port.kind),
                                       std::string(text + sizeof port, length - sizeof port)};
    ++version_;
  } else if (header.type == layout::kRule && length >= sizeof(layout::RulePayload)) {
    layout::RulePayload rule;
    memcpy(&rule, payload, sizeof rule);
    if (sizeof rule + rule.name_length + rule.filter_length > length) return;
    if (const auto known = rules_.find(rule.id); known != rules_.end() && known->second.rule_set != 0) return;
    const char* name = text + sizeof rule;
    rules_[rule.id] = Reader::RuleName{rule.id, rule.rule_set, std::string(name, rule.name_length),
                                       std::string(name + rule.name_length, rule.filter_length)};
    ++version_;
  }
}

void ReaderNames::learn(const IndexName& name) {
  const bool added = name.of == IndexName::Of::kPort
                         ? ports_.try_emplace(name.id, Reader::PortName{name.id, 0, kKindUnknown, name.name}).second
                         : rules_.try_emplace(name.id, Reader::RuleName{name.id, 0, name.name, {}}).second;
  version_ += added;
}

void ReaderNames::clear() {
  ports_.clear();
  rules_.clear();
  ++version_;
}

const std::string* ReaderNames::port(uint32_t id) const {
  const auto found = ports_.find(id);
  return found == ports_.end() ? nullptr : &found->second.name;
}

const std::string* ReaderNames::rule(uint32_t id) const {
  const auto found = rules_.find(id);
  return found == rules_.end() ? nullptr : &found->second.name;
}

std::vector<Reader::PortName> ReaderNames::ports() const {
  std::vector<Reader::PortName> list;
  for (const auto& [id, port] : ports_) list.push_back(port);
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return list;
}

std::vector<Reader::RuleName> ReaderNames::rules() const {
  std::vector<Reader::RuleName> list;
  for (const auto& [id, rule] : rules_) list.push_back(rule);
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return list;
}

}  // namespace paste
