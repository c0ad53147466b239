// The engine for JavaScript, as native/engine.ts describes it: one object of functions per engine, one crossing per command.
//
// The functions share the engine; when JavaScript has let go of all of them, or its environment ends, the last one stops the
// threads. What blocks for long (opening a store, draining) runs on a thread of libuv's pool.
#include <napi.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>

#include "addon/engine_objects.h"
#include "addon/job.h"
#include "addon/port_options_binding.h"
#include "addon/status_error.h"
#include "addon/store_objects.h"
#include "addon/values.h"
#include "core/pmem/domain.h"
#include "core/store/store.h"
#include "core/switch/engine.h"

namespace {

using namespace paste;
using Info = Napi::CallbackInfo;

Napi::Value done(Napi::Env env, const Status& status) {
  return status.ok() ? env.Undefined() : throw_status(env, status);
}

// --- from JavaScript -----------------------------------------------------------------------------------------------------

uint32_t u32(const Napi::Object& object, const char* name, uint32_t missing = 0) {
  const Napi::Value value = object.Get(name);
  if (!value.IsNumber()) return missing;
  const double number = value.As<Napi::Number>().DoubleValue();
  return number <= 0 ? 0 : number >= 4294967295.0 ? ~0u : static_cast<uint32_t>(number);
}
std::string text(const Napi::Value& value) { return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string(); }
std::string text(const Napi::Object& object, const char* name) { return text(object.Get(name)); }

std::vector<std::string> texts(const Napi::Value& value) {
  std::vector<std::string> list;
  if (!value.IsArray()) return list;
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) list.push_back(text(array.Get(i)));
  return list;
}

// The position of a word in a list of them, or false.
template <typename Enum>
bool word(const std::string& given, std::initializer_list<const char*> words, Enum* value) {
  uint8_t n = 0;
  for (const char* candidate : words) {
    if (given == candidate) {
      *value = static_cast<Enum>(n);
      return true;
    }
    n++;
  }
  return false;
}

bool parse_mac(const std::string& given, uint8_t mac[6]) {
  unsigned bytes[6];
  int end = 0;
  if (std::sscanf(given.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%n", bytes, bytes + 1, bytes + 2, bytes + 3, bytes + 4, bytes + 5,
                  &end) != 6 ||
      static_cast<size_t>(end) != given.size() || given.find_first_of(" +-xX") != std::string::npos)
    return false;
  std::copy(bytes, bytes + 6, mac);
  return true;
}

