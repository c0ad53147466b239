// What queries compute over frames, for JavaScript.
#include <napi.h>

#include <string>

#include "core/store/community_id.h"

namespace paste {
namespace {

using Napi::CallbackInfo;

// "1:" and Base64 (RFC 4648) of the digest's 20 bytes.
std::string community_text(const uint32_t (&digest)[5]) {
  static constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint8_t bytes[21] = {};  // one more, so that the last group is whole
  for (uint32_t i = 0; i < 20; ++i) bytes[i] = static_cast<uint8_t>(digest[i / 4] >> (24 - i % 4 * 8));
  std::string text = "1:";
  for (uint32_t i = 0; i < 21; i += 3) {
    const uint32_t group = uint32_t{bytes[i]} << 16 | uint32_t{bytes[i + 1]} << 8 | bytes[i + 2];
    for (int shift = 18; shift >= 0; shift -= 6) text += kLetters[group >> shift & 63];
  }
  text.back() = '=';
  return text;
}

// communityId(frame): text, or undefined where the frame has none.
Napi::Value community_id_of(const CallbackInfo& call) {
  if (!call[0].IsTypedArray()) return call.Env().Undefined();
  const auto frame = call[0].As<Napi::Uint8Array>();
  uint32_t digest[5];
  if (!community_id(frame.Data(), static_cast<uint32_t>(frame.ByteLength()), digest)) return call.Env().Undefined();
  return Napi::String::New(call.Env(), community_text(digest));
}

}  // namespace
}  // namespace paste

void init_query(Napi::Env env, Napi::Object exports) {
  exports.Set("communityId", Napi::Function::New(env, paste::community_id_of, "communityId"));
}
