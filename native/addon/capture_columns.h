// A batch of a capture's frames, as bindings are given it.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>

namespace paste {

// A batch of columns as logger/capture makes them.
struct Columns {
  const uint8_t* data = nullptr;
  size_t data_bytes = 0, count = 0;
  const uint32_t* offsets = nullptr;
  const uint32_t* captured = nullptr;
  const uint32_t* wire = nullptr;
  const uint64_t* times = nullptr;
  const uint16_t* interfaces = nullptr;

  // False when the columns differ in length or a frame lies outside of the data.
  bool read(const Napi::Object& batch);
};

template <class T>
const T* column(const Napi::Object& batch, const char* name, size_t* count) {
  const Napi::Value value = batch.Get(name);
  if (!value.IsTypedArray()) return nullptr;
  const auto array = value.As<Napi::TypedArray>();
  if (array.ElementSize() != sizeof(T)) return nullptr;
  *count = array.ElementLength();
  static constexpr T nothing{};
  auto* start = static_cast<const uint8_t*>(array.ArrayBuffer().Data());
  return start ? reinterpret_cast<const T*>(start + array.ByteOffset()) : &nothing;
}

inline bool Columns::read(const Napi::Object& batch) {
  size_t counts[5] = {};
  data = column<uint8_t>(batch, "data", &data_bytes);
  offsets = column<uint32_t>(batch, "offsets", &counts[0]);
  captured = column<uint32_t>(batch, "capturedLengths", &counts[1]);
  wire = column<uint32_t>(batch, "wireLengths", &counts[2]);
  times = column<uint64_t>(batch, "timesNs", &counts[3]);
  interfaces = column<uint16_t>(batch, "interfaces", &counts[4]);
  if (!data || !offsets || !captured || !wire || !times || !interfaces) return false;
  count = counts[0];
  for (const size_t each : counts)
    if (each != count) return false;
  for (size_t i = 0; i < count; ++i)
    if (static_cast<uint64_t>(offsets[i]) + captured[i] > data_bytes) return false;
  return true;
}

}  // namespace paste
