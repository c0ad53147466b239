// The benchmarks for JavaScript. They run for seconds, on a thread of libuv's pool; promises tell the result.
#include <napi.h>

#include <memory>

#include "addon/job.h"
#include "addon/values.h"
#include "bench/forward.h"
#include "bench/index_bench.h"
#include "bench/packet_source.h"
#include "bench/processes.h"
#include "bench/raw_forwarder.h"
#include "bench/spinner.h"

namespace {

using namespace paste;
using namespace paste::bench;
using Info = Napi::CallbackInfo;

uint64_t whole(const Napi::Object& object, const char* name, uint64_t missing) {
  const Napi::Value value = object.Get(name);
  return value.IsNumber() ? static_cast<uint64_t>(value.As<Napi::Number>().Int64Value()) : missing;
}
uint32_t small(const Napi::Object& object, const char* name, uint32_t missing) {
  return static_cast<uint32_t>(whole(object, name, missing));
}
bool flag(const Napi::Object& object, const char* name, bool missing) {
  const Napi::Value value = object.Get(name);
  return value.IsBoolean() ? value.As<Napi::Boolean>().Value() : missing;
}
std::string text(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}
Napi::Array numbers(Napi::Env env, const std::vector<double>& values) {
  Napi::Array list = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); i++) list.Set(i, values[i]);
  return list;
}

// Runs `work` on another thread, then `answer` on this one.
template <typename Result, typename Work, typename Answer>
Napi::Promise start(Napi::Env env, Work work, Answer answer) {
  auto result = std::make_shared<Result>();
  return start_job(
      env, [work, result] { return work(result.get()); },
      [answer, result](Napi::Env env) -> Napi::Value { return answer(env, *result); });
}

ForwardOptions forward_options(const Napi::Object& given) {
  ForwardOptions options;
  options.frame_bytes = small(given, "frameBytes", options.frame_bytes);
  options.ports = small(given, "ports", options.ports);
  options.slots = small(given, "slots", options.slots);
  options.addresses = small(given, "addresses", options.addresses);
  options.burst = small(given, "burst", options.burst);
  options.frames_per_round = whole(given, "framesPerRound", options.frames_per_round);
  const std::string log = text(given, "log");
  options.log = log == "pack" ? LogMode::kPack : log == "mark" ? LogMode::kMark : LogMode::kNone;
  options.strict = flag(given, "strict", options.strict);
  options.index = flag(given, "index", options.index);
  options.store_path = text(given, "storePath");
  options.seed = whole(given, "seed", options.seed);
  return options;
}

Napi::Value forward_answer(Napi::Env env, const std::vector<ForwardResult>& results) {
  Napi::Array list = Napi::Array::New(env, results.size());
  for (uint32_t i = 0; i < results.size(); i++) {
    const ForwardResult& result = results[i];
    Napi::Object o = Napi::Object::New(env);
    o.Set("nsPerFrame", numbers(env, result.ns_per_frame));
    o.Set("sent", number(env, result.sent));
    o.Set("received", number(env, result.received));
    o.Set("lost", number(env, result.sent - result.received));
    o.Set("wrong", number(env, result.wrong));
    o.Set("logged", number(env, result.logged));
    o.Set("notLogged", number(env, result.not_logged));
    o.Set("heldBackMs", static_cast<double>(result.held_back_ns) / 1e6);
    o.Set("buffers", number(env, result.buffers));
    o.Set("mediumBytes", number(env, result.medium_bytes));
    list.Set(i, o);
  }
  return list;
}

// benchForward(sides: ForwardSide[], rounds): Promise<ForwardResult[]>, one for each side; see native/bench.ts
Napi::Value bench_forward(const Info& info) {
  std::vector<ForwardOptions> sides;
  const auto given = info[0].As<Napi::Array>();
  for (uint32_t i = 0; i < given.Length(); i++) sides.push_back(forward_options(given.Get(i).As<Napi::Object>()));
  const uint32_t rounds = info[1].As<Napi::Number>().Uint32Value();
  return start<std::vector<ForwardResult>>(
      info.Env(), [sides, rounds](std::vector<ForwardResult>* results) { return run_forward(sides, rounds, results); },
      forward_answer);
}

