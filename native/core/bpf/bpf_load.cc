#include <algorithm>

#include "core/bpf/bpf.h"
#include "core/bpf/operations.h"

namespace paste {
namespace {

using Handler = BpfHandler;

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

// The operation that does the work of both, one behind the other; kUnknown: there is none.
constexpr Handler fused_with(Handler load, Handler jump) {
  if (jump == kJsetK && load == kLdAbsH) return kLdAbsHJset;  // is it a later fragment?
  if (jump != kJeqK) return kUnknown;
  switch (load) {
    case kLdAbsW:
      return kLdAbsWJeq;
    case kLdAbsH:
      return kLdAbsHJeq;
    case kLdAbsB:
      return kLdAbsBJeq;
    case kLdIndH:
      return kLdIndHJeq;
    default:
      return kUnknown;
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

// How far on from an operation the one so many places behind it lies.
uint16_t BpfProgram::distance(uint32_t operations) { return static_cast<uint16_t>(operations * sizeof(Operation)); }

BpfProgram::Operation BpfProgram::decode(const BpfInsn& instruction) {
  const Handler handler = handler_of(instruction.code);
  const uint64_t end = uint64_t{instruction.k} + load_size(handler);
  return Operation{.handler = handler,
                   .yes = distance(1u + instruction.jt),
                   .no = distance(1u + instruction.jf),
                   .k = handler == kJa ? static_cast<uint32_t>((1 + instruction.k) * sizeof(Operation)) : instruction.k,
                   .end = static_cast<uint32_t>(std::min<uint64_t>(end, UINT32_MAX))};
}

void BpfProgram::fuse(std::vector<Operation>& operations, std::span<const BpfInsn> instructions) {
  for (size_t i = 0; i + 1 < operations.size(); i++) {
    const BpfInsn& next = instructions[i + 1];
    const Handler fused = fused_with(static_cast<Handler>(operations[i].handler), handler_of(next.code));
    if (fused == kUnknown) continue;
    operations[i].handler = fused;
    operations[i].yes = distance(2u + next.jt);
    operations[i].no = distance(2u + next.jf);
    operations[i].k = next.k;
  }
}

}  // namespace paste
