// Capture files for JavaScript, encoded in batches off the main thread from stores and from columns.
#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "addon/job.h"
#include "addon/values.h"
#include "core/export/capture_encoder.h"
#include "core/export/column_input.h"
#include "core/export/exporter.h"
#include "core/export/store_input.h"
#include "capture_columns.h"
#include "chain_binding.h"
#include "piece_memory.h"
#include "reader_binding.h"
#include "status_error.h"

namespace paste {
namespace {

using Napi::CallbackInfo;

// A batch of columns as logger/capture makes them. False when the columns differ in length, a frame lies outside of the data, or its
// interface is not below `interfaces`.
bool read_columns(const Napi::Value& batch, const Napi::Value& selected, uint32_t interfaces, FrameColumns* columns) {
  Columns given;
  if (!batch.IsObject() || !given.read(batch.As<Napi::Object>())) return false;
  *columns = FrameColumns{given.data, given.count, given.offsets, given.captured, given.wire, given.times, given.interfaces, nullptr};
  if (selected.IsTypedArray()) {
    const auto marks = selected.As<Napi::Uint8Array>();
    if (marks.ElementLength() != given.count) return false;
    if (given.count > 0) columns->selected = marks.Data();
  }
  for (size_t i = 0; i < given.count; ++i)
    if (given.interfaces[i] >= interfaces) return false;
  return true;
}

// Frames longer than a piece, and descriptions and statistics of interfaces, come on top of what was asked for.
constexpr size_t kSlackBytes = 1u << 20;

// What a worker uses must outlive the JavaScript object.
struct Encoding {
  Encoding(CaptureFormat format, std::string application, uint32_t snaplen, SplitLimits limits, bool by_time, uint32_t slots)
      : exporter(format, std::move(application), snaplen, limits, by_time), memory(slots) {}

  struct Source {
    std::shared_ptr<OpenReader> store;    // or:
    ColumnInput* columns = nullptr;       // the exporter's
    Napi::Reference<Napi::Object> batch;  // whose memory it looks at
    Napi::Reference<Napi::Object> selected;
  };
  bool stores_busy() const {
    return std::any_of(sources.begin(), sources.end(), [](const Source& each) { return each.store && each.store->busy; });
  }
  void set_busy(bool now) {
    busy = now;
    for (Source& each : sources)
      if (each.store) each.store->busy = now;
  }
  // Batches that were used up are let go.
  void release() {
    for (Source& each : sources)
      if (each.columns && !each.columns->uses_batch()) {
        each.batch.Reset();
        each.selected.Reset();
      }
  }

