#include "core/index/run.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "core/frame/wire.h"
#include "core/index/run_pages.h"

namespace paste {

using namespace index;

namespace {

constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // ::ffff:0:0/96, RFC 4291

struct Range {
  uint8_t low[16], high[16];
};

// The part of the range that values of the field can lie in; false when there is none.
bool clip(Range* range, uint32_t bytes) {
  const uint8_t zero[16] = {};
  const uint32_t lead = 16 - bytes;
  if (std::memcmp(range->low, zero, lead) != 0 || std::memcmp(range->low, range->high, 16) > 0) return false;
  if (std::memcmp(range->high, zero, lead) != 0) {
    std::memset(range->high, 0, lead);
    std::memset(range->high + lead, 0xff, bytes);
  }
  return true;
}

// The same for the addresses of IPv4 among those of 16 bytes; then the last four bytes count.
bool clip_mapped(Range* range) {
  if (std::memcmp(range->low, kMapped, 12) > 0 || std::memcmp(range->high, kMapped, 12) < 0) return false;
  if (std::memcmp(range->low, kMapped, 12) < 0) std::memset(range->low + 12, 0, 4);
  if (std::memcmp(range->high, kMapped, 12) > 0) std::memset(range->high + 12, 0xff, 4);
  return std::memcmp(range->low + 12, range->high + 12, 4) <= 0;
}

void tidy(FlowSet* set) {
  if (set->all) {
    set->flows.clear();
    return;
  }
  std::vector<uint32_t>& flows = set->flows;
  if (!std::is_sorted(flows.begin(), flows.end())) std::sort(flows.begin(), flows.end());
  flows.erase(std::unique(flows.begin(), flows.end()), flows.end());
}

// The smaller, the earlier it is asked: an operand without any record makes the others needless.
int promise(const IndexNode& node) {
  if (node.op == IndexOp::kNone) return 0;
  if (node.op != IndexOp::kRange) return node.op == IndexOp::kAll ? 9 : 6;
  const bool one = std::memcmp(node.low, node.high, 16) == 0;
  switch (static_cast<IndexField>(node.field & ~kIndexNeedsTunnels)) {
    case IndexField::kCommunity: return 1;
    case IndexField::kIpSource:
    case IndexField::kIpDestination:
    case IndexField::kMacSource:
    case IndexField::kMacDestination: return one ? 2 : 5;
    case IndexField::kPortSource:
    case IndexField::kPortDestination: return one ? 4 : 6;
    case IndexField::kFirstFragmentPort:
    case IndexField::kUnresolvedFragment:
    case IndexField::kEvent: return 3;
    default: return 7;
  }
}

// One evaluation of a plan.
class Evaluation {
 public:
  Evaluation(RunPages& pages, std::span<const IndexNode> plan, const NameAnswers& names)
      : pages_(pages), plan_(plan), names_(names) {}

  Status run(FlowSet* set) {
    // Where each node's subtree begins.
    std::vector<uint32_t> roots;
    starts_.resize(plan_.size());
    for (uint32_t i = 0; i < plan_.size(); i++) {
      const bool joins = plan_[i].op == IndexOp::kAnd || plan_[i].op == IndexOp::kOr;
      if (joins && (plan_[i].count == 0 || plan_[i].count > roots.size()))
        return Status(Code::kUsage, "an index plan that is no tree");
      starts_[i] = i;
      if (joins) {
        starts_[i] = starts_[roots[roots.size() - plan_[i].count]];
        roots.resize(roots.size() - plan_[i].count);
      }
      roots.push_back(i);
    }
    if (roots.size() != 1) return Status(Code::kUsage, "an index plan that is no tree");
    return node(roots[0], set);
  }

 private:
  Status node(uint32_t i, FlowSet* set) {
    switch (plan_[i].op) {
      case IndexOp::kNone: return {};
      case IndexOp::kRange: return range(plan_[i], set);
      case IndexOp::kName: return name(plan_[i].count, set);
      case IndexOp::kAnd:
      case IndexOp::kOr: return join(i, set);
      default: *set = FlowSet::every(); return {};
    }
  }

  Status join(uint32_t i, FlowSet* set) {
    const bool conjunction = plan_[i].op == IndexOp::kAnd;
    std::vector<uint32_t> operands;
    for (uint32_t left = plan_[i].count, at = i; left > 0; left--) {
      operands.push_back(at - 1);
      at = starts_[at - 1];
    }
    if (conjunction)
      std::stable_sort(operands.begin(), operands.end(),
                       [this](uint32_t a, uint32_t b) { return promise(plan_[a]) < promise(plan_[b]); });
    if (conjunction) *set = FlowSet::every();
    for (const uint32_t operand : operands) {
      FlowSet other;
      if (Status status = node(operand, &other); !status.ok()) return status;
      conjunction ? intersect(set, std::move(other)) : unite(set, std::move(other));
      if (conjunction ? set->empty() : set->all) break;
    }
    tidy(set);
    return {};
  }

