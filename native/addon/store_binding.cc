// Stores for JavaScript: made, recovered, trimmed and appended to, each off the main thread; and the layout, for the check that
// TypeScript makes when it is loaded.
#include <napi.h>

#include <memory>
#include <string>
#include <utility>

#include "addon/job.h"
#include "core/store/appender.h"
#include "core/store/store.h"
#include "status_error.h"
#include "store_objects.h"

namespace paste {
namespace {

FullPolicy full_policy(const Napi::Value& value) {
  const std::string name = value.IsString() ? value.As<Napi::String>().Utf8Value() : "overwrite";
  return name == "stop" ? FullPolicy::kStop : name == "block" ? FullPolicy::kBlock : FullPolicy::kOverwrite;
}

uint64_t number(const Napi::Object& object, const char* key, uint64_t otherwise) {
  const Napi::Value value = object.Get(key);
  return value.IsNumber() ? static_cast<uint64_t>(value.As<Napi::Number>().DoubleValue()) : otherwise;
}

// createStore(path, { sizeBytes, blockBytes?, segmentBlocks?, sparse?, mode? })
Napi::Value create_store(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  const auto given = info[1].As<Napi::Object>();
  CreateStoreOptions options;
  options.size_bytes = number(given, "sizeBytes", 0);
  options.block_bytes = static_cast<uint32_t>(number(given, "blockBytes", 0));
  options.segment_blocks = static_cast<uint32_t>(number(given, "segmentBlocks", options.segment_blocks));
  options.sparse = given.Get("sparse").ToBoolean();
  options.mode = static_cast<uint32_t>(number(given, "mode", options.mode));
  return start_job(info.Env(), [=] { return Store::create(path, options); }, undefined);
}

// recoverStore(path, dryRun): RecoveryReport
Napi::Value recover_store(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  const bool dry_run = info[1].ToBoolean();
  auto report = std::make_shared<RecoveryReport>();
  return start_job(
      info.Env(), [=] { return Store::recover(path, dry_run, report.get()); },
      [report](Napi::Env env) -> Napi::Value { return report_object(env, *report); });
}

// trimStore(path, beforeSequence): number of blocks
Napi::Value trim_store(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  bool lossless = false;
  const uint64_t sequence = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
  auto retired = std::make_shared<uint64_t>(0);
  return start_job(
      info.Env(), [=] { return Store::trim_closed(path, sequence, retired.get()); },
      [retired](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, static_cast<double>(*retired)); });
}

// An appender; one call at a time, as each works on the same lane.
class StoreAppender : public Napi::ObjectWrap<StoreAppender> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "StoreAppender",
                       {InstanceMethod<&StoreAppender::open>("open"),
                        InstanceMethod<&StoreAppender::add_interface>("addInterface"),
                        InstanceMethod<&StoreAppender::append>("append"), InstanceMethod<&StoreAppender::flush>("flush"),
                        InstanceMethod<&StoreAppender::close>("close"),
                        InstanceMethod<&StoreAppender::counters>("counters")});
  }
  explicit StoreAppender(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<StoreAppender>(info), state_(std::make_shared<State>()) {}

 private:
  // Outlives the JavaScript object while a worker uses it.
  struct State {
    std::unique_ptr<Appender> appender;
    bool busy = false;
  };

  bool usable(Napi::Env env, bool open) {
    const char* problem = state_->busy                                     ? "the appender is still at work: await its last call"
                          : open && state_->appender == nullptr            ? "the appender is not open"
                          : !open && state_->appender != nullptr           ? "the appender is open already"
                                                                           : nullptr;
    if (problem != nullptr) throw_status(env, {Code::kUsage, problem});
    return problem == nullptr;
  }

  Napi::Value run(Napi::Env env, JobWork work, JobResult result) {
    state_->busy = true;
    return start_job(env, std::move(work), std::move(result), [state = state_] { state->busy = false; });
  }

  // open(path, full, writer, index): RecoveryReport
  Napi::Value open(const Napi::CallbackInfo& info) {
    if (!usable(info.Env(), false)) return info.Env().Undefined();
    const std::string path = info[0].As<Napi::String>();
    const FullPolicy full = full_policy(info[1]);
    const std::string writer = info[2].As<Napi::String>();
    const bool index = info[3].ToBoolean();
    auto report = std::make_shared<RecoveryReport>();
    return run(
        info.Env(),
        [=, state = state_] { return Appender::open(path, full, writer, index, &state->appender, report.get()); },
        [report](Napi::Env env) -> Napi::Value { return report_object(env, *report); });
  }

  // addInterface(name): index
  Napi::Value add_interface(const Napi::CallbackInfo& info) {
    if (!usable(info.Env(), true)) return info.Env().Undefined();
    uint16_t index = 0;
    if (Status status = state_->appender->add_interface(info[0].As<Napi::String>(), &index); !status.ok()) {
      throw_status(info.Env(), status);
      return info.Env().Undefined();
    }
    return Napi::Number::New(info.Env(), index);
  }

  // append(data, count, offsets, capturedLengths, wireLengths, timesNs, interfaces)
  Napi::Value append(const Napi::CallbackInfo& info) {
    if (!usable(info.Env(), true)) return info.Env().Undefined();
    AppendBatch batch;
    const auto data = info[0].As<Napi::Uint8Array>();
    const auto offsets = info[2].As<Napi::Uint32Array>(), captured = info[3].As<Napi::Uint32Array>(),
               wire = info[4].As<Napi::Uint32Array>();
    const auto times = info[5].As<Napi::BigInt64Array>();
    const auto interfaces = info[6].As<Napi::Uint16Array>();
    batch.count = info[1].As<Napi::Number>();
    if (std::min({offsets.ElementLength(), captured.ElementLength(), wire.ElementLength(), times.ElementLength(),
                  interfaces.ElementLength()}) < batch.count) {
      throw_status(info.Env(), {Code::kUsage, "a column of the batch has fewer entries than the batch has frames"});
      return info.Env().Undefined();
    }
    batch.data = data.Data();
    batch.data_bytes = data.ByteLength();
    batch.offsets = offsets.Data();
    batch.captured_lengths = captured.Data();
    batch.wire_lengths = wire.Data();
    batch.times_ns = times.Data();
    batch.interfaces = interfaces.Data();
    // The columns stay alive, and so where they are, until the worker is done with them.
    auto columns = std::make_shared<Napi::ObjectReference>(Napi::Persistent(Napi::Object::New(info.Env())));
    for (uint32_t i = 0; i < info.Length(); ++i) columns->Set(i, info[i]);
    return run(
        info.Env(), [state = state_, batch] { return state->appender->append(batch); },
        [columns](Napi::Env env) mutable {
          columns->Reset();
          return undefined(env);
        });
  }

  Napi::Value flush(const Napi::CallbackInfo& info) {
    if (!usable(info.Env(), true)) return info.Env().Undefined();
    return run(info.Env(), [state = state_] { return state->appender->flush(); }, undefined);
  }

  // close(): AppendCounters, of all that was done
  Napi::Value close(const Napi::CallbackInfo& info) {
    if (!usable(info.Env(), true)) return info.Env().Undefined();
    auto last = std::make_shared<Counted>();
    return run(
        info.Env(),
        [state = state_, last] {
          const Status status = state->appender->close();
          *last = counted(*state->appender);
          state->appender.reset();
          return status;
        },
        [last](Napi::Env env) -> Napi::Value { return append_object(env, *last); });
  }

  Napi::Value counters(const Napi::CallbackInfo& info) {
    if (!usable(info.Env(), true)) return info.Env().Undefined();
    return append_object(info.Env(), counted(*state_->appender));
  }

  struct Counted {
    AppendCounters appended;
    StoreCounters store;
  };
  static Counted counted(Appender& appender) { return {appender.counters(), appender.store().counters()}; }
  static Napi::Object append_object(Napi::Env env, const Counted& counted) {
    const auto object = Napi::Object::New(env);
    object.Set("frames", static_cast<double>(counted.appended.frames));
    object.Set("bytes", static_cast<double>(counted.appended.bytes));
    object.Set("refused", static_cast<double>(counted.appended.refused));
    object.Set("shortened", static_cast<double>(counted.appended.shortened));
    object.Set("store", counters_object(env, counted.store));
    return object;
  }

  std::shared_ptr<State> state_;
};

}  // namespace
}  // namespace paste

void init_store(Napi::Env env, Napi::Object exports) {
  exports.Set("createStore", Napi::Function::New(env, paste::create_store, "createStore"));
  exports.Set("recoverStore", Napi::Function::New(env, paste::recover_store, "recoverStore"));
  exports.Set("trimStore", Napi::Function::New(env, paste::trim_store, "trimStore"));
  exports.Set("storeLayout", Napi::Function::New(env, paste::store_layout, "storeLayout"));
  exports.Set("StoreAppender", paste::StoreAppender::define(env));
}
