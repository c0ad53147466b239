// The addon's one entry: every binding file adds its functions and classes to `exports`.
#include <napi.h>

void init_audit(Napi::Env env, Napi::Object exports);
void init_bench(Napi::Env env, Napi::Object exports);
void init_bpf(Napi::Env env, Napi::Object exports);
void init_chain(Napi::Env env, Napi::Object exports);
void init_client(Napi::Env env, Napi::Object exports);
void init_engine(Napi::Env env, Napi::Object exports);
void init_export(Napi::Env env, Napi::Object exports);
void init_host(Napi::Env env, Napi::Object exports);
void init_launch(Napi::Env env, Napi::Object exports);
void init_live_tap(Napi::Env env, Napi::Object exports);
void init_query(Napi::Env env, Napi::Object exports);
void init_reader(Napi::Env env, Napi::Object exports);
void init_replay(Napi::Env env, Napi::Object exports);
void init_store(Napi::Env env, Napi::Object exports);
void init_tree(Napi::Env env, Napi::Object exports);

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  init_audit(env, exports);
  init_bench(env, exports);
  init_bpf(env, exports);
  init_chain(env, exports);
  init_client(env, exports);
  init_engine(env, exports);
  init_export(env, exports);
  init_host(env, exports);
  init_launch(env, exports);
  init_live_tap(env, exports);
  init_query(env, exports);
  init_reader(env, exports);
  init_replay(env, exports);
  init_store(env, exports);
  init_tree(env, exports);
  return exports;
}

NODE_API_MODULE(paste_switch, Init)
