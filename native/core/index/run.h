// One index run, as it lies on the medium: read piece by piece, only what a question needs. Every length in it is hostile until checked;
// a run that is damaged anywhere says so (kStore) or gives a superset, never less.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/index/expression.h"

namespace paste {

// The bytes of a run, wherever they are. `offset` counts from the run's first byte.
class IndexSource {
 public:
  virtual ~IndexSource() = default;
  // False when they cannot be had (any more): the run then counts as damaged.
  virtual bool read(uint32_t offset, uint32_t size_bytes, uint8_t* to) = 0;
};

struct IndexedBlock {
  uint32_t index;
  uint64_t serial;
  uint32_t end_bytes;
  uint32_t records;  // records in it that questions are asked of: frames, and events
  bool scan;  // was damaged when it was indexed: every answer is "all"
};

struct IndexName {
  enum class Of : uint8_t { kPort, kRule };
  Of of;
  uint32_t id;
  std::string name;
};

// What name tests say about names.
class NameAnswers {
 public:
  virtual ~NameAnswers() = default;
  // kIngress, kEgress or kRule.
  virtual IndexField field(uint32_t test) const = 0;
  virtual bool holds(uint32_t test, std::string_view name) const = 0;
};

// Which records of a block match, or might.
struct BlockAnswer {
  enum class What : uint8_t { kNone, kSome, kAll };
  What what = What::kNone;
  uint32_t first = 0, count = 0;  // kSome: IndexAnswer::offsets[first, first + count)
};

struct IndexAnswer {
  std::vector<BlockAnswer> blocks;  // as IndexRun::blocks()
  std::vector<uint32_t> offsets;  // of record headers in their block, in bytes, ascending
};

class IndexRun {
 public:
  // `run_bytes` bounds the run (the rest of its block); its own length is bytes(). Keeps the source, which must outlive it. Reads the
  // run's first kHeadBytes, which hold header, tables and most small pages. What *run was before is gone, its memory serves again; what
  // it is after a failure is for opening only.
  static Status open(IndexSource& source, uint32_t run_bytes, uint64_t index_block_serial,
                     std::unique_ptr<IndexRun>* run);
  ~IndexRun();

  uint32_t bytes() const;
  bool tunnels() const;
  // The field cannot narrow anything down here: it did not fit.
  bool omitted(IndexField field) const;
  std::span<const IndexedBlock> blocks() const;
  // There was room for them.
  bool has_names() const;
  // kStore: damaged, or there was no room for them.
  Status names(std::vector<IndexName>* names);

  // `plan`: decoded (expression.h); empty is "all". Answers of more than half of a block's records are "all", too. kStore: damaged; the
  // answer is then "all" for every block.
  Status evaluate(std::span<const IndexNode> plan, const NameAnswers& names, IndexAnswer* answer);

  // Bytes read from the source so far.
  uint64_t bytes_read() const;

 private:
  struct Impl;
  explicit IndexRun(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace paste
