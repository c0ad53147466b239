// What a store must, may and must not return: the oracle of the crash tests. It knows what was appended, what was acknowledged,
// in which block's life each record lies (from the writes themselves), and what an earlier recovery discarded.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/store/layout.h"
#include "core/store/reader.h"

namespace paste::test {

struct ModelRecord {
  layout::RecordHeader expected{};       // sequence, time, ids, lengths, flags: what is compared is in crash_model.cc
  std::vector<uint8_t> bytes;
  uint32_t lane = 0;
  uint64_t ticket = 0;                   // 0 = not committed yet
  bool acknowledged = false;
  bool lost = false;                     // an earlier recovery did not return it: it must never come back
  struct Life { uint32_t block; uint64_t serial; };
  std::vector<Life> lives;               // of each log block that holds a part
  uint32_t buffer_block = layout::kNoBlock;
  uint64_t buffer_word = 0;
};

// The directory words of an image or of the running store.
std::vector<uint64_t> directory_words(const uint8_t* head, uint32_t block_count);

class CrashModel {
 public:
  // Frames about to be appended: a crash inside append() may leave any of them, under sequences nobody has been told yet.
  std::vector<ModelRecord> under_way;
  std::map<uint64_t, ModelRecord> records;  // by sequence
  uint64_t trimmed_before = 0;              // records below this sequence were asked to go

  // Everything that is wrong with `got`, one sentence each. `must` are the directory words of the running store at the crash: what
  // was acknowledged and lies in a life that still is must be there. `may` are the words of the crash image before any
  // recovery: nothing may come from a life that is not there.
  std::vector<std::string> compare(const ReadBatch& got, const std::vector<uint64_t>& must, const std::vector<uint64_t>& may) const;
  // After a recovery this is what the store holds: what it did not return is lost for good.
  void settle(const ReadBatch& got);
  // Tickets up to this one of a lane are durable.
  void acknowledge(uint32_t lane, uint64_t durable_ticket);
  uint64_t acknowledged() const;
  // Records whose log block lives while the block with their bytes was given up.
  std::vector<std::string> dangling(const std::vector<uint64_t>& words) const;
  // Where nothing may be overwritten: acknowledged records that were given up and that no trim allowed to go.
  std::vector<std::string> given_up(const std::vector<uint64_t>& words) const;

 private:
  std::string mismatch(const ModelRecord& model, const ReadBatch& got, const ReadRecord& record) const;
};

}  // namespace paste::test
