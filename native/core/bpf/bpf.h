// Classic BPF (McCanne and Jacobson, USENIX 1993; opcodes as in <linux/filter.h>): verified once, run per frame.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/status.h"

namespace paste {

struct BpfInsn {  // struct bpf_insn, little-endian
  uint16_t code;
  uint8_t jt, jf;
  uint32_t k;
};
static_assert(sizeof(BpfInsn) == 8);

constexpr uint32_t kBpfInstructionsMax = 4096;  // BPF_MAXINSNS
constexpr uint32_t kBpfScratchWords = 16;       // BPF_MEMWORDS

// Beyond <linux/filter.h>: `A = record[k]`, a word of what is known of a frame besides its bytes. A free mode of BPF_LD|BPF_W,
// so that no offset into a frame can mean it by accident.
constexpr uint16_t kBpfLoadRecord = 0xc0;
// What the words are (logger/filter/record-words.ts says the same). A capture's frame has the first
// kBpfCaptureWords and those of frame tests only.
enum BpfRecordWord : uint32_t {
  kBpfTimeHigh,      // nanoseconds since 1970
  kBpfTimeLow,
  kBpfHasCommunity,  // 1 if the frame has a Community ID; then
  kBpfCommunity,     // the five words of its hash
  kBpfOutcome = kBpfCommunity + 5,  // 0 = forwarded, else 1 + Drop
  kBpfFlags,         // layout::RecordFlag
  kBpfNames,         // from here on one word a name test: 1 if the record's port or rule has such a name, else 0; behind them
                     // one word a test of the whole frame (core/frame/frame_tests.h)
};
constexpr uint32_t kBpfCaptureWords = kBpfOutcome;
constexpr uint32_t kBpfNamesMax = 256;

// Who knows the words of the record that a program runs over. Asked when the program comes to a load and not before, so that
// what takes long to tell is told for the frames only that passed what stands before it.
class BpfRecord {
 public:
  virtual uint32_t word(uint32_t number) = 0;

 protected:
  ~BpfRecord() = default;
};

class BpfProgram {
 public:
  // Refuses (Code::kUsage) whatever could run wrong: jumps out of range, bad opcodes, scratch out of range, division by a
  // constant zero, shifts over 31 bits, no final ret, loads of record words from `record_words` up. `program` is unchanged
  // then.
  static Status load(std::span<const BpfInsn> instructions, BpfProgram* program, uint32_t record_words = 0);
  // Bytes to keep, 0 = reject. A load past captured_length and a division by zero reject. Any number of threads may run one
  // program at once. A program that was never loaded rejects everything. `record`: has as many words as load() was told, where
  // the program reads_record().
  uint32_t run(const uint8_t* frame, uint32_t wire_length, uint32_t captured_length, BpfRecord* record = nullptr) const {
    if (accepts_all_) return accepted_;
    return record ? interpret<true>(frame, wire_length, captured_length, record)
                  : interpret<false>(frame, wire_length, captured_length, nullptr);
  }
  bool reads_record() const { return reads_record_; }
  // Whether it loads words that a capture's frame does not have: outcome, flags.
  bool reads_store() const { return reads_store_; }
  // Whether no frame is rejected because the program is one `ret #k`, k > 0: then run() need not be called.
  bool accepts_all() const { return accepts_all_; }

 private:
  // A decoded instruction: what the interpreter dispatches on, and its operands. Instruction i of the program is operations_[i].
  // A load followed by a comparison with a constant is one operation that jumps past its successor, which stays for jumps that
  // lead to it.
  struct Operation {
    uint16_t handler;
    uint16_t yes, no;  // conditional jumps: bytes from this operation to where it leads
    uint32_t k;        // the instruction's own; of a fused comparison what is compared with; of `ja` as `yes` is
    uint32_t end;      // loads: offset of the first byte behind the loaded ones, UINT32_MAX if beyond 32 bits
  };
  static_assert(sizeof(Operation) == 16);
  static_assert((2 + UINT8_MAX) * sizeof(Operation) <= UINT16_MAX);

  // Without record words a register more is free for the others' loop.
  template <bool kHasRecord>
  uint32_t interpret(const uint8_t* frame, uint32_t wire_length, uint32_t captured_length, BpfRecord* record) const;
  static uint16_t distance(uint32_t operations);
  static Operation decode(const BpfInsn& instruction);
  static void fuse(std::vector<Operation>& operations, std::span<const BpfInsn> instructions);

  std::vector<Operation> operations_;
  uint32_t accepted_ = 0;
  bool accepts_all_ = false;
  bool uses_scratch_ = false;
  bool reads_record_ = false;
  bool reads_store_ = false;
};

}  // namespace paste
