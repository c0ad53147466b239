// Reading a store: any number of readers, in any process, while it is written or after its writer died. Read-only, no lock,
// no registration; writes nothing, repairs nothing.
//
// What is scanned is read in place, through a mapping in which zeros take the place of a SIGBUS (core/pmem/fault_guard.h), and what
// is wanted is copied: it counts if its block was not reused meanwhile. Single records and, from a disk, directory and
// index come by pread.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "core/base/status.h"
#include "core/bpf/bpf.h"
#include "core/frame/frame_tests.h"
#include "core/index/expression.h"
#include "core/pmem/region.h"
#include "core/store/layout.h"

namespace paste {

// Memory that is about to be overwritten need not be zeroed first.
template <class T>
struct RawAllocator : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = RawAllocator<U>;
  };
  template <class U, class... Args>
  void construct(U* at, Args&&... args) {
    if constexpr (sizeof...(Args) == 0) {
      ::new (static_cast<void*>(at)) U;
    } else {
      ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...);
    }
  }
};

// A record as a reader hands it on. Both places are offsets in the batch's bytes; the header's is a multiple of 8.
struct ReadRecord {
  uint32_t header = 0;  // a layout::RecordHeader, as it is in the store; of a frame of several parts: that of part 0
  uint32_t offset = 0;  // of the payload; a frame's parts are joined
  uint32_t length = 0;  // of it, after snaplen
};
static_assert(sizeof(ReadRecord) == 12);

struct ReadBatch {
  std::vector<ReadRecord> records;
  std::vector<uint8_t, RawAllocator<uint8_t>> bytes;

  void clear() {
    records.clear();
    bytes.clear();
  }
  const layout::RecordHeader& header(const ReadRecord& record) const {
    return *reinterpret_cast<const layout::RecordHeader*>(bytes.data() + record.header);
  }
  const uint8_t* payload(const ReadRecord& record) const { return bytes.data() + record.offset; }
};

// A word of a filter that asks what a record's port or rule is called; `*` and `?` are wildcards.
struct NameTest {
  enum class Of : uint8_t { kIngress, kEgress, kRule };
  Of of;
  std::string pattern;
};

struct ReadOptions {
  uint64_t from_sequence = 0;           // first sequence wanted, 0 = from the oldest
  uint64_t to_sequence = ~0ull;         // last one wanted
  bool frames_only = true;              // false: events and descriptions too
  bool verify_payload = true;           // check the payload's CRC (headers are always checked)
  bool follow = false;                  // look for newer records in each call of next(); else the end is fixed by start()
  bool reverse = false;                 // newest first, exactly the reverse of the other order; not with `follow`
  const BpfProgram* filter = nullptr;   // null accepts every frame; must outlive the reading
  std::vector<NameTest> names;          // what the filter's record words from kBpfNames on stand for
  std::vector<FrameTest> tests;         // what those behind them stand for
  // Only frames in [from_ns, to_ns) can be wanted: a promise about `filter`, by which whole blocks are skipped. A frame of
  // another time may still be given if `filter` takes it.
  uint64_t from_ns = 0;
  uint64_t to_ns = ~0ull;
  uint32_t snaplen = ~0u;
  // What the store's index is asked; empty: every block in range is scanned. A promise: whatever it excludes `filter` rejects,
  // so that the answer is that of a scan.
  std::vector<IndexNode> plan;
};

struct ReadCounters {
  uint64_t records = 0, frames = 0, matched = 0;
  // Blocks that were reused before they were read to the end: their records are gone. All that came and went between two looks of a
  // follower count as one.
  uint64_t overtaken = 0;
  // Records whose checksum is wrong inside a sealed block or below the durable tail, and blocks whose directory entry makes no sense.
  uint64_t corrupt = 0;
  uint64_t bytes_scanned = 0;
  uint64_t blocks_skipped = 0;          // not read, because by its directory entry nothing in them can be wanted
  uint64_t blocks_scanned = 0;          // read from their start
  uint64_t blocks_indexed = 0;          // of which an index run said where the wanted records are, or that there are none
  uint64_t records_jumped = 0;          // read because a run named them
  uint64_t runs_read = 0;               // index runs that were asked
  uint64_t runs_damaged = 0;            // whose checksum is wrong: their blocks are scanned
  uint64_t index_bytes = 0;             // read of index blocks
};

struct BlockProblem {
  uint32_t block;
  uint32_t offset;
  std::string what;
};

class Reader {
 public:
  // kStore: no store, a newer one, or its geometry makes no sense.
  static Status open(const std::string& path, std::unique_ptr<Reader>* reader);
  virtual ~Reader() = default;

  virtual void start(const ReadOptions& options) = 0;
  // Appends up to max_records / about max_bytes more to the batch, in sequence order over all lanes, up to the lowest
  // watermark. kEnd: nothing more now (a follower calls again later). kYes with an empty batch: a bounded piece of the store
  // was searched and held nothing that the filter accepts.
  enum class More { kYes, kEnd };
  virtual More next(ReadBatch* batch, uint32_t max_records, uint32_t max_bytes) = 0;
  virtual const ReadCounters& counters() const = 0;
  // Not ok once the file could not be read any more: it shrank, or the medium failed. next() says kEnd then.
  virtual const Status& status() const = 0;

  // Names learned from the descriptions read so far; names_version() grows when one is added.
  struct PortName { uint32_t id, epoch; layout::PortKind kind; std::string name; };
  virtual std::vector<PortName> ports() const = 0;
  struct RuleName { uint32_t id, rule_set; std::string name, filter; };
  virtual std::vector<RuleName> rules() const = 0;
  virtual uint64_t names_version() const = 0;

  struct Info {
    layout::Superblock superblock;
    Medium medium;
    std::string file_system;
    bool writer_alive;
    uint64_t first_sequence, durable_sequence, next_sequence, oldest_ns, newest_ns;
    uint64_t records, frames, frame_bytes;      // of sealed blocks, from the directory, plus the open ones scanned
    uint64_t blocks_free, blocks_log, blocks_buffers, blocks_index, blocks_unsealed;
  };
  virtual Info info() = 0;
  // Checks every record of every block; problems in words, at most `limit`. `counters->corrupt` counts them all.
  virtual std::vector<BlockProblem> verify(uint32_t limit, ReadCounters* counters) = 0;
};

}  // namespace paste
