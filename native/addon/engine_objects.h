// The engine's counters, and its words for what becomes of frames, as JavaScript objects (native/engine.ts).
#pragma once

#include <napi.h>

#include "core/switch/engine.h"

namespace paste {

Napi::Object engine_stats(Napi::Env env, const EngineStats& stats);
// outcomes(): every reason for a drop, a refusal or a frame not logged
Napi::Value outcomes(const Napi::CallbackInfo& info);

}  // namespace paste
