// The addon of the tests: drivers that the product does not carry.
#include <napi.h>

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  (void)env;
  return exports;
}

NODE_API_MODULE(paste_switch_test, Init)
