// Capture files for JavaScript, encoded in batches: from a store off the main thread, from columns at once.
#include <algorithm>
#include <cstring>
#include <optional>

#include "core/export/capture_encoder.h"
#include "core/export/store_export.h"
#include "capture_columns.h"
#include "reader_binding.h"
#include "status_error.h"

namespace paste {
namespace {

using Napi::CallbackInfo;

Napi::Object piece(Napi::Env env, EncodedBytes* bytes, uint64_t frames) {
  Napi::Object object = Napi::Object::New(env);
  const size_t size = bytes->size();
  object.Set("bytes", Napi::Uint8Array::New(env, size, give(env, std::move(*bytes)), 0));
  object.Set("frames", Napi::Number::New(env, static_cast<double>(frames)));
  return object;
}

// What a worker uses must outlive the JavaScript object.
struct Encoding {
  Encoding(CaptureFormat format, std::string application, uint32_t snaplen) : encoder(format, std::move(application), snaplen) {}
  CaptureEncoder encoder;
  std::shared_ptr<OpenReader> source;
  std::optional<StoreExport> store;
  bool busy = false;
};

class StoreWorker final : public Napi::AsyncWorker {
 public:
  StoreWorker(Napi::Env env, std::shared_ptr<Encoding> encoding, uint32_t bytes_max, uint64_t frames_left)
      : Napi::AsyncWorker(env), deferred(Napi::Promise::Deferred::New(env)), encoding_(std::move(encoding)), bytes_max_(bytes_max),
        frames_left_(frames_left) {
    encoding_->busy = encoding_->source->busy = true;
  }
  Napi::Promise::Deferred deferred;

 private:
  void Execute() override {
    bytes_.reserve(bytes_max_ + bytes_max_ / 2);
    const uint64_t before = encoding_->encoder.frames();
    status_ = encoding_->store->next(&bytes_, bytes_max_, &frames_left_, &more_);
    if (status_.ok()) status_ = encoding_->source->reader->status();
    frames_ = encoding_->encoder.frames() - before;
  }
  void OnOK() override {
    encoding_->busy = encoding_->source->busy = false;
    if (!status_.ok()) {
      deferred.Reject(status_error(Env(), status_).Value());
      return;
    }
    Napi::Object object = piece(Env(), &bytes_, frames_);
    object.Set("more", Napi::Boolean::New(Env(), more_));
    object.Set("lost", Napi::Number::New(Env(), static_cast<double>(encoding_->store->lost())));
    deferred.Resolve(object);
  }

