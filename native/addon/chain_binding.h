// A part of the chain over an export's records, for JavaScript.
#pragma once

#include <napi.h>

#include "core/export/record_chain.h"

namespace paste {

inline Napi::Value digests(Napi::Env env, const Digest* digests, size_t count) {
  return Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t*>(digests), count * sizeof(Digest));
}

// { before, after: Buffer, records, stride: number, firstId, lastId, firstNs, lastNs: bigint, marks: Buffer of 32 bytes each }
inline Napi::Object part_object(Napi::Env env, const ChainPart& part) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("before", digests(env, &part.before, 1));
  object.Set("after", digests(env, &part.after, 1));
  object.Set("records", Napi::Number::New(env, static_cast<double>(part.records)));
  object.Set("stride", Napi::Number::New(env, static_cast<double>(part.stride)));
  object.Set("firstId", Napi::BigInt::New(env, part.first_id));
  object.Set("lastId", Napi::BigInt::New(env, part.last_id));
  object.Set("firstNs", Napi::BigInt::New(env, part.first_ns));
  object.Set("lastNs", Napi::BigInt::New(env, part.last_ns));
  object.Set("marks", digests(env, part.marks.data(), part.marks.size()));
  return object;
}

}  // namespace paste
