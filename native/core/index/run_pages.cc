#include "core/index/run_pages.h"

#include <algorithm>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/index/builder.h"
#include "core/index/varint.h"

namespace paste::index {
namespace {

Status damaged(const char* what) { return Status(Code::kStore, std::string("an index run is damaged: ") + what); }

Fence fence_at(const uint8_t* fences, uint32_t width, uint32_t page) {
  Fence fence;
  std::memcpy(&fence, fences + size_t{page} * (width + sizeof fence) + width, sizeof fence);
  return fence;
}
const uint8_t* fence_value(const uint8_t* fences, uint32_t width, uint32_t page) {
  return fences + size_t{page} * (width + sizeof(Fence));
}
uint64_t fences_bytes(const RunSection& section) {
  return uint64_t{section.page_count} * (section.width + sizeof(Fence));
}

// The last page whose first value is not above `value`; the first page when there is none.
uint32_t page_of(const uint8_t* fences, const RunSection& section, const uint8_t* value) {
  uint32_t low = 0, high = section.page_count;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    (std::memcmp(fence_value(fences, section.width, middle), value, section.width) <= 0 ? low : high) = middle;
  }
  return low;
}

// Whether none of the ascending values lies in [low, high]. Where they do not ascend, nobody wrote them so: what is not found is lost.
bool none_between(const uint8_t* values, uint32_t count, uint32_t width, const uint8_t* low, const uint8_t* high) {
  uint32_t begin = 0, end = count;
  while (begin < end) {
    const uint32_t middle = begin + (end - begin) / 2;
    if (std::memcmp(values + size_t{middle} * width, low, width) < 0) begin = middle + 1;
    else end = middle;
  }
  return begin == count || std::memcmp(values + size_t{begin} * width, high, width) > 0;
}

}  // namespace

Status RunPages::read(uint64_t offset, uint64_t size_bytes, std::vector<uint8_t>* buffer, const uint8_t** bytes) {
  const uint64_t end = header_.run_bytes != 0 ? header_.run_bytes : room_bytes_;
  if (offset > end || size_bytes > end - offset) return damaged("something lies behind its end");
  *bytes = head_.data() + offset;
  if (size_bytes == 0 || offset + size_bytes <= head_bytes_) return {};
  if (buffer->size() < size_bytes) buffer->resize(size_bytes);
  *bytes = buffer->data();
  return copy(static_cast<uint32_t>(offset), static_cast<uint32_t>(size_bytes), buffer->data());
}

Status RunPages::copy(uint32_t offset, uint32_t size_bytes, uint8_t* to) {
  bytes_read_ += size_bytes;
  return source_->read(offset, size_bytes, to) ? Status() : damaged("it cannot be read");
}

Status RunPages::open(IndexSource& source, uint32_t room_bytes, uint64_t index_block_serial) {
  source_ = &source;
  room_bytes_ = room_bytes;
  header_ = RunHeader{};
  head_bytes_ = 0;
  blocks_.clear();
  lines_ = 0;
  bytes_read_ = 0;
  const uint32_t size_bytes = std::min(room_bytes_, kHeadBytes);
  if (Status status = copy(0, size_bytes, head_.data()); !status.ok()) return status;
  if (size_bytes < sizeof header_ || sealed_run_bytes(head_.data(), room_bytes_, index_block_serial) == 0)
    return damaged("its header is not right");
  std::memcpy(&header_, head_.data(), sizeof header_);
  head_bytes_ = std::min(size_bytes, header_.run_bytes);
  return read_tables();
}

Status RunPages::read_tables() {
  if (header_.block_count == 0 || header_.block_count > kBlocksMax || header_.section_count > kSectionsMax)
    return damaged("its counts");
  const uint64_t blocks_bytes = uint64_t{header_.block_count} * sizeof(RunBlock);
  const uint64_t sections_bytes = uint64_t{header_.section_count} * sizeof(RunSection);
  const uint64_t tables_bytes = blocks_bytes + sections_bytes;
  const uint8_t* tables;
  if (Status status = read(sizeof header_, tables_bytes, &page_, &tables); !status.ok()) return status;
  if (crc32c(0, tables, tables_bytes) != header_.tables_crc) return damaged("its tables");
  blocks_.reserve(header_.block_count);
  uint64_t records = 0;
  for (uint32_t i = 0; i < header_.block_count; i++) {
    RunBlock block;
    std::memcpy(&block, tables + i * sizeof block, sizeof block);
    if (block.end_bytes > layout::kBlockBytesMax || block.record_count > block.end_bytes / layout::kLine)
      return damaged("a block's length");
    blocks_.push_back(
        {block.index, block.serial, block.end_bytes, block.record_count, (block.flags & kScanBlock) != 0});
    lines_ += block.end_bytes / layout::kLine;
    records += block.record_count;
  }
  if (fences_.size() < header_.section_count) fences_.resize(header_.section_count);
  for (Fences& kept : fences_) kept.bytes = nullptr;
  if (sections_bytes != 0) std::memcpy(sections_.data(), tables + blocks_bytes, sections_bytes);
  for (const RunSection& section : sections())
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
  const uint8_t* bytes;
  const size_t size_bytes = header_.names_bytes;
  if (Status status = read(header_.names_offset, size_bytes, &page_, &bytes); !status.ok()) return status;
  if (crc32c(0, bytes, size_bytes) != header_.names_crc) return damaged("its names");
  for (size_t at = 0; at < size_bytes;) {
    if (size_bytes - at < kNameHeaderBytes) return damaged("a name's length");
    IndexName name{bytes[at] == 0 ? IndexName::Of::kPort : IndexName::Of::kRule, 0, {}};
    uint16_t length;
    std::memcpy(&name.id, bytes + at + 1, sizeof name.id);
    std::memcpy(&length, bytes + at + 5, sizeof length);
    at += kNameHeaderBytes;
    if (size_bytes - at < length) return damaged("a name's length");
    name.name.assign(reinterpret_cast<const char*>(bytes + at), length);
    at += length;
    names->push_back(std::move(name));
  }
  return {};
}

