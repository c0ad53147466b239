#include "core/index/encode.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/index/varint.h"

namespace paste::index {
namespace {

// A value and a flow that has it, by the width of the value: most are narrow, and what is sorted is memory traffic.
struct Narrow {
  uint64_t both;  // the value, then the flow
  uint64_t digits() const { return both >> 32; }
  uint32_t flow() const { return static_cast<uint32_t>(both); }
};
struct Middle {
  uint64_t value;
  uint32_t number;
  uint64_t digits() const { return value; }
  uint32_t flow() const { return number; }
};
struct Wide {
  uint64_t high, low;
  uint32_t number;
  uint32_t flow() const { return number; }
};

void append_u32(std::vector<uint8_t>* to, uint32_t value) {
  const size_t at = to->size();
  to->resize(at + 4);
  std::memcpy(to->data() + at, &value, 4);
}

// By value, entries with the same one in the order they came: their flows ascend. Digits that all values share cost nothing.
template <typename Any>
void sort(std::vector<Any>* entries, std::vector<Any>* spare) {
  constexpr uint32_t kDigits = 1u << 11;
  if (entries->size() < 64) {
    std::stable_sort(entries->begin(), entries->end(),
                     [](const Any& a, const Any& b) { return a.digits() < b.digits(); });
    return;
  }
  uint64_t any = 0, all = ~0ull;
  for (const Any& entry : *entries) {
    any |= entry.digits();
    all &= entry.digits();
  }
  spare->resize(entries->size());
  std::array<uint32_t, kDigits> places;
  for (uint32_t shift = 0; shift < 64; shift += 11) {
    if (((any ^ all) >> shift & (kDigits - 1)) == 0) continue;
    places.fill(0);
    for (const Any& entry : *entries) places[entry.digits() >> shift & (kDigits - 1)]++;
    uint32_t sum = 0;
    for (uint32_t& place : places) {
      const uint32_t count = place;
      place = sum;
      sum += count;
    }
    for (const Any& entry : *entries) (*spare)[places[entry.digits() >> shift & (kDigits - 1)]++] = entry;
    entries->swap(*spare);
  }
}

void sort(std::vector<Wide>* entries, std::vector<Wide>*) {
  std::sort(entries->begin(), entries->end(), [](const Wide& a, const Wide& b) {
    return a.high != b.high ? a.high < b.high : a.low != b.low ? a.low < b.low : a.number < b.number;
  });
}

template <typename Any>
bool same(const Any& a, const Any& b) {
  return a.digits() == b.digits();
}
bool same(const Wide& a, const Wide& b) { return a.high == b.high && a.low == b.low; }
void put_digits(uint64_t value, uint32_t width, uint8_t* to) {
  for (uint32_t i = 0; i < width; i++) to[i] = static_cast<uint8_t>(value >> (width - 1 - i) * 8);
}
template <typename Any>
void put_value(const Any& entry, uint32_t width, uint8_t* to) {
  put_digits(entry.digits(), width, to);
}
void put_value(const Wide& entry, uint32_t, uint8_t* to) {
  put_digits(entry.high, 8, to);
  put_digits(entry.low, 8, to + 8);
}

// Collects a section's pages.
class SectionWriter {
 public:
  SectionWriter(SectionKind kind, std::span<const uint32_t> records) : flow_records_(records) {
    section_.field = kind.field;
    section_.width = kind.width;
  }

  // The flows of a value, ascending.
  void add(const uint8_t* value, std::span<const uint32_t> numbers) {
    uint64_t records = 0;
    for (const uint32_t flow : numbers) records += flow_records_[flow];
    posting_.clear();
    encode(numbers, records);
    if (count_ != 0 && 2 + values_.size() + postings_.size() + section_.width + posting_.size() > kPageBytes)
      end_page();
    values_.insert(values_.end(), value, value + section_.width);
    postings_.insert(postings_.end(), posting_.begin(), posting_.end());
    count_++;
    records_ += records;
    section_.value_count++;
  }

  EncodedSection finish() {
    if (count_ != 0) end_page();
    return std::move(section_);
  }

