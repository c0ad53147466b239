// One lane's records, read a chunk at a time: copied, then checked, then checked to be still there.
#pragma once

#include <cstdint>

#include "core/store/reader.h"
#include "core/store/reader_crc.h"
#include "core/store/reader_names.h"
#include "core/store/reader_places.h"
#include "core/store/reader_view.h"
#include "core/store/reader_words.h"

namespace paste {

// What all lanes of a reading share.
struct ReadingState {
  ReadOptions options;
  ReadCounters counters;
  ReaderNames names;
  RecordWords words;
  uint64_t budget_bytes = 0;  // left of what one call of next() may scan
};

class LaneReader {
 public:
  LaneReader(ReaderView& view, ReadingState& state, uint32_t lane) : view_(view), state_(state), places_(view), lane_(lane) {}

  enum class Load { kRecords, kNothing, kBudget };
  // Fills `ready` with the next wanted records when it is used up. kNothing: none now, none before the next look.
  Load load();

  bool has_record() const { return at < ready.records.size(); }
  uint64_t head_sequence() const { return ready.header(ready.records[at]).sequence; }
  uint64_t last_sequence() const { return ready.header(ready.records.back()).sequence; }

  ReadBatch ready;   // parsed; those before `at` have been handed on
  size_t at = 0;
  bool dry = false;  // load() said kNothing since the last look

 private:
  enum class Step { kNext, kMore, kBad };  // the record was taken / more bytes are needed / it is not valid

  bool next_block();
  bool out_of_range(const BlockRef& block) const;
  void leave_block(bool overtaken);
  bool has_later_block() const;
  bool read_chunk(uint32_t size_bytes);
  // Parses the copied chunk; returns the bytes used. *bad: the block ends at the first record that is not valid.
  uint32_t parse(uint32_t size_bytes, const Extent& extent, bool* bad);
  Step take_record(uint32_t at_byte, uint32_t size_bytes, const Extent& extent, uint32_t* used);
  bool take_plain(const layout::RecordHeader& header, uint32_t at_byte, bool check_bytes);
  bool take_other(layout::RecordHeader header, uint32_t at_byte, bool check_bytes);
  bool take_frame(const layout::RecordHeader& header, uint32_t at_byte, bool check_bytes);
  bool take_part(const layout::RecordHeader& header, const uint8_t* bytes, uint32_t length);
  bool take_event(const layout::RecordHeader& header, uint32_t at_byte);
  bool wanted(const layout::RecordHeader& header) const;
  void emit_frame(const layout::RecordHeader& header, uint32_t header_at, uint32_t offset, uint32_t length);
  void drop_joined() { join_next_ = 0; }

  ReaderView& view_;
  ReadingState& state_;
  ReaderPlaces places_;
  uint32_t lane_;
  HeaderCrc header_crc_ = header_crc_function();

  BlockRef block_;
  bool in_block_ = false;
  bool frame_begun_ = false;  // a frame began in this block
  uint32_t position_ = 0;     // in the block: everything before it was parsed
  uint32_t chunk_bytes_ = 0;  // how much to read at once
  uint64_t done_serial_ = 0;  // blocks up to this one have been read or skipped

  // A frame of several parts under way.
  layout::RecordHeader join_header_{};
  std::vector<uint8_t> join_bytes_;
  uint32_t join_next_ = 0;    // the part that is due, 0 = no frame under way
};

}  // namespace paste
