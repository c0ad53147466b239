// Sleeping on ordinary descriptors and netmap files at once.
#pragma once

#include <poll.h>

#include "preload/netmap_file.h"

namespace paste::preload {

struct Watch {
  NetmapFile* file;
  short events;      // poll's
  short revents;     // out
};

// As ppoll(): sets revents of both kinds, returns how many have any, 0 at `deadline_ns` (CLOCK_MONOTONIC; negative: never), or
// -1 with errno. `scratch` has room for kernel_entries(count, watches) entries. Ordinary descriptors are looked at with every
// call, as the kernel does, also when a netmap file is ready at once.
int wait_for(pollfd* fds, nfds_t count, Watch* watches, uint32_t watch_count, int64_t deadline_ns, const sigset_t* mask,
             pollfd* scratch);
inline size_t kernel_entries(size_t count, size_t watches) { return count + 2 * watches + 1; }

// A timeout as a deadline. Negative milliseconds, or no timespec: never. False: not a valid timespec.
int64_t deadline_after_ms(int ms);
bool deadline_after(const timespec* timeout, int64_t* deadline_ns);

// Memory for one call: on the stack where it is little.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* get() { return memory_; }

 private:
  static constexpr size_t kLittle = 4096;
  alignas(16) unsigned char little_[kLittle];
  void* memory_;
  size_t bytes_;
};

}  // namespace paste::preload
