// The memory that a vale port shares with its client: netmap's exact layout, one memfd per client.
//
//   0          netmap If: name, numbers of rings, ring_ofs[]; host rings are counted (1/1, as VALE ports do) but not bound
//   4 KiB      transmit rings, then receive rings, each on pages of its own
//   ...        buffers, `buffer_bytes` apart; 0 and 1 belong to nobody, then tx ring 0's, ..., then rx ring 0's, ...
//   ...        RingSync, one per transmit ring, then one per receive ring, on pages of their own
//
// The daemon creates, populates and seals it (SHRINK, GROW, SEAL) before the descriptor leaves, so that no client can make it
// shorter under the daemon's loads. A client may punch holes into it: the daemon then finds zeros and takes a page fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "core/ports/netmap_abi.h"

namespace paste {

inline constexpr uint32_t kRingsMax = 16;          // per direction, as VALE
inline constexpr uint32_t kRingSlotsMin = 16;
inline constexpr uint32_t kRingSlotsMax = 4096;    // as VALE
inline constexpr uint32_t kBufferBytesMin = 256;   // a 9 KiB frame then takes 36 slots of at most 64
inline constexpr uint32_t kBufferBytesMax = 16384;

struct RegionGeometry {
  uint32_t tx_rings = 1, rx_rings = 1;
  uint32_t tx_slots = 1024, rx_slots = 1024;
  uint32_t buffer_bytes = 2048;  // multiple of 64
};

struct RegionLayout {
  explicit RegionLayout(const RegionGeometry& geometry);
  uint64_t tx_ring(uint32_t i) const { return rings + i * tx_ring_bytes; }
  uint64_t rx_ring(uint32_t i) const { return rings + geometry.tx_rings * tx_ring_bytes + i * rx_ring_bytes; }
  uint64_t tx_sync(uint32_t i) const { return sync + i * sizeof(netmap::RingSync); }
  uint64_t rx_sync(uint32_t i) const { return sync + (geometry.tx_rings + i) * sizeof(netmap::RingSync); }
  // The first of the buffers that a ring starts with; slot s has this + s.
  uint32_t tx_first_buffer(uint32_t i) const { return netmap::kReservedBuffers + i * geometry.tx_slots; }
  uint32_t rx_first_buffer(uint32_t i) const {
    return netmap::kReservedBuffers + geometry.tx_rings * geometry.tx_slots + i * geometry.rx_slots;
  }

  RegionGeometry geometry;
  uint64_t rings, tx_ring_bytes, rx_ring_bytes, buffers, sync, bytes;
  uint32_t buffer_count;
};

// USAGE with the bounds when a number is outside them.
Status check_geometry(const RegionGeometry& geometry);
// USAGE unless `name` is vale[0-9A-Za-z_]*:[0-9A-Za-z_]+ with both parts shorter than 16 characters (netmap's IFNAMSIZ).
Status check_vale_name(std::string_view name);

// A shared mapping of a region's memfd, populated, huge pages where the system gives them. Used by both sides.
class ValeRegion {
 public:
  static Status create(const std::string& name, const RegionGeometry& geometry, std::unique_ptr<ValeRegion>* region);
  // Takes over memory that a client kept from an earlier daemon: refused unless it is a sealed memfd of exactly this size.
  // The rings are reset. `fd` is the region's from then on, also on failure.
  static Status adopt(int fd, const std::string& name, const RegionGeometry& geometry, std::unique_ptr<ValeRegion>* region);
  // The client's side: maps what the daemon gave and changes nothing. `fd` is the region's from then on, also on failure.
  static Status map(int fd, const RegionGeometry& geometry, std::unique_ptr<ValeRegion>* region);
  ~ValeRegion();
  ValeRegion(const ValeRegion&) = delete;
  ValeRegion& operator=(const ValeRegion&) = delete;

  int fd() const { return fd_; }
  uint8_t* memory() const { return memory_; }
  const RegionLayout& layout() const { return layout_; }
  netmap::If* interface() const { return reinterpret_cast<netmap::If*>(memory_); }
  netmap::Ring* tx_ring(uint32_t i) const { return reinterpret_cast<netmap::Ring*>(memory_ + layout_.tx_ring(i)); }
  netmap::Ring* rx_ring(uint32_t i) const { return reinterpret_cast<netmap::Ring*>(memory_ + layout_.rx_ring(i)); }
  netmap::RingSync* tx_sync(uint32_t i) const {
    return reinterpret_cast<netmap::RingSync*>(memory_ + layout_.tx_sync(i));
  }
  netmap::RingSync* rx_sync(uint32_t i) const {
    return reinterpret_cast<netmap::RingSync*>(memory_ + layout_.rx_sync(i));
  }

 private:
  ValeRegion(int fd, const RegionGeometry& geometry) : layout_(geometry), fd_(fd) {}
  Status map_shared();
  void reset(const std::string& name);

  RegionLayout layout_;
  int fd_;
  uint8_t* memory_ = nullptr;
};

}  // namespace paste
