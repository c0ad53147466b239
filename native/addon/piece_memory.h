// Encoded bytes on their way to JavaScript, which sees them where they are.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "core/export/encoded_bytes.h"

namespace paste {

// Memory of pieces. With slots a piece's memory is used again when `slots` more pieces have been made; without, never.
class PieceMemory {
 public:
  explicit PieceMemory(uint32_t slots) : slots_(slots) {}

  EncodedBytes* take(size_t capacity) {
    Slot& slot = slots_.empty() ? fresh_ : slots_[turn_++ % slots_.size()];
    if (slots_.empty()) slot = Slot{};
    slot.bytes.clear();
    slot.bytes.reserve(capacity);
    current_ = &slot;
    return &slot.bytes;
  }
  // What is in the memory taken last, as JavaScript sees it.
  Napi::Uint8Array show(Napi::Env env) {
    EncodedBytes& bytes = current_->bytes;
    if (bytes.empty()) return Napi::Uint8Array::New(env, 0);
    if (current_->shown != bytes.data()) {
      auto* owner = new std::shared_ptr<uint8_t[]>(bytes.memory());
      const auto buffer = Napi::ArrayBuffer::New(env, owner->get(), bytes.capacity(), [owner](Napi::Env, void*) { delete owner; });
      if (slots_.empty()) return Napi::Uint8Array::New(env, bytes.size(), buffer, 0);
      current_->buffer = Napi::Persistent(buffer);
      current_->shown = bytes.data();
    }
    return Napi::Uint8Array::New(env, bytes.size(), current_->buffer.Value(), 0);
  }

 private:
  struct Slot {
    EncodedBytes bytes;
    Napi::Reference<Napi::ArrayBuffer> buffer;  // over the memory at `shown`
    const uint8_t* shown = nullptr;
  };
  std::vector<Slot> slots_;
  Slot fresh_;
  Slot* current_ = &fresh_;
  size_t turn_ = 0;
};

}  // namespace paste
