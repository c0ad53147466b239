// Frames that say themselves whether they are right, and readers that look.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <string>

#include "core/store/reader.h"
#include "test/binding.h"

namespace paste::test {

inline constexpr uint32_t kFrameBytesMost = 3000;

// A frame says in its first bytes what the rest must be.
inline uint32_t fill_frame(uint8_t* bytes, uint64_t id) {
  std::mt19937_64 random(id);
  const auto length = static_cast<uint32_t>(64 + random() % (kFrameBytesMost - 64));
  std::memcpy(bytes, &id, sizeof id);
  for (uint32_t at = sizeof id; at < length; at += 8) {
    const uint64_t word = random();
    std::memcpy(bytes + at, &word, std::min<size_t>(8, length - at));
  }
  return length;
}

inline bool frame_right(const uint8_t* bytes, uint32_t length) {
  uint64_t id;
  if (length < sizeof id) return false;
  std::memcpy(&id, bytes, sizeof id);
  uint8_t expected[kFrameBytesMost + 8];
  return fill_frame(expected, id) == length && std::memcmp(expected, bytes, length) == 0;
}

struct Tally {
  std::atomic<uint64_t> written{0}, passes{0};
  uint64_t read = 0, placed = 0, wrong = 0, disordered = 0, overtaken = 0, corrupt = 0, last = 0;
  std::string failure;
};

inline Status read_pass(const std::string& path, bool follow, const std::atomic<bool>& stop, Tally* tally) {
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
      tally->placed += (header.flags & layout::kPlaced) != 0;
      tally->wrong += frame_right(batch.payload(record), record.length) ? 0 : 1;
    }
    if (more == Reader::More::kEnd && (!follow || stop.load())) break;
  }
  tally->last = last;
  tally->passes += 1;
  tally->overtaken += reader->counters().overtaken;
  tally->corrupt += reader->counters().corrupt;
  return reader->status();
}

inline Napi::Object tally_object(Napi::Env env, const Tally& tally) {
  Napi::Object one = Napi::Object::New(env);
  one.Set("read", from_u64(env, tally.read));
  one.Set("placed", from_u64(env, tally.placed));
  one.Set("passes", from_u64(env, tally.passes));
  one.Set("wrong", from_u64(env, tally.wrong));
  one.Set("disordered", from_u64(env, tally.disordered));
  one.Set("overtaken", from_u64(env, tally.overtaken));
  one.Set("corrupt", from_u64(env, tally.corrupt));
  one.Set("last", from_u64(env, tally.last));
  one.Set("failure", tally.failure);
  return one;
}

}  // namespace paste::test