// benchIndex(options): Promise<IndexBenchResult>; see native/bench.ts
Napi::Value bench_index(const Info& info) {
  const auto given = info[0].As<Napi::Object>();
  IndexBenchOptions options;
  options.new_flows = flag(given, "newFlows", options.new_flows);
  options.ipv6 = flag(given, "ipv6", options.ipv6);
  options.flows = small(given, "flows", options.flows);
  options.segment_bytes = whole(given, "segmentBytes", options.segment_bytes);
  options.bytes_max = small(given, "bytesMax", options.bytes_max);
  options.tunnels = flag(given, "tunnels", options.tunnels);
  options.rounds = small(given, "rounds", options.rounds);
  return start<IndexBenchResult>(
      info.Env(), [options](IndexBenchResult* result) { return run_index_bench(options, result); },
      [](Napi::Env env, const IndexBenchResult& result) -> Napi::Value {
        Napi::Object o = Napi::Object::New(env);
        o.Set("framesPerSecond", numbers(env, result.frames_per_second));
        o.Set("frames", number(env, result.frames));
        o.Set("dataBytes", number(env, result.data_bytes));
        o.Set("runBytes", number(env, result.run_bytes));
        o.Set("omitted", number(env, result.omitted));
        o.Set("absentNs", numbers(env, result.absent_ns));
        o.Set("hostNs", numbers(env, result.host_ns));
        o.Set("hostRecords", number(env, result.host_records));
        return o;
      });
}

EndOptions end_options(const Napi::Object& given) {
  EndOptions options;
  options.socket = text(given, "socket");
  options.name = text(given, "name");
  options.slots = small(given, "slots", options.slots);
  options.frame_bytes = small(given, "frameBytes", options.frame_bytes);
  options.duration_ms = small(given, "durationMs", options.duration_ms);
  options.idle_ms = small(given, "idleMs", options.idle_ms);
  options.frames_max = whole(given, "framesMax", options.frames_max);
  options.to = whole(given, "to", options.to);
  options.from = whole(given, "from", options.from);
  const Napi::Value rate = given.Get("framesPerSecond");
  if (rate.IsNumber()) options.frames_per_second = rate.As<Napi::Number>().DoubleValue();
  options.busy = flag(given, "busy", options.busy);
  options.announce = flag(given, "announce", options.announce);
  return options;
}

Napi::Value end_answer(Napi::Env env, const EndResult& result) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("frames", number(env, result.frames));
  o.Set("bytes", number(env, result.bytes));
  o.Set("wrong", number(env, result.wrong));
  o.Set("lost", number(env, result.lost));
  o.Set("disordered", number(env, result.disordered));
  o.Set("waits", number(env, result.waits));
  o.Set("firstNs", Napi::BigInt::New(env, result.first_ns));
  o.Set("lastNs", Napi::BigInt::New(env, result.last_ns));
  return o;
}

// benchSource(options), benchSink(options): Promise<EndResult>; see native/bench.ts
template <Status (*run)(const EndOptions&, EndResult*)>
Napi::Value bench_end(const Info& info) {
  const EndOptions options = end_options(info[0].As<Napi::Object>());
  return start<EndResult>(
      info.Env(), [options](EndResult* result) { return run(options, result); }, end_answer);
}

