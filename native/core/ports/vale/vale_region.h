// Memory that vale ports share with their clients, laid out as netmap's allocator does: three pools of objects in one memfd.
//
//   0          If objects: one for each attachment
//   ...        ring objects, of one size; each on pages of its own
//   ...        buffers, of one size; 0 and 1 belong to nobody
//   ...        RingSync, one for each ring object, on pages of their own; Ring::sem says where (netmap::RingTail)
//   last page  how the rest is laid out, for a daemon that is offered the memory of an earlier one
//
// The daemon creates and seals it (SHRINK, GROW, SEAL) before the descriptor leaves, so that no client can make it shorter under
// the daemon's loads. Pages come into being when an object is taken, not before: a region may have room to spare. A client may
// punch holes into it: the daemon then finds zeros and takes a page fault.
//
// Usually a port has a region of its own. Ports that ask for the same memory id share one: whoever does so opts into being
// read and written by the others there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/lent_memory.h"
#include "core/base/status.h"
#include "core/ports/netmap_abi.h"

namespace paste {

inline constexpr uint32_t kRingsMax = 16;          // per direction, as VALE
inline constexpr uint32_t kRingSlotsMin = 16;
inline constexpr uint32_t kRingSlotsMax = 4096;    // as VALE
inline constexpr uint32_t kBufferBytesMin = 256;   // a 9 KiB frame then takes 36 slots of at most 64
inline constexpr uint32_t kBufferBytesMax = 16384;
inline constexpr uint64_t kPrivateBytesMax = 64u << 20;

struct RegionGeometry {
  uint32_t tx_rings = 1, rx_rings = 1;
  uint32_t tx_slots = 1024, rx_slots = 1024;
  uint32_t buffer_bytes = 2048;  // multiple of 64
  uint32_t buffers() const { return tx_rings * tx_slots + rx_rings * rx_slots; }
};

// USAGE with the bounds when a number is outside them.
Status check_geometry(const RegionGeometry& geometry);
// USAGE unless `name` is vale[0-9A-Za-z_]*:[0-9A-Za-z_]+ with both parts shorter than 16 characters (netmap's IFNAMSIZ).
Status check_vale_name(std::string_view name);

struct RegionPools {
  uint32_t interfaces = 0;
  uint32_t rings = 0, ring_bytes = 0;
  uint32_t buffers = 0, buffer_bytes = 0;

  // Just what one port needs.
  static RegionPools of_port(const RegionGeometry& geometry);
  // That, with room for more attachments, extra buffers and pipes, as far as 64 MiB allow.
  static RegionPools with_room(const RegionGeometry& geometry, uint32_t extra_buffers);
  // netmap's defaults for its global region: 100 interfaces, 200 rings, 163840 buffers of 2048 bytes.
  static RegionPools global();
};

struct RegionLayout {
  static constexpr uint32_t kInterfaceBytes = 1024;  // as netmap's pool; 16 + 16 rings take 328
  explicit RegionLayout(const RegionPools& pools);
  uint64_t ring(uint32_t i) const { return rings + uint64_t{i} * pools.ring_bytes; }
  uint64_t ring_sync(uint32_t i) const { return sync + uint64_t{i} * sizeof(netmap::RingSync); }
  uint64_t buffer(uint32_t i) const { return buffers + uint64_t{i} * pools.buffer_bytes; }

  RegionPools pools;
  uint64_t rings, buffers, sync, bytes;
};

// The rings of one port: ring objects in a row (transmit rings first) and the buffers that their slots started with.
struct PortRings {
  RegionGeometry geometry;
  uint32_t first_ring = 0;
  uint32_t first_buffer = 0;
  uint32_t tx(uint32_t i) const { return first_ring + i; }
  uint32_t rx(uint32_t i) const { return first_ring + geometry.tx_rings + i; }
  uint32_t count() const { return geometry.tx_rings + geometry.rx_rings; }
  // The first of the buffers that a ring starts with; slot s has this + s.
  uint32_t tx_buffer(uint32_t i) const { return first_buffer + i * geometry.tx_slots; }
  uint32_t rx_buffer(uint32_t i) const { return first_buffer + geometry.tx_rings * geometry.tx_slots + i * geometry.rx_slots; }
};

// Which of a port's rings an attachment has: [first, first + count) of each direction.
struct BoundRings {
  uint32_t tx_first = 0, tx_count = 0, rx_first = 0, rx_count = 0;
  static BoundRings all(const RegionGeometry& g) { return {0, g.tx_rings, 0, g.rx_rings}; }
};

class ValeRegion {
 public:
  // `id`: what netmap calls the memory id; 0 = it has none.
  static Status create(const RegionPools& pools, uint16_t id, std::shared_ptr<ValeRegion>* region);
  // Whether this is memory that a daemon sealed, as all regions are. Asks no file system, so it never waits for one (FUSE, NFS);
  // what is not sealed must not be looked at any further.
  static bool is_sealed(int fd);
  // How memory that is offered was laid out. False: it is no region, or one too large to have been made here.
  static bool pools_of(int fd, RegionPools* pools);
  // Takes over memory that a client kept from an earlier daemon: refused unless it is a sealed memfd of exactly this size.
  // Nothing in it is taken yet. `fd` stays the caller's.
  static Status adopt(int fd, const RegionPools& pools, uint16_t id, std::shared_ptr<ValeRegion>* region);
  ~ValeRegion();
  ValeRegion(const ValeRegion&) = delete;
  ValeRegion& operator=(const ValeRegion&) = delete;

