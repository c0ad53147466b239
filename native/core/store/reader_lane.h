// One lane's records, a piece of a block at a time: checked in place, what is wanted copied, then checked to be still there.
#pragma once

#include <cstdint>

#include "core/store/reader.h"
#include "core/store/reader_index.h"
#include "core/store/reader_names.h"
#include "core/store/reader_places.h"
#include "core/store/reader_view.h"
#include "core/store/reader_words.h"

namespace paste {

// Large enough that the calls per piece do not count, small enough that what was copied lies in the L2 cache when it is parsed.
inline constexpr uint32_t kChunkBytes = 256u << 10;

// What all lanes of a reading share.
struct ReadingState {
  explicit ReadingState(ReaderView& view) : index(view, names, counters) {}

  ReadOptions options;
  ReadCounters counters;
  ReaderNames names;
  ReaderIndex index;
  RecordWords words;
  // How much a lane reads at once. More than fits in a cache where whatever was read is handed on: then calls count more.
  uint32_t chunk_bytes = kChunkBytes;
  uint64_t budget_bytes = 0;  // left of what one call of next() may scan
};

class LaneReader {
 public:
  LaneReader(ReaderView& view, ReadingState& state, uint32_t lane)
      : view_(view), state_(state), places_(view), lane_(lane), done_serial_(state.options.reverse ? ~0ull : 0) {}

  enum class Load { kRecords, kNothing, kBudget };
  // Fills `ready` with the next wanted records when it is used up. kNothing: none now, none before the next look.
  Load load();

  bool has_record() const { return at < ready.records.size(); }
  uint64_t head_sequence() const { return ready.header(ready.records[at]).sequence; }
  uint64_t last_sequence() const { return ready.header(ready.records.back()).sequence; }

  ReadBatch ready;   // what is wanted, each header with its payload behind it; those before `at` have been handed on
  size_t at = 0;
  bool dry = false;  // load() said kNothing since the last look

 private:
  enum class Step { kNext, kMore, kBad };  // the record was taken / more bytes are needed / it is not valid

  // Adds the wanted records of the next piece that has any.
  Load fill();
  // The next block that may hold wanted records, and where they are in it. False: none, or the budget is used up.
  bool next_block();
  const BlockRef* block_after(uint64_t serial);
  bool enter(const BlockRef& block);
  bool out_of_range(const BlockRef& block) const;
  void leave_block(bool overtaken);
  bool has_later_block() const;

  // Reads on in the block, as far as one call should. False: it could not be read. *bad: as parse() says.
  bool read_on(const Extent& extent, bool* bad);
  bool read_piece(const Extent& extent, bool* bad);
  uint32_t piece_bytes(const Extent& extent) const;
  // The first place from `offset` on where a record is wanted: `offset` itself but for a block that is jumped through.
  uint32_t next_place(uint32_t offset, uint32_t end);
  // Newest first: the parts of the block's last frame that lie in the lane's next blocks.
  void finish_joined();

  // What lies at position_: of the store itself, which may change at any time, or a copy of it.
  struct Piece {
    const uint8_t* bytes;
    uint32_t size_bytes;
    bool in_place;
  };
  // Returns the bytes used. *bad: the block ends at the first record that is not valid.
  uint32_t parse(const Piece& piece, const Extent& extent, bool* bad);
  bool parse_block_header(const Piece& piece, const Extent& extent);
  // Takes the plain frames that begin at `at` and returns the bytes used: up to the first record that is none, or is not whole, or that
  // a checksum speaks against.
  uint32_t take_plain_frames(const uint8_t* at, uint32_t have, bool check_bytes);
  uint32_t take_plain_frames_sse42(const uint8_t* at, uint32_t have, bool check_bytes);
  template <auto take>
  uint32_t each_plain_frame(const uint8_t* at, uint32_t have, bool check_bytes);
  // At `at` there are `have` bytes, `room` up to the end of the extent. Headers are copies from here on: what was checked in them
  // stays as it is. Payloads are where they were found.
  Step take_record(const uint8_t* at, uint32_t have, uint32_t room, const Extent& extent, uint32_t* used);
  bool take_frame(const layout::RecordHeader& header, const uint8_t* payload, bool check_bytes);
  bool take_part(const layout::RecordHeader& header, const uint8_t* bytes, uint32_t length);
  bool take_event(const layout::RecordHeader& header, const uint8_t* payload);
  static bool layout_good(const layout::RecordHeader& header);
  bool wanted(const layout::RecordHeader& header) const;
  // Hands the frame on if the filter takes it.
  void emit_frame(const layout::RecordHeader& header, const uint8_t* frame, uint32_t length);
  // The same for a filter that asks for the record's words.
  void emit_by_words(const layout::RecordHeader& header, const uint8_t* frame, uint32_t length);
  void emit(const layout::RecordHeader& header, const uint8_t* payload, uint32_t length);
  void drop_joined() { join_next_ = 0; }

  ReaderView& view_;
  ReadingState& state_;
  ReaderPlaces places_;
  uint32_t lane_;

  BlockRef block_;
  size_t block_at_ = 0;       // in the view's blocks, of the one that block_after() found last
  bool in_block_ = false;
  bool frame_begun_ = false;  // a frame began in this block
  uint32_t position_ = 0;     // in the block: everything before it was parsed
  uint32_t chunk_bytes_ = 0;  // how much to read at once
  uint64_t done_serial_;      // blocks up to this one (newest first: down to it) have been read or skipped

  std::vector<uint8_t, RawAllocator<uint8_t>> copied_;  // a piece that cannot be read in place
  std::vector<uint8_t> placed_;                         // a marked frame's bytes, or a frame's for a filter that looks deep
  bool in_place_ = false;                               // the record under way lies in the store itself

  // A block of which the index named the places of records: the rest of it is not read.
  bool jumping_ = false;
  std::vector<uint32_t> places_wanted_;
  size_t place_at_ = 0;

  // A frame of several parts under way.
  layout::RecordHeader join_header_{};
  std::vector<uint8_t> join_bytes_;
  uint32_t join_next_ = 0;    // the part that is due, 0 = no frame under way
};

}  // namespace paste
