// How a specification of a kernel netmap port is understood, for test/switch/netmap-spec.test.ts.
#include "core/ports/netmap/netmap_spec.h"
#include "test/binding.h"

namespace paste::test {

void add_netmap(Napi::Env env, Napi::Object exports) {
  add_function(env, exports, "parseNetmapSpec", [](const Napi::CallbackInfo& info) -> Napi::Value {
    NetmapSpec spec;
    if (!ok_or_throw(info.Env(), parse_netmap_spec(info[0].As<Napi::String>(), &spec))) return info.Env().Undefined();
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("name", spec.name);
    if (!spec.share.empty()) object.Set("share", spec.share);
    const std::pair<const char*, uint64_t> numbers[] = {
        {"mode", spec.mode},         {"ring", spec.ring},         {"memoryId", spec.memory_id},
        {"flags", spec.flags},       {"txSlots", spec.tx_slots},  {"rxSlots", spec.rx_slots},
        {"txRings", spec.tx_rings},  {"rxRings", spec.rx_rings},  {"hostTxRings", spec.host_tx_rings},
        {"hostRxRings", spec.host_rx_rings}, {"extmem", static_cast<uint64_t>(spec.extmem)}};
    for (const auto& [key, value] : numbers)
      if (value != 0) object.Set(key, from_u64(info.Env(), value));
    return object;
  });
}

}  // namespace paste::test
