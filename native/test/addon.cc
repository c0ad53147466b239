// The addon of the tests: drivers that the product does not carry.
#include "test/binding.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  paste::test::add_crash(env, exports);
  paste::test::add_devices(env, exports);
  paste::test::add_frame_memory(env, exports);
  paste::test::add_index(env, exports);
  paste::test::add_offload(env, exports);
  paste::test::add_overtake(env, exports);
  paste::test::add_pmem(env, exports);
  paste::test::add_mac_table(env, exports);
  paste::test::add_marked(env, exports);
  paste::test::add_netmap(env, exports);
  paste::test::add_ports(env, exports);
  paste::test::add_store(env, exports);
  paste::test::add_tree(env, exports);
  return exports;
}

NODE_API_MODULE(paste_switch_test, Init)