// benchPacketSource(options): Promise<PacketSourceResult>; see native/bench.ts
Napi::Value bench_packet_source(const Info& info) {
  const Napi::Object given = info[0].As<Napi::Object>();
  PacketSourceOptions options;
  options.interface = text(given, "interface");
  options.frame_bytes = small(given, "frameBytes", options.frame_bytes);
  options.frames_max = whole(given, "framesMax", options.frames_max);
  options.duration_ms = small(given, "durationMs", options.duration_ms);
  options.to = whole(given, "to", options.to);
  options.from = whole(given, "from", options.from);
  options.netns = text(given, "netns");
  options.window = small(given, "window", options.window);
  options.sink_interface = text(given, "sinkInterface");
  options.sink_netns = text(given, "sinkNetns");
  return start<PacketSourceResult>(
      info.Env(), [options](PacketSourceResult* result) { return run_packet_source(options, result); },
      [](Napi::Env env, const PacketSourceResult& result) -> Napi::Value {
        Napi::Object o = Napi::Object::New(env);
        o.Set("frames", number(env, result.frames));
        o.Set("elapsedNs", number(env, result.elapsed_ns));
        o.Set("arrived", number(env, result.arrived));
        return o;
      });
}

// benchRawForwarder(options): Promise<{}>, never settled while all goes well; see native/bench.ts
Napi::Value bench_raw_forwarder(const Info& info) {
  const Napi::Object given = info[0].As<Napi::Object>();
  RawForwarderOptions options;
  options.kind = text(given, "kind");
  const auto interfaces = given.Get("interfaces").As<Napi::Array>(), namespaces = given.Get("namespaces").As<Napi::Array>();
  for (uint32_t i = 0; i < 2; i++) {
    options.interfaces[i] = interfaces.Get(i).As<Napi::String>();
    options.namespaces[i] = namespaces.Get(i).As<Napi::String>();
  }
  const Napi::ThreadSafeFunction ready = Napi::ThreadSafeFunction::New(info.Env(), info[1].As<Napi::Function>(), "ready", 1, 1);
  options.ready = [ready] {
    Napi::ThreadSafeFunction once = ready;
    once.BlockingCall();
    once.Release();
  };
  return start<int>(
      info.Env(), [options](int*) { return run_raw_forwarder(options); },
      [](Napi::Env env, const int&) -> Napi::Value { return env.Undefined(); });
}

// benchSpinner(options): Promise<SpinnerResult>, see native/bench.ts
Napi::Value bench_spinner(const Info& info) {
  const Napi::Object given = info[0].As<Napi::Object>();
  SpinnerOptions options;
  options.gap_ns = whole(given, "gapNs", options.gap_ns);
  options.count = whole(given, "count", options.count);
  options.realtime = flag(given, "realtime", options.realtime);
  options.company = flag(given, "company", options.company);
  return start<Lateness>(
      info.Env(), [options](Lateness* lateness) { return run_spinner(options, lateness); },
      [](Napi::Env env, const Lateness& lateness) -> Napi::Value {
        const TimingHistogram& all = lateness.all();
        Napi::Object o = Napi::Object::New(env);
        o.Set("errorP50Ns", number(env, all.percentile_ns(500)));
        o.Set("errorP99Ns", number(env, all.percentile_ns(990)));
        o.Set("errorP999Ns", number(env, all.percentile_ns(999)));
        o.Set("errorMaxNs", number(env, all.max_ns()));
        o.Set("late", number(env, lateness.late()));
        o.Set("missed", number(env, lateness.missed()));
        return o;
      });
}

}  // namespace

void init_bench(Napi::Env env, Napi::Object exports) {
  exports.Set("benchForward", Napi::Function::New(env, bench_forward, "benchForward"));
  exports.Set("benchIndex", Napi::Function::New(env, bench_index, "benchIndex"));
  exports.Set("benchSource", Napi::Function::New(env, bench_end<run_source>, "benchSource"));
  exports.Set("benchPacketSource", Napi::Function::New(env, bench_packet_source, "benchPacketSource"));
  exports.Set("benchRawForwarder", Napi::Function::New(env, bench_raw_forwarder, "benchRawForwarder"));
  exports.Set("benchSink", Napi::Function::New(env, bench_end<run_sink>, "benchSink"));
  exports.Set("benchSpinner", Napi::Function::New(env, bench_spinner, "benchSpinner"));
}
