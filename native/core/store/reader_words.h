// What a filter may ask of a record besides the frame's bytes, as the words that its program loads (bpf.h, BpfRecordWord).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/store/reader.h"
#include "core/store/reader_names.h"

namespace paste {

class RecordWords {
 public:
  void start(const std::vector<NameTest>& names);
  // kBpfNames words and one for each name test; they stay until the next call. Ports and rules are described in each block
  // before a record names them, so what a record needs has been learned.
  const uint32_t* of(const layout::RecordHeader& header, const ReaderNames& names);
  // The same with the words of the frame's Community ID, which takes a hash to compute.
  const uint32_t* of(const layout::RecordHeader& header, const ReaderNames& names, const uint8_t* frame, uint32_t length);

 private:
  // A name test with its answers so far. Names of ids never change.
  struct Test {
    NameTest test;
    std::vector<uint8_t> answers;  // by id; 0 = not yet known, 1 = no, 2 = yes
    bool holds(uint32_t id, const ReaderNames& names);
  };

  std::vector<Test> tests_;
  std::vector<uint32_t> words_;
};

}  // namespace paste