Status parse_rule(const Napi::Value& value, RuleSpec* rule) {
  if (!value.IsObject()) return {Code::kUsage, "a rule is an object"};
  const auto given = value.As<Napi::Object>();
  rule->name = text(given, "name");
  rule->filter = text(given, "filter");
  const Napi::Value program = given.Get("program");
  if (!program.IsTypedArray() || program.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    return {Code::kUsage, "rule " + rule->name + ": program must be a Uint8Array"};
  const auto bytes = program.As<Napi::Uint8Array>();
  if (bytes.ByteLength() % sizeof(BpfInsn) != 0)
    return {Code::kUsage, "rule " + rule->name + ": program is not made of 8-byte instructions"};
  rule->program.resize(bytes.ByteLength() / sizeof(BpfInsn));
  if (!rule->program.empty()) std::memcpy(rule->program.data(), bytes.Data(), bytes.ByteLength());
  rule->in_ports = texts(given.Get("inPorts"));
  rule->out_ports = texts(given.Get("outPorts"));
  rule->snaplen = u32(given, "snaplen", ~0u);
  rule->sample = u32(given, "sample", 1);
  rule->skip = given.Get("skip").ToBoolean();
  const std::string durability = text(given, "durability");
  rule->has_durability = !durability.empty();
  if (rule->has_durability && !word(durability, {"strict", "relaxed"}, &rule->durability))
    return {Code::kUsage, "rule " + rule->name + ": durability is strict or relaxed, not " + durability};
  return {};
}

// Blocks ready ahead of each lane: at 2 GB/s of records, 4 MiB (in blocks of 256 KiB) outlast a keeper that is 2 ms late.
constexpr uint32_t kSpareBlocks = 16;

struct Wanted {
  EngineOptions engine;
  bool has_store = false;
  std::string store_path;
  StoreOptions store;
};

Status parse_options(const Napi::Object& given, Wanted* wanted) {
  EngineOptions& engine = wanted->engine;
  engine.threads = u32(given, "threads", 1);
  if (!word(text(given, "wait"), {"adaptive", "block", "busy"}, &engine.wait))
    return {Code::kUsage, "wait is adaptive, block or busy, not \"" + text(given, "wait") + "\""};
  if (!word(text(given, "durability"), {"strict", "relaxed"}, &engine.durability))
    return {Code::kUsage, "durability is strict or relaxed, not \"" + text(given, "durability") + "\""};
  if (!word(text(given, "persist"), {"auto", "pack", "mark"}, &engine.persist))
    return {Code::kUsage, "persist is auto, pack or mark, not \"" + text(given, "persist") + "\""};
  engine.mark_bytes_min = u32(given, "markBytesMin");
  engine.mac_entries = u32(given, "macEntries", engine.mac_entries);
  engine.mac_entries_per_port = u32(given, "macEntriesPerPort", engine.mac_entries_per_port);
  engine.mac_age_ms = u32(given, "macAgeMs", engine.mac_age_ms);
  if (const uint32_t bytes = u32(given, "frameMemoryBytes"); bytes != 0)
    engine.frame_memory.chunks = std::max(1u, bytes / engine.frame_memory.chunk_bytes);
  if (given.Has("framePlace") && !word(text(given, "framePlace"), {"auto", "store", "dram"}, &engine.frame_memory.place))
    return {Code::kUsage, "framePlace is auto, store or dram, not \"" + text(given, "framePlace") + "\""};
  engine.ports_socket = text(given, "portsSocket");
  engine.socket_mode = u32(given, "socketMode", 0600);
  const Napi::Value gid = given.Get("socketGid");
  if (gid.IsNumber() && gid.As<Napi::Number>().DoubleValue() >= 0) engine.socket_gid = u32(given, "socketGid");
  const Napi::Value store = given.Get("store");
  if (!store.IsObject()) return {};
  wanted->has_store = true;
  const auto options = store.As<Napi::Object>();
  wanted->store_path = text(options, "path");
  wanted->store.lanes = engine.threads;
  wanted->store.spare_blocks = kSpareBlocks;
  wanted->store.block_timeout_ms = u32(options, "blockTimeoutMs", 1000);
  wanted->store.index = !options.Has("index") || options.Get("index").ToBoolean();
  wanted->store.index_tunnels = !options.Has("indexTunnels") || options.Get("indexTunnels").ToBoolean();
  if (!word(text(options, "full"), {"overwrite", "stop", "block"}, &wanted->store.full))
    return {Code::kUsage, "full is overwrite, stop or block, not \"" + text(options, "full") + "\""};
  return {};
}

// --- the engine object ---------------------------------------------------------------------------------------------------

struct Held {
  std::unique_ptr<Engine> engine;
  bool has_store = false;
  RecoveryReport report;
  // A drain runs on another thread; every other call waits for it here and finds the engine drained.
  std::mutex mutex;
  bool drained = false;

};
using Shared = std::shared_ptr<Held>;

Status drain(Held& held) {
  const std::lock_guard lock(held.mutex);
  if (held.drained) return {};
  Status status = held.engine->drain();
  held.drained = true;
  return status;
}

template <typename Call>
void method(Napi::Env env, Napi::Object object, const char* name, const Shared& held, Call call) {
  object.Set(name, Napi::Function::New(
                       env,
                       [held, call](const Info& info) -> Napi::Value {
                         const std::lock_guard lock(held->mutex);
                         return call(info, *held);
                       },
                       name));
}

Napi::Value set_rules(const Info& info, Held& held) {
  if (!info[0].IsArray()) return throw_usage(info.Env(), "setRules wants an array of rules");
  const auto array = info[0].As<Napi::Array>();
  std::vector<RuleSpec> rules(array.Length());
  for (uint32_t i = 0; i < array.Length(); i++)
    if (Status status = parse_rule(array.Get(i), &rules[i]); !status.ok()) return throw_status(info.Env(), status);
  return done(info.Env(), held.engine->set_rules(rules, text(info[1])));
}

Napi::Value mac_change(const Info& info, Held& held, bool add) {
  uint8_t mac[6];
  if (!parse_mac(text(info[1]), mac))
    return throw_usage(info.Env(), "\"" + text(info[1]) + "\" is no MAC address; write it as 02:00:00:00:00:01");
  const double fid = info[2].IsNumber() ? info[2].As<Napi::Number>().DoubleValue() : -1;
  if (fid < 0 || fid > 4095) return throw_usage(info.Env(), "fid must be a VLAN id: 0 (untagged) to 4095");
  const uint16_t vlan = static_cast<uint16_t>(fid);
  return done(info.Env(), add ? held.engine->mac_add(text(info[0]), mac, vlan, text(info[3]))
                              : held.engine->mac_remove(text(info[0]), mac, vlan));
}

Napi::Value mac_list(const Info& info, Held& held) {
  Napi::Env env = info.Env();
  std::vector<MacInfo> entries;
  if (Status status = held.engine->mac_list(text(info[0]), &entries); !status.ok()) return throw_status(env, status);
  Napi::Array list = Napi::Array::New(env, entries.size());
  for (uint32_t i = 0; i < entries.size(); i++) {
    const MacInfo& entry = entries[i];
    char mac[18];
    std::snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", entry.mac[0], entry.mac[1], entry.mac[2], entry.mac[3],
                  entry.mac[4], entry.mac[5]);
    Napi::Object o = Napi::Object::New(env);
    o.Set("mac", mac);
    o.Set("fid", entry.fid);
    o.Set("port", entry.port);
    o.Set("static", Napi::Boolean::New(env, entry.is_static));
    o.Set("ageMs", number(env, entry.age_ms));
    list.Set(i, o);
  }
  return list;
}

