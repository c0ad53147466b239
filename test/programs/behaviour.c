/* What netmap's ports do, as a program sees it: the integration scenarios that netmap comes with, and what they leave
 * out. Nothing here waits for nothing to happen: behind a frame that must not arrive a marker is sent that must. */
#include "cases.h"

enum { kMarker = 99 };

static struct netmap_ring *tx(const struct port *port) { return NETMAP_TXRING(port->nifp, 0); }
static struct netmap_ring *rx(const struct port *port) { return NETMAP_RXRING(port->nifp, 0); }
static void sync_tx(const struct port *port) { CHECK(ioctl(port->fd, NIOCTXSYNC, NULL) == 0); }

static struct port open_with(const char *name, uint64_t flags, uint32_t extra, int expected) {
  struct port port;
  memset(&port, 0, sizeof port);
  port.fd = open("/dev/netmap", O_RDWR);
  CHECK(port.fd >= 0);
  port.reg.nr_flags = flags;
  port.reg.nr_extra_bufs = extra;
  CHECK(port_register(&port, name) == expected);
  if (expected == 0) CHECK(port_map(&port) == 0);
  if (expected != 0) CHECK(close(port.fd) == 0);
  return port;
}

/* Puts one frame into the next slots, `part` bytes in each but the last; stations are small numbers, 0 = everybody. */
static void put(const struct port *port, int to, int from, uint32_t number, uint32_t bytes, uint32_t part) {
  struct netmap_ring *ring = tx(port);
  char frame[16384];
  fill_frame(frame, number, bytes > 18 ? bytes : 18);
  if (to != 0) memcpy(frame, "\2\0\0\0\0", 5), frame[5] = (char)to;
  frame[11] = (char)from;
  for (uint32_t done = 0; done < bytes;) {
    CHECK(ring_space(ring) > 0);
    struct netmap_slot *slot = &ring->slot[ring->head];
    const uint32_t now = bytes - done < part ? bytes - done : part;
    memcpy(NETMAP_BUF(ring, slot->buf_idx), frame + done, now);
    slot->len = (uint16_t)now;
    done += now;
    slot->flags = done < bytes ? NS_MOREFRAG : 0;
    ring->head = ring->cur = ring_next(ring, ring->head);
  }
}

static void send_frame(const struct port *port, int to, int from, uint32_t number) {
  put(port, to, from, number, 60, 2048);
  sync_tx(port);
}

/* The next frame that arrives must have this number and length (of its first slot). */
static void expect(const struct port *port, uint32_t number, uint32_t bytes) {
  struct netmap_ring *ring = rx(port);
  while (ring->head == ring->tail) CHECK(wait_port(port, POLLIN) & POLLIN);
  struct netmap_slot *slot = &ring->slot[ring->head];
  CHECK(frame_number(NETMAP_BUF(ring, slot->buf_idx)) == number);
  CHECK(slot->len == bytes);
  ring->head = ring->cur = ring_next(ring, ring->head);
}

static void exclusive(const char *name) {
  struct port first = open_with(name, NR_EXCLUSIVE, 0, 0);
  open_with(name, 0, 0, EBUSY);
  open_with(name, NR_EXCLUSIVE, 0, EBUSY);
  close_port(&first);
  struct port shared = open_with(name, 0, 0, 0);
  struct port again = open_with(name, 0, 0, 0);
  open_with(name, NR_EXCLUSIVE, 0, EBUSY);
  close_port(&shared);
  close_port(&again);
}
static void exclusive_open(void) {
  exclusive("vale0:v0");
  exclusive("vale0:v0{1");
  exclusive("alone{1");
  exclusive("alone}1");
}

/* Every frame leaves in a buffer of the list; the ring's own are nobody's then, until the region goes. */
static void send_through_extra(const struct port *port, uint32_t count) {
  struct netmap_ring *ring = tx(port);
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t spare = port->nifp->ni_bufs_head;
    CHECK(spare != 0);
    memcpy(&port->nifp->ni_bufs_head, NETMAP_BUF(ring, spare), sizeof spare);
    struct netmap_slot *slot = &ring->slot[ring->head];
    CHECK(slot->buf_idx != spare);
    fill_frame(NETMAP_BUF(ring, spare), i, 60);
    slot->buf_idx = spare;
    slot->len = 60;
    slot->flags = NS_BUF_CHANGED;
    ring->head = ring->cur = ring_next(ring, ring->head);
  }
  CHECK(port->nifp->ni_bufs_head == 0);
  sync_tx(port);
}
static void extra_buffers(void) {
  struct port sender = open_with("vale0:v0", 0, 12, 0), one = port_open("vale0:v1"), two = port_open("vale0:v2");
  CHECK(sender.reg.nr_extra_bufs == 12);
  send_through_extra(&sender, 12);
  for (uint32_t i = 0; i < 12; i++) expect(&one, i, 60), expect(&two, i, 60);
  struct port master = open_with("pipeA{1", 0, 12, 0), slave = port_open("pipeA}1");
  CHECK(master.reg.nr_extra_bufs == 12);
  send_through_extra(&master, 12);
  for (uint32_t i = 0; i < 12; i++) expect(&slave, i, 60);
}

