// What the interpreter can do, for who decodes a program and who runs it.
#pragma once

#include <cstdint>

#include "core/bpf/bpf.h"

namespace paste {

// Everything the interpreter can do: name, opcode of <linux/filter.h>. The table is the one list of known opcodes; its order
// is that of the interpreter's labels. The last ones are fused from two instructions and have no opcode.
#define PASTE_BPF_OPERATIONS(X) \
  X(LdAbsW, 0x20)               \
  X(LdAbsH, 0x28)               \
  X(LdAbsB, 0x30)               \
  X(LdIndW, 0x40)               \
  X(LdIndH, 0x48)               \
  X(LdIndB, 0x50)               \
  X(LdImm, 0x00)                \
  X(LdMem, 0x60)                \
  X(LdLen, 0x80)                \
  X(LdRecord, kBpfLoadRecord)   \
  X(LdxImm, 0x01)               \
  X(LdxMem, 0x61)               \
  X(LdxLen, 0x81)               \
  X(LdxMsh, 0xb1)               \
  X(St, 0x02)                   \
  X(Stx, 0x03)                  \
  X(AddK, 0x04)                 \
  X(SubK, 0x14)                 \
  X(MulK, 0x24)                 \
  X(DivK, 0x34)                 \
  X(OrK, 0x44)                  \
  X(AndK, 0x54)                 \
  X(LshK, 0x64)                 \
  X(RshK, 0x74)                 \
  X(Neg, 0x84)                  \
  X(ModK, 0x94)                 \
  X(XorK, 0xa4)                 \
  X(AddX, 0x0c)                 \
  X(SubX, 0x1c)                 \
  X(MulX, 0x2c)                 \
  X(DivX, 0x3c)                 \
  X(OrX, 0x4c)                  \
  X(AndX, 0x5c)                 \
  X(LshX, 0x6c)                 \
  X(RshX, 0x7c)                 \
  X(ModX, 0x9c)                 \
  X(XorX, 0xac)                 \
  X(Ja, 0x05)                   \
  X(JeqK, 0x15)                 \
  X(JgtK, 0x25)                 \
  X(JgeK, 0x35)                 \
  X(JsetK, 0x45)                \
  X(JeqX, 0x1d)                 \
  X(JgtX, 0x2d)                 \
  X(JgeX, 0x3d)                 \
  X(JsetX, 0x4d)                \
  X(RetK, 0x06)                 \
  X(RetA, 0x16)                 \
  X(Tax, 0x07)                  \
  X(Txa, 0x87)

#define PASTE_BPF_FUSED(X) \
  X(LdAbsWJeq)             \
  X(LdAbsHJeq)             \
  X(LdAbsBJeq)             \
  X(LdAbsHJset)            \
  X(LdIndHJeq)

enum BpfHandler : uint16_t {
#define PASTE_BPF_HANDLER(name, ...) k##name,
  PASTE_BPF_OPERATIONS(PASTE_BPF_HANDLER) PASTE_BPF_FUSED(PASTE_BPF_HANDLER)
#undef PASTE_BPF_HANDLER
      kUnknown,
};

}  // namespace paste