 private:
  void encode(std::span<const uint32_t> numbers, uint64_t records) {
    if (numbers.size() == flow_records_.size()) {
      put_varint(&posting_, kEvery);
      return;
    }
    if (numbers.size() == 1) {
      put_varint(&posting_, varint_bytes(numbers[0]) << 2 | kInline);
      put_varint(&posting_, numbers[0]);
      return;
    }
    list_.resize(numbers.size() * 5);
    uint8_t* end = put_varint(list_.data(), numbers[0]);
    for (size_t i = 1; i < numbers.size(); i++) end = put_varint(end, numbers[i] - numbers[i - 1] - 1);
    list_.resize(end - list_.data());
    if (list_.size() <= kInlineBytesMax) {
      put_varint(&posting_, static_cast<uint32_t>(list_.size()) << 2 | kInline);
      posting_.insert(posting_.end(), list_.begin(), list_.end());
      return;
    }
    const size_t bitmap_bytes = (flow_records_.size() + 7) / 8;
    const bool dense = list_.size() > bitmap_bytes;
    if (dense) {
      list_.assign(bitmap_bytes, 0);
      for (const uint32_t flow : numbers) list_[flow / 8] |= static_cast<uint8_t>(1 << flow % 8);
    }
    put_varint(&posting_, static_cast<uint32_t>(list_.size()) << 2 | (dense ? kBitmap : kList));
    put_varint(&posting_, static_cast<uint32_t>(section_.longs.size()));
    put_varint(&posting_, static_cast<uint32_t>(std::min<uint64_t>(records, ~0u)));
    append_u32(&posting_, crc32c(0, list_.data(), list_.size()));
    section_.longs.insert(section_.longs.end(), list_.begin(), list_.end());
  }

  void end_page() {
    const size_t start = section_.pages.size();
    section_.pages.push_back(static_cast<uint8_t>(count_));
    section_.pages.push_back(static_cast<uint8_t>(count_ >> 8));
    section_.pages.insert(section_.pages.end(), values_.begin(), values_.end());
    section_.pages.insert(section_.pages.end(), postings_.begin(), postings_.end());
    section_.fences.insert(section_.fences.end(), values_.begin(), values_.begin() + section_.width);
    append_u32(&section_.fences, static_cast<uint32_t>(start));
    append_u32(&section_.fences, static_cast<uint32_t>(std::min<uint64_t>(records_, ~0u)));
    append_u32(&section_.fences, crc32c(0, section_.pages.data() + start, section_.pages.size() - start));
    section_.page_count++;
    values_.clear();
    postings_.clear();
    count_ = 0;
    records_ = 0;
  }

  std::span<const uint32_t> flow_records_;
  EncodedSection section_;
  uint32_t count_ = 0;      // values on the page under way; a value takes two bytes at least, so u16 holds it
  uint64_t records_ = 0;
  std::vector<uint8_t> values_, postings_, posting_, list_;
};

template <typename Any>
EncodedSection encode(SectionKind kind, std::vector<Any>* entries, std::vector<Any>* spare,
                      std::span<const uint32_t> flow_records) {
  sort(entries, spare);
  SectionWriter writer(kind, flow_records);
  std::vector<uint32_t> numbers;
  uint8_t value[16];
  for (size_t i = 0; i < entries->size();) {
    numbers.clear();
    const size_t first = i;
    for (; i < entries->size() && same((*entries)[first], (*entries)[i]); i++)
      if (numbers.empty() || numbers.back() != (*entries)[i].flow()) numbers.push_back((*entries)[i].flow());
    put_value((*entries)[first], kind.width, value);
    writer.add(value, numbers);
  }
  std::vector<Any>().swap(*entries);
  return writer.finish();
}

// The values of all flows, by section.
struct Values {
  std::array<std::vector<Narrow>, kSectionCount> narrow;
  std::array<std::vector<Middle>, kSectionCount> middle;
  std::array<std::vector<Wide>, kSectionCount> wide;

