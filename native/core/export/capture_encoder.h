// Capture files, encoded in batches: pcapng 1.0 with nanoseconds, and classic pcap with micro- or nanoseconds.
//
// Sources: draft-ietf-opsawg-pcapng (blocks, options), draft-ietf-opsawg-pcap. Everything is written little-endian.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/store/reader.h"

namespace paste {

using EncodedBytes = std::vector<uint8_t, RawAllocator<uint8_t>>;

enum class CaptureFormat : uint8_t { kPcapng, kPcap, kNsecPcap };

struct FrameToEncode {
  const uint8_t* bytes = nullptr;
  uint32_t length = 0;
  uint32_t wire_length = 0;
  uint64_t time_ns = 0;          // since 1970
  uint32_t interface = 0;        // as describe() numbered it
  bool from_store = false;       // packet id and direction are written, too
  uint64_t sequence = 0;
  uint64_t lost = 0;             // frames lost before this one since the last that said so; 0 is not written
  std::string_view comment;      // empty is not written
};

class CaptureEncoder {
 public:
  CaptureEncoder(CaptureFormat format, std::string application, uint32_t snaplen)
      : format_(format), application_(std::move(application)), snaplen_(snaplen) {}

  // The number of the interface with this name and link type; described in the output when it is new. kUsage when the format
  // holds one link type only and this is another.
  Status describe(std::string_view name, uint32_t link_type, uint32_t snaplen, EncodedBytes* out, uint32_t* interface);
  // kUsage for a time that the format cannot hold.
  Status append(const FrameToEncode& frame, EncodedBytes* out);
  // What stands at the end: statistics of each interface; and the header, if there was nothing yet.
  void finish(EncodedBytes* out);

  CaptureFormat format() const { return format_; }
  uint64_t frames() const { return frames_; }
  size_t interfaces() const { return interfaces_.size(); }

 private:
  struct Interface {
    std::string name;
    uint32_t link_type;
    uint64_t received = 0, lost = 0;
    uint64_t first_ns = 0, last_ns = 0;
  };

  void begin(uint32_t link_type, EncodedBytes* out);
  void append_pcapng(const FrameToEncode& frame, uint32_t length, EncodedBytes* out);
  Status append_pcap(const FrameToEncode& frame, uint32_t length, EncodedBytes* out);

  CaptureFormat format_;
  std::string application_;
  uint32_t snaplen_;
  bool begun_ = false;
  uint64_t frames_ = 0;
  std::vector<Interface> interfaces_;
};

}  // namespace paste
