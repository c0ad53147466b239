// From inputs to the bytes of capture files, a piece at a time: merged by time or one behind the other.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/export/capture_encoder.h"
#include "core/export/export_input.h"
#include "core/export/sanitizer.h"

namespace paste {

class Exporter {
 public:
  // kMore: call again. kSplit: the file under way is complete, what comes next is another. kHungry: `hungry` needs a batch, or to be
  // ended. kEnd: nothing is left; finish() is due.
  enum class Next : uint8_t { kMore, kSplit, kHungry, kEnd };
  struct Piece {
    Next next = Next::kMore;
    Split split = Split::kNone;  // why, of kSplit
    uint32_t hungry = 0;
    uint64_t frames = 0;
    uint64_t first_ns = 0;       // of the first frame in it, when there are frames
    uint64_t written = 0;        // by write(): bytes of what was encoded and written as a whole
    int error = 0;               // errno of the write behind that, which failed
  };

  // by_time: merged (time_merge.h); else one behind the other.
  Exporter(CaptureFormat format, std::string application, uint32_t snaplen, SplitLimits limits, bool by_time)
      : encoder_(format, std::move(application), snaplen, limits), by_time_(by_time) {}

  uint32_t inputs() const { return static_cast<uint32_t>(inputs_.size()); }
  void add(std::unique_ptr<ExportInput> input) { inputs_.push_back({std::move(input), Head::kSearching, {}}); }

  void sanitize(const SanitizeOptions& options) { sanitizer_.emplace(options); }
  // Appends about bytes_max to `out`, at most frames_max frames.
  Status next(EncodedBytes* out, uint32_t bytes_max, uint64_t frames_max, Piece* piece);
  // The same straight into a file, from `position` on: each part is written while it lies in the cache.
  Status write(int descriptor, uint64_t position, uint64_t bytes_max, uint64_t frames_max, Piece* piece);
  void finish(EncodedBytes* out) { encoder_.finish(out); }
  // Time of the frame that begins the next file, after kSplit.
  uint64_t next_time_ns() const { return next_time_ns_; }
  uint64_t lost() const;
  CaptureEncoder& encoder() { return encoder_; }

 private:
  using Head = ExportInput::Head;
  struct Input {
    std::unique_ptr<ExportInput> input;
    Head head;
    FrameToEncode frame;  // when head is kFrame
  };

  // The input whose frame is due, and up to which time it stays so; null with `*wait`: what stands in the way.
  Input* choose(uint64_t* until_ns, Piece* piece, bool* searching);
  bool refresh(Input& input, Piece* piece, bool* searching);
  Status encode(Input& input, EncodedBytes* out);

  CaptureEncoder encoder_;
  bool by_time_;
  std::optional<Sanitizer> sanitizer_;
  std::vector<Input> inputs_;
  EncodedBytes part_;  // of write()
  uint64_t next_time_ns_ = 0;
};

}  // namespace paste
