// A writer that overwrites a small store at full speed while readers scan it: they may miss records, and count that, but never
// return a wrong byte.
#include <atomic>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>

#include "core/store/reader.h"
#include "core/store/store.h"
#include "test/binding.h"

namespace paste::test {
namespace {

constexpr uint32_t kFrameBytesMost = 3000;

// A frame says in its first bytes what the rest must be.
uint32_t fill_frame(uint8_t* bytes, uint64_t id) {
  std::mt19937_64 random(id);
  const auto length = static_cast<uint32_t>(64 + random() % (kFrameBytesMost - 64));
  std::memcpy(bytes, &id, sizeof id);
  for (uint32_t at = sizeof id; at < length; at += 8) {
    const uint64_t word = random();
    std::memcpy(bytes + at, &word, std::min<size_t>(8, length - at));
  }
  return length;
}

bool frame_right(const uint8_t* bytes, uint32_t length) {
  uint64_t id;
  if (length < sizeof id) return false;
  std::memcpy(&id, bytes, sizeof id);
  uint8_t expected[kFrameBytesMost + 8];
  return fill_frame(expected, id) == length && std::memcmp(expected, bytes, length) == 0;
}

struct Tally {
  std::atomic<uint64_t> written{0}, passes{0};
  uint64_t read = 0, wrong = 0, disordered = 0, overtaken = 0, corrupt = 0;
  std::string failure;
};

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

Status read_pass(const std::string& path, bool follow, const std::atomic<bool>& stop, Tally* tally) {
  std::unique_ptr<Reader> reader;
  if (Status status = Reader::open(path, &reader); !status.ok()) return status;
  ReadOptions options;
  options.frames_only = false;
  options.follow = follow;
  reader->start(options);
  ReadBatch batch;
  uint64_t last = 0;
  for (;;) {
    batch.clear();
    const Reader::More more = reader->next(&batch, 256, 1u << 20);
    for (const ReadRecord& record : batch.records) {
      const layout::RecordHeader& header = batch.header(record);
      if ((header.flags & layout::kRepeated) != 0) continue;
      tally->disordered += header.sequence <= last ? 1 : 0;
      last = header.sequence;
      if (header.type != layout::kFrame) continue;
      tally->read += 1;
      tally->wrong += frame_right(batch.payload(record), record.length) ? 0 : 1;
    }
    if (more == Reader::More::kEnd && (!follow || stop.load())) break;
  }
  tally->passes += 1;
  tally->overtaken += reader->counters().overtaken;
  tally->corrupt += reader->counters().corrupt;
  return reader->status();
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
  for (const auto& [name, tally] : {std::pair{"scanner", &scanner}, std::pair{"follower", &follower}}) {
    Napi::Object one = Napi::Object::New(env);
    one.Set("read", from_u64(env, tally->read));
    one.Set("passes", from_u64(env, tally->passes));
    one.Set("wrong", from_u64(env, tally->wrong));
    one.Set("disordered", from_u64(env, tally->disordered));
    one.Set("overtaken", from_u64(env, tally->overtaken));
    one.Set("corrupt", from_u64(env, tally->corrupt));
    one.Set("failure", tally->failure);
    face.Set(name, one);
  }
  return face;
}

}  // namespace

void add_overtake(Napi::Env env, Napi::Object exports) { add_function(env, exports, "overtake", overtake); }

}  // namespace paste::test
