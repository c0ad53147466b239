// A hash chain over the records of an export: logger/MANIFEST.md defines it, byte by byte.
#pragma once

#include <cstdint>
#include <vector>

#include "core/export/sha256.h"

namespace paste {

// What a capture file shows of a frame.
struct ChainedRecord {
  uint64_t time_ns = 0;
  uint64_t packet_id = 0;    // 0: the file has none
  uint32_t wire_length = 0;
  uint32_t length = 0;
  uint32_t interface = 0;    // its number among all interfaces of the export
  uint64_t lost = 0;
  const uint8_t* bytes = nullptr;
};

// Of one file.
struct ChainPart {
  Digest before{}, after{};
  uint64_t records = 0;
  uint64_t first_id = 0, last_id = 0;  // lowest and highest packet id that is not 0
  uint64_t first_ns = 0, last_ns = 0;  // lowest and highest time
  uint64_t stride = 0;
  std::vector<Digest> marks;           // the chain behind each stride of records
};

class RecordChain {
 public:
  static constexpr uint64_t kStrideMin = 1024;
  static constexpr size_t kMarksMax = 2048;

  // stride 0: it doubles, so that there are at most kMarksMax marks.
  explicit RecordChain(const Digest& before = Digest{}, uint64_t stride = 0) : fixed_(stride != 0) {
    part_.before = part_.after = before;
    part_.stride = fixed_ ? stride : kStrideMin;
  }

  void add(const ChainedRecord& record);
  const ChainPart& part() const { return part_; }
  // The part so far; the next one goes on from its end.
  ChainPart take();

 private:
  void mark();

  bool fixed_;
  ChainPart part_;
};

}  // namespace paste
