#include "addon/engine_objects.h"

#include "addon/values.h"

namespace paste {
namespace {

template <size_t n>
Napi::Object by_name(Napi::Env env, const uint64_t (&counts)[n], const OutcomeText (&texts)[n]) {
  Napi::Object object = Napi::Object::New(env);
  for (size_t i = 0; i < n; i++) object.Set(texts[i].name, number(env, counts[i]));
  return object;
}

Napi::Object port_counters(Napi::Env env, const PortCounters& c) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("receivedFrames", number(env, c.received_frames));
  o.Set("receivedBytes", number(env, c.received_bytes));
  o.Set("forwardedFrames", number(env, c.forwarded_frames));
  o.Set("dropped", by_name(env, c.dropped, kDropTexts));
  o.Set("intendedCopies", number(env, c.intended_copies));
  o.Set("deliveredCopies", number(env, c.delivered_copies));
  o.Set("deliveredBytes", number(env, c.delivered_bytes));
  o.Set("refused", by_name(env, c.refused, kRefusalTexts));
  o.Set("copiedFrames", number(env, c.copied_frames));
  o.Set("zeroCopyFrames", number(env, c.zero_copy_frames));
  o.Set("inPlaceCopies", number(env, c.in_place_copies));
  o.Set("rejectedLearning", number(env, c.rejected_learning));
  o.Set("kicksSent", number(env, c.kicks_sent));
  o.Set("kicksReceived", number(env, c.kicks_received));
  o.Set("clientFaults", number(env, c.client_faults));
  return o;
}

Napi::Object port_info(Napi::Env env, const PortInfo& port) {
  static constexpr const char* kKinds[] = {"", "vale", "pcap", "netmap", "xdp", "tap", "import"};
  Napi::Object o = Napi::Object::New(env);
  o.Set("name", port.name);
  o.Set("kind", kKinds[port.kind]);
  o.Set("state", port.state);
  o.Set("id", port.id);
  o.Set("thread", port.thread);
  o.Set("slots", port.slots);
  o.Set("frameBytesMax", port.frame_bytes_max);
  o.Set("clientPid", port.client_pid);
  o.Set("clientUid", port.client_uid);
  o.Set("counters", port_counters(env, port.counters));
  Napi::Object device = Napi::Object::New(env);
  device.Set("dropped", number(env, port.device.dropped));
  device.Set("ringFull", number(env, port.device.ring_full));
  device.Set("noBuffer", number(env, port.device.no_buffer));
  device.Set("invalidDescriptors", number(env, port.device.invalid_descriptors));
  o.Set("device", device);
  o.Set("detail", port.detail);
  o.Set("interface", port.interface);
  o.Set("vlan", port.vlan);
  Napi::Array mirrored = Napi::Array::New(env, port.mirror.ports.size());
  for (uint32_t i = 0; i < port.mirror.ports.size(); i++) mirrored.Set(i, port.mirror.ports[i]);
  o.Set("mirror", mirrored);
  const char* direction = port.mirror.in && port.mirror.out ? "both" : port.mirror.in ? "in" : "out";
  o.Set("mirrorDirection", port.mirror.listens() ? direction : "");
  return o;
}

template <size_t n>
Napi::Array outcome_list(Napi::Env env, const OutcomeText (&texts)[n]) {
  Napi::Array list = Napi::Array::New(env, n);
  for (uint32_t i = 0; i < n; i++) {
    Napi::Object o = Napi::Object::New(env);
    o.Set("name", texts[i].name);
    o.Set("sentence", texts[i].sentence);
    list.Set(i, o);
  }
  return list;
}

}  // namespace

Napi::Object engine_stats(Napi::Env env, const EngineStats& stats) {
  Napi::Object o = Napi::Object::New(env);
  Napi::Array ports = Napi::Array::New(env, stats.ports.size());
  for (uint32_t i = 0; i < stats.ports.size(); i++) ports.Set(i, port_info(env, stats.ports[i]));
  Napi::Array rules = Napi::Array::New(env, stats.rules.size());
  for (uint32_t i = 0; i < stats.rules.size(); i++) {
    Napi::Object rule = Napi::Object::New(env);
    rule.Set("name", stats.rules[i].name);
    rule.Set("hits", number(env, stats.rules[i].hits));
    rule.Set("logged", number(env, stats.rules[i].logged));
    rule.Set("bytes", number(env, stats.rules[i].bytes));
    rules.Set(i, rule);
  }
  o.Set("ports", ports);
  o.Set("detached", port_counters(env, stats.detached));
  o.Set("rules", rules);
  o.Set("selected", number(env, stats.selected));
  o.Set("logged", number(env, stats.logged));
  o.Set("notLogged", by_name(env, stats.not_logged, kNotLoggedTexts));
  o.Set("batches", number(env, stats.batches));
  o.Set("strictBatches", number(env, stats.strict_batches));
  o.Set("ticketsWaiting", number(env, stats.tickets_waiting));
  o.Set("ingressBlockedMs", number(env, stats.ingress_blocked_ms));
  o.Set("macEntries", number(env, stats.mac_entries));
  o.Set("macLearned", number(env, stats.mac_learned));
  o.Set("macMoved", number(env, stats.mac_moved));
  o.Set("macAged", number(env, stats.mac_aged));
  o.Set("macRefused", number(env, stats.mac_refused));
  o.Set("ruleSet", stats.rule_set);
  Napi::Array taps = Napi::Array::New(env, stats.taps.size());
  for (uint32_t i = 0; i < stats.taps.size(); i++) taps.Set(i, stats.taps[i]);
  o.Set("taps", taps);
  return o;
}

Napi::Value outcomes(const Napi::CallbackInfo& info) {
  Napi::Object o = Napi::Object::New(info.Env());
  o.Set("drops", outcome_list(info.Env(), kDropTexts));
  o.Set("refusals", outcome_list(info.Env(), kRefusalTexts));
  o.Set("notLogged", outcome_list(info.Env(), kNotLoggedTexts));
  return o;
}

}  // namespace paste
