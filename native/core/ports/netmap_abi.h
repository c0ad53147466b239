// netmap's user ABI (NETMAP_API 14 and 15), as read from its header and checked on the module: sizes and offsets for x86-64 and
// arm64. Shared by the vale ports, the client library, the preload library and everything that speaks to /dev/netmap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <sys/time.h>

namespace paste::netmap {

inline constexpr uint16_t kApi = 14;       // what we write into ni_version
inline constexpr uint16_t kApiMin = 14, kApiMax = 15;

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

// --- control requests (NIOCCTRL) ---------------------------------------------------------------------------------------------

enum RequestType : uint16_t {
  kRegister = 1, kPortInfoGet = 2, kValeAttach = 3, kValeDetach = 4, kValeList = 5, kPortHdrSet = 6, kPortHdrGet = 7,
  kValeNewIf = 8, kValeDelIf = 9, kPollingEnable = 10, kPollingDisable = 11, kPoolsInfoGet = 12, kSyncKloopStart = 13,
  kSyncKloopStop = 14, kCsbEnable = 15,
};
enum OptionType : uint32_t { kOptExtmem = 1, kOptKloopEventfds = 2, kOptCsb = 3, kOptKloopMode = 4, kOptOffsets = 5 };
enum Mode : uint32_t {
  kAllNic = 1, kHostOnly = 2, kNicAndHost = 3, kOneNic = 4, kPipeMaster = 5, kPipeSlave = 6, kNull = 7, kOneHost = 8,
};
enum RegisterFlag : uint64_t {
  kMonitorTx = 0x100, kMonitorRx = 0x200, kZcopyMonitor = 0x400, kExclusive = 0x800, kRxRingsOnly = 0x2000,
  kTxRingsOnly = 0x4000, kAcceptVnetHdr = 0x8000, kDoRxPoll = 0x10000, kNoTxPoll = 0x20000,
};

enum Ioctl : unsigned long { kIoctlControl = 0xc0586997, kIoctlTxSync = 0x6994, kIoctlRxSync = 0x6995 };

struct RequestHeader {     // nmreq_header, what NIOCCTRL points at
  uint16_t nr_version;
  uint16_t nr_reqtype;
  uint32_t nr_reserved;    // zero
  char nr_name[64];
  uint64_t nr_options;     // address of the first option, 0 = none
  uint64_t nr_body;        // address of the request's own structure
};
static_assert(sizeof(RequestHeader) == 88 && offsetof(RequestHeader, nr_name) == 8);
static_assert(offsetof(RequestHeader, nr_options) == 72 && offsetof(RequestHeader, nr_body) == 80);

struct Option {            // nmreq_option, in front of each option
  uint64_t nro_next;
  uint32_t nro_reqtype;
  uint32_t nro_status;     // errno, written by the kernel
  uint64_t nro_size;
};
static_assert(sizeof(Option) == 24 && offsetof(Option, nro_size) == 16);

struct Register {          // nmreq_register
  uint64_t nr_offset;      // of the If in the memory
  uint64_t nr_memsize;
  uint32_t nr_tx_slots, nr_rx_slots;
  uint16_t nr_tx_rings, nr_rx_rings;
  uint16_t nr_host_tx_rings, nr_host_rx_rings;
  uint16_t nr_mem_id;
  uint16_t nr_ringid;
  uint32_t nr_mode;
  uint32_t nr_extra_bufs;
  uint64_t nr_flags;
};
static_assert(sizeof(Register) == 56 && offsetof(Register, nr_tx_slots) == 16 && offsetof(Register, nr_tx_rings) == 24);
static_assert(offsetof(Register, nr_mem_id) == 32 && offsetof(Register, nr_mode) == 36);
static_assert(offsetof(Register, nr_extra_bufs) == 40 && offsetof(Register, nr_flags) == 48);

struct PortInfo {          // nmreq_port_info_get
  uint64_t nr_memsize;
  uint32_t nr_tx_slots, nr_rx_slots;
  uint16_t nr_tx_rings, nr_rx_rings;
  uint16_t nr_host_tx_rings, nr_host_rx_rings;
  uint16_t nr_mem_id;
  uint16_t pad[3];
};
static_assert(sizeof(PortInfo) == 32 && offsetof(PortInfo, nr_tx_rings) == 16 && offsetof(PortInfo, nr_mem_id) == 24);

struct PoolsInfo {         // nmreq_pools_info
  uint64_t nr_memsize;
  uint16_t nr_mem_id;
  uint16_t pad1[3];
  uint64_t nr_if_pool_offset;
  uint32_t nr_if_pool_objtotal, nr_if_pool_objsize;
  uint64_t nr_ring_pool_offset;
  uint32_t nr_ring_pool_objtotal, nr_ring_pool_objsize;
  uint64_t nr_buf_pool_offset;
  uint32_t nr_buf_pool_objtotal, nr_buf_pool_objsize;
};
static_assert(sizeof(PoolsInfo) == 64 && offsetof(PoolsInfo, nr_if_pool_offset) == 16);
static_assert(offsetof(PoolsInfo, nr_ring_pool_offset) == 32 && offsetof(PoolsInfo, nr_buf_pool_objsize) == 60);

struct ExtmemOption {      // nmreq_opt_extmem, of a registration: the port's memory is the caller's
  Option nro_opt;
  uint64_t nro_usrptr;     // page aligned; the module does not look
  PoolsInfo nro_info;      // how it is divided
};
static_assert(sizeof(ExtmemOption) == 96 && offsetof(ExtmemOption, nro_usrptr) == 24 && offsetof(ExtmemOption, nro_info) == 32);

struct ValeAttach {        // nmreq_vale_attach
  Register reg;
  uint32_t port_index;
  uint32_t pad1;
};
static_assert(sizeof(ValeAttach) == 64 && offsetof(ValeAttach, port_index) == 56);

struct ValeDetach { uint32_t port_index, pad1; };
static_assert(sizeof(ValeDetach) == 8);

struct ValeList {          // nmreq_vale_list: in, where to look from; out, what was found; the name goes into nr_name
  uint16_t nr_bridge_idx;
  uint16_t pad1;
  uint32_t nr_port_idx;
};
static_assert(sizeof(ValeList) == 8);

struct PortHdr { uint32_t nr_hdr_len, pad1; };
static_assert(sizeof(PortHdr) == 8);

struct ValeNewIf {         // nmreq_vale_newif
  uint32_t nr_tx_slots, nr_rx_slots;
  uint16_t nr_tx_rings, nr_rx_rings;
  uint16_t nr_mem_id;
  uint16_t pad1;
};
static_assert(sizeof(ValeNewIf) == 16 && offsetof(ValeNewIf, nr_mem_id) == 12);

// --- rings ---------------------------------------------------------------------------------------------------------------------

inline constexpr uint32_t kReservedBuffers = 2;  // buffers 0 and 1 belong to nobody
inline constexpr uint32_t kFragmentsMax = 64;

// The system-call-less part, after netmap's CSB: one line per direction of writing and ring. The client publishes
// cur, then (release) head; the daemon publishes hwcur, then (release) hwtail. need_kick: ring my doorbell when you
// publish. These live behind the buffers, on pages of their own; RingTail, in the ring's sem area, says where.
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

// What the daemon puts into Ring::sem, which netmap gives no use: where what belongs to the ring lies, in bytes from the ring.
struct RingTail {
  int64_t sync;            // its RingSync
  int64_t peer;            // pipes: the ring at the other end, in this region too; 0 = no pipe
};
static_assert(sizeof(RingTail) <= sizeof(Ring::sem));

}  // namespace paste::netmap
