#include "addon/port_options_binding.h"

namespace {

using namespace paste;

// A whole number below 65536, or false.
bool vlan_id(const Napi::Value& value, uint16_t* id) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= 65535) || number != static_cast<double>(static_cast<uint16_t>(number))) return false;
  *id = static_cast<uint16_t>(number);
  return true;
}

Status parse_vlan(const Napi::Object& given, VlanConfig* vlan) {
  const Napi::Value policy = given.Get("policy");
  const std::string word = policy.IsString() ? policy.As<Napi::String>().Utf8Value() : "";
  if (word == "access")
    vlan->policy = VlanPolicy::kAccess;
  else if (word == "trunk")
    vlan->policy = VlanPolicy::kTrunk;
  else if (word != "transparent")
    return {Code::kUsage, "vlan.policy is transparent, access or trunk, not \"" + word + "\""};
  if (!vlan_id(given.Get("vid"), &vlan->vid)) return {Code::kUsage, "vlan.vid is a VLAN id"};
  const Napi::Value allowed = given.Get("allowed");
  if (allowed.IsUndefined()) return {};
  if (!allowed.IsArray()) return {Code::kUsage, "vlan.allowed is an array of VLAN ids"};
  const auto ids = allowed.As<Napi::Array>();
  auto set = std::make_shared<std::bitset<kVlanIds>>();
  for (uint32_t i = 0; i < ids.Length(); i++) {
    uint16_t id = 0;
    if (!vlan_id(ids.Get(i), &id) || id >= kVlanIds) return {Code::kUsage, "vlan.allowed is an array of VLAN ids"};
    set->set(id);
  }
  vlan->allowed = std::move(set);
  return {};
}

Status parse_mirror(const Napi::Object& given, MirrorOptions* mirror) {
  const Napi::Value ports = given.Get("ports");
  if (!ports.IsArray()) return {Code::kUsage, "mirror.ports is an array of port names"};
  const auto names = ports.As<Napi::Array>();
  for (uint32_t i = 0; i < names.Length(); i++) {
    const Napi::Value name = names.Get(i);
    if (!name.IsString()) return {Code::kUsage, "mirror.ports is an array of port names"};
    mirror->ports.push_back(name.As<Napi::String>().Utf8Value());
  }
  mirror->in = given.Get("in").ToBoolean();
  mirror->out = given.Get("out").ToBoolean();
  return {};
}

}  // namespace

Status parse_port_options(const Napi::Value& value, PortOptions* options) {
  if (value.IsUndefined()) return {};
  if (!value.IsObject()) return {Code::kUsage, "options of a port are an object"};
  const auto given = value.As<Napi::Object>();
  if (const Napi::Value vlan = given.Get("vlan"); vlan.IsObject())
    if (Status status = parse_vlan(vlan.As<Napi::Object>(), &options->vlan); !status.ok()) return status;
  if (const Napi::Value mirror = given.Get("mirror"); mirror.IsObject())
    return parse_mirror(mirror.As<Napi::Object>(), &options->mirror);
  return {};
}
