/* netmap's user ABI (API 14), for programs that have no header of netmap's at hand: the same names, values and layouts, asserted
 * below. C99 and C++11. */
#ifndef PASTE_NET_NETMAP_H
#define PASTE_NET_NETMAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/types.h>

#define NETMAP_API 14
#define NETMAP_MIN_API 14
#define NETMAP_MAX_API 15
#define NETMAP_DEVICE_NAME "/dev/netmap"
#define NETMAP_REQ_IFNAMSIZ 64

struct netmap_slot {
  uint32_t buf_idx;
  uint16_t len;
  uint16_t flags;
  uint64_t ptr; /* of the frame, with NS_INDIRECT */
};
#define NS_BUF_CHANGED 0x0001
#define NS_REPORT 0x0002
#define NS_INDIRECT 0x0010
#define NS_MOREFRAG 0x0020
#define NS_RFRAGS(slot) (((slot)->flags >> 8) & 0xff)

struct netmap_ring {
  const int64_t buf_ofs;
  const uint32_t num_slots;
  const uint32_t nr_buf_size;
  const uint16_t ringid;
  const uint16_t dir; /* 0 receive, 1 transmit */
  uint32_t head;      /* the program's from here ... */
  uint32_t cur;
  uint32_t tail;      /* ... to before here */
  uint32_t flags;
  struct timeval ts __attribute__((aligned(8)));
  uint64_t offset_mask;
  uint64_t buf_align;
  uint8_t sem[128] __attribute__((aligned(128)));
  struct netmap_slot slot[];
};
#define NR_TIMESTAMP 0x0002

struct netmap_if {
  char ni_name[16];
  const uint32_t ni_version;
  const uint32_t ni_flags;
  const uint32_t ni_tx_rings;
  const uint32_t ni_rx_rings;
  uint32_t ni_bufs_head; /* list of extra buffers */
  const uint32_t ni_host_tx_rings;
  const uint32_t ni_host_rx_rings;
  uint32_t ni_spare1[3];
  const ssize_t ring_ofs[];
};

struct nmreq_header {
  uint16_t nr_version;
  uint16_t nr_reqtype;
  uint32_t nr_reserved;
  char nr_name[NETMAP_REQ_IFNAMSIZ];
  uint64_t nr_options;
  uint64_t nr_body;
};
enum {
  NETMAP_REQ_REGISTER = 1, NETMAP_REQ_PORT_INFO_GET, NETMAP_REQ_VALE_ATTACH, NETMAP_REQ_VALE_DETACH, NETMAP_REQ_VALE_LIST,
  NETMAP_REQ_PORT_HDR_SET, NETMAP_REQ_PORT_HDR_GET, NETMAP_REQ_VALE_NEWIF, NETMAP_REQ_VALE_DELIF,
  NETMAP_REQ_VALE_POLLING_ENABLE, NETMAP_REQ_VALE_POLLING_DISABLE, NETMAP_REQ_POOLS_INFO_GET,
  NETMAP_REQ_SYNC_KLOOP_START, NETMAP_REQ_SYNC_KLOOP_STOP, NETMAP_REQ_CSB_ENABLE
};

struct nmreq_option {
  uint64_t nro_next;
  uint32_t nro_reqtype;
  uint32_t nro_status;
  uint64_t nro_size;
};
enum { NETMAP_REQ_OPT_EXTMEM = 1, NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS, NETMAP_REQ_OPT_CSB, NETMAP_REQ_OPT_SYNC_KLOOP_MODE,
       NETMAP_REQ_OPT_OFFSETS };

struct nmreq_register {
  uint64_t nr_offset;
  uint64_t nr_memsize;
  uint32_t nr_tx_slots;
  uint32_t nr_rx_slots;
  uint16_t nr_tx_rings;
  uint16_t nr_rx_rings;
  uint16_t nr_host_tx_rings;
  uint16_t nr_host_rx_rings;
  uint16_t nr_mem_id;
  uint16_t nr_ringid;
  uint32_t nr_mode;
  uint32_t nr_extra_bufs;
  uint64_t nr_flags __attribute__((aligned(8)));
};
enum { NR_REG_DEFAULT, NR_REG_ALL_NIC, NR_REG_SW, NR_REG_NIC_SW, NR_REG_ONE_NIC, NR_REG_PIPE_MASTER, NR_REG_PIPE_SLAVE,
       NR_REG_NULL, NR_REG_ONE_SW };
