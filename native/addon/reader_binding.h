// What the bindings of reading, export and replay share: an open reader with its filter, and who may use it when.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "core/bpf/bpf.h"
#include "core/store/reader.h"

namespace paste {

// Memory of batches that JavaScript has let go of, for the next ones: fresh memory costs a page fault for every 4 KiB, which is
// more than reading takes. Main thread only.
class BatchPool {
 public:
  ReadBatch take() {
    ReadBatch batch;
    if (!bytes_.empty()) pop(&bytes_, &batch.bytes);
    if (!records_.empty()) pop(&records_, &batch.records);
    return batch;
  }
  void put(decltype(ReadBatch::bytes)&& bytes) { push(&bytes_, std::move(bytes)); }
  void put(decltype(ReadBatch::records)&& records) { push(&records_, std::move(records)); }

 private:
  static constexpr size_t kKept = 4;
  static constexpr size_t kKeptBytesMax = 4u << 20;  // of each
  template <class Vector>
  static void pop(std::vector<Vector>* from, Vector* to) {
    *to = std::move(from->back());
    from->pop_back();
  }
  template <class Vector>
  static void push(std::vector<Vector>* to, Vector&& vector) {
    if (to->size() >= kKept || vector.capacity() * sizeof(vector[0]) > kKeptBytesMax) return;
    vector.clear();
    to->push_back(std::move(vector));
  }
  std::vector<decltype(ReadBatch::bytes)> bytes_;
  std::vector<decltype(ReadBatch::records)> records_;
};

// Lives as long as the JavaScript object or a worker that uses it. One thread at a time: `busy` is set by the main thread
// before a worker starts and cleared by it when the worker's result has come in.
struct OpenReader {
  std::unique_ptr<Reader> reader;
  BpfProgram program;
  bool has_program = false;
  bool busy = false;
  std::shared_ptr<BatchPool> pool = std::make_shared<BatchPool>();
};

// The reader behind a StoreReader object; null, with an exception pending, when it is none, closed or busy.
std::shared_ptr<OpenReader> reader_of(Napi::Env env, const Napi::Value& value);

// Hands a vector's memory to JavaScript; `free_it` gets the vector back when the buffer is collected or detached.
template <class Vector, class Free>
Napi::ArrayBuffer give(Napi::Env env, Vector&& vector, Free free_it) {
  auto* owned = new std::remove_reference_t<Vector>(std::move(vector));
  const size_t size = owned->size() * sizeof((*owned)[0]);
  if (size == 0) {
    free_it(std::move(*owned));
    delete owned;
    return Napi::ArrayBuffer::New(env, 0);
  }
  return Napi::ArrayBuffer::New(env, owned->data(), size, [owned, free_it](Napi::Env, void*) {
    free_it(std::move(*owned));
    delete owned;
  });
}
template <class Vector>
Napi::ArrayBuffer give(Napi::Env env, Vector&& vector) {
  return give(env, std::forward<Vector>(vector), [](auto&&) {});
}
template <class Vector>
Napi::ArrayBuffer give_pooled(Napi::Env env, Vector&& vector, const std::shared_ptr<BatchPool>& pool) {
  return give(env, std::forward<Vector>(vector), [pool](auto&& back) { pool->put(std::move(back)); });
}

}  // namespace paste
