#include "core/bpf/bpf.h"

#include <cstring>

namespace paste {
namespace {

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
  X(LdIndHJeq)

enum Handler : uint16_t {
#define PASTE_BPF_HANDLER(name, ...) k##name,
  PASTE_BPF_OPERATIONS(PASTE_BPF_HANDLER) PASTE_BPF_FUSED(PASTE_BPF_HANDLER)
#undef PASTE_BPF_HANDLER
      kUnknown,
};

constexpr Handler handler_of(uint16_t code) {
  switch (code) {
#define PASTE_BPF_CASE(name, opcode) \
  case opcode:                       \
    return k##name;
    PASTE_BPF_OPERATIONS(PASTE_BPF_CASE)
#undef PASTE_BPF_CASE
    default:
      return kUnknown;
  }
}

constexpr uint32_t load_size(Handler handler) {
  switch (handler) {
    case kLdAbsW:
    case kLdIndW:
      return 4;
    case kLdAbsH:
    case kLdIndH:
      return 2;
    case kLdAbsB:
    case kLdIndB:
    case kLdxMsh:
      return 1;
    default:
      return 0;
  }
}

constexpr bool is_conditional(Handler handler) { return handler >= kJeqK && handler <= kJsetX; }

Status refuse(size_t index, const char* problem) {
  return Status(Code::kUsage, "BPF program: instruction " + std::to_string(index) + ": " + problem);
}

// What could go wrong with one instruction of a program of `count`.
Status verify(std::span<const BpfInsn> instructions, size_t index, uint32_t record_words) {
  const BpfInsn& instruction = instructions[index];
  const Handler handler = handler_of(instruction.code);
  const size_t left = instructions.size() - index - 1;  // instructions behind this one
  if (handler == kUnknown) return refuse(index, "unknown opcode");
  if (is_conditional(handler) && (instruction.jt >= left || instruction.jf >= left))
    return refuse(index, "jump past the end");
  switch (handler) {
    case kJa:
      if (instruction.k >= left) return refuse(index, "jump past the end");
      break;
    case kLdRecord:
      if (instruction.k >= record_words) return refuse(index, "it asks for what only a store's records have");
      break;
    case kLdMem:
    case kLdxMem:
    case kSt:
    case kStx:
      if (instruction.k >= kBpfScratchWords) return refuse(index, "scratch word out of range");
      break;
    case kDivK:
    case kModK:
      if (instruction.k == 0) return refuse(index, "division by zero");
      break;
    case kLshK:
    case kRshK:
      if (instruction.k > 31) return refuse(index, "shift by more than 31 bits");
      break;
    default:
      break;
  }
  return {};
}

inline uint32_t load_word(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap32(value);
}

inline uint32_t load_half(const uint8_t* at) {
  uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap16(value);
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "loads above swap bytes, and BpfInsn is read as little-endian"
#endif

}  // namespace

Status BpfProgram::load(std::span<const BpfInsn> instructions, BpfProgram* program, uint32_t record_words) {
  if (instructions.empty() || instructions.size() > kBpfInstructionsMax)
    return Status(Code::kUsage, "BPF program: " + std::to_string(instructions.size()) + " instructions, 1 to " +
                                    std::to_string(kBpfInstructionsMax) + " are allowed");
  for (size_t i = 0; i < instructions.size(); i++)
    if (Status status = verify(instructions, i, record_words); !status.ok()) return status;
  const Handler last = handler_of(instructions.back().code);
  if (last != kRetK && last != kRetA) return refuse(instructions.size() - 1, "the last one must be ret");

  BpfProgram loaded;
  loaded.operations_.reserve(instructions.size());
  for (const BpfInsn& instruction : instructions) {
    const Operation operation = decode(instruction);
    loaded.operations_.push_back(operation);
    loaded.uses_scratch_ |= operation.handler == kLdMem || operation.handler == kLdxMem;
    loaded.reads_record_ |= operation.handler == kLdRecord;
    loaded.reads_store_ |= operation.handler == kLdRecord && (operation.k == kBpfOutcome || operation.k == kBpfFlags);
  }
  fuse(loaded.operations_, instructions);
  loaded.accepted_ = instructions[0].k;
  loaded.accepts_all_ = loaded.operations_[0].handler == kRetK && loaded.accepted_ > 0;
  *program = std::move(loaded);
  return {};
}

BpfProgram::Operation BpfProgram::decode(const BpfInsn& instruction) {
  const Handler handler = handler_of(instruction.code);
  const uint64_t end = static_cast<uint64_t>(instruction.k) + load_size(handler);
  return {handler, instruction.jt, instruction.jf, instruction.k,
          end > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(end), 0};
}

void BpfProgram::fuse(std::vector<Operation>& operations, std::span<const BpfInsn> instructions) {
  for (size_t i = 0; i + 1 < operations.size(); i++) {
    const BpfInsn& next = instructions[i + 1];
    if (handler_of(next.code) != kJeqK) continue;
    Operation& operation = operations[i];
    switch (operation.handler) {
      case kLdAbsW:
        operation.handler = kLdAbsWJeq;
        break;
      case kLdAbsH:
        operation.handler = kLdAbsHJeq;
        break;
      case kLdAbsB:
        operation.handler = kLdAbsBJeq;
        break;
      case kLdIndH:
        operation.handler = kLdIndHJeq;
        break;
      default:
        continue;
    }
    operation.operand = next.k;
    operation.jt = next.jt;
    operation.jf = next.jf;
  }
}

// UINT32_MAX as `end` needs no case of its own: no frame is that long (checked), so the comparison rejects.
template <bool kHasRecord>
uint32_t BpfProgram::interpret(const uint8_t* frame, uint32_t wire_length, uint32_t captured_length,
                               [[maybe_unused]] BpfRecord* record) const {
  if (operations_.empty()) return 0;
  PASTE_CHECK(captured_length < UINT32_MAX);
  static constexpr const void* kLabels[] = {
#define PASTE_BPF_LABEL(name, ...) &&do_##name,
      PASTE_BPF_OPERATIONS(PASTE_BPF_LABEL) PASTE_BPF_FUSED(PASTE_BPF_LABEL)
#undef PASTE_BPF_LABEL
  };
  uint32_t a = 0, x = 0;
  uint32_t scratch[kBpfScratchWords];
  if (uses_scratch_) std::memset(scratch, 0, sizeof scratch);
  const Operation* op = operations_.data();

#define NEXT          \
  do {                \
    op++;             \
    goto* kLabels[op->handler]; \
  } while (0)
#define JUMP(distance)        \
  do {                        \
    op += 1 + (distance);     \
    goto* kLabels[op->handler]; \
  } while (0)
#define NEED(condition) \
  if (__builtin_expect(!(condition), 0)) return 0
#define INDEXED(size) \
  const uint64_t at = static_cast<uint64_t>(x) + op->k; \
  NEED(at + (size) <= captured_length)
// A fused pair jumps from its second instruction.
#define JUMP_IF_EQUAL JUMP(1 + (a == op->operand ? op->jt : op->jf))

  goto* kLabels[op->handler];

do_LdAbsW:
  NEED(op->end <= captured_length);
  a = load_word(frame + op->k);
  NEXT;
do_LdAbsH:
  NEED(op->end <= captured_length);
  a = load_half(frame + op->k);
  NEXT;
do_LdAbsB:
  NEED(op->end <= captured_length);
  a = frame[op->k];
  NEXT;
do_LdAbsWJeq:
  NEED(op->end <= captured_length);
  a = load_word(frame + op->k);
  JUMP_IF_EQUAL;
do_LdAbsHJeq:
  NEED(op->end <= captured_length);
  a = load_half(frame + op->k);
  JUMP_IF_EQUAL;
do_LdAbsBJeq:
  NEED(op->end <= captured_length);
  a = frame[op->k];
  JUMP_IF_EQUAL;
do_LdIndW : {
  INDEXED(4);
  a = load_word(frame + at);
  NEXT;
}
do_LdIndH : {
  INDEXED(2);
  a = load_half(frame + at);
  NEXT;
}
do_LdIndB : {
  INDEXED(1);
  a = frame[at];
  NEXT;
}
do_LdIndHJeq : {
  INDEXED(2);
  a = load_half(frame + at);
  JUMP_IF_EQUAL;
}
do_LdImm:
  a = op->k;
  NEXT;
do_LdMem:
  a = scratch[op->k];
  NEXT;
do_LdLen:
  a = wire_length;
  NEXT;
do_LdRecord:
  PASTE_CHECK(kHasRecord);
  if constexpr (kHasRecord) a = record->word(op->k);
  NEXT;
do_LdxImm:
  x = op->k;
  NEXT;
do_LdxMem:
  x = scratch[op->k];
  NEXT;
do_LdxLen:
  x = wire_length;
  NEXT;
do_LdxMsh:
  NEED(op->end <= captured_length);
  x = (frame[op->k] & 0xfu) << 2;
  NEXT;
do_St:
  scratch[op->k] = a;
  NEXT;
do_Stx:
  scratch[op->k] = x;
  NEXT;
do_AddK:
  a += op->k;
  NEXT;
do_SubK:
  a -= op->k;
  NEXT;
do_MulK:
  a *= op->k;
  NEXT;
do_DivK:
  a /= op->k;
  NEXT;
do_ModK:
  a %= op->k;
  NEXT;
do_OrK:
  a |= op->k;
  NEXT;
do_AndK:
  a &= op->k;
  NEXT;
do_XorK:
  a ^= op->k;
  NEXT;
do_LshK:
  a <<= op->k;
  NEXT;
do_RshK:
  a >>= op->k;
  NEXT;
do_Neg:
  a = 0u - a;
  NEXT;
do_AddX:
  a += x;
  NEXT;
do_SubX:
  a -= x;
  NEXT;
do_MulX:
  a *= x;
  NEXT;
do_DivX:
  NEED(x != 0);
  a /= x;
  NEXT;
do_ModX:
  NEED(x != 0);
  a %= x;
  NEXT;
do_OrX:
  a |= x;
  NEXT;
do_AndX:
  a &= x;
  NEXT;
do_XorX:
  a ^= x;
  NEXT;
do_LshX:
  a = x < 32 ? a << x : 0;
  NEXT;
do_RshX:
  a = x < 32 ? a >> x : 0;
  NEXT;
do_Ja:
  JUMP(op->k);
do_JeqK:
  JUMP(a == op->k ? op->jt : op->jf);
do_JgtK:
  JUMP(a > op->k ? op->jt : op->jf);
do_JgeK:
  JUMP(a >= op->k ? op->jt : op->jf);
do_JsetK:
  JUMP((a & op->k) != 0 ? op->jt : op->jf);
do_JeqX:
  JUMP(a == x ? op->jt : op->jf);
do_JgtX:
  JUMP(a > x ? op->jt : op->jf);
do_JgeX:
  JUMP(a >= x ? op->jt : op->jf);
do_JsetX:
  JUMP((a & x) != 0 ? op->jt : op->jf);
do_RetK:
  return op->k;
do_RetA:
  return a;
do_Tax:
  x = a;
  NEXT;
do_Txa:
  a = x;
  NEXT;

#undef NEXT
#undef JUMP
#undef NEED
#undef INDEXED
#undef JUMP_IF_EQUAL
}

template uint32_t BpfProgram::interpret<true>(const uint8_t*, uint32_t, uint32_t, BpfRecord*) const;
template uint32_t BpfProgram::interpret<false>(const uint8_t*, uint32_t, uint32_t, BpfRecord*) const;

}  // namespace paste
