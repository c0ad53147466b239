// Reads a capture file chunk by chunk, frames left where they fell: classic pcap (four magics) and pcapng (enhanced, simple and
// old packet blocks), Ethernet only. Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace paste {

struct CaptureRecord {
  uint64_t time_ns;      // as the file says; may run backwards
  uint32_t offset;       // of the frame in its chunk
  uint32_t length;       // captured
  uint32_t wire_length;  // >= length
};

class CaptureReader {
 public:
  static constexpr uint32_t kRecordsMax = 32768;  // in one chunk
  static constexpr uint32_t kSlackBytes = 64;     // behind the last frame, so that whole lines may be read
  static constexpr uint32_t kChunkBytesMin = 64u << 10;

  // CAPTURE with the reason when the file is none of these formats, or no Ethernet capture.
  static Status open(const std::string& path, std::unique_ptr<CaptureReader>* reader);
  ~CaptureReader();
  CaptureReader(const CaptureReader&) = delete;
  CaptureReader& operator=(const CaptureReader&) = delete;

  enum class End : uint8_t { kMore, kEndOfFile, kDamaged };
  // Fills the chunk from where the last one ended. A record that is cut by the chunk's end is read again by the next call; one
  // that no chunk can hold is passed over and counted in *oversize. kDamaged: error() says where and why; the records before
  // it are good. Blocks as the disk does.
  End fill(uint8_t* chunk, uint32_t chunk_bytes, std::vector<CaptureRecord>* records, uint32_t* oversize);
  // Back to the first record.
  void rewind();
  const Status& error() const { return error_; }

 private:
  enum class Step : uint8_t { kRecord, kSkip, kCut, kBad };
  struct Interface {
    uint16_t link_type;
    uint32_t snap_length;
    uint64_t ticks_per_second;
    int64_t offset_seconds;
  };
  CaptureReader(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  Status read_header();
  Step step_pcap(const uint8_t* at, uint64_t available, CaptureRecord* record, uint64_t* size);
  Step step_pcapng(const uint8_t* at, uint64_t available, CaptureRecord* record, uint64_t* size);
  Step packet_block(const uint8_t* at, uint64_t size, uint32_t type, CaptureRecord* record);
  Step add_interface(const uint8_t* at, uint64_t size);
  Step bad(const std::string& why);
  uint16_t u16(const uint8_t* at) const;
  uint32_t u32(const uint8_t* at) const;

  std::string path_;
  int fd_;
  uint64_t file_bytes_ = 0;
  uint64_t position_ = 0;      // of the next record
  uint64_t first_record_ = 0;
  uint64_t looking_at_ = 0;    // position of the record in hand, for messages
  bool pcapng_ = false;
  bool swapped_ = false;
  bool nanoseconds_ = false;
  uint64_t last_time_ns_ = 0;  // simple packet blocks have no time
  std::vector<Interface> interfaces_;
  Status error_;
};

}  // namespace paste
