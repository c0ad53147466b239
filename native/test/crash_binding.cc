// The crash tests' door to JavaScript.
#include <cstdio>

#include "core/store/store.h"
#include "test/binding.h"
#include "test/crash_run.h"

namespace paste::test {
namespace {

std::vector<uint8_t> read_file(const std::string& path) {
  std::vector<uint8_t> bytes;
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return bytes;
  uint8_t chunk[1 << 16];
  for (size_t got; (got = std::fread(chunk, 1, sizeof chunk, file)) > 0;) bytes.insert(bytes.end(), chunk, chunk + got);
  std::fclose(file);
  return bytes;
}

// runCrash(path, options): makes a fresh store at `path`, takes its bytes, and runs the scenario on simulated memory.
Napi::Value run_crash_scenario(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string path = info[0].ToString();
  const auto options = info[1].As<Napi::Object>();
  const auto number = [&](const char* name, uint64_t otherwise) {
    return options.Has(name) ? to_u64(options.Get(name)) : otherwise;
  };
  CreateStoreOptions create;
  create.block_bytes = static_cast<uint32_t>(number("blockBytes", layout::kBlockBytesMin));
  // One block's room more than the blocks themselves: superblocks, live page and directory.
  create.size_bytes = (number("blocks", 16) + 1) * create.block_bytes;
  if (!ok_or_throw(env, Store::create(path, create))) return env.Undefined();

  CrashConfig config;
  config.seed = number("seed", 1);
  config.lanes = static_cast<uint32_t>(number("lanes", 2));
  config.full = static_cast<FullPolicy>(number("full", 0));
  config.disk = number("disk", 0) != 0;
  config.placed = number("placed", 1) != 0;
  config.index = number("index", 0) != 0;
  config.steps = static_cast<uint32_t>(number("steps", 60));
  config.images_max = static_cast<uint32_t>(number("imagesMax", 400));
  config.look_every = static_cast<uint32_t>(number("lookEvery", 1));
  config.faults.drop_flushes = static_cast<uint32_t>(number("dropFlushes", 0));
  config.faults.drop_fences = static_cast<uint32_t>(number("dropFences", 0));
  config.stale_seeds = number("staleSeeds", 0) != 0;
  config.stop_at_first = number("stopAtFirst", 1) != 0;
  const CrashResult result = run_crash(config, read_file(path));

  Napi::Object face = Napi::Object::New(env);
  face.Set("images", from_u64(env, result.images));
  face.Set("recoveryImages", from_u64(env, result.recovery_images));
  face.Set("fences", from_u64(env, result.fences));
  face.Set("records", from_u64(env, result.records));
  face.Set("acknowledged", from_u64(env, result.acknowledged));
  face.Set("lives", from_u64(env, result.lives));
  face.Set("retired", from_u64(env, result.retired));
  face.Set("runs", from_u64(env, result.runs));
  Napi::Array wrong = Napi::Array::New(env);
  for (const std::string& sentence : result.wrong) wrong.Set(wrong.Length(), Napi::String::New(env, sentence));
  face.Set("wrong", wrong);
  return face;
}

}  // namespace

void add_crash(Napi::Env env, Napi::Object exports) { add_function(env, exports, "runCrash", run_crash_scenario); }

}  // namespace paste::test