  std::shared_ptr<Encoding> encoding_;
  EncodedBytes bytes_;
  uint32_t bytes_max_;
  uint64_t frames_left_, frames_ = 0;
  bool more_ = false;
  Status status_;
};

class CaptureEncoderObject : public Napi::ObjectWrap<CaptureEncoderObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "CaptureEncoder",
                       {InstanceMethod<&CaptureEncoderObject::describe>("describe"),
                        InstanceMethod<&CaptureEncoderObject::append>("append"),
                        InstanceMethod<&CaptureEncoderObject::open_store>("openStore"),
                        InstanceMethod<&CaptureEncoderObject::next>("next"),
                        InstanceMethod<&CaptureEncoderObject::finish>("finish")});
  }

  // new CaptureEncoder(format: 0 pcapng | 1 pcap | 2 nsecpcap, application, snaplen)
  explicit CaptureEncoderObject(const CallbackInfo& call) : Napi::ObjectWrap<CaptureEncoderObject>(call) {
    const uint32_t format = call[0].IsNumber() ? call[0].As<Napi::Number>().Uint32Value() : ~0u;
    if (format > 2 || !call[1].IsString() || !call[2].IsNumber()) {
      throw_status(call.Env(), Status(Code::kInternal, "CaptureEncoder: format, application and snaplen are needed"));
      return;
    }
    encoding_ = std::make_shared<Encoding>(static_cast<CaptureFormat>(format), call[1].As<Napi::String>().Utf8Value(),
                                           call[2].As<Napi::Number>().Uint32Value());
  }

 private:
  bool idle(Napi::Env env) {
    if (encoding_ && !encoding_->busy) return true;
    throw_status(env, Status(Code::kInternal, "the encoder is busy with another call"));
    return false;
  }

  // describe(name, linkType, snaplen): the interface's number. What it writes comes with the next piece.
  Napi::Value describe(const CallbackInfo& call) {
    if (!idle(call.Env())) return call.Env().Undefined();
    uint32_t interface = 0;
    const Status status = encoding_->encoder.describe(
        call[0].As<Napi::String>().Utf8Value(), call[1].As<Napi::Number>().Uint32Value(), call[2].As<Napi::Number>().Uint32Value(),
        &pending_, &interface);
    if (!status.ok()) throw_status(call.Env(), status);
    return Napi::Number::New(call.Env(), interface);
  }

  // append(batch, interfaceNumbers: Uint32Array, selected: Uint8Array | null, framesMax): { bytes, frames }
  Napi::Value append(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    if (!idle(env)) return env.Undefined();
    Columns columns;
    if (!call[0].IsObject() || !columns.read(call[0].As<Napi::Object>()) || !call[1].IsTypedArray()) {
      throw_status(env, Status(Code::kInternal, "append: the batch's columns do not fit each other"));
      return env.Undefined();
    }
    const auto numbers = call[1].As<Napi::Uint32Array>();
    const auto selected = call[2].IsTypedArray() ? call[2].As<Napi::Uint8Array>() : Napi::Uint8Array();
    const double frames_max = call[3].As<Napi::Number>().DoubleValue();
    Status status;
    uint64_t frames = 0;
    for (size_t i = 0; i < columns.count && static_cast<double>(frames) < frames_max && status.ok(); ++i) {
      if (!selected.IsEmpty() && !(i < selected.ElementLength() && selected[i])) continue;
      FrameToEncode frame;
      frame.bytes = columns.data + columns.offsets[i];
      frame.length = columns.captured[i];
      frame.wire_length = columns.wire[i];
      frame.time_ns = columns.times[i];
      if (columns.interfaces[i] >= numbers.ElementLength() || numbers[columns.interfaces[i]] >= encoding_->encoder.interfaces()) {
        status = Status(Code::kInternal, "append: a frame of an interface that was not described");
        break;
      }
      frame.interface = numbers[columns.interfaces[i]];
      status = encoding_->encoder.append(frame, &pending_);
      frames += status.ok();
    }
    if (!status.ok()) {
      throw_status(env, status);
      return env.Undefined();
    }
    return take(env, frames);
  }

  // openStore(reader): what next() encodes from now on; the reader was started with framesOnly false.
  Napi::Value open_store(const CallbackInfo& call) {
    if (!idle(call.Env())) return call.Env().Undefined();
    auto source = reader_of(call.Env(), call[0]);
    if (!source) return call.Env().Undefined();
    encoding_->store.reset();
    encoding_->source = std::move(source);
    encoding_->store.emplace(*encoding_->source->reader, encoding_->encoder);
    return call.Env().Undefined();
  }

  // next(bytesMax, framesMax): a promise of { bytes, frames, more, lost }.
  Napi::Value next(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    if (!idle(env)) return env.Undefined();
    if (!encoding_->store || encoding_->source->busy) {
      throw_status(env, Status(Code::kInternal, "next: no store is open for export, or its reader is busy"));
      return env.Undefined();
    }
    const double frames_max = call[1].As<Napi::Number>().DoubleValue();
    const uint64_t frames = frames_max < 9e15 ? static_cast<uint64_t>(std::max(frames_max, 0.0)) : ~0ull;
    auto* worker = new StoreWorker(env, encoding_, call[0].As<Napi::Number>().Uint32Value(), frames);
    Napi::Value promise = worker->deferred.Promise();
    worker->Queue();
    return promise;
  }

  Napi::Value finish(const CallbackInfo& call) {
    if (!idle(call.Env())) return call.Env().Undefined();
    encoding_->encoder.finish(&pending_);
    return take(call.Env(), 0);
  }

  Napi::Value take(Napi::Env env, uint64_t frames) {
    Napi::Object object = piece(env, &pending_, frames);
    pending_ = EncodedBytes();
    return object;
  }

  std::shared_ptr<Encoding> encoding_;
  EncodedBytes pending_;
};

}  // namespace
}  // namespace paste

void init_export(Napi::Env env, Napi::Object exports) {
  exports.Set("CaptureEncoder", paste::CaptureEncoderObject::define(env));
}
