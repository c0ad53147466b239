// Failures on their way to JavaScript: an Error whose message is "CODE: message", which native/engine.ts turns into a PasteError.
#pragma once

#include <napi.h>

#include <string>

#include "core/base/status.h"

namespace paste {

inline const char* code_name(Code code) {
  switch (code) {
    case Code::kUsage: return "USAGE";
    case Code::kStore: return "STORE";
    case Code::kPort: return "PORT";
    case Code::kCapture: return "CAPTURE";
    case Code::kPrivilege: return "PRIVILEGE";
    case Code::kResource: return "RESOURCE";
    default: return "INTERNAL";
  }
}

inline Napi::Error status_error(Napi::Env env, const Status& status) {
  return Napi::Error::New(env, std::string(code_name(status.code())) + ": " + status.message());
}

// Both give back undefined, for `return throw_status(...)`.
inline Napi::Value throw_status(Napi::Env env, const Status& status) {
  status_error(env, status).ThrowAsJavaScriptException();
  return env.Undefined();
}
inline Napi::Value throw_usage(Napi::Env env, const std::string& message) {
  return throw_status(env, Status(Code::kUsage, message));
}

}  // namespace paste
