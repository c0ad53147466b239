// A store's memory: the file or device, mapped, with its medium and its domain. Owns the descriptor, the lock and the mapping.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/pmem/domain.h"

namespace paste {

class Region {
 public:
  enum class Access { kRead, kWrite };
  struct CreateOptions {
    uint64_t size_bytes = 0;
    bool sparse = false;      // true: do not reserve the space (risk of SIGBUS on a full file system, said by info)
    uint32_t mode = 0600;     // permissions of a new file
  };

  // Makes the file (refuses to overwrite one) and reserves its space with fallocate; the contents are zero. A device-DAX
  // node is "created" in place when its first superblock is not ours or `replace` allows it. Checks free space first.
  static Status create(const std::string& path, const CreateOptions& options);

  // Maps an existing one. A writer takes the lock that dies with it (flock on the descriptor) and is refused when another holds it:
  // the message names its pid where known. Readers take no lock and map read-only.
  static Status open(const std::string& path, Access access, std::unique_ptr<Region>* region);

  virtual ~Region() = default;

  virtual uint64_t size_bytes() const = 0;
  virtual Medium medium() const = 0;
  virtual const char* file_system() const = 0;  // "tmpfs", "ext4", "xfs", "devdax"...: for people
  virtual Domain& domain() = 0;
  virtual const std::string& path() const = 0;

  // Everything, as readers see it. A writer on a disk medium must not store through it.
  virtual const uint8_t* base() const = 0;

  // Where a writer stores superblocks, live page and directory ([0, size_bytes)): the mapping itself, or on a disk a
  // mirror in DRAM that flush() + sync() carries out. `extent` bytes are mirrored; called once after the geometry is known.
  virtual uint8_t* writable_head(uint64_t extent_bytes) = 0;
  // Where a writer stores the bytes [offset, offset + size): the mapping, or on a disk a staging buffer that stands for it until
  // release_staging(). flush() of addresses inside it marks that range of the file for the next sync().
  virtual uint8_t* acquire_staging(uint64_t offset, uint32_t size_bytes) = 0;
  virtual void release_staging(uint64_t offset) = 0;
  // Touches the pages ahead of use, so that a forwarding thread never faults on them. Keeper only.
  virtual void populate(uint64_t offset, uint64_t size_bytes) = 0;
  // Publishes bytes to readers without promising persistence (live page): a store on mapped media, a pwrite on a disk. Keeper
  // only on a disk. `offset` lies in the head.
  virtual void publish(uint64_t offset, uint32_t size_bytes) = 0;
};

}  // namespace paste
