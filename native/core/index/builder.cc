#include "core/index/builder.h"

#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <map>
#include <string>

#include "core/base/status.h"
#include "core/index/encode.h"
#include "core/index/flow_table.h"
#include "core/index/run_layout.h"
#include "core/store/checksums.h"
#include "core/store/community_id.h"

namespace paste {

using namespace index;
using layout::kLine;
using layout::RecordHeader;

namespace {

// A key to what senders choose: they cannot aim at the table's slots.
uint64_t random_seed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
    seed = 0x2545f4914f6cdd1d ^ reinterpret_cast<uintptr_t>(&seed);
  return seed;
}

}  // namespace

struct IndexBuilder::Impl {
  explicit Impl(const IndexOptions& given)
      : options(given), seed(random_seed()), keys(given.tunnels, seed), table(seed) {}

  // A record whose key is known and whose flow is being fetched.
  struct Waiting {
    FlowKey key;
    uint64_t hash;
    uint32_t line;
    const uint8_t* bytes;
    uint32_t length;
  };
  static constexpr uint32_t kBatch = 32;
  static constexpr uint32_t kLinesMax = 1u << 31;
  static constexpr uint64_t kMemoryMax = 512u << 20;

  bool walk(const uint8_t* block, uint32_t end_bytes, uint64_t serial, const PlacedBytes& placed);
  bool add(const RecordHeader& header, const uint8_t* at, uint64_t serial, uint32_t line, const PlacedBytes& placed);
  void add_frame(const RecordHeader& header, const uint8_t* bytes, uint32_t length, uint32_t line);
  void learn(const RecordHeader& header, const uint8_t* payload);
  void learn(uint8_t of, uint32_t id, const uint8_t* name, uint32_t length);
  void settle();
  void assemble(std::vector<EncodedSection> sections, std::vector<uint8_t>* run);
  void forget();

  const IndexOptions options;
  const uint64_t seed;
  FlowKeys keys;
  FlowTable table;
  uint8_t terms[kBatch][kTermBytesMax];  // of the records waiting
  Waiting waiting[kBatch];
  uint32_t waiting_count = 0;
  uint32_t lane = 0;
  std::vector<Appearance> appearances;
  std::vector<RunBlock> blocks;
  uint32_t lines = 0;                 // of the blocks before
  std::map<std::pair<uint8_t, uint32_t>, std::string> names;
  uint64_t wanted_bytes = 0;             // of the last run, had every field been kept
  bool overflown = false;                // nothing but the blocks can be told
};

IndexBuilder::IndexBuilder(const IndexOptions& options) : impl_(std::make_unique<Impl>(options)) {}
IndexBuilder::~IndexBuilder() = default;
void IndexBuilder::forget_fragments(uint64_t time_ns) { impl_->keys.forget_fragments(time_ns); }
uint32_t IndexBuilder::blocks() const { return static_cast<uint32_t>(impl_->blocks.size()); }
uint64_t IndexBuilder::records() const { return impl_->appearances.size(); }
uint64_t IndexBuilder::memory_bytes() const {
  return impl_->table.memory_bytes() + impl_->appearances.size() * sizeof(Appearance);
}

uint64_t IndexBuilder::wanted_bytes() const { return impl_->wanted_bytes; }

void IndexBuilder::add_block(uint32_t block_index, uint64_t serial, const uint8_t* bytes, uint32_t end_bytes,
                             const PlacedBytes& placed) {
  Impl& impl = *impl_;
  const size_t before = impl.appearances.size();
  layout::BlockHeader header;
  std::memcpy(&header, bytes, sizeof header);
  impl.lane = header.lane;
  const bool whole = impl.walk(bytes, end_bytes, serial, placed);
  impl.settle();
  impl.blocks.push_back({serial, block_index, end_bytes, static_cast<uint32_t>(impl.appearances.size() - before),
                         whole ? 0u : kScanBlock});
  if (impl.lines > Impl::kLinesMax || impl.table.memory_bytes() > Impl::kMemoryMax || impl.blocks.size() > kBlocksMax)
    impl.overflown = true;
  impl.lines += end_bytes / kLine;
}

