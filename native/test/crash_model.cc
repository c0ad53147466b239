#include "test/crash_model.h"

#include <cstring>
#include <set>

namespace paste::test {
namespace {

bool is_modelled(const layout::RecordHeader& header) {
  return header.type == layout::kFrame || header.type == layout::kMac;
}

bool alive(const ModelRecord& record, const std::vector<uint64_t>& words) {
  for (const auto& life : record.lives)
    if (words[life.block] != layout::entry_word(life.serial, layout::kLog)) return false;
  return record.buffer_block == layout::kNoBlock || words[record.buffer_block] == record.buffer_word;
}

std::string named(uint64_t sequence) { return "record " + std::to_string(sequence); }

}  // namespace

std::vector<uint64_t> directory_words(const uint8_t* head, uint32_t block_count) {
  std::vector<uint64_t> words(block_count);
  const auto* entries = reinterpret_cast<const layout::DirectoryEntry*>(head + layout::kDirectoryOffset);
  for (uint32_t i = 0; i < block_count; ++i) words[i] = entries[i].word;
  return words;
}

std::string CrashModel::mismatch(const ModelRecord& model, const ReadBatch& got, const ReadRecord& record) const {
  const layout::RecordHeader& a = model.expected;
  const layout::RecordHeader& b = got.header(record);
  constexpr uint8_t kFlags = layout::kStrict | layout::kFlooded | layout::kVlanTagged;
  if (record.length != model.bytes.size())
    return "has " + std::to_string(record.length) + " bytes instead of " + std::to_string(model.bytes.size());
  if (record.length != 0 && std::memcmp(got.payload(record), model.bytes.data(), record.length) != 0)
    return "has other bytes";
  if (a.type != b.type || a.time_ns != b.time_ns) return "has another type or time";
  if (a.type == layout::kFrame &&
      (a.ingress != b.ingress || a.egress != b.egress || a.rule != b.rule || a.wire_length != b.wire_length ||
       a.flow_hash != b.flow_hash || a.vlan_tci != b.vlan_tci || a.copies_reserved != b.copies_reserved ||
       a.copies_refused != b.copies_refused || a.outcome != b.outcome || (a.flags & kFlags) != (b.flags & kFlags)))
    return "has another header";
  return "";
}

std::vector<std::string> CrashModel::compare(const ReadBatch& got, const std::vector<uint64_t>& must,
                                             const std::vector<uint64_t>& may) const {
  std::vector<std::string> wrong;
  std::set<uint64_t> seen;
  uint64_t last = 0;
  const uint64_t newest = records.empty() ? 0 : records.rbegin()->first;
  for (const ReadRecord& record : got.records) {
    const layout::RecordHeader& header = got.header(record);
    const uint64_t sequence = header.sequence;
    if ((header.flags & layout::kRepeated) != 0) continue;
    if (sequence <= last) wrong.push_back(named(sequence) + " follows " + named(last));
    last = sequence;
    if (!is_modelled(header)) continue;
    seen.insert(sequence);
    const auto known = records.find(sequence);
    if (known == records.end()) {
      bool plausible = false;
      for (const ModelRecord& candidate : under_way) plausible = plausible || mismatch(candidate, got, record).empty();
      if (!plausible || sequence <= newest) wrong.push_back(named(sequence) + " was never appended");
      continue;
    }
    const std::string difference = mismatch(known->second, got, record);
    if (!difference.empty()) wrong.push_back(named(sequence) + " " + difference);
    if (known->second.lost) wrong.push_back(named(sequence) + " came back after a recovery had discarded it");
    if (!alive(known->second, may)) wrong.push_back(named(sequence) + " came back from a block that was given up");
  }
  for (const auto& [sequence, record] : records)
    if (record.acknowledged && !record.lost && alive(record, must) && !seen.contains(sequence))
      wrong.push_back(named(sequence) + " was acknowledged and is gone");
  return wrong;
}

void CrashModel::settle(const ReadBatch& got) {
  std::map<uint64_t, const ReadRecord*> seen;
  for (const ReadRecord& record : got.records)
    if (is_modelled(got.header(record)) && (got.header(record).flags & layout::kRepeated) == 0)
      seen[got.header(record).sequence] = &record;
  // A record under way at the crash that survived is a record like any other from now on; where it lies is not known, which makes
  // it one that may be returned and need not be.
  for (const auto& [sequence, record] : seen) {
    if (records.contains(sequence)) continue;
    ModelRecord adopted;
    adopted.expected = got.header(*record);
    adopted.bytes.assign(got.payload(*record), got.payload(*record) + record->length);
    records[sequence] = std::move(adopted);
  }
  for (auto& [sequence, record] : records) {
    record.lost = record.lost || !seen.contains(sequence);
    // What a recovery kept is durable, acknowledged before or not.
    record.acknowledged = record.acknowledged || (!record.lost && !record.lives.empty());
  }
  under_way.clear();
}

void CrashModel::acknowledge(uint32_t lane, uint64_t durable_ticket) {
  for (auto& [sequence, record] : records)
    if (record.lane == lane && record.ticket != 0 && record.ticket <= durable_ticket) record.acknowledged = true;
}

std::vector<std::string> CrashModel::dangling(const std::vector<uint64_t>& words) const {
  std::vector<std::string> wrong;
  for (const auto& [sequence, record] : records) {
    const bool placed = record.buffer_block != layout::kNoBlock && !record.lost;
    if (!placed || words[record.buffer_block] == record.buffer_word) continue;
    ModelRecord log_only = record;
    log_only.buffer_block = layout::kNoBlock;
    if (alive(log_only, words)) wrong.push_back(named(sequence) + " lives and its buffer block was given up");
  }
  return wrong;
}

std::vector<std::string> CrashModel::given_up(const std::vector<uint64_t>& words) const {
  std::vector<std::string> wrong;
  for (const auto& [sequence, record] : records)
    if (record.acknowledged && !record.lost && sequence >= trimmed_before && !alive(record, words))
      wrong.push_back(named(sequence) + " was given up though nobody asked for that");
  return wrong;
}

uint64_t CrashModel::acknowledged() const {
  uint64_t count = 0;
  for (const auto& [sequence, record] : records) count += record.acknowledged ? 1 : 0;
  return count;
}

}  // namespace paste::test
