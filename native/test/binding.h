// What the test addon's binding files share.
#pragma once

#include <napi.h>

#include "addon/status_error.h"

namespace paste::test {

// Each binding file adds its functions to the exports; addon.cc calls them all.
void add_crash(Napi::Env env, Napi::Object exports);
void add_devices(Napi::Env env, Napi::Object exports);
void add_frame_memory(Napi::Env env, Napi::Object exports);
void add_offload(Napi::Env env, Napi::Object exports);
void add_overtake(Napi::Env env, Napi::Object exports);
void add_pmem(Napi::Env env, Napi::Object exports);
void add_ports(Napi::Env env, Napi::Object exports);
void add_index(Napi::Env env, Napi::Object exports);
void add_hostile_client(Napi::Env env, Napi::Object exports);
void add_mac_table(Napi::Env env, Napi::Object exports);
void add_marked(Napi::Env env, Napi::Object exports);
void add_netmap(Napi::Env env, Napi::Object exports);
void add_store(Napi::Env env, Napi::Object exports);
void add_tree(Napi::Env env, Napi::Object exports);

// Throws "CODE: message" to JavaScript unless ok, and says whether it was.
inline bool ok_or_throw(Napi::Env env, const Status& status) {
  if (status.ok()) return true;
  status_error(env, status).ThrowAsJavaScriptException();
  return false;
}

template <typename Call>
void add_function(Napi::Env env, Napi::Object object, const char* name, Call call) {
  object.Set(name, Napi::Function::New(env, std::move(call), name));
}

inline uint64_t to_u64(const Napi::Value& value) { return static_cast<uint64_t>(value.As<Napi::Number>().Int64Value()); }
inline Napi::Value from_u64(Napi::Env env, uint64_t value) { return Napi::Number::New(env, static_cast<double>(value)); }

}  // namespace paste::test
