// How many frames came to an interface, wherever its network namespace is: one small question to the kernel, some microseconds.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"

namespace paste::bench {

class Arrivals {
 public:
  Arrivals() = default;
  ~Arrivals();
  Arrivals(const Arrivals&) = delete;
  Arrivals& operator=(const Arrivals&) = delete;

  // `netns` as in in_netns(). Failures: PORT, PRIVILEGE.
  Status open(const std::string& interface, const std::string& netns);
  // Received less dropped, since the interface is there. False when the kernel did not say.
  bool count(uint64_t* frames);

 private:
  int fd_ = -1;
  uint32_t interface_ = 0;
};

}  // namespace paste::bench
