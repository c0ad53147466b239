// The learning table, driven entry by entry from test/switch/mac-table.test.ts.
#include "core/switch/mac_table.h"

#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include "test/binding.h"

namespace paste::test {
namespace {

using Info = Napi::CallbackInfo;

const char* learn_name(Learn result) {
  static constexpr const char* kNames[] = {"known", "learned", "moved", "source", "static", "full", "contended"};
  return kNames[static_cast<size_t>(result)];
}

// A table under test: addresses are numbers below 2^48 (first byte of the MAC in the upper bits), as a person writes them.
class TableUnderTest {
 public:
  explicit TableUnderTest(const MacTable::Options& options) : table_(options) {}

  static uint64_t key(const Napi::Value& mac, const Napi::Value& fid) {
    const uint64_t number = to_u64(mac);
    uint8_t bytes[6];
    for (int i = 0; i < 6; i++) bytes[i] = static_cast<uint8_t>(number >> (40 - 8 * i));
    return mac_key(bytes, static_cast<uint16_t>(to_u64(fid)));
  }
  static double number(const uint8_t mac[6]) {
    uint64_t value = 0;
    for (int i = 0; i < 6; i++) value = value << 8 | mac[i];
    return static_cast<double>(value);
  }

  Napi::Object bind(Napi::Env env, std::shared_ptr<TableUnderTest> self) {
    Napi::Object object = Napi::Object::New(env);
    add_function(env, object, "learn", [self](const Info& i) -> Napi::Value {
      const uint64_t k = key(i[0], i[1]);
      const Learn result = self->table_.learn(k, self->table_.place(k), port(i[2]), port(i[3]), &self->events_);
      return Napi::String::New(i.Env(), learn_name(result));
    });
    add_function(env, object, "lookup", [self](const Info& i) -> Napi::Value {
      const uint64_t k = key(i[0], i[1]);
      const uint32_t found = self->table_.lookup(k, self->table_.place(k), port(i[2]));
      return Napi::Number::New(i.Env(), found == kMacUnknown ? -1 : static_cast<double>(found));
    });
    add_function(env, object, "add", [self](const Info& i) -> Napi::Value {
      return Napi::Boolean::New(i.Env(), self->table_.add(key(i[0], i[1]), port(i[2]), port(i[3]), &self->events_));
    });
    add_function(env, object, "remove", [self](const Info& i) -> Napi::Value {
      return Napi::Boolean::New(i.Env(), self->table_.remove(key(i[0], i[1]), port(i[2]), &self->events_));
    });
    add_function(env, object, "addPort", [self](const Info& i) { self->table_.add_port(port(i[0]), port(i[1])); });
    add_function(env, object, "killPort", [self](const Info& i) { self->table_.kill_port(port(i[0])); });
    add_function(env, object, "sweepPort", [self](const Info& i) -> Napi::Value {
      return from_u64(i.Env(), self->table_.sweep_port(port(i[0]), &self->events_));
    });
    add_function(env, object, "flush", [self](const Info& i) -> Napi::Value {
      const bool all = i[0].IsNull();
      return from_u64(i.Env(), self->table_.flush(all ? kMacUnknown : port(i[0]), &self->events_));
    });
    add_function(env, object, "age", [self](const Info& i) -> Napi::Value {
      return from_u64(i.Env(), self->table_.age(port(i[0]), port(i[1]), port(i[2]), &self->events_));
    });
    add_function(env, object, "each", [self](const Info& i) -> Napi::Value { return self->each(i); });
    add_function(env, object, "takeEvents", [self](const Info& i) -> Napi::Value { return self->take_events(i.Env()); });
    add_function(env, object, "counters", [self](const Info& i) -> Napi::Value { return self->counters(i.Env()); });
    return object;
  }

 private:
  static uint32_t port(const Napi::Value& value) { return value.As<Napi::Number>().Uint32Value(); }

  Napi::Value each(const Info& info) {
    Napi::Array list = Napi::Array::New(info.Env());
    table_.each(port(info[0]), [&](const MacEntry& entry) {
      Napi::Object item = Napi::Object::New(info.Env());
      item.Set("mac", number(reinterpret_cast<const uint8_t*>(&entry.key)));
      item.Set("fid", static_cast<double>(entry.key >> 48));
      item.Set("port", entry.port);
      item.Set("static", entry.is_static);
      item.Set("ageMs", static_cast<double>(entry.age_ms));
      list.Set(list.Length(), item);
    });
    return list;
  }