  // What every frame has and nearly every frame has gets its room at once.
  explicit Values(size_t flows) {
    for (const uint32_t s : {kMacSourceSection, kMacDestinationSection}) middle[s].reserve(flows);
    for (const uint32_t s :
         {kEthertypeSection, kIp4SourceSection, kIp4DestinationSection, kProtocolSection, kPortSourceSection,
          kPortDestinationSection, kCommunitySection, kIngressSection, kEgressSection, kRuleSection, kOutcomeSection})
      narrow[s].reserve(flows);
  }
  void put(uint32_t section, uint64_t value, uint32_t flow) {
    if (kSections[section].width <= 4)
      narrow[section].push_back({value << 32 | flow});
    else
      middle[section].push_back({value, flow});
  }
  void put(uint32_t section, const uint8_t* value, uint32_t flow) {
    wide[section].push_back({big_endian(value, 8), big_endian(value + 8, 8), flow});
  }
};

}  // namespace

std::vector<EncodedSection> encode_fields(const FlowTable& table) {
  const std::vector<Flow>& flows = table.flows();
  Values values(flows.size());
  std::vector<uint32_t> records(flows.size());  // of each flow: small enough to stay in the cache
  for (uint32_t number = 0; number < flows.size(); number++) {
    const Flow& flow = flows[number];
    records[number] = flow.count;
    each_term(
        flow.key, table.terms(flow), [&](uint32_t section, uint64_t value) { values.put(section, value, number); },
        [&](uint32_t section, const uint8_t* value) { values.put(section, value, number); });
    if (flow.has_community) values.put(kCommunitySection, flow.community >> 8, number);
  }
  std::vector<EncodedSection> sections;
  std::vector<Narrow> narrow;
  std::vector<Middle> middle;
  std::vector<Wide> wide;
  for (uint32_t s = 0; s < kSectionCount; s++) {
    if (!values.narrow[s].empty()) sections.push_back(encode(kSections[s], &values.narrow[s], &narrow, records));
    if (!values.middle[s].empty()) sections.push_back(encode(kSections[s], &values.middle[s], &middle, records));
    if (!values.wide[s].empty()) sections.push_back(encode(kSections[s], &values.wide[s], &wide, records));
  }
  return sections;
}

EncodedSection encode_positions(std::span<const Flow> flows, std::span<const Appearance> appearances) {
  std::vector<uint32_t> starts(flows.size() + 1, 0);
  for (size_t i = 0; i < flows.size(); i++) starts[i + 1] = starts[i] + flows[i].count;
  std::vector<uint32_t> lines(appearances.size());
  {
    std::vector<uint32_t> next(starts.begin(), starts.end() - 1);
    for (const Appearance& a : appearances) lines[next[a.flow]++] = a.line;
  }
  EncodedSection section;
  section.field = kPositions;
  section.width = 4;
  section.value_count = static_cast<uint32_t>(flows.size());
  std::vector<uint8_t> list;
  for (uint32_t flow = 0; flow < flows.size();) {
    const uint32_t first = flow;
    const size_t start = section.pages.size();
    section.pages.resize(start + 2);
    uint32_t before = 0;
    for (; flow < flows.size() && flow - first < 0xffff; flow++) {
      const uint32_t* at = lines.data() + starts[flow];
      const uint32_t* end = lines.data() + starts[flow + 1];
      list.resize((end - at) * 5);
      uint8_t* to = put_varint(list.data(), *at - before);
      for (const uint32_t* i = at + 1; i < end; i++) to = put_varint(to, *i - i[-1]);
      const uint32_t bytes = static_cast<uint32_t>(to - list.data());
      if (flow != first && section.pages.size() - start + varint_bytes(bytes) + bytes > kPageBytes) break;
      before = *at;
      put_varint(&section.pages, bytes);
      section.pages.insert(section.pages.end(), list.data(), to);
    }
    section.pages[start] = static_cast<uint8_t>(flow - first);
    section.pages[start + 1] = static_cast<uint8_t>((flow - first) >> 8);
    for (int shift = 24; shift >= 0; shift -= 8) section.fences.push_back(static_cast<uint8_t>(first >> shift));
    append_u32(&section.fences, static_cast<uint32_t>(start));
    append_u32(&section.fences, starts[flow] - starts[first]);
    append_u32(&section.fences, crc32c(0, section.pages.data() + start, section.pages.size() - start));
    section.page_count++;
  }
  return section;
}

}  // namespace paste::index
