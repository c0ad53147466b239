// Work off the main thread, as a promise.
#pragma once

#include <napi.h>

#include <functional>

#include "core/base/status.h"

namespace paste {

using JobWork = std::function<Status()>;
using JobResult = std::function<Napi::Value(Napi::Env)>;

// `work` runs on a thread of libuv's pool and touches nothing of JavaScript. Then, on the main thread, `ended`, however the work
// went, and `result`: the promise resolves with its value, or is rejected with the failure that `work` returned.
Napi::Promise start_job(Napi::Env env, JobWork work, JobResult result, std::function<void()> ended = {});

// The result of a job that has none.
inline Napi::Value undefined(Napi::Env env) { return env.Undefined(); }

}  // namespace paste
