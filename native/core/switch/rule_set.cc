#include "core/switch/rule_set.h"

#include <algorithm>

#include "core/base/glob.h"
#include "core/store/layout.h"
#include "core/switch/engine.h"

namespace paste {

Status RuleSet::compile(std::span<const RuleSpec> specs, bool strict_default, uint32_t version,
                        std::span<const uint32_t> ids, std::unique_ptr<RuleSet>* set) {
  if (specs.size() > kRulesMax)
    return {Code::kUsage, std::to_string(specs.size()) + " rules are too many: at most " + std::to_string(kRulesMax)};
  auto made = std::make_unique<RuleSet>();
  made->version_ = version;
  for (size_t i = 0; i < specs.size(); i++) {
    const RuleSpec& spec = specs[i];
    const std::string where = "rule " + std::to_string(i + 1) + (spec.name.empty() ? "" : " (" + spec.name + ")");
    Rule rule;
    if (Status status = BpfProgram::load(spec.program, &rule.program); !status.ok())
      return {status.code(), where + ": " + status.message()};
    if (spec.sample == 0) return {Code::kUsage, where + ": sample 0 would keep nothing; 1 keeps every frame"};
    if (spec.snaplen == 0) return {Code::kUsage, where + ": snaplen 0 would keep no byte; leave it out to keep all"};
    rule.id = ids[i];
    rule.name = spec.name;
    rule.filter = spec.filter;
    rule.everything = rule.program.accepts_all();
    rule.any_in = spec.in_ports.empty();
    rule.any_out = spec.out_ports.empty();
    rule.snaplen = std::min(spec.snaplen, layout::kFrameBytesMax);
    rule.sample = spec.sample;
    rule.skip = spec.skip;
    rule.strict = spec.has_durability ? spec.durability == Durability::kStrict : strict_default;
    made->rules_.push_back(std::move(rule));
    made->in_names_.push_back(spec.in_ports);
    made->out_names_.push_back(spec.out_ports);
  }
  if (!made->rules_.empty()) {
    const Rule& first = made->rules_[0];
    made->everything_ = first.everything && first.any_in && first.any_out;
  }
  *set = std::move(made);
  return {};
}

std::unique_ptr<RuleSet> RuleSet::resolve(std::span<const PortName> ports) const {
  auto resolved = std::make_unique<RuleSet>(*this);
  const auto look_up = [&ports](const std::vector<std::string>& names) {
    PortBits bits;
    for (const PortName& port : ports)
      if (std::any_of(names.begin(), names.end(), [&](const std::string& name) { return glob_matches(name, port.name); }))
        bits.add(port.number);
    return bits;
  };
  for (size_t i = 0; i < rules_.size(); i++) {
    resolved->rules_[i].in = look_up(in_names_[i]);
    resolved->rules_[i].out = look_up(out_names_[i]);
  }
  return resolved;
}

int32_t RuleSet::select(const Frame& frame, uint32_t ingress, const Whereto& to, uint32_t* keep) const {
  for (size_t i = 0; i < rules_.size(); i++) {
    const Rule& rule = rules_[i];
    if (!rule.any_in && !rule.in.has(ingress)) continue;
    if (!rule.any_out && !(to.kind == Whereto::kOne && rule.out.has(to.port)) &&
        !(to.kind == Whereto::kFlood && rule.out.meets(*to.flood, ingress)))
      continue;
    uint32_t accepted = ~0u;
    if (!rule.everything) {
      accepted = rule.program.run(frame.bytes, frame.wire_length, frame.length);
      if (accepted == 0) continue;
    }
    *keep = std::min({frame.length, rule.snaplen, accepted});
    return static_cast<int32_t>(i);
  }
  return -1;
}

}  // namespace paste
