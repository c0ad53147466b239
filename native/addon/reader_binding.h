// What the bindings of reading, export and replay share: an open reader with its filter, and who may use it when.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "core/bpf/bpf.h"
#include "core/store/reader.h"

namespace paste {

// Lives as long as the JavaScript object or a worker that uses it. One thread at a time: `busy` is set by the main thread
// before a worker starts and cleared by it when the worker's result has come in.
struct OpenReader {
  std::unique_ptr<Reader> reader;
  BpfProgram program;
  bool has_program = false;
  bool busy = false;
};

// The reader behind a StoreReader object; null, with an exception pending, when it is none, closed or busy.
std::shared_ptr<OpenReader> reader_of(Napi::Env env, const Napi::Value& value);

// Hands a vector's memory to JavaScript, which frees it.
template <class Vector>
Napi::ArrayBuffer give(Napi::Env env, Vector&& vector) {
  auto* owned = new std::remove_reference_t<Vector>(std::move(vector));
  const size_t size = owned->size() * sizeof((*owned)[0]);
  if (size == 0) {
    delete owned;
    return Napi::ArrayBuffer::New(env, 0);
  }
  return Napi::ArrayBuffer::New(env, owned->data(), size, [owned](Napi::Env, void*) { delete owned; });
}

}  // namespace paste
