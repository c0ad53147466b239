// Classic BPF: verified once, run per frame.
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

class BpfProgram {
 public:
  // Refuses (Code::kUsage) whatever could run wrong: jumps out of range, bad opcodes, scratch out of range, no final ret.
  static Status load(std::span<const BpfInsn> instructions, BpfProgram* program);
  // Bytes to keep, 0 = reject. A load past captured_length rejects.
  uint32_t run(const uint8_t* frame, uint32_t wire_length, uint32_t captured_length) const;
  bool accepts_all() const { return accepts_all_; }

 private:
  std::vector<BpfInsn> instructions_;
  bool accepts_all_ = false;
};

}  // namespace paste