Napi::Value stats(const Info& info, Held& held) {
  Napi::Object object = engine_stats(info.Env(), held.engine->stats());
  if (held.has_store) object.Set("store", counters_object(info.Env(), held.engine->store_counters()));
  return object;
}

Napi::Value trim(const Info& info, Held& held) {
  if (!held.has_store || held.drained) return throw_usage(info.Env(), "there is no open store to trim");
  bool exact = false;
  const uint64_t sequence = info[0].IsBigInt() ? info[0].As<Napi::BigInt>().Uint64Value(&exact) : 0;
  if (!exact) return throw_usage(info.Env(), "trim wants a sequence number (bigint)");
  return number(info.Env(), held.engine->store()->trim(sequence));
}

Napi::Value medium(const Info& info, Held& held) {
  if (!held.has_store || held.drained) return info.Env().Null();
  Store& store = *held.engine->store();
  Napi::Object o = Napi::Object::New(info.Env());
  o.Set("name", medium_name(store.region().medium()));
  o.Set("survives", medium_survives(store.region().medium()));
  o.Set("fileSystem", store.region().file_system());
  o.Set("domain", store.region().domain().name());
  o.Set("marking", Napi::Boolean::New(info.Env(), store.buffers() != nullptr));
  return o;
}

Napi::Object make_object(Napi::Env env, const Shared& held) {
  Napi::Object o = Napi::Object::New(env);
  method(env, o, "start", held, [](const Info& i, Held& h) { return done(i.Env(), h.engine->start()); });
  method(env, o, "setReceiving", held, [](const Info& i, Held& h) {
    h.engine->set_receiving(i[0].ToBoolean());
    return i.Env().Undefined();
  });
  method(env, o, "attach", held, [](const Info& i, Held& h) {
    PortOptions options;
    const Status status = parse_port_options(i[2], &options);
    const bool wait = i[3].ToBoolean();
    return done(i.Env(), status.ok() ? h.engine->attach(text(i[0]), text(i[1]), options, wait) : status);
  });
  method(env, o, "detach", held, [](const Info& i, Held& h) { return done(i.Env(), h.engine->detach(text(i[0]))); });
  method(env, o, "setRules", held, set_rules);
  method(env, o, "macAdd", held, [](const Info& i, Held& h) { return mac_change(i, h, true); });
  method(env, o, "macRemove", held, [](const Info& i, Held& h) { return mac_change(i, h, false); });
  method(env, o, "macFlush", held, [](const Info& i, Held& h) -> Napi::Value {
    uint64_t count = 0;
    const Status status = h.engine->mac_flush(text(i[0]), text(i[1]), &count);
    return status.ok() ? number(i.Env(), count) : throw_status(i.Env(), status);
  });
  method(env, o, "macList", held, mac_list);
  method(env, o, "stats", held, stats);
  method(env, o, "trim", held, trim);
  method(env, o, "recovery", held, [](const Info& i, Held& h) -> Napi::Value {
    return h.has_store ? report_object(i.Env(), h.report) : i.Env().Null();
  });
  method(env, o, "medium", held, medium);
  o.Set("drain", Napi::Function::New(
                     env,
                     [held](const Info& info) -> Napi::Value {
                       return start_job(info.Env(), [held] { return drain(*held); }, undefined);
                     },
                     "drain"));
  return o;
}

Status open(const Wanted& wanted, Held* held) {
  std::unique_ptr<Store> store;
  held->has_store = wanted.has_store;
  if (wanted.has_store)
    if (Status status = Store::open(wanted.store_path, wanted.store, &store, &held->report); !status.ok()) return status;
  return Engine::create(wanted.engine, std::move(store), &held->engine);
}

// createEngine(options): Promise<NativeEngine>
Napi::Value create_engine(const Info& info) {
  Napi::Env env = info.Env();
  const auto deferred = Napi::Promise::Deferred::New(env);
  Wanted wanted;
  const Status status = info[0].IsObject() ? parse_options(info[0].As<Napi::Object>(), &wanted)
                                           : Status(Code::kUsage, "createEngine wants an object of options");
  if (!status.ok()) {
    deferred.Reject(status_error(env, status).Value());
    return deferred.Promise();
  }
  auto held = std::make_shared<Held>();
  return start_job(
      env, [wanted = std::move(wanted), held] { return open(wanted, held.get()); },
      [held](Napi::Env env) -> Napi::Value { return make_object(env, held); });
}

}  // namespace

void init_engine(Napi::Env env, Napi::Object exports) {
  exports.Set("createEngine", Napi::Function::New(env, create_engine, "createEngine"));
  exports.Set("outcomes", Napi::Function::New(env, outcomes, "outcomes"));
}
