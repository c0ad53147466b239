// A store for JavaScript, read in batches: next() copies and checks off the main thread, poll() at once for who follows.
#include "reader_binding.h"

#include <cstring>
#include <functional>
#include <string>

#include "addon/job.h"
#include "addon/values.h"
#include "core/pmem/domain.h"
#include "core/switch/outcome.h"
#include "frame_tests_binding.h"
#include "status_error.h"

namespace paste {
namespace {

using Napi::CallbackInfo;

// `work` on the reader, which is busy meanwhile.
Napi::Value start_reading(Napi::Env env, const std::shared_ptr<OpenReader>& open, std::function<void()> work, JobResult result) {
  open->busy = true;
  return start_job(
      env,
      [open, work = std::move(work)] {
        work();
        return open->reader->status();
      },
      std::move(result), [open] { open->busy = false; });
}

// Tells a StoreReader from any other object before it is unwrapped.
constexpr napi_type_tag kReaderTag = {0x6d1f3f4c2b7a4e15, 0x9c0e5a8d71b3f642};

Napi::Object batch_object(Napi::Env env, ReadBatch* batch, const OpenReader& open, bool more) {
  Napi::Object object = Napi::Object::New(env);
  const size_t count = batch->records.size();
  object.Set("count", number(env, count));
  object.Set("index", Napi::Uint32Array::New(env, count * 3, give_pooled(env, std::move(batch->records), open.pool), 0));
  object.Set("bytes", give_pooled(env, std::move(batch->bytes), open.pool));
  object.Set("more", Napi::Boolean::New(env, more));
  object.Set("namesVersion", number(env, open.reader->names_version()));
  return object;
}

Napi::Object counters_object(Napi::Env env, const ReadCounters& counters) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("records", number(env, counters.records));
  object.Set("frames", number(env, counters.frames));
  object.Set("matched", number(env, counters.matched));
  object.Set("overtaken", number(env, counters.overtaken));
  object.Set("corrupt", number(env, counters.corrupt));
  object.Set("bytesScanned", number(env, counters.bytes_scanned));
  object.Set("blocksSkipped", number(env, counters.blocks_skipped));
  object.Set("blocksScanned", number(env, counters.blocks_scanned));
  object.Set("blocksIndexed", number(env, counters.blocks_indexed));
  object.Set("recordsJumped", number(env, counters.records_jumped));
  object.Set("runsRead", number(env, counters.runs_read));
  object.Set("runsDamaged", number(env, counters.runs_damaged));
  object.Set("indexBytes", number(env, counters.index_bytes));
  return object;
}

std::string uuid_text(const uint8_t (&uuid)[16]) {
  std::string text;
  for (int i = 0; i < 16; ++i) {
    char hex[4];
    snprintf(hex, sizeof hex, "%02x", uuid[i]);
    text += hex;
    if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
  }
  return text;
}

Napi::Object info_object(Napi::Env env, const Reader::Info& info) {
  Napi::Object object = Napi::Object::New(env);
  const layout::Superblock& block = info.superblock;
  object.Set("version", number(env, block.version));
  object.Set("uuid", uuid_text(block.uuid));
  object.Set("sizeBytes", number(env, block.region_bytes));
  object.Set("blockBytes", number(env, block.block_bytes));
  object.Set("blockCount", number(env, block.block_count));
  object.Set("laneCount", number(env, block.lane_count));
  object.Set("epoch", number(env, block.epoch));
  object.Set("createdNs", bigint(env, block.created_ns));
  object.Set("clean", Napi::Boolean::New(env, block.clean == 1));
  object.Set("writerAlive", Napi::Boolean::New(env, info.writer_alive));
  object.Set("medium", medium_name(info.medium));
  object.Set("survives", medium_survives(info.medium));
  object.Set("fileSystem", info.file_system);
  object.Set("firstSequence", bigint(env, info.first_sequence));
  object.Set("durableSequence", bigint(env, info.durable_sequence));
  object.Set("nextSequence", bigint(env, info.next_sequence));
  object.Set("trimmedBefore", bigint(env, block.trimmed_before));
  object.Set("oldestTimeNs", bigint(env, info.oldest_ns));
  object.Set("newestTimeNs", bigint(env, info.newest_ns));
  object.Set("records", number(env, info.records));
  object.Set("frames", number(env, info.frames));
  object.Set("frameBytes", number(env, info.frame_bytes));
  object.Set("blocksFree", number(env, info.blocks_free));
  object.Set("blocksLog", number(env, info.blocks_log));
  object.Set("blocksBuffers", number(env, info.blocks_buffers));
  object.Set("blocksIndex", number(env, info.blocks_index));
  object.Set("blocksUnsealed", number(env, info.blocks_unsealed));
  return object;
}

uint64_t word_option(const Napi::Object& options, const char* name, uint64_t absent) {
  const Napi::Value value = options.Get(name);
  bool lossless = true;
  return value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : absent;
}

// names: [{ of: "in-port" | "out-port" | "rule", pattern }]
std::vector<NameTest> names_option(const Napi::Object& options) {
  std::vector<NameTest> names;
  if (!options.Get("names").IsArray()) return names;
  const auto given = options.Get("names").As<Napi::Array>();
  for (uint32_t i = 0; i < given.Length(); ++i) {
    const Napi::Object test = Napi::Value(given[i]).As<Napi::Object>();
    const std::string of = test.Get("of").ToString();
    names.push_back(NameTest{of == "in-port"    ? NameTest::Of::kIngress
                             : of == "out-port" ? NameTest::Of::kEgress
                                                : NameTest::Of::kRule,
                             test.Get("pattern").ToString()});
  }
  return names;
}

bool flag_option(const Napi::Object& options, const char* name, bool absent) {
  const Napi::Value value = options.Get(name);
  return value.IsBoolean() ? value.As<Napi::Boolean>().Value() : absent;
}

Status plan_option(const Napi::Object& given, ReadOptions* options) {
  if (!given.Get("plan").IsTypedArray()) return Status();
  const auto bytes = given.Get("plan").As<Napi::Uint8Array>();
  return decode_expression({bytes.Data(), bytes.ByteLength()}, options->names.size(), &options->plan);
}

class StoreReaderObject : public Napi::ObjectWrap<StoreReaderObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "StoreReader",
                       {InstanceMethod<&StoreReaderObject::start>("start"), InstanceMethod<&StoreReaderObject::next>("next"),
                        InstanceMethod<&StoreReaderObject::poll>("poll"),
                        InstanceMethod<&StoreReaderObject::recycle>("recycle"),
                        InstanceMethod<&StoreReaderObject::counters>("counters"),
                        InstanceMethod<&StoreReaderObject::names>("names"),
                        InstanceMethod<&StoreReaderObject::info>("info"),
                        InstanceMethod<&StoreReaderObject::verify>("verify"),
                        InstanceMethod<&StoreReaderObject::close>("close")});
  }

  explicit StoreReaderObject(const CallbackInfo& call) : Napi::ObjectWrap<StoreReaderObject>(call) {
    call.This().As<Napi::Object>().TypeTag(&kReaderTag);
    auto open = std::make_shared<OpenReader>();
    const Status status = call[0].IsString() ? Reader::open(call[0].As<Napi::String>(), &open->reader)
                                             : Status(Code::kUsage, "a store's path is needed");
    if (!status.ok()) {
      throw_status(call.Env(), status);
      return;
    }
    open_ = std::move(open);
  }

  std::shared_ptr<OpenReader> idle(Napi::Env env) const {
    if (open_ && !open_->busy) return open_;
    throw_status(env, open_ ? Status(Code::kInternal, "the reader is busy with another call")
                            : Status(Code::kUsage, "the reader is closed"));
    return nullptr;
  }

 private:
  Napi::Value start(const CallbackInfo& call) {
    auto open = idle(call.Env());
    if (!open) return call.Env().Undefined();
    const Napi::Object given = call[0].As<Napi::Object>();
    ReadOptions options;
    options.from_sequence = word_option(given, "fromSequence", 0);
    options.to_sequence = word_option(given, "toSequence", ~0ull);
    options.from_ns = word_option(given, "fromNs", 0);
    options.to_ns = word_option(given, "toNs", ~0ull);
    options.names = names_option(given);
    if (const Status status = frame_tests_option(given.Get("tests"), &options.tests); !status.ok()) {
      throw_status(call.Env(), status);
      return call.Env().Undefined();
    }
    options.frames_only = flag_option(given, "framesOnly", true);
    options.verify_payload = flag_option(given, "verifyPayload", true);
    options.follow = flag_option(given, "follow", false);
    options.reverse = flag_option(given, "reverse", false);
    if (const Status status = plan_option(given, &options); !status.ok()) {
      throw_status(call.Env(), status);
      return call.Env().Undefined();
    }
    if (given.Get("snaplen").IsNumber()) options.snaplen = given.Get("snaplen").As<Napi::Number>().Uint32Value();
    if (const Status status = load_program(given.Get("program"), options, open.get()); !status.ok()) {
      throw_status(call.Env(), status);
      return call.Env().Undefined();
    }
    if (open->has_program && !open->program.accepts_all()) options.filter = &open->program;
    open->reader->start(options);
    return call.Env().Undefined();
  }

  static Status load_program(const Napi::Value& value, const ReadOptions& options, OpenReader* open) {
    open->has_program = value.IsTypedArray();
    if (!open->has_program) return Status();
    const auto bytes = value.As<Napi::Uint8Array>();
    std::vector<BpfInsn> instructions(bytes.ByteLength() / sizeof(BpfInsn));
    if (!instructions.empty()) memcpy(instructions.data(), bytes.Data(), instructions.size() * sizeof(BpfInsn));
    const size_t names = options.names.size();
    if (names > kBpfNamesMax) return Status(Code::kUsage, "a filter tests at most " + std::to_string(kBpfNamesMax) + " names");
    return BpfProgram::load(instructions, &open->program, kBpfNames + static_cast<uint32_t>(names + options.tests.size()));
  }

  // next(maxRecords, maxBytes): a promise of { count, index, bytes, more }.
  Napi::Value next(const CallbackInfo& call) {
    auto open = idle(call.Env());
    if (!open) return call.Env().Undefined();
    const uint32_t records = call[0].As<Napi::Number>().Uint32Value();
    const uint32_t bytes = call[1].As<Napi::Number>().Uint32Value();
    auto batch = std::make_shared<ReadBatch>(open->pool->take());
    auto more = std::make_shared<bool>(false);
    return start_reading(
        call.Env(), open,
        [open, batch, more, records, bytes] { *more = open->reader->next(batch.get(), records, bytes) == Reader::More::kYes; },
        [open, batch, more](Napi::Env env) -> Napi::Value { return batch_object(env, batch.get(), *open, *more); });
  }

  // poll(maxRecords, maxBytes): the same at once, or null when there is nothing.
  Napi::Value poll(const CallbackInfo& call) {
    auto open = idle(call.Env());
    if (!open) return call.Env().Undefined();
    ReadBatch batch = open->pool->take();
    const bool more = open->reader->next(&batch, call[0].As<Napi::Number>().Uint32Value(),
                                         call[1].As<Napi::Number>().Uint32Value()) == Reader::More::kYes;
    if (!open->reader->status().ok()) {
      throw_status(call.Env(), open->reader->status());
      return call.Env().Undefined();
    }
    if (batch.records.empty() && !more) {
      open->pool->put(std::move(batch.bytes));
      open->pool->put(std::move(batch.records));
      return call.Env().Null();
    }
    return batch_object(call.Env(), &batch, *open, more);
  }

  // recycle(batch): the batch's memory is taken back; what looks at it finds it empty.
  Napi::Value recycle(const CallbackInfo& call) {
    const Napi::Object batch = call[0].As<Napi::Object>();
    for (Napi::ArrayBuffer buffer : {batch.Get("bytes").As<Napi::ArrayBuffer>(), batch.Get("index").As<Napi::Uint32Array>().ArrayBuffer()})
      if (!buffer.IsDetached()) buffer.Detach();
    return call.Env().Undefined();
  }

  Napi::Value counters(const CallbackInfo& call) {
    auto open = idle(call.Env());
    return open ? Napi::Value(counters_object(call.Env(), open->reader->counters())) : call.Env().Undefined();
  }

  Napi::Value names(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    auto open = idle(env);
    if (!open) return env.Undefined();
    Napi::Array ports = Napi::Array::New(env), rules = Napi::Array::New(env);
    uint32_t i = 0;
    for (const Reader::PortName& port : open->reader->ports()) {
      Napi::Object object = Napi::Object::New(env);
      object.Set("id", number(env, port.id));
      object.Set("epoch", number(env, port.epoch));
      object.Set("kind", number(env, port.kind));
      object.Set("name", port.name);
      ports.Set(i++, object);
    }
    i = 0;
    for (const Reader::RuleName& rule : open->reader->rules()) {
      Napi::Object object = Napi::Object::New(env);
      object.Set("id", number(env, rule.id));
      object.Set("ruleSet", number(env, rule.rule_set));
      object.Set("name", rule.name);
      object.Set("filter", rule.filter);
      rules.Set(i++, object);
    }
    Napi::Object both = Napi::Object::New(env);
    both.Set("ports", ports);
    both.Set("rules", rules);
    return both;
  }

  Napi::Value info(const CallbackInfo& call) {
    auto open = idle(call.Env());
    if (!open) return call.Env().Undefined();
    auto result = std::make_shared<Reader::Info>();
    return start_reading(
        call.Env(), open, [open, result] { *result = open->reader->info(); },
        [result](Napi::Env env) -> Napi::Value { return info_object(env, *result); });
  }

  // verify(limit): a promise of { problems: [{ block, offset, what }], counters }.
  Napi::Value verify(const CallbackInfo& call) {
    auto open = idle(call.Env());
    if (!open) return call.Env().Undefined();
    const uint32_t limit = call[0].As<Napi::Number>().Uint32Value();
    struct Result {
      std::vector<BlockProblem> problems;
      ReadCounters counters;
    };
    auto result = std::make_shared<Result>();
    return start_reading(
        call.Env(), open, [open, result, limit] { result->problems = open->reader->verify(limit, &result->counters); },
        [result](Napi::Env env) -> Napi::Value {
          Napi::Array problems = Napi::Array::New(env);
          uint32_t i = 0;
          for (const BlockProblem& problem : result->problems) {
            Napi::Object object = Napi::Object::New(env);
            object.Set("block", number(env, problem.block));
            object.Set("offset", number(env, problem.offset));
            object.Set("what", problem.what);
            problems.Set(i++, object);
          }
          Napi::Object both = Napi::Object::New(env);
          both.Set("problems", problems);
          both.Set("counters", counters_object(env, result->counters));
          return both;
        });
  }

  // A worker that is still under way keeps the reader until it is done.
  Napi::Value close(const CallbackInfo& call) {
    open_.reset();
    return call.Env().Undefined();
  }

  std::shared_ptr<OpenReader> open_;
};

}  // namespace

std::shared_ptr<OpenReader> reader_of(Napi::Env env, const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kReaderTag)) {
    throw_status(env, Status(Code::kUsage, "a StoreReader is needed"));
    return nullptr;
  }
  StoreReaderObject* object = StoreReaderObject::Unwrap(value.As<Napi::Object>());
  return object->idle(env);
}

}  // namespace paste

void init_reader(Napi::Env env, Napi::Object exports) {
  exports.Set("StoreReader", paste::StoreReaderObject::define(env));
}
