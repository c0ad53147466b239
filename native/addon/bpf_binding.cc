// BPF for JavaScript: verifies a program, and runs it over a batch of frames in one call.
#include <napi.h>

#include <cstring>
#include <vector>

#include "core/bpf/bpf.h"
#include "core/store/frame_words.h"

namespace {

// The instructions in `value` (struct bpf_insn, 8 bytes each), copied because a Uint8Array need not be aligned.
bool read_instructions(const Napi::Value& value, std::vector<paste::BpfInsn>* instructions) {
  if (!value.IsTypedArray()) return false;
  const auto array = value.As<Napi::TypedArray>();
  if (array.TypedArrayType() != napi_uint8_array || array.ByteLength() % sizeof(paste::BpfInsn) != 0) return false;
  const auto bytes = value.As<Napi::Uint8Array>();
  instructions->resize(bytes.ByteLength() / sizeof(paste::BpfInsn));
  if (!instructions->empty()) std::memcpy(instructions->data(), bytes.Data(), bytes.ByteLength());
  return true;
}

bool is_array(const Napi::Value& value, napi_typedarray_type type) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == type;
}

Napi::Value type_error(Napi::Env env, const char* message) {
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
  return env.Undefined();
}

// bpfVerify(bytes, recordWords = 0): null, or one line that says what is wrong.
Napi::Value bpf_verify(const Napi::CallbackInfo& info) {
  std::vector<paste::BpfInsn> instructions;
  if (!read_instructions(info[0], &instructions))
    return type_error(info.Env(), "bpfVerify: a Uint8Array of 8 bytes an instruction is needed");
  paste::BpfProgram program;
  const uint32_t words = info[1].IsNumber() ? info[1].As<Napi::Number>().Uint32Value() : 0;
  const paste::Status status = paste::BpfProgram::load(instructions, &program, words);
  if (status.ok()) return info.Env().Null();
  return Napi::String::New(info.Env(), status.message());
}

// bpfRunBatch(bytes, data, offsets, capturedLengths, wireLengths, timesNs?): a Uint8Array with 1 for each selected frame,
// else 0. With times (a BigInt64Array), the program may ask for them.
Napi::Value bpf_run_batch(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::vector<paste::BpfInsn> instructions;
  if (!read_instructions(info[0], &instructions))
    return type_error(env, "bpfRunBatch: a Uint8Array of 8 bytes an instruction is needed");
  if (!is_array(info[1], napi_uint8_array) || !is_array(info[2], napi_uint32_array) ||
      !is_array(info[3], napi_uint32_array) || !is_array(info[4], napi_uint32_array))
    return type_error(env, "bpfRunBatch: frames are a Uint8Array and three Uint32Arrays");
  const auto data = info[1].As<Napi::Uint8Array>();
  const auto offsets = info[2].As<Napi::Uint32Array>();
  const auto captured = info[3].As<Napi::Uint32Array>();
  const auto wire = info[4].As<Napi::Uint32Array>();
  const size_t count = offsets.ElementLength();
  if (captured.ElementLength() != count || wire.ElementLength() != count)
    return type_error(env, "bpfRunBatch: offsets and lengths must be as many");
  const bool timed = is_array(info[5], napi_bigint64_array);
  if (!timed && !info[5].IsUndefined()) return type_error(env, "bpfRunBatch: times are a BigInt64Array");
  const auto times = timed ? info[5].As<Napi::BigInt64Array>() : Napi::BigInt64Array();
  if (timed && times.ElementLength() != count) return type_error(env, "bpfRunBatch: times must be as many");

  paste::BpfProgram program;
  const paste::Status status =
      paste::BpfProgram::load(instructions, &program, timed ? paste::kBpfCaptureWords : 0);
  if (!status.ok()) return type_error(env, status.message().c_str());
  for (size_t i = 0; i < count; i++)
    if (static_cast<uint64_t>(offsets[i]) + captured[i] > data.ByteLength())
      return type_error(env, "bpfRunBatch: a frame lies outside its data");
  auto selected = Napi::Uint8Array::New(env, count);
  if (!program.reads_record()) {
    for (size_t i = 0; i < count; i++)
      selected[i] = program.run(data.Data() + offsets[i], wire[i], captured[i]) != 0;
    return selected;
  }
  paste::FrameWords words;
  for (size_t i = 0; i < count; i++) {
    const uint64_t time_ns = times[i] > 0 ? static_cast<uint64_t>(times[i]) : 0;  // before 1970 there is nothing
    words.set(data.Data() + offsets[i], captured[i], time_ns);
    selected[i] = program.run(data.Data() + offsets[i], wire[i], captured[i], &words) != 0;
  }
  return selected;
}

}  // namespace

void init_bpf(Napi::Env env, Napi::Object exports) {
  exports.Set("bpfVerify", Napi::Function::New(env, bpf_verify, "bpfVerify"));
  exports.Set("bpfRunBatch", Napi::Function::New(env, bpf_run_batch, "bpfRunBatch"));
}
