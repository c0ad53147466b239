// Live taps for JavaScript: a look is one call that copies what is there into columns.
#include <napi.h>

#include <cstring>
#include <memory>

#include "core/ports/client/live_tap_client.h"
#include "status_error.h"

namespace paste {
namespace {

template <class Array, class T>
Array column(Napi::Env env, const std::vector<T>& values) {
  auto memory = Napi::ArrayBuffer::New(env, values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(memory.Data(), values.data(), values.size() * sizeof(T));
  return Array::New(env, values.size(), memory, 0);
}

class NativeLiveTap final : public Napi::ObjectWrap<NativeLiveTap> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeLiveTap",
                       {InstanceMethod<&NativeLiveTap::read>("read"), InstanceMethod<&NativeLiveTap::state>("state"),
                        InstanceMethod<&NativeLiveTap::names>("names"), InstanceMethod<&NativeLiveTap::close>("close")});
  }

  // new NativeLiveTap(socket, port, flags, snaplen, ringBytes, filter: Uint8Array | null)
  explicit NativeLiveTap(const Napi::CallbackInfo& call) : Napi::ObjectWrap<NativeLiveTap>(call) {
    if (!call[0].IsString() || !call[1].IsString() || !call[2].IsNumber() || !call[3].IsNumber() || !call[4].IsNumber()) {
      throw_status(call.Env(), Status(Code::kInternal, "NativeLiveTap: socket, port, flags, snaplen and ring size are needed"));
      return;
    }
    const auto number = [&](size_t i) { return call[i].As<Napi::Number>().Uint32Value(); };
    std::vector<uint8_t> filter;
    if (call[5].IsTypedArray()) {
      const auto bytes = call[5].As<Napi::Uint8Array>();
      filter.assign(bytes.Data(), bytes.Data() + bytes.ByteLength());
    }
    const LiveTapOptions options = {.socket = call[0].As<Napi::String>().Utf8Value(),
                                    .port = call[1].As<Napi::String>().Utf8Value(),
                                    .wish = {number(2), number(3), number(4), 0},
                                    .filter = std::move(filter)};
    if (const Status status = LiveTapClient::open(options, &tap_); !status.ok()) throw_status(call.Env(), status);
  }

 private:
  bool is_open(Napi::Env env) {
    if (tap_) return true;
    throw_status(env, Status(Code::kUsage, "the tap is closed"));
    return false;
  }

  // read(framesMax, bytesMax): columns, or null when there is nothing.
  Napi::Value read(const Napi::CallbackInfo& call) {
    const Napi::Env env = call.Env();
    if (!is_open(env)) return env.Undefined();
    frames_.records.clear();
    frames_.offsets.clear();
    frames_.bytes.clear();
    if (!tap_->read(&frames_, call[0].ToNumber().Uint32Value(), call[1].ToNumber().Uint32Value())) return env.Null();
    const size_t count = frames_.records.size();
    std::vector<uint32_t> captured(count), wire(count), ingress(count), egress(count);
    std::vector<int64_t> times(count);
    std::vector<uint8_t> outcomes(count), left(count);
    for (size_t i = 0; i < count; i++) {
      const live_tap::Record& record = frames_.records[i];
      captured[i] = record.length;
      wire[i] = record.wire_length;
      times[i] = static_cast<int64_t>(record.time_ns);
      ingress[i] = record.ingress;
      egress[i] = record.egress;
      outcomes[i] = record.outcome;
      left[i] = (record.flags & live_tap::kLeft) != 0;
    }
    Napi::Object batch = Napi::Object::New(env);
    batch.Set("count", Napi::Number::New(env, static_cast<double>(count)));
    batch.Set("data", Napi::Buffer<uint8_t>::Copy(env, frames_.bytes.data(), frames_.bytes.size()));
    batch.Set("offsets", column<Napi::Uint32Array>(env, frames_.offsets));
    batch.Set("capturedLengths", column<Napi::Uint32Array>(env, captured));
    batch.Set("wireLengths", column<Napi::Uint32Array>(env, wire));
    batch.Set("timesNs", column<Napi::BigInt64Array>(env, times));
    batch.Set("ingress", column<Napi::Uint32Array>(env, ingress));
    batch.Set("egress", column<Napi::Uint32Array>(env, egress));
    batch.Set("outcomes", column<Napi::Uint8Array>(env, outcomes));
    batch.Set("left", column<Napi::Uint8Array>(env, left));
    return batch;
  }

  Napi::Value state(const Napi::CallbackInfo& call) {
    const Napi::Env env = call.Env();
    if (!is_open(env)) return env.Undefined();
    Napi::Object state = Napi::Object::New(env);
    state.Set("missed", Napi::Number::New(env, static_cast<double>(tap_->missed())));
    state.Set("unread", Napi::Number::New(env, static_cast<double>(tap_->unread())));
    state.Set("stands", Napi::Boolean::New(env, tap_->stands()));
    return state;
  }

  // names(version): [id, name][] when there are more than with that version, and the version; else null.
  Napi::Value names(const Napi::CallbackInfo& call) {
    const Napi::Env env = call.Env();
    if (!is_open(env)) return env.Undefined();
    const auto& names = tap_->names();
    if (static_cast<double>(tap_->names_version()) == call[0].ToNumber().DoubleValue()) return env.Null();
    Napi::Object ports = Napi::Object::New(env);
    for (const auto& [id, name] : names) ports.Set(id, Napi::String::New(env, name));
    Napi::Object object = Napi::Object::New(env);
    object.Set("version", Napi::Number::New(env, static_cast<double>(tap_->names_version())));
    object.Set("ports", ports);
    return object;
  }

  Napi::Value close(const Napi::CallbackInfo& call) {
    tap_.reset();
    return call.Env().Undefined();
  }

  std::unique_ptr<LiveTapClient> tap_;
  TappedFrames frames_;  // used again and again
};

}  // namespace
}  // namespace paste

void init_live_tap(Napi::Env env, Napi::Object exports) { exports.Set("NativeLiveTap", paste::NativeLiveTap::define(env)); }
