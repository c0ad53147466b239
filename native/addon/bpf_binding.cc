// BPF for JavaScript: verifies a program, and runs it over a batch of frames in one call.
#include <napi.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/bpf/bpf.h"
#include "core/store/frame_words.h"
#include "frame_tests_binding.h"

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

// Frames that lie in one buffer, as JavaScript hands them over; checked.
struct Frames {
  Napi::Uint8Array data;
  Napi::Uint32Array offsets, captured, wire;
  Napi::BigInt64Array times;
  bool timed = false;
  size_t count = 0;

  // (data, offsets, capturedLengths, wireLengths, timesNs?) from argument `at` on; null, or what is wrong.
  const char* read(const Napi::CallbackInfo& info, size_t at) {
    if (!is_array(info[at], napi_uint8_array) || !is_array(info[at + 1], napi_uint32_array) ||
        !is_array(info[at + 2], napi_uint32_array) || !is_array(info[at + 3], napi_uint32_array))
      return "frames are a Uint8Array and three Uint32Arrays";
    data = info[at].As<Napi::Uint8Array>();
    offsets = info[at + 1].As<Napi::Uint32Array>();
    captured = info[at + 2].As<Napi::Uint32Array>();
    wire = info[at + 3].As<Napi::Uint32Array>();
    count = offsets.ElementLength();
    if (captured.ElementLength() != count || wire.ElementLength() != count) return "offsets and lengths must be as many";
    timed = is_array(info[at + 4], napi_bigint64_array);
    if (!timed && !info[at + 4].IsUndefined()) return "times are a BigInt64Array";
    if (timed) times = info[at + 4].As<Napi::BigInt64Array>();
    if (timed && times.ElementLength() != count) return "times must be as many";
    for (size_t i = 0; i < count; i++)
      if (static_cast<uint64_t>(offsets[i]) + captured[i] > data.ByteLength()) return "a frame lies outside its data";
    return nullptr;
  }
};

// 1 for each frame that is selected, else 0. `words` only where the program reads them.
Napi::Value select(Napi::Env env, const paste::BpfProgram& program, Frames& frames, paste::FrameWords* words) {
  auto selected = Napi::Uint8Array::New(env, frames.count);
  for (size_t i = 0; i < frames.count; i++) {
    const uint8_t* const frame = frames.data.Data() + frames.offsets[i];
    const uint32_t length = frames.captured[i];
    const int64_t time_ns = frames.timed ? frames.times[i] : 0;
    // Before 1970 there is nothing.
    if (words) words->set(frame, length, time_ns > 0 ? static_cast<uint64_t>(time_ns) : 0, 0);
    selected[i] = program.run(frame, frames.wire[i], length, words) != 0;
  }
  return selected;
}

// bpfRunBatch(bytes, data, offsets, capturedLengths, wireLengths, timesNs?): a Uint8Array with 1 for each selected frame,
// else 0. With times (a BigInt64Array), the program may ask for them.
Napi::Value bpf_run_batch(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::vector<paste::BpfInsn> instructions;
  if (!read_instructions(info[0], &instructions))
    return type_error(env, "bpfRunBatch: a Uint8Array of 8 bytes an instruction is needed");
  Frames frames;
  const char* const problem = frames.read(info, 1);
  paste::BpfProgram program;
  const paste::Status status = paste::BpfProgram::load(instructions, &program, frames.timed ? paste::kBpfCaptureWords : 0);
  if (!status.ok()) return type_error(env, status.message().c_str());
  if (problem) return type_error(env, (std::string("bpfRunBatch: ") + problem).c_str());
  paste::FrameWords words;
  return select(env, program, frames, program.reads_record() ? &words : nullptr);
}

// A filter over the frames of one source in their order, batch by batch: what its tests must remember of earlier frames lasts.
class FrameFilter : public Napi::ObjectWrap<FrameFilter> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "FrameFilter", {InstanceMethod<&FrameFilter::select_frames>("select")});
  }

  // new FrameFilter(bytes, tests): the program may ask for what a capture's frame has, and for the tests.
  explicit FrameFilter(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FrameFilter>(info) {
    std::vector<paste::BpfInsn> instructions;
    std::vector<paste::FrameTest> tests;
    if (!read_instructions(info[0], &instructions)) {
      type_error(info.Env(), "FrameFilter: a Uint8Array of 8 bytes an instruction is needed");
      return;
    }
    paste::Status status = paste::frame_tests_option(info[1], &tests);
    const auto count = static_cast<uint32_t>(tests.size());
    if (status.ok())
      status = paste::BpfProgram::load(instructions, &program_, count == 0 ? paste::kBpfCaptureWords : paste::kBpfNames + count);
    if (status.ok() && program_.reads_store())
      status = paste::Status(paste::Code::kUsage, "BPF program: it asks for what only a store's records have");
    if (!status.ok()) {
      type_error(info.Env(), status.message().c_str());
      return;
    }
    words_.start(0, tests, 0, ~0ull);
  }

 private:
  // select(data, offsets, capturedLengths, wireLengths, timesNs?): as bpfRunBatch(). Without times every frame came in 1970.
  Napi::Value select_frames(const Napi::CallbackInfo& info) {
    Frames frames;
    if (const char* const problem = frames.read(info, 0))
      return type_error(info.Env(), (std::string("FrameFilter: ") + problem).c_str());
    return select(info.Env(), program_, frames, program_.reads_record() ? &words_ : nullptr);
  }

  paste::BpfProgram program_;
  paste::FrameWords words_;
};

}  // namespace

void init_bpf(Napi::Env env, Napi::Object exports) {
  exports.Set("bpfVerify", Napi::Function::New(env, bpf_verify, "bpfVerify"));
  exports.Set("FrameFilter", FrameFilter::define(env));
  exports.Set("bpfRunBatch", Napi::Function::New(env, bpf_run_batch, "bpfRunBatch"));
}
