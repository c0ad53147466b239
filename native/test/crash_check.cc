#include "test/crash_check.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "core/base/status.h"
#include "core/index/builder.h"
#include "core/index/run_in_memory.h"
#include "core/store/checksums.h"
#include "core/store/index_check.h"

namespace paste::test {
namespace {

const layout::DirectoryEntry& entry_of(const uint8_t* base, uint32_t index) {
  return reinterpret_cast<const layout::DirectoryEntry*>(base + layout::kDirectoryOffset)[index];
}

layout::Superblock geometry_of(const uint8_t* base) {
  layout::Superblock copies[2];
  for (int i = 0; i < 2; ++i) std::memcpy(&copies[i], base + layout::kSuperblockOffset[i], sizeof copies[i]);
  const bool first = copies[0].magic == layout::kMagic && copies[0].crc == layout::superblock_crc(copies[0]);
  return copies[first ? 0 : 1];
}

// Calls with every record's header and place in a block of this life, from its start to the first that is not one.
template <typename Call>
void walk_block(const uint8_t* block, uint32_t end, uint64_t serial, Call call) {
  for (uint32_t at = layout::kLine; at + layout::kLine <= end;) {
    layout::RecordHeader header;
    std::memcpy(&header, block + at, sizeof header);
    if (header.lines == 0 || header.header_crc != layout::record_header_crc(header, serial)) return;
    call(header, at);
    at += header.lines * layout::kLine;
  }
}

}  // namespace

ImageFile::ImageFile(uint64_t size_bytes) : descriptor_(memfd_create("crash-image", MFD_CLOEXEC)) {
  PASTE_CHECK(descriptor_ >= 0 && ftruncate(descriptor_, static_cast<off_t>(size_bytes)) == 0);
  path_ = "/proc/self/fd/" + std::to_string(descriptor_);
}

ImageFile::~ImageFile() { close(descriptor_); }

Status ImageFile::read(const std::vector<uint8_t>& image, ReadBatch* batch) {
  PASTE_CHECK(pwrite(descriptor_, image.data(), image.size(), 0) == static_cast<ssize_t>(image.size()));
  std::unique_ptr<Reader> reader;
  if (Status status = Reader::open(path_, &reader); !status.ok()) return status;
  ReadOptions options;
  options.frames_only = false;
  reader->start(options);
  batch->clear();
  while (reader->next(batch, 100'000, 64u << 20) == Reader::More::kYes) continue;
  return reader->status();
}

void kill_writer(std::vector<uint8_t>& image) {
  auto* const live = reinterpret_cast<layout::LivePage*>(image.data() + layout::kLiveOffset);
  live->heartbeat_ns = 0;
  live->writer_pid = 0;
}

std::vector<std::string> unowned_buffers(const std::vector<uint8_t>& image, const ReadBatch& returned) {
  std::vector<std::string> wrong;
  std::unordered_set<uint64_t> wanted;
  for (const ReadRecord& record : returned.records)
    if ((returned.header(record).flags & layout::kPlaced) != 0) wanted.insert(returned.header(record).sequence);
  if (wanted.empty()) return wrong;
  const layout::Superblock geometry = geometry_of(image.data());
  for (uint32_t index = 0; index < geometry.block_count; ++index) {
    const layout::DirectoryEntry& entry = entry_of(image.data(), index);
    if (layout::word_kind(entry.word) != layout::kLog) continue;
    const uint64_t serial = layout::word_serial(entry.word);
    const uint8_t* const block = image.data() + geometry.blocks_offset + uint64_t{index} * geometry.block_bytes;
    const uint32_t end = layout::sealed(entry) ? entry.end_bytes : geometry.block_bytes;
    walk_block(block, end, serial, [&](const layout::RecordHeader& header, uint32_t at) {
      if ((header.flags & layout::kPlaced) == 0 || !wanted.contains(header.sequence)) return;
      layout::PlacePayload place;
      std::memcpy(&place, block + at + layout::kLine, sizeof place);
      const auto buffer = static_cast<uint32_t>((place.offset - geometry.blocks_offset) / geometry.block_bytes);
      const layout::DirectoryEntry& owner = entry_of(image.data(), buffer);
      const std::string named = "record " + std::to_string(header.sequence) + ": its buffer block ";
      if (owner.word != place.block_word) wrong.push_back(named + "is free or another's");
      if (owner.held_until < serial) wrong.push_back(named + "is not held for it");
    });
  }
  return wrong;
}

namespace {

IndexNode node_of(IndexField field, uint64_t value) {
  IndexNode node{IndexOp::kRange, static_cast<uint8_t>(field), 0, 0, {}, {}};
  for (uint32_t i = 0; i < 8; ++i) node.low[15 - i] = node.high[15 - i] = static_cast<uint8_t>(value >> 8 * i);
  return node;
}

// Whether the run, asked for what this record is, gives it.
bool finds(IndexRun& run, uint32_t block, const layout::RecordHeader& header, uint32_t at) {
  const bool frame = header.type == layout::kFrame;
  const IndexNode plan[] = {frame ? node_of(IndexField::kOutcome, header.outcome) : node_of(IndexField::kEvent, header.type),
                            node_of(IndexField::kIngress, header.ingress), {IndexOp::kAnd, 0, 0, 2, {}, {}}};
  IndexAnswer answer;
  if (!run.evaluate({plan, frame ? 3u : 1u}, NoNames(), &answer).ok()) return false;
  const BlockAnswer& found = answer.blocks[block];
  if (found.what == BlockAnswer::What::kAll) return true;
  const auto* const first = answer.offsets.data() + found.first;
  return found.what == BlockAnswer::What::kSome && std::binary_search(first, first + found.count, at);
}

}  // namespace

std::vector<std::string> wrong_runs(const std::vector<uint8_t>& image, uint64_t* runs) {
  std::vector<std::string> wrong;
  const layout::Superblock geometry = geometry_of(image.data());
  const auto block_at = [&](uint32_t index) {
    return image.data() + geometry.blocks_offset + uint64_t{index} * geometry.block_bytes;
  };
  for (uint32_t index = 0; index < geometry.block_count; ++index) {
    const layout::DirectoryEntry& entry = entry_of(image.data(), index);
    if (layout::word_kind(entry.word) != layout::kIndex) continue;
    const std::string named = "index block " + std::to_string(index);
    const uint64_t serial = layout::word_serial(entry.word);
    const IndexCheck check = check_index_block(block_at(index), geometry.block_bytes, entry);
    if (!check.whole) wrong.push_back(named + " is torn behind " + std::to_string(check.runs) + " runs");
    *runs += check.runs;
    uint32_t at = layout::kLine;
    for (uint32_t i = 0; i < check.runs; ++i) {
      const uint32_t bytes = sealed_run_bytes(block_at(index) + at, geometry.block_bytes - at, serial);
      RunInMemory source(block_at(index) + at, bytes);
      at = layout::next_run_offset(at, bytes);
      std::unique_ptr<IndexRun> run;
      if (!IndexRun::open(source, bytes, serial, &run).ok()) continue;  // check_index_block() said so
      for (uint32_t b = 0; b < run->blocks().size(); ++b) {
        const IndexedBlock& covered = run->blocks()[b];
        const layout::DirectoryEntry& log = entry_of(image.data(), covered.index);
        if (log.word != layout::entry_word(covered.serial, layout::kLog)) continue;  // retired: nobody asks for it any more
        if (!layout::sealed(log) || log.end_bytes != covered.end_bytes) wrong.push_back(named + " covers a block that is not sealed so");
        uint32_t asked = 0;
        walk_block(block_at(covered.index), covered.end_bytes, covered.serial, [&](const layout::RecordHeader& header, uint32_t place) {
          if (header.type == layout::kContinuation || (header.flags & layout::kRepeated) != 0 || asked++ % 5 != 0) return;
          if (!finds(*run, b, header, place))
            wrong.push_back(named + " does not find record " + std::to_string(header.sequence));
        });
      }
    }
  }
  return wrong;
}

uint64_t first_difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  for (uint64_t at = layout::kDirectoryOffset; at < a.size(); ++at)
    if (a[at] != b[at]) return at;
  return ~0ull;
}

void forge_stale_records(std::vector<uint8_t>& image) {
  const layout::Superblock geometry = geometry_of(image.data());
  uint64_t newest = 0;
  for (uint32_t i = 0; i < geometry.block_count; ++i)
    newest = std::max(newest, layout::word_serial(entry_of(image.data(), i).word));
  for (uint32_t index = 0; index < geometry.block_count; ++index) {
    const layout::DirectoryEntry& entry = entry_of(image.data(), index);
    if (layout::word_kind(entry.word) != layout::kLog || layout::sealed(entry)) continue;
    const uint64_t serial = layout::word_serial(entry.word);
    uint8_t* const block = image.data() + geometry.blocks_offset + uint64_t{index} * geometry.block_bytes;
    for (uint32_t at = layout::kLine; at < geometry.block_bytes; at += layout::kLine) {
      layout::RecordHeader header;
      std::memcpy(&header, block + at, sizeof header);
      if (header.type == layout::kEnd || header.type > layout::kBoot || header.lines == 0) continue;
      if (header.header_crc == layout::record_header_crc(header, serial)) continue;
      for (uint64_t former = 1; former <= newest; ++former)
        if (header.header_crc == layout::record_header_crc(header, former)) {
          header.header_crc = layout::record_header_crc(header, serial);
          std::memcpy(block + at, &header, sizeof header);
          break;
        }
    }
  }
}

}  // namespace paste::test
