#include "core/index/run_pages.h"

#include <algorithm>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/index/builder.h"
#include "core/index/varint.h"

namespace paste::index {
namespace {

Status damaged(const char* what) { return Status(Code::kStore, std::string("an index run is damaged: ") + what); }

Fence fence_at(const std::vector<uint8_t>& fences, uint32_t width, uint32_t page) {
  Fence fence;
  std::memcpy(&fence, fences.data() + size_t{page} * (width + sizeof fence) + width, sizeof fence);
  return fence;
}
const uint8_t* fence_value(const std::vector<uint8_t>& fences, uint32_t width, uint32_t page) {
  return fences.data() + size_t{page} * (width + sizeof(Fence));
}
uint64_t fences_bytes(const RunSection& section) {
  return uint64_t{section.page_count} * (section.width + sizeof(Fence));
}

// The last page whose first value is not above `value`; the first page when there is none.
uint32_t page_of(const std::vector<uint8_t>& fences, const RunSection& section, const uint8_t* value) {
  uint32_t low = 0, high = section.page_count;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    (std::memcmp(fence_value(fences, section.width, middle), value, section.width) <= 0 ? low : high) = middle;
  }
  return low;
}

}  // namespace

Status RunPages::read(uint64_t offset, uint64_t size_bytes, std::vector<uint8_t>* to) {
  const uint64_t end = header_.run_bytes != 0 ? header_.run_bytes : room_bytes_;
  if (offset > end || size_bytes > end - offset) return damaged("something lies behind its end");
  to->resize(size_bytes);
  if (size_bytes == 0) return {};
  if (offset + size_bytes <= head_.size()) {
    std::memcpy(to->data(), head_.data() + offset, size_bytes);
    return {};
  }
  bytes_read_ += size_bytes;
  if (!source_.read(static_cast<uint32_t>(offset), static_cast<uint32_t>(size_bytes), to->data()))
    return damaged("it cannot be read");
  return {};
}

Status RunPages::open(uint64_t index_block_serial) {
  std::vector<uint8_t> head;
  if (Status status = read(0, std::min(room_bytes_, kPageBytes), &head); !status.ok()) return status;
  head_ = std::move(head);
  if (head_.size() < sizeof header_ || sealed_run_bytes(head_.data(), room_bytes_, index_block_serial) == 0)
    return damaged("its header is not right");
  std::memcpy(&header_, head_.data(), sizeof header_);
  if (head_.size() > header_.run_bytes) head_.resize(header_.run_bytes);
  return read_tables();
}

Status RunPages::read_tables() {
  if (header_.block_count == 0 || header_.block_count > kBlocksMax || header_.section_count > kSectionsMax)
    return damaged("its counts");
  const uint64_t blocks_bytes = uint64_t{header_.block_count} * sizeof(RunBlock);
  const uint64_t sections_bytes = uint64_t{header_.section_count} * sizeof(RunSection);
  std::vector<uint8_t> tables;
  if (Status status = read(sizeof header_, blocks_bytes + sections_bytes, &tables); !status.ok()) return status;
  if (crc32c(0, tables.data(), tables.size()) != header_.tables_crc) return damaged("its tables");
  uint64_t records = 0;
  for (uint32_t i = 0; i < header_.block_count; i++) {
    RunBlock block;
    std::memcpy(&block, tables.data() + i * sizeof block, sizeof block);
    if (block.end_bytes > layout::kBlockBytesMax || block.record_count > block.end_bytes / layout::kLine)
      return damaged("a block's length");
    blocks_.push_back(
        {block.index, block.serial, block.end_bytes, block.record_count, (block.flags & kScanBlock) != 0});
    lines_ += block.end_bytes / layout::kLine;
    records += block.record_count;
  }
  sections_.resize(header_.section_count);
  fences_.resize(header_.section_count);
  if (sections_bytes != 0) std::memcpy(sections_.data(), tables.data() + blocks_bytes, sections_bytes);
  for (const RunSection& section : sections_)
    if (Status status = check_section(section); !status.ok()) return status;
  if (records != header_.record_count || header_.flow_count > header_.record_count) return damaged("its sums");
  return {};
}

Status RunPages::check_section(const RunSection& section) const {
  const auto inside = [this](uint64_t offset, uint64_t size_bytes) {
    return offset <= header_.run_bytes && size_bytes <= header_.run_bytes - offset;
  };
  const bool known = section.field == kPositions
                         ? section.width == 4
                         : section.field < kFields && section.width != 0 && section.width <= field_bytes(section.field);
  if (!known || section.page_count == 0 || !inside(section.fences_offset, fences_bytes(section)) ||
      !inside(section.pages_offset, section.pages_bytes) || !inside(section.longs_offset, section.longs_bytes))
    return damaged("a section");
  return {};
}

