// A hub over real vale and pcap ports for test/switch/ports*: the tests make each call of the Port interface themselves, or let
// a thread flood every frame to every other port.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "core/ports/client/client.h"
#include "core/ports/pcap/pcap_port.h"
#include "core/ports/vale/ports_server.h"
#include "test/binding.h"
#include "test/counting_pool.h"

namespace paste::test {
namespace {

using Info = Napi::CallbackInfo;
using Bytes = Napi::Uint8Array;

struct Station {
  std::unique_ptr<Port> port;
  ValePort* vale = nullptr;
  std::unique_ptr<PortClient> client;  // of a port made by local()
};

class Hub final : public PortsHost {
 public:
  ~Hub() override { stop(); }
  Status on_attach(std::unique_ptr<ValePort> port, const MirrorOptions&) override {
    const std::lock_guard<std::mutex> hold(mutex_);
    if (stations_.count(port->name())) return Status(Code::kPort, "port " + port->name() + " is in use");
    Station& station = stations_[port->name()];
    station.vale = port.get();
    station.port = std::move(port);
    attached_++;
    return {};
  }
  bool on_change(const std::string& name, uint64_t session, const std::function<void(ValePort&)>& change) override {
    const std::lock_guard<std::mutex> hold(mutex_);
    const auto found = stations_.find(name);
    if (found == stations_.end() || !found->second.vale || found->second.vale->session() != session) return false;
    change(*found->second.vale);
    return true;
  }
  void on_gone(const std::string& name, uint64_t session) override {
    const std::lock_guard<std::mutex> hold(mutex_);
    const auto found = stations_.find(name);
    if (found == stations_.end() || !found->second.vale || found->second.vale->session() != session) return;
    stations_.erase(found);
    gone_++;
  }
  Status listen(const PortsServerOptions& options) { return PortsServer::start(options, clock_, *this, &server_); }
  void stop() {
    halt();
    server_.reset();
    stations_.clear();
  }
  void run() {
    running_ = true;
    thread_ = std::thread([this] {
      while (running_) {
        std::unique_lock<std::mutex> hold(mutex_);
        const uint32_t moved = flood_all();
        hold.unlock();
        if (moved == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
        rounds_++;
      }
    });
  }
  void halt() {
    running_ = false;
    if (thread_.joinable()) thread_.join();
  }

  // One round: every port's frames to every other port.
  uint32_t flood_all() {
    uint32_t moved = 0;
    std::vector<uint16_t> all;
    for (auto& [name, station] : stations_) {
      flood_batch_.reset();
      const uint32_t count = station.port->receive(flood_batch_, kBatchFrames);
      all.clear();
      for (uint32_t i = 0; i < count; i++) all.push_back(static_cast<uint16_t>(i));
      moved += count;
      for (auto& [other_name, other] : stations_) {
        if (&other == &station || !other.port->sink() || count == 0) continue;
        const uint32_t room = other.port->reserve(flood_batch_, all);
        other.port->counters.intended_copies += count;
        other.port->counters.refused[static_cast<size_t>(Refusal::full)] += count - room;
        other.port->deliver(flood_batch_, std::span<const uint16_t>(all).first(room));
        other.port->notify();
      }
      station.port->release(flood_batch_, all);
      station.port->arm();
      station.port->disarm();
      station.port->rang();
    }
    return moved;
  }

  Clock clock_;
  std::unique_ptr<CountingPool> pool_;
  std::map<std::string, Station> stations_;
  std::unique_ptr<PortsServer> server_;
  Batch batch_;
  Batch flood_batch_;
  std::mutex mutex_;
  std::thread thread_;
  std::atomic<bool> running_{false};
  std::atomic<uint64_t> rounds_{0}, attached_{0}, gone_{0};
};

Station* station_of(Hub& hub, const Info& info) {
  const auto found = hub.stations_.find(info[0].As<Napi::String>());
  if (found != hub.stations_.end()) return &found->second;
  Napi::Error::New(info.Env(), "no such port").ThrowAsJavaScriptException();
  return nullptr;
}

std::vector<uint16_t> frame_range(const Hub& hub, const Info& info, size_t argument) {
  const uint32_t from = info[argument].IsNumber() ? info[argument].ToNumber().Uint32Value() : 0;
  const uint32_t count = info[argument + 1].IsNumber() ? info[argument + 1].ToNumber().Uint32Value() : hub.batch_.count - from;
  std::vector<uint16_t> range;
  for (uint32_t i = from; i < from + count; i++) range.push_back(static_cast<uint16_t>(i));
  return range;
}

Napi::Object counters_object(Napi::Env env, const PortCounters& c) {
  Napi::Object object = Napi::Object::New(env), dropped = Napi::Object::New(env), refused = Napi::Object::New(env);
  for (size_t i = 0; i < kDrops; i++) dropped.Set(kDropTexts[i].name, from_u64(env, c.dropped[i]));
  for (size_t i = 0; i < kRefusals; i++) refused.Set(kRefusalTexts[i].name, from_u64(env, c.refused[i]));
  object.Set("dropped", dropped);
  object.Set("refused", refused);
  const std::pair<const char*, uint64_t> numbers[] = {
      {"receivedFrames", c.received_frames}, {"receivedBytes", c.received_bytes},
      {"deliveredCopies", c.delivered_copies}, {"deliveredBytes", c.delivered_bytes},
      {"intendedCopies", c.intended_copies}, {"copiedFrames", c.copied_frames},
      {"zeroCopyFrames", c.zero_copy_frames}, {"kicksSent", c.kicks_sent},
      {"kicksReceived", c.kicks_received}, {"clientFaults", c.client_faults}};
  for (const auto& [name, value] : numbers) object.Set(name, from_u64(env, value));
  return object;
}

using HubPointer = std::shared_ptr<Hub>;

// The hub as a whole: listen, stop, run, halt, ports.
void add_hub_calls(Napi::Env env, Napi::Object object, const HubPointer& hub) {
  add_function(env, object, "listen", [hub](const Info& info) {
    PortsServerOptions options;
    options.path = info[0].As<Napi::String>();
    if (info[1].IsNumber()) options.hello_ms = info[1].ToNumber().Uint32Value();
    if (info[2].IsNumber()) options.connections_max = info[2].ToNumber().Uint32Value();
    if (info[3].IsNumber()) options.user_bytes_max = to_u64(info[3]);
    if (info[4].IsNumber()) options.gid = info[4].ToNumber().Uint32Value(), options.mode = 0660;
    ok_or_throw(info.Env(), hub->listen(options));
  });
  add_function(env, object, "stop", [hub](const Info&) { hub->stop(); });
  add_function(env, object, "run", [hub](const Info&) { hub->run(); });
  add_function(env, object, "halt", [hub](const Info&) { hub->halt(); });
  add_function(env, object, "rounds", [hub](const Info& info) -> Napi::Value { return from_u64(info.Env(), hub->rounds_); });
  add_function(env, object, "hold", [hub](const Info& info) { hub->clock_.hold(to_u64(info[0])); });
  add_function(env, object, "dismiss", [hub](const Info& info) {
    if (Station* station = station_of(*hub, info)) hub->server_->dismiss(station->vale->session());
  });
  add_function(env, object, "ports", [hub](const Info& info) -> Napi::Value {
    const std::lock_guard<std::mutex> hold(hub->mutex_);
    Napi::Array names = Napi::Array::New(info.Env());
    for (const auto& [name, station] : hub->stations_) names.Set(names.Length(), name);
    return names;
  });
  add_function(env, object, "local", [hub](const Info& info) {
    RegionGeometry geometry;
    const std::string name = info[0].As<Napi::String>();
    geometry.tx_slots = geometry.rx_slots = info[1].ToNumber().Uint32Value();
    geometry.buffer_bytes = info[2].ToNumber().Uint32Value();
    std::unique_ptr<ValePort> port;
    std::unique_ptr<PortClient> client;
    ClientEnd end;
    if (!ok_or_throw(info.Env(), ValePort::create(name, geometry, hub->clock_, &port, &end))) return;
    if (!ok_or_throw(info.Env(), PortClient::join(name, end, &client))) return;
    const std::lock_guard<std::mutex> hold(hub->mutex_);
    Station& station = hub->stations_[name];
    station.vale = port.get();
    station.port = std::move(port);
    station.client = std::move(client);
  });
  add_function(env, object, "pcap", [hub](const Info& info) {
    std::unique_ptr<PcapPort> port;
    const std::string name = info[0].As<Napi::String>();
    if (info[2].IsNumber())
      hub->pool_ = std::make_unique<CountingPool>(info[2].ToNumber().Uint32Value(), info[3].ToNumber().Uint32Value());
    if (ok_or_throw(info.Env(),
                    PcapPort::create(name, info[1].As<Napi::String>(), hub->clock_, hub->pool_.get(), &port)))
      hub->stations_[name].port = std::move(port);
  });
  add_function(env, object, "poolUses", [hub](const Info& info) -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(hub->pool_ ? hub->pool_->in_use() : 0));
  });
}

// One port's side of the daemon, call by call.
void add_port_calls(Napi::Env env, Napi::Object object, const HubPointer& hub) {
  const auto add = [&](const char* name, auto call) {
    add_function(env, object, name, [hub, call](const Info& info) -> Napi::Value {
      const std::lock_guard<std::mutex> hold(hub->mutex_);
      Station* station = station_of(*hub, info);
      return station ? call(*hub, *station, info) : info.Env().Undefined();
    });
  };
  const auto number = [](const Info& info, uint32_t value) -> Napi::Value { return Napi::Number::New(info.Env(), value); };
  const auto truth = [](const Info& info, bool value) -> Napi::Value { return Napi::Boolean::New(info.Env(), value); };
  add("receive", [=](Hub& h, Station& s, const Info& info) {
    h.batch_.reset();
    return number(info, s.port->receive(h.batch_, info[1].IsNumber() ? info[1].ToNumber().Uint32Value() : kBatchFrames));
  });
  add("unreceive", [](Hub& h, Station& s, const Info& info) {
    s.port->unreceive(info[1].ToNumber().Uint32Value());
    h.batch_.count -= info[1].ToNumber().Uint32Value();
    return info.Env().Undefined();
  });
  add("release", [](Hub& h, Station& s, const Info& info) {
    s.port->release(h.batch_, frame_range(h, info, 1));
    return info.Env().Undefined();
  });
  add("reserve", [=](Hub& h, Station& s, const Info& info) { return number(info, s.port->reserve(h.batch_, frame_range(h, info, 1))); });
  add("deliver", [=](Hub& h, Station& s, const Info& info) { return number(info, s.port->deliver(h.batch_, frame_range(h, info, 1))); });
  add("cancel", [](Hub& h, Station& s, const Info& info) {
    s.port->cancel(h.batch_, frame_range(h, info, 1));
    return info.Env().Undefined();
  });
  add("notify", [](Hub&, Station& s, const Info& info) { return s.port->notify(), info.Env().Undefined(); });
  add("arm", [=](Hub&, Station& s, const Info& info) { return truth(info, s.port->arm()); });
  add("disarm", [](Hub&, Station& s, const Info& info) { return s.port->disarm(), info.Env().Undefined(); });
  add("rang", [](Hub&, Station& s, const Info& info) { return s.port->rang(), info.Env().Undefined(); });
  add("alive", [=](Hub&, Station& s, const Info& info) { return truth(info, s.port->alive()); });
  add("state", [](Hub&, Station& s, const Info& info) -> Napi::Value { return Napi::String::New(info.Env(), s.port->state()); });
  add("counters", [](Hub&, Station& s, const Info& info) -> Napi::Value { return counters_object(info.Env(), s.port->counters); });
  add("remove", [](Hub& h, Station&, const Info& info) {
    h.stations_.erase(info[0].As<Napi::String>());
    return info.Env().Undefined();
  });
  // The batch that the last receive() made: bytes, times, and what is behind the bytes up to the next line.
  add_function(env, object, "frames", [hub](const Info& info) -> Napi::Value {
    Napi::Env e = info.Env();
    Napi::Array list = Napi::Array::New(e);
    for (uint32_t i = 0; i < hub->batch_.count; i++) {
      const Frame& frame = hub->batch_.frames[i];
      Napi::Object entry = Napi::Object::New(e);
      entry.Set("bytes", Napi::Buffer<uint8_t>::Copy(e, frame.bytes, frame.length));
      entry.Set("padding", Napi::Buffer<uint8_t>::Copy(e, frame.bytes + frame.length, (64 - frame.length % 64) % 64));
      entry.Set("wireLength", frame.wire_length);
      entry.Set("timeNs", from_u64(e, frame.time_ns));
      entry.Set("framed", Napi::Boolean::New(e, frame.framed));
      entry.Set("aligned", Napi::Boolean::New(e, reinterpret_cast<uintptr_t>(frame.bytes) % 64 == 0));
      entry.Set("inStore", Napi::Boolean::New(e, frame.store_offset != 0 && hub->pool_->at(frame.store_offset) == frame.bytes));
      list.Set(i, entry);
    }
    return list;
  });
}

// The client's side of a port made by local().
void add_client_calls(Napi::Env env, Napi::Object object, const HubPointer& hub) {
  const auto add = [&](const char* name, auto call) {
    add_function(env, object, name, [hub, call](const Info& info) -> Napi::Value {
      Station* station = station_of(*hub, info);
      return station ? call(*station->client, info) : info.Env().Undefined();
    });
  };
  add("clientSend", [](PortClient& client, const Info& info) -> Napi::Value {
    const auto list = info[1].As<Napi::Array>();
    std::vector<uint8_t> data;
    std::vector<uint32_t> offsets, lengths;
    for (uint32_t i = 0; i < list.Length(); i++) {
      const auto bytes = list.Get(i).As<Bytes>();
      offsets.push_back(static_cast<uint32_t>(data.size()));
      lengths.push_back(static_cast<uint32_t>(bytes.ByteLength()));
      data.insert(data.end(), bytes.Data(), bytes.Data() + bytes.ByteLength());
    }
    const uint32_t sent = client.send(data.data(), offsets.data(), lengths.data(), list.Length());
    client.flush();
    return Napi::Number::New(info.Env(), sent);
  });
  add("clientReceive", [](PortClient& client, const Info& info) -> Napi::Value {
    std::vector<uint8_t> data(info[2].IsNumber() ? info[2].ToNumber().Uint32Value() : 4u << 20);
    std::vector<uint32_t> offsets(4096), lengths(4096);
    const uint32_t max = info[1].IsNumber() ? info[1].ToNumber().Uint32Value() : 4096;
    const uint32_t count = client.receive(data.data(), data.size(), offsets.data(), lengths.data(), max);
    Napi::Array list = Napi::Array::New(info.Env());
    for (uint32_t i = 0; i < count; i++)
      list.Set(i, Napi::Buffer<uint8_t>::Copy(info.Env(), data.data() + offsets[i], lengths[i]));
    return list;
  });
  add("clientRoom", [](PortClient& client, const Info& info) -> Napi::Value { return Napi::Number::New(info.Env(), client.room()); });
  add("clientPending", [](PortClient& client, const Info& info) -> Napi::Value { return Napi::Number::New(info.Env(), client.pending()); });
  add("clientArm", [](PortClient& client, const Info& info) -> Napi::Value {
    return Napi::Boolean::New(info.Env(), client.arm(info[1].ToBoolean().Value()));
  });
  add("clientWait", [](PortClient& client, const Info& info) -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<int>(client.wait(info[1].ToBoolean().Value(), info[2].ToNumber().Int32Value())));
  });
  add("layout", [](PortClient& client, const Info& info) -> Napi::Value {
    Napi::Object at = Napi::Object::New(info.Env());
    const auto offset = [&](const void* field) {
      return static_cast<double>(static_cast<const uint8_t*>(field) - client.memory());
    };
    at.Set("bytes", static_cast<double>(client.memory_bytes()));
    at.Set("txRing", offset(client.tx_ring()));
    at.Set("rxRing", offset(client.rx_ring()));
    at.Set("txSync", offset(client.tx_sync()));
    at.Set("rxSync", offset(client.rx_sync()));
    return at;
  });
  add("peek", [](PortClient& client, const Info& info) -> Napi::Value {
    return Napi::Buffer<uint8_t>::Copy(info.Env(), client.memory() + to_u64(info[1]), to_u64(info[2]));
  });
  add("poke", [](PortClient& client, const Info& info) -> Napi::Value {
    const auto bytes = info[2].As<Bytes>();
    std::memcpy(client.memory() + to_u64(info[1]), bytes.Data(), bytes.ByteLength());
    return info.Env().Undefined();
  });
  // mutate(name, seed, writes): rubbish into positions, slots and buffers from this thread while the hub's thread forwards.
  add("mutate", [](PortClient& client, const Info& info) -> Napi::Value {
    std::mt19937 random(info[1].ToNumber().Uint32Value());
    const uint32_t writes = info[2].ToNumber().Uint32Value();
    netmap::Ring* rings[] = {client.tx_ring(), client.rx_ring()};
    netmap::RingSync* syncs[] = {client.tx_sync(), client.rx_sync()};
    const uint32_t values[] = {0, 1, 2, 63, 64, 1023, 1024, 2048, 2049, 4096, 0x7fffffff, 0x80000000, 0xffffffff};
    for (uint32_t i = 0; i < writes; i++) {
      const uint32_t value = random() % 2 ? values[random() % std::size(values)] : static_cast<uint32_t>(random());
      netmap::Ring* ring = rings[random() % 2];
      auto* target = reinterpret_cast<volatile uint32_t*>(client.memory());
      switch (random() % 5) {
        case 0:
          target = reinterpret_cast<volatile uint32_t*>(syncs[random() % 2]) + random() % (sizeof(netmap::RingSync) / 4);
          break;
        case 1:
          target = reinterpret_cast<volatile uint32_t*>(ring) + random() % (sizeof(netmap::Ring) / 4);
          break;
        case 2:
        case 3:
          target = reinterpret_cast<volatile uint32_t*>(&ring->slot[random() % 64]) + random() % 4;
          break;
        default:
          target += random() % (client.memory_bytes() / 4);
      }
      *target = value;
      if (random() % 4 == 0) syncs[0]->client.head = random() % 64;  // often plausible, so that frames are taken
    }
    return info.Env().Undefined();
  });
}

Napi::Value make_hub(const Info& info) {
  const auto hub = std::make_shared<Hub>();
  Napi::Object object = Napi::Object::New(info.Env());
  add_hub_calls(info.Env(), object, hub);
  add_port_calls(info.Env(), object, hub);
  add_client_calls(info.Env(), object, hub);
  return object;
}

}  // namespace

void add_ports(Napi::Env env, Napi::Object exports) {
  add_function(env, exports, "makeHub", make_hub);
  add_hostile_client(env, exports);
}

}  // namespace paste::test
