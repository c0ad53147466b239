// Whether a row of bytes occurs in others.
#pragma once

#include <cstdint>
#include <string>

namespace paste {

class FindBytes {
 public:
  // An empty needle occurs everywhere.
  explicit FindBytes(std::string needle);
  bool in(const uint8_t* bytes, uint32_t length) const { return find_(bytes, length, needle_); }

 private:
  using Find = bool (*)(const uint8_t* bytes, uint32_t length, const std::string& needle);
  std::string needle_;
  Find find_;
};

}  // namespace paste