Status RunPages::names(std::vector<IndexName>* names) {
  names->clear();
  if (header_.names_offset == 0) return Status(Code::kStore, "an index run has no room for names");
  std::vector<uint8_t> bytes;
  if (Status status = read(header_.names_offset, header_.names_bytes, &bytes); !status.ok()) return status;
  if (crc32c(0, bytes.data(), bytes.size()) != header_.names_crc) return damaged("its names");
  for (size_t at = 0; at < bytes.size();) {
    if (bytes.size() - at < kNameHeaderBytes) return damaged("a name's length");
    IndexName name{bytes[at] == 0 ? IndexName::Of::kPort : IndexName::Of::kRule, 0, {}};
    uint16_t length;
    std::memcpy(&name.id, bytes.data() + at + 1, sizeof name.id);
    std::memcpy(&length, bytes.data() + at + 5, sizeof length);
    at += kNameHeaderBytes;
    if (bytes.size() - at < length) return damaged("a name's length");
    name.name.assign(reinterpret_cast<const char*>(bytes.data() + at), length);
    at += length;
    names->push_back(std::move(name));
  }
  return {};
}

Status RunPages::fences(const RunSection& section, const std::vector<uint8_t>** fences) {
  std::vector<uint8_t>& kept = fences_[&section - sections_.data()];
  if (kept.empty()) {
    std::vector<uint8_t> bytes;
    if (Status status = read(section.fences_offset, fences_bytes(section), &bytes); !status.ok()) return status;
    if (crc32c(0, bytes.data(), bytes.size()) != section.fences_crc) return damaged("a section's fences");
    // Pages do not share bytes, unless somebody wrote them to keep readers busy.
    uint32_t end = section.pages_bytes;
    for (uint32_t page = section.page_count; page-- > 0;) {
      const uint32_t offset = fence_at(bytes, section.width, page).offset;
      if (offset > end) return damaged("a page's length");
      end = offset;
    }
    kept = std::move(bytes);
  }
  *fences = &kept;
  return {};
}

// Into page_.
Status RunPages::read_page(const RunSection& section, const std::vector<uint8_t>& fences, uint32_t page) {
  const Fence fence = fence_at(fences, section.width, page);
  const uint32_t end =
      page + 1 < section.page_count ? fence_at(fences, section.width, page + 1).offset : section.pages_bytes;
  if (Status status = read(uint64_t{section.pages_offset} + fence.offset, end - fence.offset, &page_); !status.ok())
    return status;
  if (crc32c(0, page_.data(), page_.size()) != fence.crc) return damaged("a page");
  return page_.size() < 2 ? damaged("a page's length") : Status();
}

Status RunPages::collect(const RunSection& section, const uint8_t* low, const uint8_t* high, const Wanted* wanted,
                         FlowSet* set) {
  const std::vector<uint8_t>* table;
  if (Status status = fences(section, &table); !status.ok()) return status;
  long_bytes_read_ = 0;
  const uint32_t width = section.width;
  const uint32_t first = page_of(*table, section, low), last = page_of(*table, section, high);
  uint64_t whole = 0;  // records of the pages between, all of whose values count
  for (uint32_t page = first + 1; wanted == nullptr && page < last; page++)
    whole += fence_at(*table, width, page).records;
  // (Records with several values of the field count several times: an answer too large is still one.)
  if (more_than_half(whole)) {
    *set = FlowSet::every();
    return {};
  }
  for (uint32_t page = first; page <= last; page++) {
    if (Status status = read_page(section, *table, page); !status.ok()) return status;
    const uint32_t count = page_[0] | static_cast<uint32_t>(page_[1]) << 8;
    const uint8_t* value = page_.data() + 2;
    const uint8_t* end = page_.data() + page_.size();
    if (size_t{count} * width > page_.size() - 2) return damaged("a page's count");
    const uint8_t* at = value + size_t{count} * width;
    for (uint32_t i = 0; i < count; i++, value += width) {
      if (std::memcmp(value, high, width) > 0) break;
      uint32_t tag;
      if (!get_varint(at, end, &tag)) return damaged("a posting");
      const bool take = std::memcmp(value, low, width) >= 0 && (wanted == nullptr || (*wanted)(value));
      if (Status status = add_posting(section, tag, at, end, take, set); !status.ok()) return status;
      if (set->all) return {};
    }
  }
  return {};
}

