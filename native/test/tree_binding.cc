// The tree's crash tests for JavaScript.
#include "test/binding.h"
#include "test/tree_crash.h"

namespace paste::test {
namespace {

// runTreeCrash({ seed, pages, steps, lives, keys, disk, fault })
Napi::Value run_scenario(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto options = info[0].As<Napi::Object>();
  const auto number = [&](const char* name, uint64_t otherwise) {
    return options.Has(name) ? to_u64(options.Get(name)) : otherwise;
  };
  TreeCrashConfig config;
  config.seed = number("seed", config.seed);
  config.pages = static_cast<uint32_t>(number("pages", config.pages));
  config.steps = static_cast<uint32_t>(number("steps", config.steps));
  config.lives = static_cast<uint32_t>(number("lives", config.lives));
  config.keys = static_cast<uint32_t>(number("keys", config.keys));
  config.disk = number("disk", 0) != 0;
  config.fault = static_cast<TreeFault>(number("fault", 0));
  const TreeCrashResult result = run_tree_crash(config);
  Napi::Object face = Napi::Object::New(env);
  face.Set("images", from_u64(env, result.images));
  face.Set("commits", from_u64(env, result.commits));
  face.Set("lives", from_u64(env, result.lives));
  face.Set("full", from_u64(env, result.full));
  face.Set("entriesMax", from_u64(env, result.entries_max));
  Napi::Array wrong = Napi::Array::New(env);
  for (const std::string& sentence : result.wrong) wrong.Set(wrong.Length(), Napi::String::New(env, sentence));
  face.Set("wrong", wrong);
  return face;
}

}  // namespace

void add_tree(Napi::Env env, Napi::Object exports) { add_function(env, exports, "runTreeCrash", run_scenario); }

}  // namespace paste::test
