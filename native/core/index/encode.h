// Sections of a run: values in order, in pages, each with the flows that have it; and where each flow's records are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/index/flow_table.h"
#include "core/index/run_layout.h"

namespace paste::index {

struct EncodedSection {
  uint8_t field = 0, width = 0;
  uint32_t page_count = 0, value_count = 0;
  std::vector<uint8_t> fences, pages, longs;

  uint64_t bytes() const { return sizeof(RunSection) + fences.size() + pages.size() + longs.size(); }
};

// A record's place: its flow and its line, counted over the run's blocks.
struct Appearance {
  uint32_t flow, line;
};

// The sections of every field that has values, in the order of kSections.
std::vector<EncodedSection> encode_fields(const FlowTable& table);
// `appearances` in ascending order of lines.
EncodedSection encode_positions(std::span<const Flow> flows, std::span<const Appearance> appearances);

}  // namespace paste::index