// False where a record is not what it should be.
bool IndexBuilder::Impl::walk(const uint8_t* block, uint32_t end_bytes, uint64_t serial, const PlacedBytes& placed) {
  uint32_t at = kLine;
  while (at + kLine <= end_bytes) {
    RecordHeader header;
    std::memcpy(&header, block + at, sizeof header);
    const uint32_t record_bytes = header.lines * kLine;
    if (header.lines == 0 || record_bytes > end_bytes - at ||
        header.header_crc != layout::record_header_crc(header, serial))
      return false;
    __builtin_prefetch(block + at + record_bytes);
    __builtin_prefetch(block + at + record_bytes + kLine);
    if (!add(header, block + at + kLine, serial, lines + at / kLine, placed)) return false;
    at += record_bytes;
  }
  return at == end_bytes;
}

bool IndexBuilder::Impl::add(const RecordHeader& header, const uint8_t* at, uint64_t serial, uint32_t line,
                             const PlacedBytes& placed) {
  const uint32_t room = (header.lines - 1u) * kLine;
  if (header.type == layout::kContinuation) return true;
  if (header.type != layout::kFrame) {
    if (header.payload_length > room) return false;
    if (header.type == layout::kPort || header.type == layout::kRule) learn(header, at);
    if ((header.flags & layout::kRepeated) != 0) return true;
    Waiting& event = waiting[waiting_count];
    FlowKeys::event(header, &event.key);
    add_frame(header, nullptr, 0, line);
    return true;
  }
  if ((header.flags & layout::kPlaced) == 0) {
    const uint32_t length = layout::part_bytes(header.payload_length, 0);
    if (length > room) return false;
    add_frame(header, at, length, line);
    return true;
  }
  layout::PlacePayload place;
  if (room < sizeof place) return false;
  std::memcpy(&place, at, sizeof place);
  if (place.place_crc != layout::place_payload_crc(place, serial) || place.length != header.payload_length)
    return false;
  const uint8_t* bytes = placed.bytes(place);
  if (bytes == nullptr) FlowKeys::lost(header, &waiting[waiting_count].key);
  add_frame(header, bytes, place.length, line);
  return true;
}

// Without bytes the key is there already.
void IndexBuilder::Impl::add_frame(const RecordHeader& header, const uint8_t* bytes, uint32_t length, uint32_t line) {
  Waiting& record = waiting[waiting_count];
  record.line = line;
  record.bytes = bytes;
  record.length = length;
  if (bytes != nullptr) keys.frame(header, lane, bytes, length, &record.key, terms[waiting_count]);
  record.hash = table.hash(record.key, terms[waiting_count]);
  table.prefetch(record.hash);
  if (++waiting_count == kBatch) settle();
}

// Finds the flows of the records that wait: all their slots are under way, then all their flows, then each is compared.
void IndexBuilder::Impl::settle() {
  for (uint32_t i = 0; i < waiting_count; i++) table.prefetch_flow(waiting[i].hash);
  for (uint32_t i = 0; i < waiting_count; i++) {
    const Waiting& record = waiting[i];
    bool fresh;
    const uint32_t number = table.take(record.key, terms[i], record.hash, &fresh);
    Flow& flow = table.flows()[number];
    if (fresh && record.bytes != nullptr) {
      uint32_t digest[5];
      flow.has_community = community_id(record.bytes, record.length, digest);
      if (flow.has_community) flow.community = digest[0];
    }
    flow.count++;
    appearances.push_back({number, record.line});
  }
  waiting_count = 0;
}

void IndexBuilder::Impl::learn(const RecordHeader& header, const uint8_t* payload) {
  if (header.type == layout::kPort) {
    layout::PortPayload port;
    if (header.payload_length < sizeof port) return;
    std::memcpy(&port, payload, sizeof port);
    learn(0, port.id, payload + sizeof port, header.payload_length - sizeof port);
  } else {
    layout::RulePayload rule;
    if (header.payload_length < sizeof rule) return;
    std::memcpy(&rule, payload, sizeof rule);
    if (rule.name_length <= header.payload_length - sizeof rule)
      learn(1, rule.id, payload + sizeof rule, rule.name_length);
  }
}