Status RunPages::fences(const RunSection& section, const uint8_t** fences) {
  Fences& kept = fences_[&section - sections_.data()];
  if (!kept.bytes) {
    const uint8_t* bytes;
    const uint64_t size_bytes = fences_bytes(section);
    if (Status status = read(section.fences_offset, size_bytes, &kept.own, &bytes); !status.ok()) return status;
    if (crc32c(0, bytes, size_bytes) != section.fences_crc) return damaged("a section's fences");
    // Pages do not share bytes, unless somebody wrote them to keep readers busy.
    uint32_t end = section.pages_bytes;
    for (uint32_t page = section.page_count; page-- > 0;) {
      const uint32_t offset = fence_at(bytes, section.width, page).offset;
      if (offset > end) return damaged("a page's length");
      end = offset;
    }
    kept.bytes = bytes;
  }
  *fences = kept.bytes;
  return {};
}

Status RunPages::read_page(const RunSection& section, const uint8_t* fences, uint32_t page, std::span<const uint8_t>* bytes) {
  const Fence fence = fence_at(fences, section.width, page);
  const uint32_t end =
      page + 1 < section.page_count ? fence_at(fences, section.width, page + 1).offset : section.pages_bytes;
  const uint32_t size_bytes = end - fence.offset;
  const uint8_t* at = nullptr;
  if (Status status = read(uint64_t{section.pages_offset} + fence.offset, size_bytes, &page_, &at); !status.ok()) return status;
  if (crc32c(0, at, size_bytes) != fence.crc) return damaged("a page");
  *bytes = {at, size_bytes};
  return size_bytes < 2 ? damaged("a page's length") : Status();
}

Status RunPages::collect(const RunSection& section, const uint8_t* low, const uint8_t* high, const Wanted* wanted,
                         FlowSet* set) {
  const uint8_t* table;
  if (Status status = fences(section, &table); !status.ok()) return status;
  long_bytes_read_ = 0;
  const uint32_t width = section.width;
  const uint32_t first = page_of(table, section, low), last = page_of(table, section, high);
  uint64_t whole = 0;  // records of the pages between, all of whose values count
  for (uint32_t page = first + 1; wanted == nullptr && page < last; page++)
    whole += fence_at(table, width, page).records;
  // (Records with several values of the field count several times: an answer too large is still one.)
  if (more_than_half(whole)) {
    *set = FlowSet::every();
    return {};
  }
  for (uint32_t page = first; page <= last; page++) {
    std::span<const uint8_t> bytes;
    if (Status status = read_page(section, table, page, &bytes); !status.ok()) return status;
    const uint32_t count = bytes[0] | static_cast<uint32_t>(bytes[1]) << 8;
    const uint8_t* value = bytes.data() + 2;
    const uint8_t* end = bytes.data() + bytes.size();
    if (size_t{count} * width > bytes.size() - 2) return damaged("a page's count");
    if (none_between(value, count, width, low, high)) continue;  // no need to walk the postings
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
  const uint8_t* bytes;
  if (Status status = read(uint64_t{section.longs_offset} + offset, length, &long_, &bytes); !status.ok()) return status;
  if (crc32c(0, bytes, length) != crc) return damaged("a long posting");
  return kind == kList ? add_list(bytes, bytes + length, set) : add_bitmap({bytes, length}, set);
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
  const auto all = sections();
  const auto section = std::find_if(all.begin(), all.end(), [](const RunSection& s) { return s.field == kPositions; });
  if (section == all.end()) return flows.empty() ? Status() : damaged("it has no positions");
  const uint8_t* table;
  if (Status status = fences(*section, &table); !status.ok()) return status;
  const auto first_of = [&](uint32_t page) {
    uint32_t flow;
    std::memcpy(&flow, fence_value(table, 4, page), 4);
    return __builtin_bswap32(flow);
  };
  for (size_t i = 0; i < flows.size();) {
    const uint32_t wanted = __builtin_bswap32(flows[i]);
    const uint32_t page = page_of(table, *section, reinterpret_cast<const uint8_t*>(&wanted));
    std::span<const uint8_t> bytes;
    if (Status status = read_page(*section, table, page, &bytes); !status.ok()) return status;
    const uint32_t count = bytes[0] | static_cast<uint32_t>(bytes[1]) << 8;
    const uint32_t first = first_of(page);
    const uint8_t* at = bytes.data() + 2;
    const uint8_t* end = bytes.data() + bytes.size();
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
