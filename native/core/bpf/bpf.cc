#include "core/bpf/bpf.h"

#include <cstring>

#include "core/bpf/operations.h"

namespace paste {
namespace {

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

#define NEXT                      \
  do {                            \
    op++;                         \
    goto* kLabels[op->handler];   \
  } while (0)
#define JUMP(bytes)                                                                       \
  do {                                                                                    \
    op = reinterpret_cast<const Operation*>(reinterpret_cast<const char*>(op) + (bytes)); \
    goto* kLabels[op->handler];                                                           \
  } while (0)
#define JUMP_IF(condition) \
  if (condition) JUMP(op->yes); \
  JUMP(op->no)
#define NEED(condition) \
  if (__builtin_expect(!(condition), 0)) return 0
// Where the bytes of a load begin.
#define ABSOLUTE(size)                 \
  const uint32_t end = op->end;        \
  NEED(end <= captured_length);        \
  const uint8_t* const at = frame + end - (size)
#define INDEXED(size)                                         \
  const uint64_t end = static_cast<uint64_t>(x) + op->end;    \
  NEED(end <= captured_length);                               \
  const uint8_t* const at = frame + end - (size)

  goto* kLabels[op->handler];

do_LdAbsW : {
  ABSOLUTE(4);
  a = load_word(at);
  NEXT;
}
do_LdAbsH : {
  ABSOLUTE(2);
  a = load_half(at);
  NEXT;
}
do_LdAbsB : {
  ABSOLUTE(1);
  a = *at;
  NEXT;
}
do_LdAbsWJeq : {
  ABSOLUTE(4);
  a = load_word(at);
  JUMP_IF(a == op->k);
}
do_LdAbsHJeq : {
  ABSOLUTE(2);
  a = load_half(at);
  JUMP_IF(a == op->k);
}
do_LdAbsBJeq : {
  ABSOLUTE(1);
  a = *at;
  JUMP_IF(a == op->k);
}
do_LdAbsHJset : {
  ABSOLUTE(2);
  a = load_half(at);
  JUMP_IF((a & op->k) != 0);
}
do_LdIndW : {
  INDEXED(4);
  a = load_word(at);
  NEXT;
}
do_LdIndH : {
  INDEXED(2);
  a = load_half(at);
  NEXT;
}
do_LdIndB : {
  INDEXED(1);
  a = *at;
  NEXT;
}
do_LdIndHJeq : {
  INDEXED(2);
  a = load_half(at);
  JUMP_IF(a == op->k);
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
do_LdxMsh : {
  ABSOLUTE(1);
  x = (*at & 0xfu) << 2;
  NEXT;
}
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
  JUMP_IF(a == op->k);
do_JgtK:
  JUMP_IF(a > op->k);
do_JgeK:
  JUMP_IF(a >= op->k);
do_JsetK:
  JUMP_IF((a & op->k) != 0);
do_JeqX:
  JUMP_IF(a == x);
do_JgtX:
  JUMP_IF(a > x);
do_JgeX:
  JUMP_IF(a >= x);
do_JsetX:
  JUMP_IF((a & x) != 0);
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
#undef JUMP_IF
#undef NEED
#undef ABSOLUTE
#undef INDEXED
}

template uint32_t BpfProgram::interpret<true>(const uint8_t*, uint32_t, uint32_t, BpfRecord*) const;
template uint32_t BpfProgram::interpret<false>(const uint8_t*, uint32_t, uint32_t, BpfRecord*) const;

}  // namespace paste
