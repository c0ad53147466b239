// netmap's user ABI (NETMAP_API 14), as read from its header and checked on the module: sizes and offsets for x86-64 and
// arm64. Shared by the vale ports, the client library and everything that speaks to /dev/netmap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <sys/time.h>

namespace paste::netmap {

inline constexpr uint16_t kApi = 14;

struct Slot {
  uint32_t buf_idx;
  uint16_t len;
  uint16_t flags;
  uint64_t ptr;
};
static_assert(sizeof(Slot) == 16);

enum SlotFlag : uint16_t { kBufChanged = 1, kReport = 2, kIndirect = 0x10, kMoreFrag = 0x20 };

struct Ring {
  int64_t buf_ofs;        // ring + buf_ofs = buffer 0
  uint32_t num_slots;
  uint32_t nr_buf_size;
  uint16_t ringid;
  uint16_t dir;           // 0 = receive, 1 = transmit (as the kernel writes it; its header's comment has it reversed)
  uint32_t head;
  uint32_t cur;
  uint32_t tail;
  uint32_t flags;
  struct timeval ts __attribute__((aligned(8)));
  uint64_t offset_mask;
  uint64_t buf_align;
  uint8_t sem[128] __attribute__((aligned(128)));
  Slot slot[];
};
static_assert(sizeof(Ring) == 256 && offsetof(Ring, head) == 20 && offsetof(Ring, tail) == 28);
static_assert(offsetof(Ring, offset_mask) == 56 && offsetof(Ring, sem) == 128 && offsetof(Ring, slot) == 256);

struct If {
  char ni_name[16];
  uint32_t ni_version;
  uint32_t ni_flags;
  uint32_t ni_tx_rings;
  uint32_t ni_rx_rings;
  uint32_t ni_bufs_head;
  uint32_t ni_host_tx_rings;
  uint32_t ni_host_rx_rings;
  uint32_t ni_spare1[3];
  int64_t ring_ofs[];      // NIC tx, host tx, NIC rx, host rx; ring - this structure, in bytes
};
static_assert(sizeof(If) == 56 && offsetof(If, ni_bufs_head) == 32 && offsetof(If, ring_ofs) == 56);

inline constexpr uint32_t kReservedBuffers = 2;  // buffers 0 and 1 belong to nobody
inline constexpr uint32_t kFragmentsMax = 64;

// The system-call-less part, after netmap's CSB: one line per direction of writing and ring. The client publishes
// cur, then (release) head; the daemon publishes hwcur, then (release) hwtail. need_kick: ring my doorbell when you
// publish. These live behind the buffers, on pages of their own.
struct alignas(64) ClientLine {  // written by the client
  uint32_t head;
  uint32_t cur;
  uint32_t need_kick;
  uint32_t reserved[13];
};
struct alignas(64) DaemonLine {  // written by the daemon
  uint32_t hwcur;
  uint32_t hwtail;
  uint32_t need_kick;
  uint32_t resets;         // times the daemon reset this ring after rubbish
  uint32_t reserved[12];
};
struct alignas(128) RingSync {
  ClientLine client;
  DaemonLine daemon;
};
static_assert(sizeof(RingSync) == 128);

}  // namespace paste::netmap