static void learning(void) {
  struct port a = port_open("vale0:a"), b = port_open("vale0:b"), c = port_open("vale0:c");
  send_frame(&c, 0, 7, 1); /* to everybody: 7 is at c */
  expect(&a, 1, 60);
  expect(&b, 1, 60);
  send_frame(&a, 7, 8, 2); /* to 7: c alone */
  send_frame(&a, 0, 8, kMarker);
  expect(&c, 2, 60);
  expect(&c, kMarker, 60);
  expect(&b, kMarker, 60);
  send_frame(&c, 7, 9, 3); /* to 7 from where 7 is: to nobody */
  send_frame(&c, 0, 9, kMarker);
  expect(&a, kMarker, 60);
  expect(&b, kMarker, 60);
}

/* netmap's own switch forgets to relearn a station that moved there and back, and keeps those of a port that went. */
static void station_moves(void) {
  struct port a = port_open("vale0:a"), b = port_open("vale0:b"), c = port_open("vale0:c");
  const struct port *homes[] = {&a, &b, &a};
  for (uint32_t i = 0; i < 3; i++) {
    const struct port *other = homes[i] == &a ? &b : &a;
    send_frame(homes[i], 0, 7, i);
    expect(other, i, 60);
    expect(&c, i, 60);
    send_frame(&c, 7, 3, 10 + i);
    send_frame(&c, 0, 3, kMarker);
    expect(homes[i], 10 + i, 60);
    expect(homes[i], kMarker, 60);
    expect(other, kMarker, 60);
  }
  close_port(&a);
  struct port late = port_open("vale0:late");
  send_frame(&c, 7, 3, 20); /* flooded: neither lost nor the newcomer's alone */
  expect(&b, 20, 60);
  expect(&late, 20, 60);
}

static void partial_read(const char *master_name, const char *slave_name) {
  struct port master = port_open(master_name), slave = port_open(slave_name);
  const uint32_t slots = tx(&master)->num_slots;
  CHECK(ring_space(tx(&master)) == slots - 1);
  for (uint32_t i = 0; i < 10; i++) put(&master, 0, 1, i, 60, 2048);
  sync_tx(&master);
  for (uint32_t i = 0; i < 7; i++) expect(&slave, i, 60);
  CHECK(ioctl(slave.fd, NIOCRXSYNC, NULL) == 0);
  sync_tx(&master);
  CHECK(ring_space(tx(&master)) == slots - 1 - 3); /* three are pending, and no more can be sent than there is room */
  for (uint32_t i = 10; i < 10 + slots - 4; i++) put(&master, 0, 1, i, 60, 2048);
  sync_tx(&master);
  CHECK(ring_space(tx(&master)) == 0);
  for (uint32_t i = 7; i < 10 + slots - 4; i++) expect(&slave, i, 60);
  close_port(&master); /* the other end lives on */
  CHECK(ioctl(slave.fd, NIOCRXSYNC, NULL) == 0 && ring_space(rx(&slave)) == 0);
  master = port_open(master_name);
  send_frame(&slave, 0, 2, 5);
  expect(&master, 5, 60);
}
static void pipe_partial_read(void) {
  partial_read("vale0:a{x", "vale0:a}x");
  partial_read("nobody}x", "nobody{x");
}

static void watch(const char *name, const char *bridge_name) {
  struct port port = port_open(name), peer = port_open("vale0:peer");
  struct port gets = open_with(name, NR_MONITOR_RX, 0, 0), sends = open_with(name, NR_MONITOR_TX, 0, 0);
  open_with(name, NR_MONITOR_RX | NR_ZCOPY_MON, 0, EOPNOTSUPP);
  send_frame(&peer, 0, 1, 1);
  expect(&gets, 1, 60); /* though the port has not read it */
  expect(&port, 1, 60);
  send_frame(&port, 0, 2, 2);
  expect(&sends, 2, 60); /* though nobody has read it */
  expect(&peer, 2, 60);
  send_frame(&peer, 0, 1, 3);
  send_frame(&port, 0, 2, 4);
  expect(&gets, 3, 60);
  expect(&sends, 4, 60); /* each its direction alone */
  struct port late = port_open(bridge_name);
  expect(&port, 3, 60);
  close_port(&late);
  close_port(&gets);
  close_port(&sends);
  close_port(&port);
  close_port(&peer);
}
static void monitors(void) {
  watch("vale0:watched", "vale0:watched");
  struct nmreq_vale_newif made;
  struct nmreq_vale_attach attach;
  const int fd = open("/dev/netmap", O_RDWR);
  memset(&made, 0, sizeof made);
  memset(&attach, 0, sizeof attach);
  struct nmreq_header header = request(NETMAP_REQ_VALE_NEWIF, "stays", &made);
  CHECK(ioctl(fd, NIOCCTRL, &header) == 0);
  header = request(NETMAP_REQ_VALE_ATTACH, "vale0:stays", &attach);
  attach.reg.nr_mode = NR_REG_ALL_NIC;
  CHECK(ioctl(fd, NIOCCTRL, &header) == 0);
  watch("stays", "vale0:stays");
}

