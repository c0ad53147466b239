// Reading a mapped file that somebody may cut shorter, or whose medium may fail: zeros are read where a SIGBUS would end the process.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paste {

// While it lives, a SIGBUS for an address in the range makes everything from there to the range's end zeros, for good, and the
// access goes on. The mapping stays its owner's, who unmaps it afterwards. Any other SIGBUS goes where it went before.
//
// The handler is the process's: it is installed with the first guard and passes on what is not its own to the one it found. Who
// installs another one later without passing on takes the protection away.
class FaultGuard {
 public:
  // `base` is the start of a mapping, `page_bytes` the size of its pages.
  FaultGuard(const uint8_t* base, size_t size_bytes, size_t page_bytes);
  ~FaultGuard();
  FaultGuard(const FaultGuard&) = delete;
  FaultGuard& operator=(const FaultGuard&) = delete;

  // False: too many guards live already (kGuardsMax); reading is not protected then.
  bool armed() const { return place_ != nullptr; }
  // Whether zeros have taken the place of some of the range: whatever was read before this was asked may be one of them.
  bool struck() const;

  struct Place;

 private:
  Place* place_ = nullptr;
};

}  // namespace paste
