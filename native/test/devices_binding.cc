// Devices for the tests: what a port would do with them, as plain calls.
#include <unistd.h>

#include <cstring>
#include <memory>

#include "core/devices/broker.h"
#include "core/devices/broker_protocol.h"
#include "core/base/descriptor_packet.h"
#include "core/devices/devices.h"
#include "test/binding.h"

namespace paste::test {
namespace {

using Info = Napi::CallbackInfo;

std::string text_of(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}
int64_t number_of(const Napi::Object& object, const char* name, int64_t missing) {
  const Napi::Value value = object.Get(name);
  return value.IsNumber() ? value.As<Napi::Number>().Int64Value() : missing;
}
bool flag_of(const Napi::Object& object, const char* name) { return object.Get(name).ToBoolean(); }

Napi::Object info_object(Napi::Env env, const InterfaceInfo& info) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("index", info.index);
  object.Set("mtu", info.mtu);
  object.Set("rxQueues", info.rx_queues);
  object.Set("txQueues", info.tx_queues);
  object.Set("mac", Napi::Buffer<uint8_t>::Copy(env, info.mac, sizeof info.mac));
  object.Set("up", info.up);
  object.Set("running", info.running);
  object.Set("driver", info.driver);
  return object;
}

Napi::Array descriptors(Napi::Env env, const std::vector<int>& fds) {
  Napi::Array array = Napi::Array::New(env, fds.size());
  for (uint32_t i = 0; i < fds.size(); i++) array.Set(i, fds[i]);
  return array;
}

Napi::Value open_tap(const Info& info, Devices& devices) {
  const auto from = info[0].As<Napi::Object>();
  TapRequest request;
  request.name = text_of(from, "name");
  request.netns = text_of(from, "netns");
  request.queues = static_cast<uint32_t>(number_of(from, "queues", 1));
  request.mtu = static_cast<uint32_t>(number_of(from, "mtu", 0));
  request.persist = flag_of(from, "persist");
  request.vnet_header = flag_of(from, "vnetHeader");
  request.offloads = static_cast<uint32_t>(number_of(from, "offloads", 0));
  request.owner = number_of(from, "owner", -1);
  request.group = number_of(from, "group", -1);
  request.mac = text_of(from, "mac");
  request.address = text_of(from, "address");
  std::vector<int> queues;
  InterfaceInfo found;
  if (!ok_or_throw(info.Env(), devices.open_tap(request, &queues, &found))) return info.Env().Undefined();
  Napi::Object object = info_object(info.Env(), found);
  object.Set("queues", descriptors(info.Env(), queues));
  return object;
}

Napi::Value open_xdp(const Info& info, Devices& devices) {
  const auto from = info[0].As<Napi::Object>();
  XdpRequest request;
  request.interface = text_of(from, "interface");
  request.netns = text_of(from, "netns");
  request.fragments = flag_of(from, "fragments");
  const std::string mode = text_of(from, "mode");
  if (mode == "native") request.mode = XdpRequest::Mode::kNative;
  if (mode == "generic") request.mode = XdpRequest::Mode::kGeneric;
  const auto queues = from.Get("queues").As<Napi::Array>();
  for (uint32_t i = 0; i < queues.Length(); i++) request.queues.push_back(queues.Get(i).ToNumber());
  XdpDevice device;
  if (!ok_or_throw(info.Env(), devices.open_xdp(request, &device))) return info.Env().Undefined();
  Napi::Object object = info_object(info.Env(), device.info);
  object.Set("sockets", descriptors(info.Env(), device.sockets));
  object.Set("map", device.map);
  object.Set("link", device.link);
  object.Set("native", device.native);
  return object;
}

Napi::Value devices_object(Napi::Env env, std::shared_ptr<Devices> devices) {
  Napi::Object object = Napi::Object::New(env);
  add_function(env, object, "interfaceInfo", [devices](const Info& info) -> Napi::Value {
    InterfaceInfo found;
    const std::string netns = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
    if (!ok_or_throw(info.Env(), devices->interface_info(info[0].As<Napi::String>(), netns, &found)))
      return info.Env().Undefined();
    return info_object(info.Env(), found);
  });
  add_function(env, object, "openTap", [devices](const Info& info) { return open_tap(info, *devices); });
  add_function(env, object, "openXdp", [devices](const Info& info) { return open_xdp(info, *devices); });
  add_function(env, object, "insertSocket", [devices](const Info& info) {
    ok_or_throw(info.Env(), devices->insert_socket(info[0].ToNumber(), info[1].ToNumber(), info[2].ToNumber()));
  });
  add_function(env, object, "openNetmap", [devices](const Info& info) -> Napi::Value {
    int fd = -1;
    if (!ok_or_throw(info.Env(), devices->open_netmap(&fd))) return info.Env().Undefined();
    return Napi::Number::New(info.Env(), fd);
  });
  return object;
}

// Whatever a hostile daemon might send to its broker: bytes, with `count` descriptors beside them.
Napi::Value broker_say(const Info& info) {
  const auto bytes = info[0].As<Napi::Uint8Array>();
  const std::vector<int> fds(info[1].ToNumber().Uint32Value(), 0);
  return Napi::Boolean::New(info.Env(), send_packet<kPacketDescriptorsMax>(process_broker(), bytes.Data(), bytes.ByteLength(), fds.data(), fds.size()));
}

// Its answer, "CODE: text", or null when it is gone. Waits.
Napi::Value broker_hear(const Info& info) {
  broker::Reply reply = {};
  int fds[broker::kReplyDescriptorsMax];
  size_t came = 0;
  const long size = receive_packet<broker::kReplyDescriptorsMax>(process_broker(), &reply, sizeof reply, fds, &came);
  for (size_t i = 0; i < came; i++) close(fds[i]);
  if (size != static_cast<long>(sizeof reply)) return info.Env().Null();
  return Napi::String::New(info.Env(), std::to_string(reply.code) + ": " + reply.text);
}

// A request as it should be, for tests to spoil.
Napi::Value broker_request(const Info& info) {
  broker::Request request = {};
  request.magic = broker::kMagic;
  request.version = broker::kVersion;
  request.call = broker::kInterfaceInfo;
  std::strcpy(request.name, "lo");
  return Napi::Buffer<uint8_t>::Copy(info.Env(), reinterpret_cast<uint8_t*>(&request), sizeof request);
}

Napi::Value allows(const Info& info) {
  const auto list = info[0].As<Napi::Array>();
  std::vector<std::string> globs;
  for (uint32_t i = 0; i < list.Length(); i++) globs.push_back(list.Get(i).As<Napi::String>());
  const AllowList allowed(globs);
  if (!info[1].IsString()) return Napi::Boolean::New(info.Env(), allowed.any_netns());
  return Napi::Boolean::New(info.Env(), allowed.allows(info[1].As<Napi::String>()));
}

}  // namespace

void add_devices(Napi::Env env, Napi::Object exports) {
  add_function(env, exports, "localDevices", [](const Info& info) { return devices_object(info.Env(), local_devices()); });
  add_function(env, exports, "processDevices", [](const Info& info) { return devices_object(info.Env(), process_devices()); });
  add_function(env, exports, "brokerRequest", broker_request);
  add_function(env, exports, "brokerSay", broker_say);
  add_function(env, exports, "brokerHear", broker_hear);
  add_function(env, exports, "deviceAllowed", allows);
  add_function(env, exports, "closeDescriptor", [](const Info& info) { close(info[0].ToNumber()); });
}

}  // namespace paste::test
