// Offline writing, for imports: whole batches of captured frames into a store that no daemon has open, through a lane of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/store/store.h"

namespace paste {

// Columns, as captures give them: frame i is data[offsets[i], offsets[i] + captured_lengths[i]).
struct AppendBatch {
  const uint8_t* data = nullptr;
  uint64_t data_bytes = 0;
  uint32_t count = 0;
  const uint32_t* offsets = nullptr;
  const uint32_t* captured_lengths = nullptr;
  const uint32_t* wire_lengths = nullptr;
  const int64_t* times_ns = nullptr;      // since 1970; kept as they are, also when they run backwards
  const uint16_t* interfaces = nullptr;   // indexes that add_interface() gave
};

struct AppendCounters {
  uint64_t frames = 0, bytes = 0;
  uint64_t refused = 0;                   // no room under the policy: counted in the log, too (kLost)
  uint64_t shortened = 0;                 // longer than layout::kFrameBytesMax: that much was kept
};

class Appender {
 public:
  static Status open(const std::string& path, FullPolicy full, const std::string& writer, bool index,
                     std::unique_ptr<Appender>* appender, RecoveryReport* report);

  // Describes an interface as a port of kind kImportPort; returns its index for AppendBatch::interfaces.
  Status add_interface(const std::string& name, uint16_t* index);
  // Waits where the policy lets it (overwrite: for the keeper; block: until the timeout). Durable after close(), or flush().
  Status append(const AppendBatch& batch);
  // Returns when everything appended is durable.
  Status flush();
  // Clean; after it only destruction is allowed.
  Status close();

  const AppendCounters& counters() const { return counters_; }
  const Store& store() const { return *store_; }

 private:
  explicit Appender(std::unique_ptr<Store> store) : store_(std::move(store)) {}
  Status check(const AppendBatch& batch) const;
  bool plan(FrameRecord& frame);
  void commit();
  Status failure() const;

  static constexpr uint32_t kRun = 256;   // frames between two commits
  std::unique_ptr<Store> store_;
  std::vector<uint32_t> port_ids_;
  std::vector<FrameRecord> run_;
  AppendCounters counters_;
};

}  // namespace paste
