// A writer that overwrites a small store at full speed while readers scan it: they may miss records, and count that, but never
// return a wrong byte.
#include <chrono>
#include <thread>

#include "core/store/store.h"
#include "test/telling_frames.h"

namespace paste::test {
namespace {

void write_on(Store& store, const std::atomic<bool>& stop, Tally* tally) {
  Lane& lane = store.lane(0);
  alignas(64) static thread_local uint8_t bytes[8][kFrameBytesMost + 8];
  for (uint64_t id = 1; !stop.load(std::memory_order_relaxed);) {
    FrameRecord frames[8];
    size_t planned = 0;
    for (; planned < 8; ++planned) {
      FrameRecord& frame = frames[planned];
      frame.bytes = bytes[planned];
      frame.length = frame.wire_length = fill_frame(bytes[planned], id + planned);
      frame.time_ns = id + planned;
      if (lane.plan(frame) != PlanResult::kRoom) break;
    }
    lane.append({frames, planned});
    (void)lane.commit();
    id += planned;
    tally->written += planned;
  }
}

// overtake(path, { sizeBytes, frames, passes }): a follower and a scanner beside the writer, until that many frames are written and
// that often the store was scanned (or half a minute has passed).
Napi::Value overtake(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string path = info[0].ToString();
  const auto options = info[1].As<Napi::Object>();
  CreateStoreOptions create;
  create.size_bytes = to_u64(options.Get("sizeBytes"));
  create.block_bytes = layout::kBlockBytesMin;
  std::unique_ptr<Store> store;
  if (!ok_or_throw(env, Store::create(path, create))) return env.Undefined();
  if (!ok_or_throw(env, Store::open(path, {}, &store, nullptr))) return env.Undefined();
  std::atomic<bool> stop{false};
  Tally writer, scanner, follower;
  std::thread writing([&] { write_on(*store, stop, &writer); });
  std::thread following([&] {
    if (Status status = read_pass(path, true, stop, &follower); !status.ok()) follower.failure = status.message();
  });
  std::thread scanning([&] {
    while (!stop.load() && scanner.failure.empty())
      if (Status status = read_pass(path, false, stop, &scanner); !status.ok()) scanner.failure = status.message();
  });
  const uint64_t frames = to_u64(options.Get("frames")), passes = to_u64(options.Get("passes"));
  const auto latest = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while ((writer.written < frames || scanner.passes < passes) && std::chrono::steady_clock::now() < latest)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  stop.store(true);
  writing.join();
  following.join();
  scanning.join();
  const Status closed = store->close();
  store.reset();
  if (!ok_or_throw(env, closed)) return env.Undefined();

  Napi::Object face = Napi::Object::New(env);
  face.Set("written", from_u64(env, writer.written));
  face.Set("scanner", tally_object(env, scanner));
  face.Set("follower", tally_object(env, follower));
  return face;
}

}  // namespace

void add_overtake(Napi::Env env, Napi::Object exports) { add_function(env, exports, "overtake", overtake); }

}  // namespace paste::test
