// A run whose bytes are all in memory, and the answers about names of who asks for none.
#pragma once

#include <cstring>

#include "core/index/run.h"

namespace paste {

class RunInMemory final : public IndexSource {
 public:
  RunInMemory(const uint8_t* at, uint32_t bytes) : at_(at), bytes_(bytes) {}
  bool read(uint32_t offset, uint32_t size_bytes, uint8_t* to) override {
    if (offset > bytes_ || size_bytes > bytes_ - offset) return false;
    std::memcpy(to, at_ + offset, size_bytes);
    return true;
  }

 private:
  const uint8_t* at_;
  uint32_t bytes_;
};

class NoNames final : public NameAnswers {
 public:
  IndexField field(uint32_t) const override { return IndexField::kRule; }
  bool holds(uint32_t, std::string_view) const override { return false; }
};

}  // namespace paste