  Napi::Value take_events(Napi::Env env) {
    static constexpr const char* kNames[] = {"", "learned", "moved", "aged", "removed", "static"};
    Napi::Array list = Napi::Array::New(env);
    for (uint32_t n = 0; n < events_.count; n++) {
      const layout::MacPayload& event = events_.items[n];
      char text[64];
      std::snprintf(text, sizeof text, "%s %.0f %u %u", kNames[event.event], number(event.mac), event.fid, event.port);
      list.Set(n, text);
    }
    Napi::Object result = Napi::Object::New(env);
    result.Set("events", list);
    result.Set("lost", static_cast<double>(events_.lost));
    events_.count = 0;
    events_.lost = 0;
    return result;
  }

  Napi::Value counters(Napi::Env env) {
    Napi::Object object = Napi::Object::New(env);
    const MacCounters& c = table_.counters();
    object.Set("learned", static_cast<double>(c.learned));
    object.Set("moved", static_cast<double>(c.moved));
    object.Set("aged", static_cast<double>(c.aged));
    object.Set("refused", static_cast<double>(c.refused));
    object.Set("entries", static_cast<double>(table_.learned()));
    object.Set("statics", static_cast<double>(table_.statics()));
    object.Set("buckets", static_cast<double>(table_.buckets()));
    return object;
  }

  MacTable table_;
  MacEvents events_;
};

// macTable({ entries, entriesPerPort, ageMs, seed })
Napi::Value make_table(const Info& info) {
  const auto given = info[0].As<Napi::Object>();
  MacTable::Options options;
  options.entries = static_cast<uint32_t>(to_u64(given.Get("entries")));
  options.entries_per_port = static_cast<uint32_t>(to_u64(given.Get("entriesPerPort")));
  options.age_ms = static_cast<uint32_t>(to_u64(given.Get("ageMs")));
  options.seed = to_u64(given.Get("seed"));
  auto table = std::make_shared<TableUnderTest>(options);
  return table->bind(info.Env(), table);
}

// macTableRace(rounds): threads learn, look up, move, remove and sweep the same few addresses at once. Address a only ever lies
// behind port a % 4 or a % 4 + 4, so any other answer is a torn read. Returns { wrong, found }.
Napi::Value race(const Info& info) {
  const uint64_t rounds = to_u64(info[0]);
  MacTable table({.entries = 16, .entries_per_port = 16, .age_ms = 100'000, .seed = 7});
  std::atomic<uint64_t> wrong{0}, found{0};
  std::atomic<uint32_t> running{3};
  const auto address = [](uint64_t n) { return (n + 1) << 8; };
  const auto forward = [&](uint32_t seed) {
    uint64_t state = seed;
    for (uint64_t i = 0; i < rounds; i++) {
      state = state * 6364136223846793005 + 1442695040888963407;
      const uint64_t n = state >> 59, k = address(n);
      if (state >> 40 & 1) table.learn(k, table.place(k), static_cast<uint32_t>(n % 4 + (state >> 41 & 4)), 1, nullptr);
      const uint32_t to = table.lookup(k, table.place(k), 1);
      if (to == kMacUnknown) continue;
      found.fetch_add(1, std::memory_order_relaxed);
      if (to % 4 != n % 4 || to >= 8) wrong.fetch_add(1, std::memory_order_relaxed);
    }
    running.fetch_sub(1);
  };
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 3; t++) threads.emplace_back(forward, t + 1);
  for (uint64_t n = 0; running.load() != 0; n++) {
    table.remove(address(n % 32), 1, nullptr);
    if (n % 64 == 0) {
      table.kill_port(static_cast<uint32_t>(n / 64 % 8));
      table.sweep_port(static_cast<uint32_t>(n / 64 % 8), nullptr);
    }
  }
  for (std::thread& thread : threads) thread.join();
  for (uint32_t port = 0; port < 8; port++) {
    table.kill_port(port);
    table.sweep_port(port, nullptr);
  }
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("wrong", static_cast<double>(wrong));
  result.Set("found", static_cast<double>(found));
  result.Set("left", static_cast<double>(table.learned()));
  return result;
}

}  // namespace

void add_mac_table(Napi::Env env, Napi::Object exports) {
  add_function(env, exports, "macTable", make_table);
  add_function(env, exports, "macTableRace", race);
}

}  // namespace paste::test
