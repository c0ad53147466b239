// Frame memory for the tests: a port's life with it, from the chunk that a device fills to the record that names it, on a real store.
#include <memory>
#include <thread>

#include "core/ports/frame_memory.h"
#include "core/store/store.h"
#include "test/telling_frames.h"

namespace paste::test {
namespace {

using Info = Napi::CallbackInfo;
constexpr uint32_t kBatch = 32;

struct Life {
  std::unique_ptr<Store> store;
  std::unique_ptr<FrameMemory> memory;
  uint64_t next_id = 1, marked = 0, packed = 0, ticket = 0;
  bool use_base = false;

  ~Life() { memory.reset(); }  // before its store
  void batch();
};

// As a port and its worker do it: fill chunks, mark or pack, commit, give the chunks back.
void Life::batch() {
  Lane& lane = store->lane(0);
  Frame frames[kBatch];
  FrameRecord records[kBatch];
  uint32_t chunks[kBatch];
  memory->reclaim();
  uint32_t taken = 0;
  for (; taken < kBatch && (chunks[taken] = memory->take()) != kNoChunk; ++taken) {
    uint8_t* const bytes = use_base ? memory->base() + memory->umem_address(chunks[taken]) : memory->bytes(chunks[taken]);
    memory->place_frame(frames[taken], bytes, fill_frame(bytes, next_id + taken));
    PASTE_CHECK(memory->chunk_of(bytes) == chunks[taken]);
  }
  uint32_t planned = 0;
  for (; planned < taken; ++planned) {
    const Frame& frame = frames[planned];
    records[planned] = {.bytes = frame.bytes, .length = frame.length, .wire_length = frame.length, .time_ns = next_id + planned,
                        .store_offset = frame.store_offset, .mark = frame.store_offset != 0};
    if (lane.plan(records[planned]) != PlanResult::kRoom) break;
  }
  lane.append({records, planned});
  ticket = lane.commit();
  for (uint32_t i = 0; i < taken; ++i) {
    if (i < planned && records[i].mark) memory->keep_for_log(chunks[i]);
    memory->drop_use(chunks[i]);
  }
  for (uint32_t i = 0; i < planned; ++i) (records[i].mark ? marked : packed) += 1;
  next_id += planned;
  if (planned < kBatch) std::this_thread::yield();  // the keeper is late
}

Napi::Object facts(Napi::Env env, const Life& life) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("marked", from_u64(env, life.marked));
  object.Set("packed", from_u64(env, life.packed));
  object.Set("ticket", from_u64(env, life.ticket));
  object.Set("chunks", life.memory->chunk_count());
  object.Set("free", life.memory->free_chunks());
  object.Set("logged", life.memory->logged_chunks());
  return object;
}

// Batches until that many frames are logged, with a follower and a scanner beside them.
Napi::Value run_beside(Napi::Env env, Life& life, uint64_t frames) {
  const std::string path = life.store->region().path();
  std::atomic<bool> stop{false};
  Tally scanner, follower;
  std::thread following([&] {
    if (Status status = read_pass(path, true, stop, &follower); !status.ok()) follower.failure = status.message();
  });
  std::thread scanning([&] {
    while (!stop.load() && scanner.failure.empty())
      if (Status status = read_pass(path, false, stop, &scanner); !status.ok()) scanner.failure = status.message();
  });
  while (life.marked + life.packed < frames || scanner.passes < 3) life.batch();
  stop.store(true);
  following.join();
  scanning.join();
  Napi::Object result = facts(env, life);
  result.Set("scanner", tally_object(env, scanner));
  result.Set("follower", tally_object(env, follower));
  return result;
}

// frameMemory(path, { chunks, chunkBytes, place, pinned }): opens the store and makes the memory.
Napi::Value make(const Info& info) {
  Napi::Env env = info.Env();
  const auto given = info[1].As<Napi::Object>();
  const auto number = [&](const char* key, uint32_t otherwise) {
    const Napi::Value value = given.Get(key);
    return value.IsNumber() ? value.As<Napi::Number>().Uint32Value() : otherwise;
  };
  auto life = std::make_shared<Life>();
  if (info[0].IsString() && !ok_or_throw(env, Store::open(info[0].As<Napi::String>(), {}, &life->store, nullptr)))
    return env.Undefined();
  FrameMemoryOptions options;
  options.chunk_bytes = number("chunkBytes", 4096);
  options.chunks = number("chunks", 0);
  options.place = static_cast<FrameMemoryPlace>(number("place", 0));
  Region* const region = life->store ? &life->store->region() : nullptr;
  BufferPool* const pool = life->store ? life->store->buffers() : nullptr;
  if (!ok_or_throw(env, FrameMemory::create(options, region, pool, &life->memory))) return env.Undefined();
  Napi::Object object = Napi::Object::New(env);
  object.Set("inStore", life->memory->in_store());
  object.Set("whyNotStore", life->memory->why_not_store());
  add_function(env, object, "pin", [life](const Info& call) {
    if (!ok_or_throw(call.Env(), life->memory->pin())) return;
    PASTE_CHECK(life->memory->base() != nullptr);
    life->use_base = true;
  });
  add_function(env, object, "facts", [life](const Info& call) { return facts(call.Env(), *life); });
  add_function(env, object, "run", [life](const Info& call) -> Napi::Value {
    for (uint64_t batches = to_u64(call[0]); batches > 0; --batches) life->batch();
    return facts(call.Env(), *life);
  });
  add_function(env, object, "runBeside",
               [life](const Info& call) -> Napi::Value { return run_beside(call.Env(), *life, to_u64(call[0])); });
  add_function(env, object, "close", [life](const Info& call) {
    life->memory.reset();
    if (life->store) ok_or_throw(call.Env(), life->store->close());
    life->store.reset();
  });
  return object;
}

// tellingFrames(path): reads a store of such frames once.
Napi::Value check(const Info& info) {
  Tally tally;
  const std::atomic<bool> stop{true};
  if (!ok_or_throw(info.Env(), read_pass(info[0].As<Napi::String>(), false, stop, &tally))) return info.Env().Undefined();
  return tally_object(info.Env(), tally);
}

}  // namespace

void add_frame_memory(Napi::Env env, Napi::Object exports) {
  add_function(env, exports, "frameMemory", make);
  add_function(env, exports, "tellingFrames", check);
}

}  // namespace paste::test
