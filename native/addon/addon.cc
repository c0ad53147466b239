// The addon's one entry: every binding file adds its functions and classes to `exports`.
#include <napi.h>

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  (void)env;
  return exports;
}

NODE_API_MODULE(paste_switch, Init)
