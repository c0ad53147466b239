// Makes an index run of sealed log blocks: which records have which values (expression.h, IndexField). Pure memory: no files, no threads.
// The run's form is run_layout.h's; IndexRun (run.h) reads it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/store/layout.h"

namespace paste {

struct IndexOptions {
  bool tunnels = false;  // look into tunnels, too
  // Of a run. Fields that do not fit are left out and answer "all"; at worst the whole run does: then it is as small as its list of blocks.
  uint32_t bytes_max = 1u << 20;
};

// Where frames that were marked in place have their bytes.
class PlacedBytes {
 public:
  virtual ~PlacedBytes() = default;
  // place.length bytes that stay as they are until add_block() returns; null when they are gone, or lie nowhere.
  virtual const uint8_t* bytes(const layout::PlacePayload& place) const = 0;
};

class IndexBuilder {
 public:
  explicit IndexBuilder(const IndexOptions& options);
  ~IndexBuilder();
  IndexBuilder(const IndexBuilder&) = delete;
  IndexBuilder& operator=(const IndexBuilder&) = delete;

  // The bytes of a sealed log block of any lane; blocks of one lane in the order of their serials. Their contents are checked: where a
  // record's header is not right, the whole block answers "all". end_bytes is the seal's. Nothing is kept of `bytes`.
  void add_block(uint32_t block_index, uint64_t serial, const uint8_t* bytes, uint32_t end_bytes,
                 const PlacedBytes& placed);

  // Blocks of a lane were left out in front of the next one, or come later; none holds frames that are newer than `time_ns`. What first
  // fragments said is forgotten, and later ones within kFragmentWindow_ns of that time stay unresolved.
  void forget_fragments(uint64_t time_ns);

  uint32_t blocks() const;
  uint64_t records() const;
  // Memory that the run under way takes: about 100 bytes a flow, its further terms, and 8 a record. finish() takes 200 more a flow while it
  // lasts. A run that would take more than half a GiB answers "all".
  uint64_t memory_bytes() const;

  // Ends the run of the blocks added since the last finish(), at least one: its bytes, 8-byte aligned in length, still to be sealed by
  // seal_run(). What fragments said is kept for the next run.
  void finish(std::vector<uint8_t>* run);
  // What the last run would have taken with every field.
  uint64_t wanted_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Ties a run to the index block that it is written into: its header's checksum is seeded with that block's serial.
void seal_run(std::span<uint8_t> run, uint64_t index_block_serial);

// Length of the sealed run that begins at `at`, which has `room` bytes, at least kIndexRunHeaderBytes readable ones; 0 = there is none.
inline constexpr uint32_t kIndexRunHeaderBytes = 64;
uint32_t sealed_run_bytes(const uint8_t* at, uint32_t room, uint64_t index_block_serial);

}  // namespace paste