  static void intersect(FlowSet* set, FlowSet other) {
    if (other.all) return;
    if (set->all) {
      *set = std::move(other);
      return;
    }
    std::vector<uint32_t> both;
    std::set_intersection(set->flows.begin(), set->flows.end(), other.flows.begin(), other.flows.end(),
                          std::back_inserter(both));
    set->flows = std::move(both);
  }
  static void unite(FlowSet* set, FlowSet other) {
    set->all |= other.all;
    if (!set->all) set->flows.insert(set->flows.end(), other.flows.begin(), other.flows.end());
  }

  Status range(const IndexNode& node, FlowSet* set) {
    const uint32_t field = node.field & 0x7fu;
    const bool tunnels = (pages_.header().flags & kTunnels) != 0;
    if (field == 0 || field >= kFields || omitted(field) || (node.field != field && !tunnels)) {
      *set = FlowSet::every();
      return {};
    }
    Range wanted;
    std::memcpy(wanted.low, node.low, 16);
    std::memcpy(wanted.high, node.high, 16);
    const uint32_t bytes = field_bytes(field);
    if (clip(&wanted, bytes)) {
      for (const RunSection& section : pages_.sections()) {
        if (section.field != field) continue;
        Range part = wanted;
        const bool mapped = bytes == 16 && section.width == 4;
        if (mapped && !clip_mapped(&part)) continue;
        const uint32_t skip = mapped ? 12 : 16 - bytes;
        if (Status status = pages_.collect(section, part.low + skip, part.high + skip, nullptr, set); !status.ok())
          return status;
        if (set->all) break;
      }
    }
    if (from_bytes(field) && !set->all)
      if (Status status = odd(set); !status.ok()) return status;
    if (field == static_cast<uint32_t>(IndexField::kCommunity))
      if (Status status = unknown_flows(set); !status.ok()) return status;
    tidy(set);
    return {};
  }

  // In runs of earlier writers frames behind MPLS labels and in PPPoE sessions have no Community ID: any of them may have the wanted one.
  Status unknown_flows(FlowSet* set) {
    if ((pages_.header().flags & kCommunityBehindLabels) != 0) return {};
    for (const uint16_t type : {wire::kMpls, wire::kMplsMulticast, wire::kPppoeSession}) {
      IndexNode wanted{IndexOp::kRange, static_cast<uint8_t>(IndexField::kEthertype), 0, 0, {}, {}};
      wire::put16(wanted.low + 14, type);
      wire::put16(wanted.high + 14, type);
      FlowSet these;
      if (Status status = range(wanted, &these); !status.ok()) return status;
      unite(set, std::move(these));
    }
    return {};
  }

  // The ids of ports or rules whose names the test accepts; one without a name may have any.
  Status name(uint32_t test, FlowSet* set) {
    const uint32_t field = static_cast<uint32_t>(names_.field(test));
    std::vector<IndexName> known;
    if (field == 0 || field >= kFields || omitted(field) || !pages_.names(&known).ok()) {
      *set = FlowSet::every();
      return {};
    }
    const auto of = field == static_cast<uint32_t>(IndexField::kRule) ? IndexName::Of::kRule : IndexName::Of::kPort;
    std::map<uint32_t, bool> answers{{0, false}};
    if (field == static_cast<uint32_t>(IndexField::kEgress)) answers[kEgressFlooded] = false;
    for (const IndexName& one : known)
      if (one.of == of) answers[one.id] = names_.holds(test, one.name);
    const RunPages::Wanted wanted = [&answers](const uint8_t* value) {
      uint32_t id;
      std::memcpy(&id, value, 4);
      const auto found = answers.find(__builtin_bswap32(id));
      return found == answers.end() || found->second;
    };
    const uint8_t low[16] = {};
    uint8_t high[16];
    std::memset(high, 0xff, sizeof high);
    for (const RunSection& section : pages_.sections()) {
      if (section.field != field || section.width != 4) continue;
      if (Status status = pages_.collect(section, low, high, &wanted, set); !status.ok()) return status;
    }
    tidy(set);
    return {};
  }

  Status odd(FlowSet* set) {
    const uint8_t one = 1;
    for (const RunSection& section : pages_.sections())
      if (section.field == kOddFrames)
        if (Status status = pages_.collect(section, &one, &one, nullptr, set); !status.ok()) return status;
    return {};
  }

  bool omitted(uint32_t field) const { return (pages_.header().omitted >> field & 1) != 0; }

