// Capture files, encoded in batches: pcapng 1.0 with nanoseconds, and classic pcap with micro- or nanoseconds.
//
// Sources: draft-ietf-opsawg-pcapng (blocks, options), draft-ietf-opsawg-pcap. Everything is written little-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/export/encoded_bytes.h"
#include "core/export/record_chain.h"

namespace paste {

enum class CaptureFormat : uint8_t { kPcapng, kPcap, kNsecPcap };

// Seen from the switch; as pcapng's flags have it.
enum class Direction : uint8_t { kUnknown, kIn, kOut };

struct FrameToEncode {
  const uint8_t* bytes = nullptr;
  uint32_t length = 0;
  uint32_t wire_length = 0;
  uint64_t time_ns = 0;          // since 1970
  uint32_t interface = 0;        // as describe() numbered it
  bool from_store = false;       // packet id and hash are written, too
  Direction direction = Direction::kUnknown;
  bool hashed = true;            // of a store's frame: false leaves the hash out
  uint32_t queue = kNoQueue;
  uint64_t sequence = 0;
  uint64_t lost = 0;             // frames lost before this one since the last that said so; 0 is not written
  std::string_view comment;      // empty is not written

  static constexpr uint32_t kNoQueue = ~0u;
};

struct InterfaceToEncode {
  std::string_view name;
  std::string_view description;  // empty is not written
  uint32_t link_type = 1;        // of the LINKTYPE registry
  uint32_t snaplen = ~0u;
  uint32_t source = 0;           // interfaces of equal names of two sources are two
};

// When the next frame begins another file; 0 = never for this reason. Compared before a frame is written, as tcpdump does.
struct SplitLimits {
  uint64_t bytes_over = 0;       // the file has more bytes than this
  uint64_t frames = 0;           // the file has so many frames
  uint64_t duration_ns = 0;      // so long after the file's first frame, by the frames' times
  bool by_period = false;        // not the file's, but that of the last file that began for this reason, as with tcpdump's -G
};
enum class Split : uint8_t { kNone, kSize, kTime };

class CaptureEncoder {
 public:
  CaptureEncoder(CaptureFormat format, std::string application, uint32_t snaplen, SplitLimits limits = {})
      : format_(format), application_(std::move(application)), snaplen_(snaplen), limits_(limits) {}

  // The number of this interface; described in the output when it is new. kUsage when the format holds one link type only and
  // this is another.
  Status describe(const InterfaceToEncode& interface, EncodedBytes* out, uint32_t* number);
  // kUsage for a time that the format cannot hold.
  Status append(const FrameToEncode& frame, EncodedBytes* out);
  // What stands at the end: statistics of each interface; and the header, if there was nothing yet. What is described or appended
  // next begins another file, whose interfaces are numbered from 0 again.
  void finish(EncodedBytes* out);

  // Whether a frame of this time belongs into the next file.
  Split splits_before(uint64_t time_ns) const;

  // From now on each file's part of the chain over all records is kept; before the first frame.
  void begin_chain() { chain_.emplace(); }
  // Parts of the files that finish() has ended, once.
  std::vector<ChainPart> take_parts() { return std::move(parts_); }
  // Every interface of all files, as the chain numbers them.
  struct KnownInterface {
    std::string name, description;
    uint32_t link_type;
  };
  const std::vector<KnownInterface>& known_interfaces() const { return known_; }

  CaptureFormat format() const { return format_; }
  uint32_t snaplen() const { return snaplen_; }
  // Over all files.
  uint64_t frames() const { return frames_; }
  // Of the file under way.
  uint64_t file_frames() const { return file_frames_; }
  size_t interfaces() const { return interfaces_.size(); }
  // +1 with each finish(): numbers of interfaces are void then.
  uint32_t file() const { return file_; }

 private:
  struct Interface {
    std::string name;
    uint32_t link_type;
    uint32_t source;
    uint32_t known = 0;
    uint64_t received = 0, lost = 0;
    uint64_t first_ns = 0, last_ns = 0;
  };

  uint8_t* room(EncodedBytes* out, size_t size) {
    file_bytes_ += size;
    return out->extend(size);
  }
  // Times may run backwards: that is never a reason for another file.
  bool lasted(uint64_t time_ns) const {
    return limits_.duration_ns > 0 && time_ns >= period_first_ns_ && time_ns - period_first_ns_ >= limits_.duration_ns;
  }
  uint32_t know(const InterfaceToEncode& interface);
  void chain(const FrameToEncode& frame, uint32_t length, const Interface& from);
  void begin(uint32_t link_type, EncodedBytes* out);
  void append_pcapng(const FrameToEncode& frame, uint32_t length, EncodedBytes* out);
  Status append_pcap(const FrameToEncode& frame, uint32_t length, EncodedBytes* out);

  CaptureFormat format_;
  std::string application_;
  uint32_t snaplen_;
  SplitLimits limits_;
  bool begun_ = false;
  uint64_t frames_ = 0;
  uint32_t file_ = 0;
  uint64_t file_bytes_ = 0, file_frames_ = 0;
  uint64_t period_first_ns_ = 0;
  std::vector<Interface> interfaces_;
  std::optional<RecordChain> chain_;
  std::vector<ChainPart> parts_;
  std::vector<KnownInterface> known_;
};

}  // namespace paste