  Exporter exporter;
  PieceMemory memory;
  std::vector<Source> sources;
  StoreInput::Words words;
  bool busy = false;
};

const char* next_name(Exporter::Next next) {
  switch (next) {
    case Exporter::Next::kSplit: return "split";
    case Exporter::Next::kHungry: return "hungry";
    case Exporter::Next::kEnd: return "end";
    default: return "more";
  }
}

Napi::Object piece_object(Napi::Env env, Encoding& encoding, const Exporter::Piece& piece) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("frames", number(env, piece.frames));
  object.Set("next", next_name(piece.next));
  object.Set("more", Napi::Boolean::New(env, piece.next != Exporter::Next::kEnd));
  object.Set("hungry", Napi::Number::New(env, piece.hungry));
  object.Set("byTime", Napi::Boolean::New(env, piece.split == Split::kTime));
  if (piece.frames > 0) object.Set("firstNs", bigint(env, piece.first_ns));
  if (piece.next == Exporter::Next::kSplit) object.Set("nextNs", bigint(env, encoding.exporter.next_time_ns()));
  object.Set("lost", number(env, encoding.exporter.lost()));
  return object;
}

// A column of `count` bytes; null where the batch has none.
const uint8_t* bytes_of(const Napi::Object& batch, const char* name, size_t count) {
  const Napi::Value column = batch.Get(name);
  if (!column.IsTypedArray() || column.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) return nullptr;
  const auto bytes = column.As<Napi::Uint8Array>();
  return bytes.ElementLength() >= count ? bytes.Data() : nullptr;
}

uint64_t count_option(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  bool lossless = true;
  if (value.IsBigInt()) return value.As<Napi::BigInt>().Uint64Value(&lossless);
  return value.IsNumber() ? static_cast<uint64_t>(std::max(0.0, value.As<Napi::Number>().DoubleValue())) : 0;
}

class CaptureEncoderObject : public Napi::ObjectWrap<CaptureEncoderObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "CaptureEncoder",
                       {InstanceMethod<&CaptureEncoderObject::open_store>("openStore"),
                        InstanceMethod<&CaptureEncoderObject::open_capture>("openCapture"),
                        InstanceMethod<&CaptureEncoderObject::feed>("feed"), InstanceMethod<&CaptureEncoderObject::end>("end"),
                        InstanceMethod<&CaptureEncoderObject::next>("next"), InstanceMethod<&CaptureEncoderObject::write>("write"),
                        InstanceMethod<&CaptureEncoderObject::describe>("describe"),
                        InstanceMethod<&CaptureEncoderObject::append>("append"),
                        InstanceMethod<&CaptureEncoderObject::finish>("finish"),
                        InstanceMethod<&CaptureEncoderObject::chain>("chain")});
  }

  // new CaptureEncoder(format: 0 pcapng | 1 pcap | 2 nsecpcap, application, snaplen, options)
  explicit CaptureEncoderObject(const CallbackInfo& call) : Napi::ObjectWrap<CaptureEncoderObject>(call) {
    const uint32_t format = call[0].IsNumber() ? call[0].As<Napi::Number>().Uint32Value() : ~0u;
    if (format > 2 || !call[1].IsString() || !call[2].IsNumber()) {
      throw_status(call.Env(), Status(Code::kInternal, "CaptureEncoder: format, application and snaplen are needed"));
      return;
    }
    const Napi::Object options = call[3].IsObject() ? call[3].As<Napi::Object>() : Napi::Object::New(call.Env());
    const SplitLimits limits{count_option(options, "bytesOver"), count_option(options, "frames"), count_option(options, "durationNs"),
                             options.Get("byPeriod").ToBoolean().Value()};
    encoding_ = std::make_shared<Encoding>(static_cast<CaptureFormat>(format), call[1].As<Napi::String>().Utf8Value(),
                                           call[2].As<Napi::Number>().Uint32Value(), limits,
                                           options.Get("byTime").ToBoolean().Value(), static_cast<uint32_t>(count_option(options, "slots")));
    // Only pcapng has room for them.
    encoding_->words.comments = format == 0 && !options.Get("plain").ToBoolean().Value();
    if (options.Get("chain").ToBoolean().Value()) encoding_->exporter.encoder().begin_chain();
    if (options.Get("sanitize").IsObject()) sanitize(options.Get("sanitize").As<Napi::Object>());
  }

 private:
  // { key: Uint8Array of 32 bytes, keepPayload, keepOui, keepNames }
  void sanitize(const Napi::Object& given) {
    SanitizeOptions options;
    const Napi::Value key = given.Get("key");
    if (!key.IsTypedArray() || key.As<Napi::Uint8Array>().ByteLength() != sizeof options.key) {
      throw_status(given.Env(), Status(Code::kInternal, "CaptureEncoder: a key of 32 bytes is needed"));
      return;
    }
    memcpy(options.key, key.As<Napi::Uint8Array>().Data(), sizeof options.key);
    options.keep_payload = given.Get("keepPayload").ToBoolean().Value();
    options.keep_oui = given.Get("keepOui").ToBoolean().Value();
    encoding_->words.names = given.Get("keepNames").ToBoolean().Value();
    encoding_->exporter.sanitize(options);
  }

  bool idle(Napi::Env env) {
    if (encoding_ && !encoding_->busy) return true;
    throw_status(env, Status(Code::kInternal, "the encoder is busy with another call"));
    return false;
  }
  static std::string text_of(const Napi::Value& value) { return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string(); }

  // openStore(reader, description?): one more source, its number. The reader was started with framesOnly false.
  Napi::Value open_store(const CallbackInfo& call) {
    if (!idle(call.Env())) return call.Env().Undefined();
    auto source = reader_of(call.Env(), call[0]);
    if (!source) return call.Env().Undefined();
    const uint32_t number = encoding_->exporter.inputs();
    encoding_->exporter.add(std::make_unique<StoreInput>(*source->reader, number, text_of(call[1]), encoding_->words));
    encoding_->sources.push_back({std::move(source), nullptr, {}, {}});
    return Napi::Number::New(call.Env(), number);
  }

  // openCapture(description?): one more source, its number; feed() gives it batches.
  Napi::Value open_capture(const CallbackInfo& call) {
    if (!idle(call.Env())) return call.Env().Undefined();
    const uint32_t number = encoding_->exporter.inputs();
    auto input = std::make_unique<ColumnInput>(number, text_of(call[0]));
    encoding_->sources.push_back({nullptr, input.get(), {}, {}});
    encoding_->exporter.add(std::move(input));
    return Napi::Number::New(call.Env(), number);
  }

  Encoding::Source* capture_of(Napi::Env env, const Napi::Value& number) {
    const uint32_t index = number.IsNumber() ? number.As<Napi::Number>().Uint32Value() : ~0u;
    if (index < encoding_->sources.size() && encoding_->sources[index].columns) return &encoding_->sources[index];
    throw_status(env, Status(Code::kInternal, "no such capture among the encoder's sources"));
    return nullptr;
  }

  // feed(source, batch, interfaces: { name, linkType, snaplen }[], selected: Uint8Array | null), when it is hungry.
  void feed(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    if (!idle(env)) return;
    Encoding::Source* const source = capture_of(env, call[0]);
    if (!source) return;
    std::vector<ColumnInput::Interface> interfaces;
    const auto given = call[2].As<Napi::Array>();
    for (uint32_t i = 0; i < given.Length(); ++i) {
      const auto each = Napi::Value(given[i]).As<Napi::Object>();
      interfaces.push_back(ColumnInput::Interface{text_of(each.Get("name")), each.Get("linkType").ToNumber().Uint32Value(),
                                                  each.Get("snaplen").ToNumber().Uint32Value()});
    }
    FrameColumns columns;
    if (source->columns->uses_batch() || !read_columns(call[1], call[3], static_cast<uint32_t>(interfaces.size()), &columns)) {
      throw_status(env, Status(Code::kInternal, "feed: the batch's columns do not fit each other, or the batch before is not used up"));
      return;
    }
    source->batch = Napi::Persistent(call[1].As<Napi::Object>());
    if (call[3].IsTypedArray()) source->selected = Napi::Persistent(call[3].As<Napi::Object>());
    source->columns->feed(columns, std::move(interfaces));
  }

  // end(source): no more batches will come.
  void end(const CallbackInfo& call) {
    if (!idle(call.Env())) return;
    if (Encoding::Source* const source = capture_of(call.Env(), call[0])) source->columns->end();
  }

  bool readable(Napi::Env env) {
    if (!idle(env)) return false;
    if (!encoding_->sources.empty() && !encoding_->stores_busy()) return true;
    throw_status(env, Status(Code::kInternal, "nothing is open for export, or a reader is busy"));
    return false;
  }
  static uint64_t frames_of(const Napi::Value& max) {
    const double frames = max.As<Napi::Number>().DoubleValue();
    return frames < 9e15 ? static_cast<uint64_t>(std::max(frames, 0.0)) : ~0ull;
  }
  // `work` encodes off the main thread; `complete` adds to the piece what it made.
  Napi::Value start(Napi::Env env, std::function<Status(Exporter&, Exporter::Piece*)> work,
                    std::function<void(const Exporter::Piece&, Napi::Object)> complete) {
    auto piece = std::make_shared<Exporter::Piece>();
    encoding_->set_busy(true);
    return start_job(
        env, [encoding = encoding_, work = std::move(work), piece] { return work(encoding->exporter, piece.get()); },
        [encoding = encoding_, complete = std::move(complete), piece](Napi::Env env) {
          const Napi::Object object = piece_object(env, *encoding, *piece);
          complete(*piece, object);
          return object;
        },
        [encoding = encoding_] {
          encoding->set_busy(false);
          encoding->release();
        });
  }

  // next(bytesMax, framesMax): a promise of { bytes, frames, next, more, hungry, byTime, firstNs, nextNs, lost }.
  Napi::Value next(const CallbackInfo& call) {
    if (!readable(call.Env())) return call.Env().Undefined();
    const uint32_t bytes_max = call[0].As<Napi::Number>().Uint32Value();
    EncodedBytes* const bytes = encoding_->memory.take(bytes_max + kSlackBytes);
    return start(
        call.Env(),
        [bytes, bytes_max, frames_max = frames_of(call[1])](Exporter& exporter, Exporter::Piece* piece) {
          return exporter.next(bytes, bytes_max, frames_max, piece);
        },
        [encoding = encoding_](const Exporter::Piece&, Napi::Object object) { object.Set("bytes", encoding->memory.show(object.Env())); });
  }

  // write(descriptor, position, bytesMax, framesMax): the same, with { written, error } and no bytes. The file stays open meanwhile.
  Napi::Value write(const CallbackInfo& call) {
    if (!readable(call.Env())) return call.Env().Undefined();
    const int descriptor = call[0].As<Napi::Number>().Int32Value();
    const auto position = static_cast<uint64_t>(call[1].As<Napi::Number>().Int64Value());
    const uint32_t bytes_max = call[2].As<Napi::Number>().Uint32Value();
    return start(
        call.Env(),
        [descriptor, position, bytes_max, frames_max = frames_of(call[3])](Exporter& exporter, Exporter::Piece* piece) {
          return exporter.write(descriptor, position, bytes_max, frames_max, piece);
        },
        [](const Exporter::Piece& piece, Napi::Object object) {
          object.Set("bytes", Napi::Uint8Array::New(object.Env(), 0));
          object.Set("written", number(object.Env(), piece.written));
          object.Set("error", Napi::Number::New(object.Env(), piece.error));
        });
  }

  // describe(name, linkType, snaplen): the number of an interface for append(). What it writes comes with the next piece.
  Napi::Value describe(const CallbackInfo& call) {
    if (!idle(call.Env())) return call.Env().Undefined();
    const std::string name = text_of(call[0]);
    const InterfaceToEncode interface{name, {}, call[1].ToNumber().Uint32Value(), call[2].ToNumber().Uint32Value(), 0};
    uint32_t number = 0;
    const Status status = encoding_->exporter.encoder().describe(interface, &pending_, &number);
    if (!status.ok()) throw_status(call.Env(), status);
    return Napi::Number::New(call.Env(), number);
  }

  // append(batch, interfaceNumbers: Uint32Array, selected: Uint8Array | null, framesMax): { bytes, frames }, at once. A batch of a tap also has
  // left and outcomes (native/live-tap.ts).
  Napi::Value append(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    if (!idle(env)) return env.Undefined();
    CaptureEncoder& encoder = encoding_->exporter.encoder();
    const auto numbers = call[1].IsTypedArray() ? call[1].As<Napi::Uint32Array>() : Napi::Uint32Array::New(env, 0);
    FrameColumns columns;
    bool good = read_columns(call[0], call[2], static_cast<uint32_t>(numbers.ElementLength()), &columns);
    for (size_t i = 0; i < numbers.ElementLength(); ++i) good &= numbers[i] < encoder.interfaces();
    if (!good) {
      throw_status(env, Status(Code::kInternal, "append: the batch's columns do not fit each other, or its interfaces are not described"));
      return env.Undefined();
    }
    const double frames_max = call[3].ToNumber().DoubleValue();
    const uint8_t* const left = bytes_of(call[0].As<Napi::Object>(), "left", columns.count);
    const uint8_t* const outcomes = bytes_of(call[0].As<Napi::Object>(), "outcomes", columns.count);
    std::string comment;
    ColumnInput input(0, "");
    input.feed(columns, {});
    uint64_t frames = 0;
    FrameToEncode frame;
    for (; static_cast<double>(frames) < frames_max && input.head(&frame) == ExportInput::Head::kFrame; input.advance(), ++frames) {
      frame.interface = numbers[input.interface_of_batch()];
      if (left) frame.direction = left[input.at()] ? Direction::kOut : Direction::kIn;
      if (outcomes && outcomes[input.at()] != 0) frame.comment = comment = drop_comment(outcomes[input.at()]);
      if (const Status status = encoder.append(frame, &pending_); !status.ok()) {
        throw_status(env, status);
        return env.Undefined();
      }
    }
    return take_pending(env, frames);
  }

  // finish(): { bytes, frames: 0 }
  Napi::Value finish(const CallbackInfo& call) {
    if (!idle(call.Env())) return call.Env().Undefined();
    encoding_->exporter.finish(&pending_);
    return take_pending(call.Env(), 0);
  }

  // chain(): { parts: one for each file that was ended since the last call, interfaces: { name, description, linkType }[] }
  Napi::Value chain(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    if (!idle(env)) return env.Undefined();
    CaptureEncoder& encoder = encoding_->exporter.encoder();
    Napi::Array parts = Napi::Array::New(env), interfaces = Napi::Array::New(env);
    for (const ChainPart& part : encoder.take_parts()) parts.Set(parts.Length(), part_object(env, part));
    for (const CaptureEncoder::KnownInterface& each : encoder.known_interfaces()) {
      Napi::Object object = Napi::Object::New(env);
      object.Set("name", each.name);
      object.Set("description", each.description);
      object.Set("linkType", Napi::Number::New(env, each.link_type));
      interfaces.Set(interfaces.Length(), object);
    }
    Napi::Object object = Napi::Object::New(env);
    object.Set("parts", parts);
    object.Set("interfaces", interfaces);
    return object;
  }

  Napi::Value take_pending(Napi::Env env, uint64_t frames) {
    EncodedBytes* const bytes = encoding_->memory.take(pending_.size());
    if (!pending_.empty()) memcpy(bytes->extend(pending_.size()), pending_.data(), pending_.size());
    pending_.clear();
    Napi::Object object = Napi::Object::New(env);
    object.Set("bytes", encoding_->memory.show(env));
    object.Set("frames", Napi::Number::New(env, static_cast<double>(frames)));
    return object;
  }

  std::shared_ptr<Encoding> encoding_;
  EncodedBytes pending_;  // of describe(), append() and finish()
};

}  // namespace
}  // namespace paste

void init_export(Napi::Env env, Napi::Object exports) {
  exports.Set("CaptureEncoder", paste::CaptureEncoderObject::define(env));
}
