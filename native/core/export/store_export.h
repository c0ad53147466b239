// From a store's records to a capture file's bytes, a piece at a time.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "core/export/capture_encoder.h"
#include "core/store/reader.h"

namespace paste {

class StoreExport {
 public:
  // `reader` was started with frames_only = false; it and `encoder` outlive this.
  StoreExport(Reader& reader, CaptureEncoder& encoder) : reader_(reader), encoder_(encoder) {}

  // Appends about max_bytes to `out`, at most `frames_left` frames, which it lowers. `*more`: false at the end of the store.
  Status next(EncodedBytes* out, uint32_t max_bytes, uint64_t* frames_left, bool* more);
  // Frames that the store says were not logged, up to now.
  uint64_t lost() const { return lost_; }

 private:
  Status take(const ReadRecord& record, EncodedBytes* out, uint64_t* frames_left);
  Status take_frame(const ReadRecord& record, EncodedBytes* out);
  Status interface_of(uint32_t port, EncodedBytes* out, uint32_t* interface);

  Reader& reader_;
  CaptureEncoder& encoder_;
  ReadBatch batch_;
  size_t at_ = 0;         // in the batch
  bool more_ = true;
  uint64_t lost_ = 0;
  std::unordered_map<uint32_t, uint64_t> pending_lost_;  // by port id; 0 = of any port
  std::unordered_map<uint32_t, uint32_t> interfaces_;    // by port id
  uint32_t last_port_ = 0, last_interface_ = 0;          // most frames come from the port of the one before
};

}  // namespace paste
