// What is the same for ports whose other side is this process, between two rounds of the thread that owns them: there is nobody to
// wake, nothing to wait for, and they are there as long as they exist.
#pragma once

#include "core/ports/port.h"

namespace paste {

class PolledPort : public Port {
 public:
  void notify() override {}
  int doorbell() const final { return -1; }
  bool arm() final { return false; }
  void disarm() final {}
  bool alive() const final { return true; }
  const char* state() const final { return "up"; }
};

}  // namespace paste
