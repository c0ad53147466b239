#include "core/ports/frame.h"

#include <sys/mman.h>

namespace paste {

// Populated here, so that no receive() ever faults; in huge pages where the system gives them for the asking.
Arena::Arena(size_t size_bytes) : size_(size_bytes) {
  void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  PASTE_CHECK(memory != MAP_FAILED);
  madvise(memory, size_, MADV_HUGEPAGE);
  memory_ = static_cast<uint8_t*>(memory);
  for (size_t at = 0; at < size_; at += 4096) memory_[at] = 0;
}

Arena::~Arena() { munmap(memory_, size_); }

}  // namespace paste
