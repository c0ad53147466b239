// What finishes checksums and cuts segments, for the tests: bytes in, bytes out.
#include <cstring>
#include <memory>
#include <vector>

#include "core/ports/checksum.h"
#include "core/ports/offload.h"
#include "test/binding.h"

namespace paste::test {
namespace {

using Info = Napi::CallbackInfo;
using Bytes = Napi::Uint8Array;

VirtioNetHeader header_of(const Napi::Value& value) {
  VirtioNetHeader header{};
  const auto bytes = value.As<Bytes>();
  std::memcpy(&header, bytes.Data(), std::min<size_t>(bytes.ByteLength(), sizeof header));
  return header;
}

// Frames lie in memory of exactly their size, so that a sanitizer sees a byte too far.
std::unique_ptr<uint8_t[]> copy_of(const Bytes& bytes) {
  std::unique_ptr<uint8_t[]> copy(new uint8_t[bytes.ByteLength()]);
  std::memcpy(copy.get(), bytes.Data(), bytes.ByteLength());
  return copy;
}

// finishChecksum(header, frame): the frame, or null when the header does not fit it
Napi::Value finish(const Info& info) {
  const auto bytes = info[1].As<Bytes>();
  const auto length = static_cast<uint32_t>(bytes.ByteLength());
  const auto frame = copy_of(bytes);
  if (!finish_checksum(header_of(info[0]), frame.get(), length)) return info.Env().Null();
  return Napi::Buffer<uint8_t>::Copy(info.Env(), frame.get(), length);
}

// completeChecksum(frame): the frame, finished where it was unfinished, or null when nothing was to do
Napi::Value complete(const Info& info) {
  const auto bytes = info[0].As<Bytes>();
  const auto length = static_cast<uint32_t>(bytes.ByteLength());
  const auto frame = copy_of(bytes);
  const bool completed = complete_checksum(frame.get(), length);
  PASTE_CHECK(completed || std::memcmp(frame.get(), bytes.Data(), length) == 0);
  if (!completed) return info.Env().Null();
  return Napi::Buffer<uint8_t>::Copy(info.Env(), frame.get(), length);
}

// segments(header, frame): the segments, or null
Napi::Value segments(const Info& info) {
  const auto bytes = info[1].As<Bytes>();
  const auto frame = copy_of(bytes);
  Segmenter segmenter;
  if (!segmenter.begin(header_of(info[0]), frame.get(), static_cast<uint32_t>(bytes.ByteLength()))) return info.Env().Null();
  Napi::Array list = Napi::Array::New(info.Env());
  while (!segmenter.done()) {
    const uint32_t length = segmenter.next_bytes();
    std::unique_ptr<uint8_t[]> to(new uint8_t[length]);
    PASTE_CHECK(segmenter.write(to.get()) == length);
    list.Set(list.Length(), Napi::Buffer<uint8_t>::Copy(info.Env(), to.get(), length));
  }
  return list;
}

// join(frames): { count, header, frame }, how many of them go together and as what; or null
Napi::Value join(const Info& info) {
  const auto list = info[0].As<Napi::Array>();
  std::vector<std::unique_ptr<uint8_t[]>> frames;
  std::vector<uint32_t> lengths;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    frames.push_back(copy_of(list.Get(i).As<Bytes>()));
    lengths.push_back(static_cast<uint32_t>(list.Get(i).As<Bytes>().ByteLength()));
  }
  Joiner joiner;
  if (!joiner.begin(frames[0].get(), lengths[0])) return info.Env().Null();
  while (joiner.count() < frames.size() && joiner.add(frames[joiner.count()].get(), lengths[joiner.count()])) continue;
  VirtioNetHeader header;
  std::vector<uint8_t> whole(joiner.header_bytes());
  joiner.finish(&header, whole.data());
  for (uint32_t i = 0; i < joiner.count(); ++i)
    whole.insert(whole.end(), frames[i].get() + joiner.header_bytes(), frames[i].get() + lengths[i]);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("count", joiner.count());
  result.Set("header", Napi::Buffer<uint8_t>::Copy(info.Env(), reinterpret_cast<const uint8_t*>(&header), sizeof header));
  result.Set("frame", Napi::Buffer<uint8_t>::Copy(info.Env(), whole.data(), whole.size()));
  return result;
}

}  // namespace

void add_offload(Napi::Env env, Napi::Object exports) {
  exports.Set("completeChecksum", Napi::Function::New(env, complete));
  add_function(env, exports, "finishChecksum", finish);
  add_function(env, exports, "join", join);
  add_function(env, exports, "segments", segments);
}

}  // namespace paste::test
