/* A netmap port as a program of netmap's has it: what the test programs share. Written to the ABI, nothing else. */
#ifndef TEST_PORT_H
#define TEST_PORT_H

#include <errno.h>
#include <fcntl.h>
#include <net/netmap.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct port {
  int fd;
  struct nmreq_register reg;
  char *memory;
  struct netmap_if *nifp;
};

/* Ends the program with a line that says what did not hold. */
#define CHECK(condition)                                                                     \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);      \
      exit(1);                                                                               \
    }                                                                                        \
  } while (0)

static inline struct nmreq_header request(int type, const char *name, void *body) {
  struct nmreq_header header;
  memset(&header, 0, sizeof header);
  header.nr_version = NETMAP_API;
  header.nr_reqtype = (uint16_t)type;
  snprintf(header.nr_name, sizeof header.nr_name, "%s", name);
  header.nr_body = (uint64_t)(uintptr_t)body;
  return header;
}

/* 0, or an errno; port->reg says what is wanted (nr_mode 0: all rings). */
static inline int port_register(struct port *port, const char *name) {
  struct nmreq_header header = request(NETMAP_REQ_REGISTER, name, &port->reg);
  if (port->reg.nr_mode == 0) port->reg.nr_mode = NR_REG_ALL_NIC;
  return ioctl(port->fd, NIOCCTRL, &header) == 0 ? 0 : errno;
}

static inline int port_map(struct port *port) {
  void *memory = mmap(NULL, port->reg.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, port->fd, 0);
  if (memory == MAP_FAILED) return errno;
  port->memory = (char *)memory;
  port->nifp = NETMAP_IF(port->memory, port->reg.nr_offset);
  return 0;
}

static inline struct port port_open(const char *name) {
  struct port port;
  memset(&port, 0, sizeof port);
  port.fd = open("/dev/netmap", O_RDWR);
  CHECK(port.fd >= 0);
  CHECK(port_register(&port, name) == 0);
  CHECK(port_map(&port) == 0);
  return port;
}

static inline uint32_t ring_next(const struct netmap_ring *ring, uint32_t i) { return i + 1 == ring->num_slots ? 0 : i + 1; }
static inline uint32_t ring_space(const struct netmap_ring *ring) {
  const int space = (int)ring->tail - (int)ring->cur;
  return (uint32_t)(space < 0 ? space + (int)ring->num_slots : space);
}

/* A broadcast frame with a number in it, of `bytes` bytes. */
static inline void fill_frame(char *to, uint32_t number, uint32_t bytes) {
  static const unsigned char head[14] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};
  memset(to, 0, bytes);
  memcpy(to, head, sizeof head);
  memcpy(to + 14, &number, sizeof number);
}
static inline uint32_t frame_number(const char *from) {
  uint32_t number;
  memcpy(&number, from + 14, sizeof number);
  return number;
}

/* Puts up to `count` frames numbered from `first` into a ring, without a sync; how many went in. */
static inline uint32_t put_frames(struct netmap_ring *ring, uint32_t first, uint32_t count) {
  uint32_t done = 0, head = ring->head;
  for (; done < count && ring_space(ring) > done; done++) {
    struct netmap_slot *slot = &ring->slot[head];
    fill_frame(NETMAP_BUF(ring, slot->buf_idx), first + done, 60);
    slot->len = 60;
    slot->flags = 0;
    head = ring_next(ring, head);
  }
  ring->head = ring->cur = head;
  return done;
}

/* Takes every waiting frame; they must be numbered from `*next` on. */
static inline uint32_t take_frames(struct netmap_ring *ring, uint32_t *next) {
  uint32_t count = 0;
  for (; ring->head != ring->tail; count++) {
    struct netmap_slot *slot = &ring->slot[ring->head];
    CHECK(slot->len == 60);
    CHECK(frame_number(NETMAP_BUF(ring, slot->buf_idx)) == *next);
    ++*next;
    ring->head = ring->cur = ring_next(ring, ring->head);
  }
  return count;
}

#endif