  RunPages& pages_;
  std::span<const IndexNode> plan_;
  const NameAnswers& names_;
  std::vector<uint32_t> starts_;
};

}  // namespace

struct IndexRun::Impl {
  void all(IndexAnswer* answer) const {
    answer->offsets.clear();
    answer->blocks.assign(pages.blocks().size(), {BlockAnswer::What::kAll, 0, 0});
  }
  Status place(std::vector<uint32_t> lines, IndexAnswer* answer) const;

  RunPages pages;
};

IndexRun::IndexRun(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
IndexRun::~IndexRun() = default;

Status IndexRun::open(IndexSource& source, uint32_t run_bytes, uint64_t index_block_serial,
                      std::unique_ptr<IndexRun>* run) {
  if (!*run) run->reset(new IndexRun(std::make_unique<Impl>()));
  return (*run)->impl_->pages.open(source, run_bytes, index_block_serial);
}

uint32_t IndexRun::bytes() const { return impl_->pages.header().run_bytes; }
bool IndexRun::tunnels() const { return (impl_->pages.header().flags & kTunnels) != 0; }
bool IndexRun::omitted(IndexField field) const {
  return (impl_->pages.header().flags & kScanAll) != 0 ||
         (impl_->pages.header().omitted >> static_cast<uint32_t>(field) & 1) != 0;
}
std::span<const IndexedBlock> IndexRun::blocks() const { return impl_->pages.blocks(); }
bool IndexRun::has_names() const { return impl_->pages.header().names_offset != 0; }
Status IndexRun::names(std::vector<IndexName>* names) { return impl_->pages.names(names); }
uint64_t IndexRun::bytes_read() const { return impl_->pages.bytes_read(); }

Status IndexRun::evaluate(std::span<const IndexNode> plan, const NameAnswers& names, IndexAnswer* answer) {
  RunPages& pages = impl_->pages;
  impl_->all(answer);
  if (plan.empty() || (pages.header().flags & kScanAll) != 0) return {};
  FlowSet set;
  if (Status status = Evaluation(pages, plan, names).run(&set); !status.ok()) return status;
  if (set.all) return {};
  std::vector<uint32_t> lines;
  bool too_many;
  if (Status status = pages.lines_of(set.flows, &lines, &too_many); !status.ok() || too_many) return status;
  if (Status status = impl_->place(std::move(lines), answer); !status.ok()) {
    impl_->all(answer);
    return status;
  }
  return {};
}

// Ascending, each once. Many are put in order by a bit for each line of the run.
static void order(uint64_t lines_of_run, std::vector<uint32_t>* lines) {
  constexpr uint64_t kLinesOfOne = 64;
  if (lines->size() < lines_of_run / kLinesOfOne) {
    std::sort(lines->begin(), lines->end());
    lines->erase(std::unique(lines->begin(), lines->end()), lines->end());
    return;
  }
  std::vector<uint64_t> bits(lines_of_run / 64 + 1, 0);
  for (const uint32_t line : *lines) bits[line / 64] |= uint64_t{1} << line % 64;
  lines->clear();
  for (size_t i = 0; i < bits.size(); i++)
    for (uint64_t rest = bits[i]; rest != 0; rest &= rest - 1)
      lines->push_back(static_cast<uint32_t>(i * 64 + static_cast<size_t>(__builtin_ctzll(rest))));
}

// Lines over all blocks become places in each.
Status IndexRun::Impl::place(std::vector<uint32_t> lines, IndexAnswer* answer) const {
  order(pages.lines(), &lines);
  answer->offsets.reserve(lines.size());
  uint64_t base = 0;
  size_t next = 0;
  for (size_t b = 0; b < pages.blocks().size(); b++) {
    const IndexedBlock& block = pages.blocks()[b];
    const uint64_t end = base + block.end_bytes / layout::kLine;
    BlockAnswer& out = answer->blocks[b];
    out = {BlockAnswer::What::kNone, static_cast<uint32_t>(answer->offsets.size()), 0};
    for (; next < lines.size() && lines[next] < end; next++) {
      if (lines[next] == base) return Status(Code::kStore, "an index run is damaged: a position in a block's header");
      answer->offsets.push_back(static_cast<uint32_t>(lines[next] - base) * layout::kLine);
      out.count++;
    }
    if (block.scan || uint64_t{out.count} * 2 > block.records) {
      out.what = out.count != 0 || block.scan ? BlockAnswer::What::kAll : BlockAnswer::What::kNone;
      answer->offsets.resize(out.first);
      out.count = 0;
    } else if (out.count != 0) {
      out.what = BlockAnswer::What::kSome;
    }
    base = end;
  }
  return {};
}

}  // namespace paste
