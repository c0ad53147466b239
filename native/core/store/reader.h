// Reading a store: any number of readers, in any process, while it is written or after its writer died. Read-only, no lock,
// no registration; writes nothing, repairs nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/bpf/bpf.h"
#include "core/store/layout.h"
#include "core/pmem/region.h"

namespace paste {

// A record as a reader hands it on: the header as it lies in the store, and its bytes, copied and checked.
struct ReadRecord {
  layout::RecordHeader header;
  uint32_t offset = 0;      // of the payload in the batch's bytes
  uint32_t length = 0;      // of it
};

struct ReadBatch {
  std::vector<ReadRecord> records;
  std::vector<uint8_t> bytes;
  void clear() { records.clear(); bytes.clear(); }
};

struct ReadOptions {
  uint64_t from_sequence = 0;           // first sequence wanted, 0 = from the oldest
  uint64_t to_sequence = ~0ull;         // last one wanted
  bool frames_only = true;              // false: events and descriptions too
  bool verify_payload = true;           // check the payload's CRC (headers are always checked)
  const BpfProgram* filter = nullptr;   // null accepts every frame
  uint32_t snaplen = ~0u;
};

struct ReadCounters {
  uint64_t records = 0, frames = 0, matched = 0;
  uint64_t overtaken = 0;               // blocks that were reused while they were read: their records are gone
  uint64_t corrupt = 0;                 // records whose checksum is wrong inside a sealed block or below the durable tail
  uint64_t bytes_scanned = 0;
};

struct BlockProblem { uint32_t block; uint32_t offset; std::string what; };

class Reader {
 public:
  static Status open(const std::string& path, std::unique_ptr<Reader>* reader);
  virtual ~Reader() = default;

  virtual void start(const ReadOptions& options) = 0;
  // Appends up to max_records / about max_bytes more to the batch, in sequence order over all lanes, up to the lowest
  // watermark. kEnd: nothing more now (a follower calls again later).
  enum class More { kYes, kEnd };
  virtual More next(ReadBatch* batch, uint32_t max_records, uint32_t max_bytes) = 0;
  virtual const ReadCounters& counters() const = 0;

  // Names learned from the descriptions read so far; empty when unknown.
  struct PortName { uint32_t id, epoch; layout::PortKind kind; std::string name; };
  virtual std::vector<PortName> ports() const = 0;
  struct RuleName { uint32_t id, rule_set; std::string name, filter; };
  virtual std::vector<RuleName> rules() const = 0;

  struct Info {
    layout::Superblock superblock;
    Medium medium;
    std::string file_system;
    bool writer_alive;
    uint64_t first_sequence, durable_sequence, next_sequence, oldest_ns, newest_ns;
    uint64_t records, frames, frame_bytes;      // of sealed blocks, from the directory, plus the open ones scanned
    uint64_t blocks_free, blocks_log, blocks_buffers, blocks_unsealed;
  };
  virtual Info info() = 0;
  // Checks every record of every block; problems in words, at most `limit`.
  virtual std::vector<BlockProblem> verify(uint32_t limit, ReadCounters* counters) = 0;
};

}  // namespace paste
