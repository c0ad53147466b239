// Replay for JavaScript: batches of a store or a capture are handed over, and a thread of its own sends them in time.
#include <napi.h>

#include <string>
#include <unordered_map>

#include "addon/job.h"
#include "core/replay/pacer.h"
#include "core/replay/rewrite.h"
#include "status_error.h"

namespace paste {
namespace {

using Napi::CallbackInfo;

// Outlives the JavaScript object while a worker uses it.
struct ReplayState {
  PacerOptions options;
  std::unique_ptr<Rewriter> rewriter;                   // null: frames stay as they are
  std::unique_ptr<Pacer> pacer;
  uint32_t port_count = 0;
  std::vector<std::shared_ptr<const PacedBatch>> kept;  // preloaded
};

template <class T>
struct Column {
  const T* values = nullptr;
  size_t count = 0;

  // Left empty when `value` is no typed array of elements of this size.
  explicit Column(const Napi::Value& value) {
    if (!value.IsTypedArray()) return;
    const auto array = value.As<Napi::TypedArray>();
    if (array.ElementSize() != sizeof(T)) return;
    count = array.ElementLength();
    values = reinterpret_cast<const T*>(static_cast<const uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset());
  }
};

// { macs: 12 bytes each, from and to; nets: 34 bytes each: 4 or 6, prefix bits, from, to; ports: two each; vlan: 0 keep | 1 set |
// 2 strip | 3 add; vlanId }, checked by logger/replay-rewrite.ts.
RewriteOptions rewrite_options(const Napi::Object& given) {
  RewriteOptions options;
  const Column<uint8_t> macs(given.Get("macs")), nets(given.Get("nets"));
  const Column<uint16_t> ports(given.Get("ports"));
  for (size_t i = 0; i + 12 <= macs.count; i += 12) {
    RewriteOptions::Mac mac;
    memcpy(mac.from, macs.values + i, 6);
    memcpy(mac.to, macs.values + i + 6, 6);
    options.macs.push_back(mac);
  }
  for (size_t i = 0; i + 34 <= nets.count; i += 34) {
    RewriteOptions::Net net;
    net.v6 = nets.values[i] == 6;
    net.prefix_bits = std::min<uint32_t>(nets.values[i + 1], net.v6 ? 128 : 32);
    memcpy(net.from, nets.values + i + 2, 16);
    memcpy(net.to, nets.values + i + 18, 16);
    options.nets.push_back(net);
  }
  for (size_t i = 0; i + 2 <= ports.count; i += 2) options.ports.push_back({ports.values[i], ports.values[i + 1]});
  options.vlan = static_cast<RewriteOptions::Vlan>(given.Get("vlan").ToNumber().Uint32Value() & 3);
  options.vlan_id = static_cast<uint16_t>(given.Get("vlanId").ToNumber().Uint32Value() & 0xfff);
  return options;
}

Napi::Object report_object(Napi::Env env, const PacerReport& report) {
  Napi::Object object = Napi::Object::New(env);
  const auto set = [&](const char* name, uint64_t value) { object.Set(name, static_cast<double>(value)); };
  set("sentFrames", report.sent_frames);
  set("sentBytes", report.sent_bytes);
  set("tooLong", report.too_long);
  set("refused", report.refused);
  set("empty", report.empty);
  set("cut", report.cut);
  set("late", report.late);
  set("missed", report.missed);
  set("waits", report.waits);
  set("elapsedNs", report.elapsed_ns);
  set("pausedNs", report.paused_ns);
  object.Set("realtime", report.realtime);
  set("startLateNs", report.start_late_ns);
  object.Set("beganNs", Napi::BigInt::New(env, report.began_ns));
  object.Set("endedNs", Napi::BigInt::New(env, report.ended_ns));
  set("errorP50Ns", report.error_p50_ns);
  set("errorP99Ns", report.error_p99_ns);
  set("errorP999Ns", report.error_p999_ns);
  set("errorMaxNs", report.error_max_ns);
  if (report.drift_known) {
    set("firstSecondP50Ns", report.first_p50_ns);
    set("lastSecondP50Ns", report.last_p50_ns);
  }
  set("unconfirmedPorts", report.unconfirmed);
  Napi::Array ports = Napi::Array::New(env);
  for (uint32_t i = 0; i < report.port_frames.size(); ++i) ports.Set(i, static_cast<double>(report.port_frames[i]));
  object.Set("portFrames", ports);
  return object;
}

class ReplayObject : public Napi::ObjectWrap<ReplayObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Replay",
                       {InstanceMethod<&ReplayObject::open>("open"), InstanceMethod<&ReplayObject::push_store>("pushStore"),
                        InstanceMethod<&ReplayObject::push_capture>("pushCapture"),
                        InstanceMethod<&ReplayObject::push_kept>("pushKept"), InstanceMethod<&ReplayObject::room>("room"),
                        InstanceMethod<&ReplayObject::wait_room>("waitRoom"), InstanceMethod<&ReplayObject::end>("end"),
                        InstanceMethod<&ReplayObject::stop>("stop"), InstanceMethod<&ReplayObject::sent>("sent"),
                        InstanceMethod<&ReplayObject::pause>("pause"), InstanceMethod<&ReplayObject::resume>("resume"),
                        InstanceMethod<&ReplayObject::step>("step"), InstanceMethod<&ReplayObject::ended>("ended"),
                        InstanceMethod<&ReplayObject::finish>("finish")});
  }

  // new Replay({ mode: 0 original | 1 frames a second | 2 bits a second | 3 top, speed, rate, beginAtNs, realtime, marker, rewrite })
  explicit ReplayObject(const CallbackInfo& call) : Napi::ObjectWrap<ReplayObject>(call), state_(std::make_shared<ReplayState>()) {
    const auto given = call[0].As<Napi::Object>();
    bool lossless = true;
    state_->options.mode = static_cast<PacerOptions::Mode>(given.Get("mode").ToNumber().Uint32Value() & 3);
    state_->options.speed = given.Get("speed").ToNumber().DoubleValue();
    state_->options.rate = given.Get("rate").ToNumber().DoubleValue();
    state_->options.begin_at_ns = given.Get("beginAtNs").As<Napi::BigInt>().Uint64Value(&lossless);
    state_->options.marker = given.Get("marker").ToString();
    if (given.Get("realtime").IsBoolean())
      state_->options.ahead = given.Get("realtime").ToBoolean() ? PacerOptions::Ahead::kAlways : PacerOptions::Ahead::kNever;
    if (!given.Get("rewrite").IsObject()) return;
    RewriteOptions rewrite = rewrite_options(given.Get("rewrite").As<Napi::Object>());
    if (rewrite.any()) state_->rewriter = std::make_unique<Rewriter>(std::move(rewrite));
  }

 private:
  // open(socket, names, slots): attaches the ports, off the main thread.
  Napi::Value open(const CallbackInfo& call) {
    const std::string socket = call[0].As<Napi::String>();
    const auto list = call[1].As<Napi::Array>();
    const uint32_t slots = call[2].As<Napi::Number>().Uint32Value();
    std::vector<std::string> names;
    for (uint32_t i = 0; i < list.Length(); ++i) names.push_back(list.Get(i).As<Napi::String>().Utf8Value());
    auto work = [state = state_, socket, names, slots]() -> Status {
      std::vector<std::unique_ptr<ReplaySink>> ports(names.size());
      for (size_t i = 0; i < names.size(); ++i)
        if (Status status = open_replay_sink({socket, slots}, names[i], &ports[i]); !status.ok()) return status;
      state->port_count = static_cast<uint32_t>(names.size());
      state->pacer = std::make_unique<Pacer>(state->options, std::move(ports));
      return Status();
    };
    return start_job(call.Env(), work, undefined);
  }

  bool opened(Napi::Env env) {
    if (state_->pacer) return true;
    throw_status(env, Status(Code::kInternal, "the replay is not open"));
    return false;
  }

  bool known(int32_t target) const { return target >= 0 && static_cast<uint32_t>(target) < state_->port_count; }

  Napi::Value wrong(Napi::Env env) {
    throw_status(env, Status(Code::kInternal, "the batch's columns do not fit each other"));
    return env.Undefined();
  }

  // Queues (or keeps) a batch; returns how many frames it holds.
  Napi::Value hand_over(Napi::Env env, PacedBatch&& batch, bool source_start, bool keep) {
    batch.source_start = source_start;
    const auto count = static_cast<uint32_t>(batch.items.size());
    auto shared = std::make_shared<const PacedBatch>(std::move(batch));
    if (keep) {
      state_->kept.push_back(std::move(shared));
    } else {
      state_->pacer->push(std::move(shared), count);
    }
    return Napi::Number::New(env, count);
  }

  // pushStore(index, bytes, sourceIds, targets, others, framesMax, sourceStart, keep): frames of port sourceIds[i] go to port
  // targets[i], those of other ports to `others`; -1 = nowhere. Index and bytes as a StoreReader gives them, without snaplen.
  Napi::Value push_store(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    if (!opened(env) || !call[1].IsArrayBuffer()) return wrong(env);
    const Column<uint32_t> index(call[0]), ids(call[2]);
    const Column<int32_t> targets(call[3]);
    auto buffer = call[1].As<Napi::ArrayBuffer>();
    const auto* bytes = static_cast<const uint8_t*>(buffer.Data());
    const int32_t others = call[4].As<Napi::Number>().Int32Value();
    const double frames_max = call[5].As<Napi::Number>().DoubleValue();
    if (ids.count != targets.count || index.count % 3 != 0) return wrong(env);
    std::unordered_map<uint32_t, int32_t> target_of;
    for (size_t i = 0; i < ids.count; ++i) target_of[ids.values[i]] = targets.values[i];
    PacedBatch batch;
    for (size_t i = 0; i < index.count && static_cast<double>(batch.items.size()) < frames_max; i += 3) {
      const uint64_t header_at = index.values[i], offset = index.values[i + 1], length = index.values[i + 2];
      if (header_at + sizeof(layout::RecordHeader) > buffer.ByteLength() || offset + length > buffer.ByteLength()) return wrong(env);
      layout::RecordHeader header;
      memcpy(&header, bytes + header_at, sizeof header);
      const auto found = target_of.find(header.ingress);
      const int32_t target = found == target_of.end() ? others : found->second;
      if (!known(target)) continue;
      add(&batch, header.time_ns, bytes + offset, static_cast<uint32_t>(length), header.wire_length, static_cast<uint32_t>(target));
    }
    return hand_over(env, std::move(batch), call[6].ToBoolean(), call[7].ToBoolean());
  }

  // pushCapture(batch, selected | null, targets, framesMax, sourceStart, keep): frames of interface i go to port targets[i].
  Napi::Value push_capture(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    if (!opened(env) || !call[0].IsObject()) return wrong(env);
    const auto given = call[0].As<Napi::Object>();
    const Column<uint8_t> data(given.Get("data")), selected(call[1]);
    const Column<uint32_t> offsets(given.Get("offsets")), lengths(given.Get("capturedLengths")), wires(given.Get("wireLengths"));
    const Column<uint64_t> times(given.Get("timesNs"));
    const Column<uint16_t> interfaces(given.Get("interfaces"));
    const Column<int32_t> targets(call[2]);
    const double frames_max = call[3].As<Napi::Number>().DoubleValue();
    const size_t count = offsets.count;
    const bool all = !call[1].IsTypedArray();
    if (lengths.count != count || wires.count != count || times.count != count || interfaces.count != count || (!all && selected.count != count))
      return wrong(env);
    PacedBatch batch;
    for (size_t i = 0; i < count && static_cast<double>(batch.items.size()) < frames_max; ++i) {
      if (uint64_t{offsets.values[i]} + lengths.values[i] > data.count) return wrong(env);
      if ((!all && !selected.values[i]) || interfaces.values[i] >= targets.count) continue;
      const int32_t target = targets.values[interfaces.values[i]];
      if (!known(target)) continue;
      add(&batch, times.values[i], data.values + offsets.values[i], lengths.values[i], wires.values[i], static_cast<uint32_t>(target));
    }
    return hand_over(env, std::move(batch), call[4].ToBoolean(), call[5].ToBoolean());
  }

  // Frames begin and end with a line of their own.
  void add(PacedBatch* batch, uint64_t time_ns, const uint8_t* bytes, uint32_t length, uint32_t wire_length, uint32_t port) {
    const bool cut = length < wire_length;
    const auto offset = static_cast<uint32_t>(batch->bytes.size());
    batch->bytes.resize(offset + ((size_t{length} + kRewriteGrowth + 63) & ~size_t{63}));
    uint8_t* frame = batch->bytes.data() + offset;
    if (length > 0) memcpy(frame, bytes, length);
    if (state_->rewriter) length = state_->rewriter->rewrite(frame, length);
    batch->items.push_back({time_ns, offset, length, port, cut});
  }

  // pushKept(framesMax): one loop over everything that was kept; returns how many frames it is.
  Napi::Value push_kept(const CallbackInfo& call) {
    if (!opened(call.Env())) return call.Env().Undefined();
    const double frames_max = call[0].As<Napi::Number>().DoubleValue();
    double pushed = 0;
    for (const std::shared_ptr<const PacedBatch>& batch : state_->kept) {
      const double left = frames_max - pushed;
      const auto count = static_cast<uint32_t>(std::min(left, static_cast<double>(batch->items.size())));
      state_->pacer->push(batch, count);
      pushed += count;
    }
    return Napi::Number::New(call.Env(), pushed);
  }

  Napi::Value room(const CallbackInfo& call) {
    if (!opened(call.Env())) return call.Env().Undefined();
    return Napi::Boolean::New(call.Env(), state_->pacer->room());
  }

  Napi::Value wait_room(const CallbackInfo& call) {
    if (!opened(call.Env())) return call.Env().Undefined();
    return start_job(
        call.Env(),
        [state = state_] {
          state->pacer->wait_room();
          return Status();
        },
        undefined);
  }

  Napi::Value end(const CallbackInfo& call) {
    if (opened(call.Env())) state_->pacer->end();
    return call.Env().Undefined();
  }

  Napi::Value stop(const CallbackInfo& call) {
    if (state_->pacer) state_->pacer->stop();
    return call.Env().Undefined();
  }

  Napi::Value pause(const CallbackInfo& call) {
    if (state_->pacer) state_->pacer->pause();
    return call.Env().Undefined();
  }

  Napi::Value resume(const CallbackInfo& call) {
    if (state_->pacer) state_->pacer->resume();
    return call.Env().Undefined();
  }

  Napi::Value step(const CallbackInfo& call) {
    if (state_->pacer) state_->pacer->step();
    return call.Env().Undefined();
  }

  Napi::Value ended(const CallbackInfo& call) {
    return Napi::Boolean::New(call.Env(), state_->pacer && state_->pacer->ended());
  }

  Napi::Value sent(const CallbackInfo& call) {
    const uint64_t frames = state_->pacer ? state_->pacer->sent_frames() : 0;
    return Napi::Number::New(call.Env(), static_cast<double>(frames));
  }

  // finish(): waits for the thread; a promise of the report. The ports are detached then.
  Napi::Value finish(const CallbackInfo& call) {
    if (!opened(call.Env())) return call.Env().Undefined();
    auto report = std::make_shared<PacerReport>();
    return start_job(
        call.Env(),
        [state = state_, report] { return state->pacer->finish(report.get()); },
        [state = state_, report](Napi::Env env) -> Napi::Value {
          state->pacer.reset();  // here, since this thread's sent(), stop() and pause() look at it
          Napi::Object object = report_object(env, *report);
          const Rewriter* rewriter = state->rewriter.get();
          object.Set("rewritten", static_cast<double>(rewriter ? rewriter->rewritten() : 0));
          object.Set("unmended", static_cast<double>(rewriter ? rewriter->unmended() : 0));
          return object;
        });
  }

  std::shared_ptr<ReplayState> state_;
};

}  // namespace
}  // namespace paste

void init_replay(Napi::Env env, Napi::Object exports) { exports.Set("Replay", paste::ReplayObject::define(env)); }