#define NR_MONITOR_TX 0x100
#define NR_MONITOR_RX 0x200
#define NR_ZCOPY_MON 0x400
#define NR_EXCLUSIVE 0x800
#define NR_RX_RINGS_ONLY 0x2000
#define NR_TX_RINGS_ONLY 0x4000
#define NR_ACCEPT_VNET_HDR 0x8000
#define NR_DO_RX_POLL 0x10000
#define NR_NO_TX_POLL 0x20000

struct nmreq_port_info_get {
  uint64_t nr_memsize;
  uint32_t nr_tx_slots;
  uint32_t nr_rx_slots;
  uint16_t nr_tx_rings;
  uint16_t nr_rx_rings;
  uint16_t nr_host_tx_rings;
  uint16_t nr_host_rx_rings;
  uint16_t nr_mem_id;
  uint16_t pad[3];
};
struct nmreq_pools_info {
  uint64_t nr_memsize;
  uint16_t nr_mem_id;
  uint16_t pad1[3];
  uint64_t nr_if_pool_offset;
  uint32_t nr_if_pool_objtotal;
  uint32_t nr_if_pool_objsize;
  uint64_t nr_ring_pool_offset;
  uint32_t nr_ring_pool_objtotal;
  uint32_t nr_ring_pool_objsize;
  uint64_t nr_buf_pool_offset;
  uint32_t nr_buf_pool_objtotal;
  uint32_t nr_buf_pool_objsize;
};
struct nmreq_vale_attach {
  struct nmreq_register reg;
  uint32_t port_index;
  uint32_t pad1;
};
struct nmreq_vale_detach {
  uint32_t port_index;
  uint32_t pad1;
};
struct nmreq_vale_list {
  uint16_t nr_bridge_idx;
  uint16_t pad1;
  uint32_t nr_port_idx;
};
struct nmreq_port_hdr {
  uint32_t nr_hdr_len;
  uint32_t pad1;
};
struct nmreq_vale_newif {
  uint32_t nr_tx_slots;
  uint32_t nr_rx_slots;
  uint16_t nr_tx_rings;
  uint16_t nr_rx_rings;
  uint16_t nr_mem_id;
  uint16_t pad1;
};

/* The interface before NIOCCTRL. */
struct nmreq {
  char nr_name[16];
  uint32_t nr_version;
  uint32_t nr_offset;
  uint32_t nr_memsize;
  uint32_t nr_tx_slots;
  uint32_t nr_rx_slots;
  uint16_t nr_tx_rings;
  uint16_t nr_rx_rings;
  uint16_t nr_ringid;
  uint16_t nr_cmd;
  uint16_t nr_arg1;
  uint16_t nr_arg2;
  uint32_t nr_arg3;
  uint32_t nr_flags;
  uint32_t spare2[1];
};
#define NETMAP_HW_RING 0x4000

#define NIOCCTRL _IOWR('i', 151, struct nmreq_header)
#define NIOCTXSYNC _IO('i', 148)
#define NIOCRXSYNC _IO('i', 149)
#define NIOCGINFO _IOWR('i', 145, struct nmreq)
#define NIOCREGIF _IOWR('i', 146, struct nmreq)

/* Where things are. nifp: the memory as mapped + nr_offset. */
#define NETMAP_IF(base, offset) ((struct netmap_if *)((char *)(base) + (offset)))
#define NETMAP_TXRING(nifp, i) ((struct netmap_ring *)((char *)(nifp) + (nifp)->ring_ofs[i]))
#define NETMAP_RXRING(nifp, i) \
  ((struct netmap_ring *)((char *)(nifp) + (nifp)->ring_ofs[(nifp)->ni_tx_rings + (nifp)->ni_host_tx_rings + (i)]))
#define NETMAP_BUF(ring, index) ((char *)(ring) + (ring)->buf_ofs + (size_t)(index) * (ring)->nr_buf_size)

#ifdef __cplusplus
#define PASTE_NETMAP_ASSERT(what) static_assert(what, #what)
#else
#define PASTE_NETMAP_ASSERT(what) _Static_assert(what, #what)
#endif
PASTE_NETMAP_ASSERT(sizeof(struct netmap_slot) == 16);
PASTE_NETMAP_ASSERT(offsetof(struct netmap_ring, head) == 20);
PASTE_NETMAP_ASSERT(offsetof(struct netmap_ring, slot) == 256);
PASTE_NETMAP_ASSERT(offsetof(struct netmap_if, ring_ofs) == 56);
PASTE_NETMAP_ASSERT(sizeof(struct nmreq_header) == 88);
PASTE_NETMAP_ASSERT(sizeof(struct nmreq_register) == 56);
PASTE_NETMAP_ASSERT(sizeof(struct nmreq_pools_info) == 64);
PASTE_NETMAP_ASSERT(sizeof(struct nmreq) == 60);

#endif