Status RunPages::add_posting(const RunSection& section, uint32_t tag, const uint8_t*& at, const uint8_t* end,
                             bool wanted, FlowSet* set) {
  const uint32_t kind = tag & 3, length = tag >> 2;
  if (kind == kEvery) {
    if (wanted) *set = FlowSet::every();
    return {};
  }
  if (kind == kInline) {
    if (length > static_cast<size_t>(end - at)) return damaged("a posting's length");
    at += length;
    return wanted ? add_list(at - length, at, set) : Status();
  }
  uint32_t offset, records, crc;
  if (!get_varint(at, end, &offset) || !get_varint(at, end, &records) || end - at < 4) return damaged("a posting");
  std::memcpy(&crc, at, 4);
  at += 4;
  if (!wanted) return {};
  if (more_than_half(records)) {
    *set = FlowSet::every();
    return {};
  }
  if (offset > section.longs_bytes || length > section.longs_bytes - offset) return damaged("a long posting's place");
  // Postings do not share bytes, unless somebody wrote them to keep readers busy.
  long_bytes_read_ += length;
  if (long_bytes_read_ > section.longs_bytes) return damaged("its long postings");
  if (Status status = read(uint64_t{section.longs_offset} + offset, length, &long_); !status.ok()) return status;
  if (crc32c(0, long_.data(), long_.size()) != crc) return damaged("a long posting");
  return kind == kList ? add_list(long_.data(), long_.data() + long_.size(), set) : add_bitmap(long_, set);
}

Status RunPages::add_list(const uint8_t* at, const uint8_t* end, FlowSet* set) const {
  uint64_t flow = 0;
  for (bool first = true; at < end; first = false) {
    uint32_t step;
    if (!get_varint(at, end, &step)) return damaged("a posting's flows");
    flow += first ? step : uint64_t{step} + 1;
    if (flow >= header_.flow_count) return damaged("a flow that is not there");
    set->flows.push_back(static_cast<uint32_t>(flow));
  }
  return {};
}

Status RunPages::add_bitmap(std::span<const uint8_t> bits, FlowSet* set) const {
  if (bits.size() != (uint64_t{header_.flow_count} + 7) / 8) return damaged("a bitmap's length");
  for (size_t byte = 0; byte < bits.size(); byte++) {
    for (uint32_t rest = bits[byte]; rest != 0; rest &= rest - 1) {
      const uint32_t flow = static_cast<uint32_t>(byte) * 8 + static_cast<uint32_t>(__builtin_ctz(rest));
      if (flow >= header_.flow_count) return damaged("a flow that is not there");
      set->flows.push_back(flow);
    }
  }
  return {};
}

Status RunPages::lines_of(const std::vector<uint32_t>& flows, std::vector<uint32_t>* lines, bool* too_many) {
  *too_many = false;
  const auto section =
      std::find_if(sections_.begin(), sections_.end(), [](const RunSection& s) { return s.field == kPositions; });
  if (section == sections_.end()) return flows.empty() ? Status() : damaged("it has no positions");
  const std::vector<uint8_t>* table;
  if (Status status = fences(*section, &table); !status.ok()) return status;
  const auto first_of = [&](uint32_t page) {
    uint32_t flow;
    std::memcpy(&flow, fence_value(*table, 4, page), 4);
    return __builtin_bswap32(flow);
  };
  for (size_t i = 0; i < flows.size();) {
    const uint32_t wanted = __builtin_bswap32(flows[i]);
    const uint32_t page = page_of(*table, *section, reinterpret_cast<const uint8_t*>(&wanted));
    if (Status status = read_page(*section, *table, page); !status.ok()) return status;
    const uint32_t count = page_[0] | static_cast<uint32_t>(page_[1]) << 8;
    const uint32_t first = first_of(page);
    const uint8_t* at = page_.data() + 2;
    const uint8_t* end = page_.data() + page_.size();
    if (flows[i] < first || flows[i] - first >= count) return damaged("a flow without positions");
    uint64_t line = 0;  // the first one of the flow before
    for (uint32_t flow = first; flow - first < count && i < flows.size(); flow++) {
      uint32_t length, step;
      if (!get_varint(at, end, &length) || length > static_cast<size_t>(end - at)) return damaged("a flow's positions");
      const uint8_t* stop = at + length;
      if (!get_varint(at, stop, &step)) return damaged("a flow's positions");
      line += step;
      if (line >= lines_) return damaged("a position behind the blocks");
      if (flow == flows[i]) {
        i++;
        uint64_t next = line;
        lines->push_back(static_cast<uint32_t>(next));
        while (at < stop) {
          if (!get_varint(at, stop, &step)) return damaged("a flow's positions");
          next += step;
          if (next >= lines_) return damaged("a position behind the blocks");
          lines->push_back(static_cast<uint32_t>(next));
        }
        if (more_than_half(lines->size())) {
          *too_many = true;
          return {};
        }
      }
      at = stop;
    }
  }
  return {};
}

}  // namespace paste::index
