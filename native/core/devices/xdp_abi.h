// AF_XDP and the few bpf() commands behind it, as the kernel knows them (include/uapi/linux/{if_xdp,bpf,if_link}.h of Linux 6.6):
// carried here because older distributions' headers lack XDP_USE_SG and BPF_F_XDP_HAS_FRAGS. Every structure is asserted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paste::xdp {

inline constexpr int kAddressFamily = 44;      // AF_XDP
inline constexpr int kSocketLevel = 283;       // SOL_XDP

// Socket options
inline constexpr int kMmapOffsets = 1, kRxRing = 2, kTxRing = 3, kUmemRegister = 4, kUmemFillRing = 5,
                     kUmemCompletionRing = 6, kStatistics = 7, kOptions = 8,
                     kMaxTxBudget = 9;         // XDP_MAX_TX_SKB_BUDGET, Linux 6.17

// Where the rings are mapped
inline constexpr int64_t kRxOffset = 0, kTxOffset = 0x80000000, kFillOffset = 0x100000000, kCompletionOffset = 0x180000000;

// Flags of bind
inline constexpr uint16_t kSharedUmem = 1 << 0, kCopy = 1 << 1, kZeroCopy = 1 << 2, kUseNeedWakeup = 1 << 3,
                          kUseFragments = 1 << 4;  // XDP_USE_SG, Linux 6.6
inline constexpr uint32_t kRingNeedWakeup = 1;     // XDP_RING_NEED_WAKEUP
inline constexpr uint32_t kOptionZeroCopy = 1;     // XDP_OPTIONS_ZEROCOPY
inline constexpr uint32_t kMoreDescriptors = 1;    // XDP_PKT_CONTD: the frame goes on in the next descriptor
inline constexpr uint32_t kHeadroomBytes = 256;    // XDP_PACKET_HEADROOM: in front of received data

struct SocketAddress {                             // sockaddr_xdp
  uint16_t family;
  uint16_t flags;
  uint32_t interface;
  uint32_t queue;
  uint32_t shared_umem;                            // descriptor of the socket that registered the UMEM
};
static_assert(sizeof(SocketAddress) == 16);

struct RingOffsets {                               // xdp_ring_offset
  uint64_t producer, consumer, descriptors, flags;
};
struct MmapOffsets {                               // xdp_mmap_offsets
  RingOffsets rx, tx, fill, completion;
};
static_assert(sizeof(MmapOffsets) == 128);

struct UmemRegistration {                          // xdp_umem_reg
  uint64_t address, length;
  uint32_t chunk_bytes, headroom, flags, tx_metadata_bytes;  // the last: Linux 6.8, padding before
};
static_assert(sizeof(UmemRegistration) == 32 && offsetof(UmemRegistration, flags) == 24);

struct Statistics {                                // xdp_statistics
  uint64_t rx_dropped, rx_invalid_descriptors, tx_invalid_descriptors, rx_ring_full, fill_ring_empty, tx_ring_empty;
};
static_assert(sizeof(Statistics) == 48);

struct Descriptor {                                // xdp_desc
  uint64_t address;                                // in the UMEM
  uint32_t length;
  uint32_t options;
};
static_assert(sizeof(Descriptor) == 16);

// bpf(2). Each structure is the part of union bpf_attr that its command reads; a shorter one than the kernel's is zero-extended.
inline constexpr int kMapCreate = 0, kMapUpdate = 2, kProgramLoad = 5, kLinkCreate = 28;
inline constexpr uint32_t kXskMap = 17, kXdpProgram = 6, kAttachXdp = 37;
inline constexpr uint32_t kProgramHasFragments = 1 << 5;     // BPF_F_XDP_HAS_FRAGS, Linux 5.18
inline constexpr uint32_t kAttachGeneric = 1 << 1, kAttachNative = 1 << 2;  // XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE
inline constexpr uint32_t kPass = 2;                         // XDP_PASS
inline constexpr uint32_t kContextQueue = 16;                // offset of rx_queue_index in struct xdp_md
inline constexpr int32_t kRedirectMap = 51;                  // BPF_FUNC_redirect_map

struct MapCreate {
  uint32_t type, key_bytes, value_bytes, entries, flags;
};
struct MapUpdate {
  uint32_t map, reserved;
  uint64_t key, value, flags;
};
static_assert(sizeof(MapUpdate) == 32);
struct ProgramLoad {
  uint32_t type, instruction_count;
  uint64_t instructions, license;
  uint32_t log_level, log_bytes;
  uint64_t log;
  uint32_t kernel_version, flags;
  char name[16];
  uint32_t interface, attach_type;
};
static_assert(sizeof(ProgramLoad) == 72 && offsetof(ProgramLoad, flags) == 44 && offsetof(ProgramLoad, attach_type) == 68);
struct LinkCreate {
  uint32_t program, interface, attach_type, flags;
};
static_assert(sizeof(LinkCreate) == 16);

struct Instruction {                               // bpf_insn
  uint8_t code;
  uint8_t registers;                               // destination | source << 4
  int16_t offset;
  int32_t immediate;
};
static_assert(sizeof(Instruction) == 8);

}  // namespace paste::xdp