  // Outlives the region where its clients do.
  const std::shared_ptr<LentMemory>& file() const { return file_; }
  uint16_t id() const { return id_; }
  uint8_t* memory() const { return memory_; }
  const RegionLayout& layout() const { return layout_; }
  uint64_t bytes() const { return layout_.bytes; }
  bool adopted() const { return adopted_; }
  netmap::Ring* ring(uint32_t i) const { return reinterpret_cast<netmap::Ring*>(memory_ + layout_.ring(i)); }
  netmap::RingSync* ring_sync(uint32_t i) const {
    return reinterpret_cast<netmap::RingSync*>(memory_ + layout_.ring_sync(i));
  }
  // Whether both descriptors name one memory.
  static bool is_same(int fd, int offered);
  bool is_same(int fd) const { return is_same(file_->fd(), fd); }

  // --- objects; any thread; RESOURCE when a pool has none left ---
  // Fresh rings. `first_ring`: where they were in an earlier life, from place_before(); then slots keep their buffers.
  Status take_rings(const RegionGeometry& geometry, uint32_t first_ring, PortRings* rings);
  void give_back_rings(const PortRings& rings);
  // An interface that names the bound rings. `before`: where it was in an earlier life, taken if free; 0 = anywhere.
  Status take_interface(const std::string& name, const PortRings& rings, const BoundRings& bound, uint64_t before,
                        uint64_t* offset);
  void give_back_interface(uint64_t offset);
  // Links up to `count` buffers into the interface's list (ni_bufs_head); returns how many it got. `held`: the client has them from
  // an earlier life, and its list stays as it is.
  uint32_t take_extra(uint64_t interface, uint32_t count, bool held);
  // Frees what the client left in the list, as netmap does at close: the first word of each buffer is zeroed.
  void give_back_extra(uint64_t interface);

  // The two rings of a pipe, each the other's peer.
  void link_rings(uint32_t one, uint32_t other);
  // A pipe's ring whose end is opened again: the client's positions are put where the last one left them.
  void renew_ring(uint32_t ring);

  // --- lending, among ports that share the region by its id and are all one thread's ---
  // A frame that lies in a transmit slot may be taken from there, once: its buffer goes into a receive slot, and the receive slot's
  // buffer into the transmit slot. What is lent is known here, not read from the rings again.
  // The mark of this region's frames, never 0 once it is shared. `tag`: 1..kTagMax, no other shared region's.
  static constexpr uint32_t kTagMax = 4095;
  void share(uint32_t tag);
  uint32_t tag() const { return tag_.load(std::memory_order_acquire); }
  // Owner thread only. What names the loan in Frame::buffer_block.
  uint32_t lend(uint32_t tag, uint32_t ring, uint32_t slot, uint32_t buffer) {
    lent_[ring * kRingSlotsMax + slot] = buffer;
    return tag << 20 | ring << 12 | slot;
  }
  // The buffer behind a loan of this region's, which ends; 0: none, or taken already. `slot`: where it lies.
  uint32_t take_lent(uint32_t loan, netmap::Slot** slot) {
    const uint32_t tag = tag_.load(std::memory_order_relaxed);
    if (tag == 0 || loan >> 20 != tag) return 0;
    const uint32_t ring = loan >> 12 & 0xff, at = loan & 0xfff;
    *slot = this->ring(ring)->slot + at;
    return std::exchange(lent_[ring * kRingSlotsMax + at], 0);
  }
  bool still_lent(uint32_t loan) const { return lent_[(loan >> 12 & 0xff) * kRingSlotsMax + (loan & 0xfff)] != 0; }

  static constexpr uint32_t kAnywhere = ~0u;
  // The first ring of the port that an adopted interface at this offset named; kAnywhere when nothing there makes sense.
  uint32_t place_before(uint64_t interface, const RegionGeometry& geometry) const;
  // Where rings at `place` said, in that life, that the first ring of their pipe's other end lies.
  uint32_t peer_before(uint32_t place, const RegionGeometry& geometry) const;

 private:
  ValeRegion(std::shared_ptr<LentMemory> file, const RegionPools& pools, uint16_t id)
      : layout_(pools), file_(std::move(file)), id_(id), interface_taken_(pools.interfaces), ring_taken_(pools.rings),
        buffer_taken_(pools.buffers) {}
  void populate(uint64_t offset, uint64_t bytes);
  uint32_t find_run(std::vector<bool>& taken, uint32_t count, uint32_t from) const;
  void reset_ring(uint32_t ring, uint32_t slots, uint16_t number, bool transmit, uint32_t first_buffer, bool keep);
  netmap::If* interface(uint64_t offset) const { return reinterpret_cast<netmap::If*>(memory_ + offset); }

  const RegionLayout layout_;
  const std::shared_ptr<LentMemory> file_;
  uint16_t id_;
  bool adopted_ = false;
  std::atomic<uint32_t> tag_{0};
  std::unique_ptr<uint32_t[], void (*)(void*)> lent_{nullptr, std::free};
  uint8_t* memory_ = nullptr;
  std::mutex mutex_;  // the pools
  std::vector<bool> interface_taken_, ring_taken_, buffer_taken_;
};

// The client's side of a region: a mapping, nothing else. The descriptor stays the holder's.
class ClientMemory {
 public:
  // RESOURCE when it cannot be mapped, PORT when the memfd is not `bytes` long.
  static Status map(int fd, uint64_t bytes, std::unique_ptr<ClientMemory>* memory);
  ~ClientMemory();
  ClientMemory(const ClientMemory&) = delete;
  ClientMemory& operator=(const ClientMemory&) = delete;
  uint8_t* memory() const { return memory_; }
  uint64_t bytes() const { return bytes_; }

 private:
  ClientMemory(uint8_t* memory, uint64_t bytes) : memory_(memory), bytes_(bytes) {}
  uint8_t* memory_;
  uint64_t bytes_;
};

}  // namespace paste
