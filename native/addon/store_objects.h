// Reports, counters and the layout of stores as JavaScript objects; the engine's binding uses the first two as well.
#pragma once

#include <napi.h>

#include "core/store/store.h"

namespace paste {

Napi::Object report_object(Napi::Env env, const RecoveryReport& report);
Napi::Object counters_object(Napi::Env env, const StoreCounters& counters);
// storeLayout(): { constants: { name: bigint }, structs: { Name: { size, fields: { name: [offset, size] } } } }
Napi::Value store_layout(const Napi::CallbackInfo& info);

}  // namespace paste