// Ids are unique in a store, so that the first description of one stands.
void IndexBuilder::Impl::learn(uint8_t of, uint32_t id, const uint8_t* name, uint32_t length) {
  const auto [place, fresh] = names.try_emplace({of, id});
  if (fresh) place->second.assign(reinterpret_cast<const char*>(name), std::min(length, 0xffffu));
}

void IndexBuilder::finish(std::vector<uint8_t>* run) {
  Impl& impl = *impl_;
  PASTE_CHECK(!impl.blocks.empty());
  std::vector<EncodedSection> sections;
  if (!impl.overflown) {
    sections = encode_fields(impl.table);
    if (!impl.appearances.empty()) sections.push_back(encode_positions(impl.table.flows(), impl.appearances));
  }
  impl.assemble(std::move(sections), run);
  impl.forget();
}

void IndexBuilder::Impl::forget() {
  table.clear();
  appearances.clear();
  blocks.clear();
  names.clear();
  lines = 0;
  overflown = false;
}

namespace {

std::vector<uint8_t> encode_names(const std::map<std::pair<uint8_t, uint32_t>, std::string>& names) {
  std::vector<uint8_t> bytes;
  for (const auto& [key, name] : names) {
    bytes.push_back(key.first);
    for (uint32_t shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<uint8_t>(key.second >> shift));
    for (uint32_t shift = 0; shift < 16; shift += 8) bytes.push_back(static_cast<uint8_t>(name.size() >> shift));
    bytes.insert(bytes.end(), name.begin(), name.end());
  }
  return bytes;
}

// What every answer stands on: without these a run can only say "all".
bool needed(uint8_t field) { return field == kOddFrames || field == kPositions; }

// What a byte of a field is worth: who looks for packets looks for hosts first, and hardly ever for a client's port alone.
uint32_t worth(uint32_t field) {
  switch (static_cast<IndexField>(field)) {
    case IndexField::kIpSource:
    case IndexField::kIpDestination:
      return 4;
    case IndexField::kPortSource:
    case IndexField::kCommunity:
      return 1;
    default:
      return 2;
  }
}

uint64_t bytes_of(const std::vector<EncodedSection>& sections) {
  uint64_t all = 0;
  for (const EncodedSection& section : sections) all += section.bytes();
  return all;
}

// Leaves out fields until the rest fits, first those that are large for what they are worth; false when what is needed does not fit.
bool fit(std::vector<EncodedSection>* sections, uint64_t fixed_bytes, uint64_t bytes_max, uint32_t* omitted) {
  while (fixed_bytes + bytes_of(*sections) > bytes_max) {
    uint64_t by_field[256] = {};
    for (const EncodedSection& section : *sections)
      if (!needed(section.field)) by_field[section.field] += section.bytes() * 4 / worth(section.field);
    const uint32_t largest = static_cast<uint32_t>(std::max_element(by_field, by_field + 256) - by_field);
    if (by_field[largest] == 0) return false;
    std::erase_if(*sections, [&](const EncodedSection& section) { return section.field == largest; });
    *omitted |= 1u << largest;
  }
  return true;
}

// A run's bytes, one part behind the other.
class RunWriter {
 public:
  explicit RunWriter(std::vector<uint8_t>* run) : run_(*run) { run_.clear(); }
  uint32_t put(const void* bytes, size_t size_bytes) {
    const uint32_t at = static_cast<uint32_t>(run_.size());
    const uint8_t* from = static_cast<const uint8_t*>(bytes);
    if (size_bytes != 0) run_.insert(run_.end(), from, from + size_bytes);
    return at;
  }
  uint32_t put(const std::vector<uint8_t>& bytes) { return put(bytes.data(), bytes.size()); }

 private:
  std::vector<uint8_t>& run_;
};

}  // namespace

