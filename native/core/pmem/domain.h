// The one way to make bytes persistent: store, stream, flush, fence, sync. Which table serves a store is chosen when it is
// opened, from the medium and the processor; a simulated domain takes its place in the crash tests.
//
// Order, in one sentence: bytes stored and flushed (or streamed) before a fence are persistent before anything stored after
// it; on a disk nothing is persistent before sync() returned.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/status.h"

namespace paste {

// What a store stands on, and so what it survives. The numbers are written into boot records: never renumber.
enum class Medium : uint32_t {
  kDaxFile = 1,    // file mapped with MAP_SYNC on fs-DAX: cache-line write-back; survives power loss
  kDeviceDax = 2,  // /dev/daxX.Y: the same
  kMemory = 3,     // tmpfs, hugetlbfs, memfd: survives the process, not the machine
  kDisk = 4,       // page cache of an ordinary file: pwrite + fdatasync in groups; survives power loss
  kSimulated = 5,  // tests
};
const char* medium_name(Medium medium);      // "dax-file", "device-dax", "memory", "disk", "simulated"
const char* medium_survives(Medium medium);  // a sentence for people

class Domain {
 public:
  virtual ~Domain() = default;

  // True where a fence makes durable at once (DAX, memory); false where a sync by another thread does (disk).
  virtual bool immediate() const = 0;
  virtual const char* name() const = 0;  // such as "clwb+ntstore", "memory", "pwrite+fdatasync"

  // Ordinary stores into the region; visible at once to this process, persistent after flush + fence. No alignment needed.
  virtual void store(void* to, const void* from, size_t size_bytes) = 0;
  // One aligned 8-byte store with release order: the only store that is atomic with respect to a crash and to readers.
  virtual void store64(void* to, uint64_t value) = 0;
  // Whole lines, past the cache where that is faster; `to` and `from` 64-byte aligned. Needs the fence, but no flush, where the
  // domain is immediate; on a disk it is an ordinary store, takes no lock, and the keeper flushes what lanes streamed.
  virtual void stream(void* to, const void* from, size_t lines) = 0;
  // Starts the write-back of every line that the range touches (its first and last line may be partial). On a disk it takes a
  // short lock and notes whole pages for the next sync(), which writes what they hold then: bytes stored beside or after may
  // become persistent with them, as a line may always be evicted early. Several threads may flush.
  virtual void flush(const void* from, size_t size_bytes) = 0;
  // Orders all of this thread's flushes and streams before what follows.
  virtual void fence() = 0;
  // Keeper and opening only, never a forwarding thread: makes everything flushed so far persistent. A failure is final.
  [[nodiscard]] virtual Status sync() = 0;
};

}  // namespace paste
