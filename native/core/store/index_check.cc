#include "core/store/index_check.h"

#include <cstring>
#include <memory>

#include "core/index/builder.h"
#include "core/index/run_in_memory.h"
#include "core/store/checksums.h"

namespace paste {
namespace {

// Asks for every value of every field, so that what questions read first passes under its checksum. Where the fences already say "all",
// pages are left to the readers.
bool readable(IndexRun& run) {
  std::vector<IndexName> names;
  if (run.has_names() && !run.names(&names).ok()) return false;
  for (uint8_t field = 1; field <= static_cast<uint8_t>(IndexField::kEvent); ++field) {
    IndexNode node{IndexOp::kRange, field, 0, 0, {}, {}};
    std::memset(node.high, 0xff, sizeof node.high);
    IndexAnswer answer;
    if (!run.evaluate({&node, 1}, NoNames(), &answer).ok()) return false;
  }
  return true;
}

}  // namespace

IndexCheck check_index_block(const uint8_t* block, uint32_t block_bytes, const layout::DirectoryEntry& entry) {
  IndexCheck check;
  const uint64_t serial = layout::word_serial(entry.word);
  layout::BlockHeader header;
  std::memcpy(&header, block, sizeof header);
  if (header.magic != layout::kIndexMagic || header.serial != serial || header.crc != layout::block_header_crc(header))
    return check;
  check.end = layout::kLine;
  while (check.end + kIndexRunHeaderBytes <= block_bytes) {
    const uint32_t bytes = sealed_run_bytes(block + check.end, block_bytes - check.end, serial);
    if (bytes == 0) break;
    RunInMemory source(block + check.end, bytes);
    std::unique_ptr<IndexRun> run;
    if (!IndexRun::open(source, bytes, serial, &run).ok() || !readable(*run)) return check;
    check.blocks.insert(check.blocks.end(), run->blocks().begin(), run->blocks().end());
    check.runs += 1;
    check.end = layout::next_run_offset(check.end, bytes);
  }
  // Without a seal the last runs may be missing: they never became durable.
  check.whole = !layout::index_sealed(entry) || check.end == entry.end_bytes;
  return check;
}

}  // namespace paste
