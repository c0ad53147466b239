// The bytes of a run, checked as they are read: tables, fences, pages, postings.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/index/run.h"
#include "core/index/run_layout.h"

namespace paste::index {

// Flows of a run, ascending; or all of them, whatever `flows` says.
struct FlowSet {
  bool all = false;
  std::vector<uint32_t> flows;

  static FlowSet every() { return {true, {}}; }
  bool empty() const { return !all && flows.empty(); }
};

class RunPages {
 public:
  // May be opened again, on another run: the memory serves them all.
  Status open(IndexSource& source, uint32_t room_bytes, uint64_t index_block_serial);
  Status names(std::vector<IndexName>* names);

  const RunHeader& header() const { return header_; }
  const std::vector<IndexedBlock>& blocks() const { return blocks_; }
  uint64_t lines() const { return lines_; }
  uint64_t bytes_read() const { return bytes_read_; }
  // Sections of a field; IP addresses have up to two.
  std::span<const RunSection> sections() const { return {sections_.data(), header_.section_count}; }

  // Adds the flows of each value in [low, high] (of the section's width) that `wanted` accepts; set->all when that is at once known to be
  // more than half of the records. kStore: damaged.
  using Wanted = std::function<bool(const uint8_t* value)>;
  Status collect(const RunSection& section, const uint8_t* low, const uint8_t* high, const Wanted* wanted,
                 FlowSet* set);
  // Adds the lines of the flows, in no order; *too_many when they are more than half of the records.
  Status lines_of(const std::vector<uint32_t>& flows, std::vector<uint32_t>* lines, bool* too_many);

  bool more_than_half(uint64_t records) const { return records * 2 > header_.record_count; }

 private:
  // *bytes: in the head, or in `buffer`.
  Status read(uint64_t offset, uint64_t size_bytes, std::vector<uint8_t>* buffer, const uint8_t** bytes);
  Status copy(uint32_t offset, uint32_t size_bytes, uint8_t* to);
  Status read_tables();
  Status check_section(const RunSection& section) const;
  Status fences(const RunSection& section, const uint8_t** fences);
  // *bytes are good until the next page is read.
  Status read_page(const RunSection& section, const uint8_t* fences, uint32_t page, std::span<const uint8_t>* bytes);
  Status add_posting(const RunSection& section, uint32_t tag, const uint8_t*& at, const uint8_t* end, bool wanted,
                     FlowSet* set);
  Status add_list(const uint8_t* at, const uint8_t* end, FlowSet* set) const;
  Status add_bitmap(std::span<const uint8_t> bits, FlowSet* set) const;

  IndexSource* source_ = nullptr;
  uint32_t room_bytes_ = 0;
  RunHeader header_{};
  std::array<uint8_t, kHeadBytes> head_;      // the run's first bytes: small runs whole
  uint32_t head_bytes_ = 0;
  std::vector<IndexedBlock> blocks_;
  uint64_t lines_ = 0;                        // of all blocks
  std::array<RunSection, kSectionsMax> sections_;
  struct Fences {
    const uint8_t* bytes = nullptr;  // not read yet
    std::vector<uint8_t> own;        // where they are not in the head
  };
  std::vector<Fences> fences_;       // by section
  std::vector<uint8_t> page_, long_;
  uint64_t bytes_read_ = 0;
  uint64_t long_bytes_read_ = 0;              // by the collect() under way
};

}  // namespace paste::index
