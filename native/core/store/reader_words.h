// What a filter may ask of a store's record besides the frame's bytes, as words that its program loads (bpf.h, BpfRecordWord).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/store/frame_words.h"
#include "core/store/reader.h"
#include "core/store/reader_names.h"

namespace paste {

class RecordWords final : public FrameWords {
 public:
  void start(const ReadOptions& options);
  // The record that word() tells of until the next call; header, names and bytes stay that long. Ports and rules are described
  // in each block before a record names them, so what a record needs has been learned.
  BpfRecord* of(const layout::RecordHeader& header, const ReaderNames& names, const uint8_t* frame, uint32_t length,
                uint32_t lane) {
    header_ = &header;
    names_ = &names;
    set(frame, length, header.time_ns, lane);
    return this;
  }
  uint32_t word(uint32_t number) override;

 private:
  // A name test with its answers so far. Names of ids never change.
  struct Test {
    NameTest test;
    std::vector<uint8_t> answers;  // by id; 0 = not yet known, 1 = no, 2 = yes
    bool holds(uint32_t id, const ReaderNames& names);
  };

  const layout::RecordHeader* header_ = nullptr;
  const ReaderNames* names_ = nullptr;
  std::vector<Test> name_tests_;
};

}  // namespace paste
