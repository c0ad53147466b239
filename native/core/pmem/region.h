// A store's memory: the file or device, mapped, with its medium and its domain. Owns the descriptor, the lock and the mapping.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/pmem/domain.h"
#include "core/pmem/fault_guard.h"

namespace paste {

class Region {
 public:
  enum class Access { kRead, kWrite };
  struct CreateOptions {
    uint64_t size_bytes = 0;
    bool sparse = false;      // true: do not reserve the space; populate() then finds out whether there is some
    uint32_t mode = 0600;     // permissions of a new file
    bool replace = false;     // device-DAX only: overwrite the store that lies there. Files are never overwritten
  };

  // Makes the file (refuses to overwrite one) and reserves its space with fallocate, on tmpfs in huge pages; the contents are zero. Free space is
  // checked first, and a failure leaves no file behind. On hugetlbfs the size is rounded up to its page, so take the size from
  // the opened region. A device-DAX node is "created" in place: the whole device is zeroed (records of a former store would carry
  // valid checksums), which takes about a second for each 5 to 10 GB; `size_bytes` 0 means all of it, else it must fit.
  static Status create(const std::string& path, const CreateOptions& options);

  // Maps an existing one. A writer takes the lock that dies with it (flock on the descriptor) and is refused when another holds it:
  // the message names its pid where known. Readers take no lock and map read-only. Says nothing about the contents.
  static Status open(const std::string& path, Access access, std::unique_ptr<Region>* region);

  virtual ~Region() = default;

  // Size of the file when it was opened (device-DAX: of the device). Compare it with the superblock's region_bytes before any
  // block is touched: a file that was cut shorter since has no pages behind its end, and reading there is a SIGBUS (to a reader: zeros,
  // where guard() is one).
  virtual uint64_t size_bytes() const = 0;
  // False once the file is shorter than size_bytes(): somebody truncated it. Costs a system call; the keeper asks each round, so
  // that a truncated store ends in an error. (What is cut between question and access faults a writer still.)
  virtual bool intact() const = 0;
  virtual Medium medium() const = 0;
  virtual const char* file_system() const = 0;  // "tmpfs", "ext4", "xfs", "devdax"...: for people
  virtual Domain& domain() = 0;                 // writers only
  virtual const std::string& path() const = 0;

  // For mapping parts of it elsewhere: the descriptor (the region's own; -1 = there is none) and the granularity of mappings.
  virtual int descriptor() const { return -1; }
  virtual uint64_t page_bytes() const { return 4096; }

  // What makes reading base() safe: null for a writer, and where too many files are open for reading.
  virtual const FaultGuard* guard() const { return nullptr; }

  // Everything, as readers see it. A writer on a disk medium must not store through it.
  virtual const uint8_t* base() const = 0;

  // Where a writer stores superblocks, live page and directory ([0, size_bytes)): the mapping itself, or on a disk a
  // mirror in DRAM that flush() + sync() carries out. `extent` bytes are mirrored, with what the file holds; called once after the
  // geometry is known (a second call with the same extent gives the same address).
  virtual uint8_t* writable_head(uint64_t extent_bytes) = 0;
  // Where a writer stores the bytes [offset, offset + size): the mapping, or on a disk a staging buffer that stands for it until
  // release_staging(). flush() of addresses inside it marks that range of the file for the next sync(). On a disk the buffer starts
  // as zeros, not with the file's old bytes, and whole pages are written, so what is not written anew becomes zero: for blocks
  // that are opened afresh. On mapped media it holds the old bytes. `offset` is a multiple of 4096 on a disk.
  virtual uint8_t* acquire_staging(uint64_t offset, uint32_t size_bytes) = 0;
  // The buffer's address is dead afterwards. What was flushed from it and not synced yet is still written by the next sync().
  virtual void release_staging(uint64_t offset) = 0;
  // Reserves what the file has no space for (a sparse file, or a copy with holes; on tmpfs a huge page at a time) and touches the pages ahead of use, so that a
  // forwarding thread never faults on them. No effect on contents. False when there is no space: a store there would be a SIGBUS.
  [[nodiscard]] virtual bool populate(uint64_t offset, uint64_t size_bytes) = 0;
  // Publishes bytes to readers without promising persistence (live page): a store on mapped media, a pwrite on a disk. Keeper
  // only on a disk. `offset` lies in the head. A failure shows in the next sync().
  virtual void publish(uint64_t offset, uint32_t size_bytes) = 0;
};

}  // namespace paste