/* Takes all that waits; how many slots. */
static uint32_t drain(const struct port *port) {
  uint32_t count = 0;
  CHECK(ioctl(port->fd, NIOCRXSYNC, NULL) == 0);
  for (struct netmap_ring *ring = rx(port); ring->head != ring->tail; count++)
    ring->head = ring->cur = ring_next(ring, ring->head);
  return count;
}

/* A full port loses what came last; the sender's slots are free all the same, and it is told nothing. */
static void full_ring(void) {
  struct port a = port_open("vale0:a"), b = port_open("vale0:b"), c = port_open("vale0:c");
  const uint32_t slots = rx(&b)->num_slots;
  for (uint32_t i = 0; i < 3 * slots; i++) {
    while (ring_space(tx(&a)) == 0) CHECK(wait_port(&a, POLLOUT) & POLLOUT);
    put(&a, 0, 1, i, 60, 2048);
    sync_tx(&a);
    expect(&c, i, 60); /* who reads gets everything */
  }
  for (uint32_t i = 0; i < slots - 1; i++) expect(&b, i, 60);
  CHECK(drain(&b) == 0);
  /* Three slots are free: neither the long frame nor the short one behind it finds room, as they came together. */
  for (uint32_t i = 0; i < slots - 1 - 3; i++) send_frame(&a, 0, 1, i), expect(&c, i, 60);
  put(&a, 0, 1, 500, 9000, 1800);
  put(&a, 0, 1, 501, 60, 2048);
  sync_tx(&a);
  expect(&c, 500, 2048);
  for (uint32_t left = 4, i = 0; i < left; i++) { /* its other slots */
    struct netmap_ring *ring = rx(&c);
    while (ring->head == ring->tail) CHECK(wait_port(&c, POLLIN) & POLLIN);
    ring->head = ring->cur = ring_next(ring, ring->head);
  }
  expect(&c, 501, 60);
  CHECK(drain(&b) == slots - 1 - 3);
}

static void limits(void) {
  struct port a = port_open("vale0:a"), b = port_open("vale0:b");
  const uint32_t sizes[] = {13, 14, 2047, 2048};
  for (uint32_t i = 0; i < 4; i++) put(&a, 0, 1, i, sizes[i], 2048);
  struct netmap_slot *slot = &tx(&a)->slot[tx(&a)->head];
  put(&a, 0, 1, 50, 60, 2048);
  slot->len = 0; /* no frame at all */
  put(&a, 0, 1, kMarker, 60, 2048);
  sync_tx(&a);
  struct netmap_ring *ring = rx(&b);
  while (ring->head == ring->tail) CHECK(wait_port(&b, POLLIN) & POLLIN);
  CHECK(ring->slot[ring->head].len == 14); /* too short for its number */
  ring->head = ring->cur = ring_next(ring, ring->head);
  expect(&b, 2, 2047);
  expect(&b, 3, 2048);
  expect(&b, kMarker, 60);
}

/* Frames of one sender stay in order towards each receiver, broadcast between unicast. */
static void order(void) {
  struct port a = port_open("vale0:a"), b = port_open("vale0:b"), c = port_open("vale0:c");
  send_frame(&b, 0, 2, 1);
  expect(&a, 1, 60);
  expect(&c, 1, 60);
  for (uint32_t i = 0; i < 300; i++) {
    put(&a, i % 3 ? 2 : 0, 1, i, 60, 2048);
    put(&c, i % 2 ? 2 : 0, 3, 1000 + i, 60, 2048);
  }
  sync_tx(&a);
  sync_tx(&c);
  uint32_t next[2] = {0, 1000};
  for (uint32_t got = 0; got < 600; got++) {
    struct netmap_ring *ring = rx(&b);
    while (ring->head == ring->tail) CHECK(wait_port(&b, POLLIN) & POLLIN);
    const uint32_t number = frame_number(NETMAP_BUF(ring, ring->slot[ring->head].buf_idx));
    CHECK(number == next[number >= 1000]++);
    ring->head = ring->cur = ring_next(ring, ring->head);
  }
  for (uint32_t i = 0; i < 300; i += 3) expect(&c, i, 60);
}

int main(int argc, char **argv) {
  static const struct test_case cases[] = {
      {"exclusive-open", exclusive_open}, {"extra-buffers", extra_buffers},         {"learning", learning},
      {"station-moves", station_moves},   {"pipe-partial-read", pipe_partial_read}, {"monitors", monitors},
      {"full-ring", full_ring},           {"limits", limits},                       {"order", order},
      {NULL, NULL},
  };
  return run_case(cases, argc, argv);
}