void IndexBuilder::Impl::assemble(std::vector<EncodedSection> sections, std::vector<uint8_t>* run) {
  RunHeader header{};
  header.magic = kRunMagic;
  header.version = kRunVersion;
  header.flags = kCommunityBehindLabels | (options.tunnels ? kTunnels : 0);
  header.block_count = static_cast<uint32_t>(blocks.size());
  header.record_count = static_cast<uint32_t>(appearances.size());
  header.flow_count = static_cast<uint32_t>(table.flows().size());
  std::vector<uint8_t> names_bytes = encode_names(names);
  const uint64_t fixed_bytes = sizeof header + blocks.size() * sizeof(RunBlock) + 7;
  wanted_bytes = fixed_bytes + names_bytes.size() + bytes_of(sections);
  bool with_names = fixed_bytes + names_bytes.size() <= options.bytes_max / 2;
  if (overflown ||
      !fit(&sections, fixed_bytes + (with_names ? names_bytes.size() : 0), options.bytes_max, &header.omitted)) {
    header.flags |= kScanAll;
    header.flow_count = header.omitted = 0;
    with_names = false;
    sections.clear();
  }
  header.section_count = static_cast<uint32_t>(sections.size());

  RunWriter writer(run);
  writer.put(&header, sizeof header);
  const uint32_t tables = writer.put(blocks.data(), blocks.size() * sizeof(RunBlock));
  std::vector<RunSection> entries(sections.size());
  const uint32_t entries_at = writer.put(entries.data(), entries.size() * sizeof(RunSection));
  for (size_t i = 0; i < sections.size(); i++) {
    const EncodedSection& section = sections[i];
    RunSection& entry = entries[i];
    entry.field = section.field;
    entry.width = section.width;
    entry.page_count = section.page_count;
    entry.value_count = section.value_count;
    entry.fences_crc = crc32c(0, section.fences.data(), section.fences.size());
    entry.fences_offset = writer.put(section.fences);
  }
  if (with_names) {
    header.names_bytes = static_cast<uint32_t>(names_bytes.size());
    header.names_crc = crc32c(0, names_bytes.data(), names_bytes.size());
    header.names_offset = writer.put(names_bytes);
  }
  // The fewest first: most questions are answered by what a reader takes of a run at once (kHeadBytes).
  std::vector<size_t> by_size(sections.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return sections[a].pages.size() < sections[b].pages.size(); });
  for (const size_t i : by_size) {
    entries[i].pages_bytes = static_cast<uint32_t>(sections[i].pages.size());
    entries[i].pages_offset = writer.put(sections[i].pages);
  }
  for (size_t i = 0; i < sections.size(); i++) {
    entries[i].longs_bytes = static_cast<uint32_t>(sections[i].longs.size());
    entries[i].longs_offset = writer.put(sections[i].longs);
  }
  run->resize((run->size() + 7) / 8 * 8);
  header.run_bytes = static_cast<uint32_t>(run->size());
  if (!entries.empty()) std::memcpy(run->data() + entries_at, entries.data(), entries.size() * sizeof(RunSection));
  header.tables_crc =
      crc32c(0, run->data() + tables, blocks.size() * sizeof(RunBlock) + entries.size() * sizeof(RunSection));
  std::memcpy(run->data(), &header, sizeof header);
}

void seal_run(std::span<uint8_t> run, uint64_t index_block_serial) {
  PASTE_CHECK(run.size() >= sizeof(RunHeader));
  const uint32_t crc = crc32c(layout::seed_of(index_block_serial), run.data(), offsetof(RunHeader, crc));
  std::memcpy(run.data() + offsetof(RunHeader, crc), &crc, sizeof crc);
}

uint32_t sealed_run_bytes(const uint8_t* at, uint32_t room, uint64_t index_block_serial) {
  RunHeader header;
  if (room < sizeof header) return 0;
  std::memcpy(&header, at, sizeof header);
  const bool valid = header.magic == kRunMagic && header.version == kRunVersion &&
                     header.crc == crc32c(layout::seed_of(index_block_serial), at, offsetof(RunHeader, crc)) &&
                     header.run_bytes >= sizeof header && header.run_bytes % 8 == 0 && header.run_bytes <= room;
  return valid ? header.run_bytes : 0;
}

}  // namespace paste
