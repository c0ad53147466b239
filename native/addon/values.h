// Numbers for JavaScript.
#pragma once

#include <napi.h>

#include <cstdint>

namespace paste {

// Exact up to 2^53.
inline Napi::Number number(Napi::Env env, uint64_t value) { return Napi::Number::New(env, static_cast<double>(value)); }
inline Napi::BigInt bigint(Napi::Env env, uint64_t value) { return Napi::BigInt::New(env, value); }

}  // namespace paste
