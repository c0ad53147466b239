/* What a program does with its rings: in order, in fragments, by several threads, and wrong. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>

#include "cases.h"

static struct port a, b;

static void set_up(void) {
  a = port_open("vale0:a");
  b = port_open("vale0:b");
}

static void rubbish(void) {
  set_up();
  struct netmap_ring *tx = NETMAP_TXRING(a.nifp, 0), *rx = NETMAP_RXRING(a.nifp, 0);
  /* A position outside the ring: the call succeeds, the ring is reset, poll() says so. */
  tx->head = tx->cur = tx->num_slots + 5;
  CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == 0);
  CHECK(tx->head == 0 && tx->cur == 0 && tx->tail == tx->num_slots - 1);
  tx->head = tx->cur = 0xffffffff;
  struct pollfd watched = {a.fd, POLLOUT, 0};
  CHECK(poll(&watched, 1, 10000) == 1 && (watched.revents & POLLERR));
  CHECK(tx->head == 0);
  rx->head = rx->cur = rx->num_slots;
  watched.events = POLLIN;
  CHECK(poll(&watched, 1, 10000) == 1 && (watched.revents & POLLERR));
  CHECK(rx->head == 0 && rx->cur == 0 && rx->tail == 0);
  /* A position that is not the program's: the same, but for the program to put right. */
  rx->head = rx->cur = 7;
  CHECK(poll(&watched, 1, 10000) == 1 && watched.revents == POLLERR);
  CHECK(ioctl(a.fd, NIOCRXSYNC, NULL) == 0 && rx->head == 7);
  rx->head = rx->cur = 0;
  CHECK(poll(&watched, 1, 0) == 0);
  /* cur behind head. */
  tx->head = 5;
  watched.events = 0;
  CHECK(poll(&watched, 1, 10000) == 1 && watched.revents == POLLERR);
  tx->head = tx->cur = 0;
  /* tail is not the program's to write: it comes back. */
  tx->tail = 3;
  CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == 0 && tx->tail == tx->num_slots - 1);
  /* Everything at once, with slots that name no buffer. */
  for (uint32_t i = 0; i < tx->num_slots; i++) {
    tx->slot[i].buf_idx = 0xfffffff0 + i;
    tx->slot[i].len = 0xffff;
    tx->slot[i].flags = 0xffff;
    tx->slot[i].ptr = 1;
  }
  memset((void *)(uintptr_t)&tx->num_slots, 0xff, sizeof tx->num_slots);
  tx->head = tx->cur = 100;
  CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == 0);
  /* Nobody else notices. */
  struct port c = port_open("vale0:c");
  pass_frames(&b, &c, 500);
}

static void fragments(void) {
  set_up();
  struct netmap_ring *tx = NETMAP_TXRING(a.nifp, 0), *rx = NETMAP_RXRING(b.nifp, 0);
  for (uint32_t i = 0; i < 3; i++) {
    struct netmap_slot *slot = &tx->slot[i];
    memset(NETMAP_BUF(tx, slot->buf_idx), 'a' + (int)i, 2048);
    slot->len = i < 2 ? 2048 : 100;
    slot->flags = i < 2 ? NS_MOREFRAG : 0;
  }
  fill_frame(NETMAP_BUF(tx, tx->slot[0].buf_idx), 1, 60);
  tx->head = tx->cur = 3;
  CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == 0);
  while (rx->tail != 3) CHECK(wait_port(&b, POLLIN) == POLLIN);
  for (uint32_t i = 0; i < 3; i++) {
    const struct netmap_slot *slot = &rx->slot[i];
    CHECK(slot->len == (i < 2 ? 2048 : 100));
    CHECK(((slot->flags & NS_MOREFRAG) != 0) == (i < 2) && NS_RFRAGS(slot) == 3);
    CHECK(NETMAP_BUF(rx, slot->buf_idx)[60] == (i == 0 ? 0 : 'a' + (int)i) || i == 0);
  }
  CHECK(frame_number(NETMAP_BUF(rx, rx->slot[0].buf_idx)) == 1);
}

static void indirect(void) {
  set_up();
  struct netmap_ring *tx = NETMAP_TXRING(a.nifp, 0), *rx = NETMAP_RXRING(b.nifp, 0);
  static char outside[4][2048];
  for (uint32_t i = 0; i < 4; i++) {
    struct netmap_slot *slot = &tx->slot[i];
    fill_frame(outside[i], i, 60);
    slot->len = 60;
    slot->flags = NS_INDIRECT;
    slot->ptr = (uint64_t)(uintptr_t)outside[i];
  }
  tx->slot[2].ptr = 8; /* where nothing is: nothing is sent, and nothing breaks */
  tx->head = tx->cur = 4;
  CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == 0);
  memset(outside, 0, sizeof outside); /* the program's again */
  static const uint32_t expected[3] = {0, 1, 3};
  uint32_t seen = 0;
  while (seen < 3) {
    CHECK(wait_port(&b, POLLIN) == POLLIN);
    for (; rx->head != rx->tail; rx->head = rx->cur = ring_next(rx, rx->head)) {
      const struct netmap_slot *slot = &rx->slot[rx->head];
      CHECK(slot->len == 60 && frame_number(NETMAP_BUF(rx, slot->buf_idx)) == expected[seen++]);
    }
  }
}

static void swapped_buffers(void) {
  struct nmreq_register wanted;
  memset(&wanted, 0, sizeof wanted);
  a = port_open("vale0:b");
  b.fd = open("/dev/netmap", O_RDWR);
  b.reg = wanted;
  b.reg.nr_extra_bufs = 8;
  CHECK(port_register(&b, "vale0:a") == 0 && b.reg.nr_extra_bufs == 8 && port_map(&b) == 0);
  struct netmap_ring *tx = NETMAP_TXRING(b.nifp, 0);
  uint32_t extra = b.nifp->ni_bufs_head, next = 0;
  for (uint32_t i = 0; i < 8; i++) {
    CHECK(extra >= 2);
    const uint32_t following = *(uint32_t *)NETMAP_BUF(tx, extra);
    fill_frame(NETMAP_BUF(tx, extra), i, 60);
    tx->slot[i].buf_idx = extra;
    tx->slot[i].len = 60;
    tx->slot[i].flags = NS_BUF_CHANGED;
    extra = following;
  }
  CHECK(extra == 0);
  b.nifp->ni_bufs_head = 0;
  tx->head = tx->cur = 8;
  CHECK(ioctl(b.fd, NIOCTXSYNC, NULL) == 0);
  while (next < 8) {
    CHECK(wait_port(&a, POLLIN) == POLLIN);
    take_frames(NETMAP_RXRING(a.nifp, 0), &next);
  }
}

static void timestamps(void) {
  set_up();
  struct netmap_ring *rx = NETMAP_RXRING(b.nifp, 0);
  struct timeval before;
  rx->flags |= NR_TIMESTAMP;
  gettimeofday(&before, NULL);
  CHECK(ioctl(b.fd, NIOCRXSYNC, NULL) == 0);
  CHECK(rx->ts.tv_sec >= before.tv_sec && rx->ts.tv_usec >= 0 && rx->ts.tv_usec < 1000000);
}

static struct port open_ring(const char *name, uint16_t ring) {
  struct port port;
  memset(&port, 0, sizeof port);
  port.fd = open("/dev/netmap", O_RDWR);
  CHECK(port.fd >= 0);
  port.reg.nr_mode = NR_REG_ONE_NIC;
  port.reg.nr_ringid = ring;
  port.reg.nr_tx_rings = port.reg.nr_rx_rings = 2;
  CHECK(port_register(&port, name) == 0);
  CHECK(port.reg.nr_tx_rings == 2 && port_map(&port) == 0);
  return port;
}

/* Sends 64 at a time and waits for them at the other port: the receiver's ring never overflows. */
static volatile uint32_t received[2];

static void *send_on_ring(void *argument) {
  const uint16_t ring = (uint16_t)(uintptr_t)argument;
  struct port port = open_ring("vale0:two", ring);
  struct netmap_ring *tx = NETMAP_TXRING(port.nifp, ring);
  CHECK(port.nifp->ring_ofs[1 - ring] == 0); /* the other ring is not this descriptor's */
  for (uint32_t sent = 0; sent < 5000;) {
    CHECK(wait_port(&port, POLLOUT) == POLLOUT);
    const uint32_t count = ring_space(tx) < 64 ? ring_space(tx) : 64;
    for (uint32_t i = 0, head = tx->head; i < count; i++, head = ring_next(tx, head)) {
      fill_frame(NETMAP_BUF(tx, tx->slot[head].buf_idx), ring * 1000000u + sent + i, 60);
      tx->slot[head].len = 60;
      tx->slot[head].flags = 0;
      tx->head = tx->cur = ring_next(tx, head);
    }
    sent += count;
    CHECK(ioctl(port.fd, NIOCTXSYNC, NULL) == 0);
    while (__atomic_load_n(&received[ring], __ATOMIC_ACQUIRE) < sent) usleep(100);
  }
  CHECK(close(port.fd) == 0);
  return NULL;
}

static void threads_on_two_rings(void) {
  b = port_open("vale0:b");
  struct netmap_ring *rx = NETMAP_RXRING(b.nifp, 0);
  struct port keeper = open_ring("vale0:two", 0); /* so that the port outlives either thread */
  pthread_t threads[2];
  for (uintptr_t i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, send_on_ring, (void *)i) == 0);
  while (received[0] < 5000 || received[1] < 5000) {
    CHECK(wait_port(&b, POLLIN) == POLLIN);
    for (; rx->head != rx->tail; rx->head = rx->cur = ring_next(rx, rx->head)) {
      const uint32_t number = frame_number(NETMAP_BUF(rx, rx->slot[rx->head].buf_idx));
      const uint32_t ring = number / 1000000;
      CHECK(ring < 2 && number % 1000000 == received[ring]); /* in order, ring by ring */
      __atomic_store_n(&received[ring], received[ring] + 1, __ATOMIC_RELEASE);
    }
  }
  for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  close_port(&keeper);
}

static void pipes(void) {
  struct port master = port_open("vale0:a{1"), slave = port_open("vale0:a}1");
  struct netmap_ring *tx = NETMAP_TXRING(master.nifp, 0), *rx = NETMAP_RXRING(slave.nifp, 0);
  uint32_t next = 0;
  /* Frames change hands, not bytes: the receiver's slot names the sender's buffer. */
  const uint32_t buffer = tx->slot[0].buf_idx;
  CHECK(put_frames(tx, 0, 10) == 10);
  CHECK(ioctl(master.fd, NIOCTXSYNC, NULL) == 0);
  CHECK(ioctl(slave.fd, NIOCRXSYNC, NULL) == 0);
  CHECK(rx->tail == 10 && rx->slot[0].buf_idx == buffer);
  /* What is not read yet is pending: 7 of 10 given back leave 3. */
  for (; next < 7; next++) {
    CHECK(frame_number(NETMAP_BUF(rx, rx->slot[rx->head].buf_idx)) == next);
    rx->head = rx->cur = ring_next(rx, rx->head);
  }
  CHECK(ioctl(slave.fd, NIOCRXSYNC, NULL) == 0);
  CHECK(ioctl(master.fd, NIOCTXSYNC, NULL) == 0);
  CHECK(ring_space(tx) == tx->num_slots - 1 - 3);
  /* A sender waits for a receiver that does not read. */
  const uint32_t more = put_frames(tx, 10, tx->num_slots);
  CHECK(more == tx->num_slots - 1 - 3);
  struct pollfd watched = {master.fd, POLLOUT, 0};
  CHECK(poll(&watched, 1, 50) == 0);
  CHECK(wait_port(&slave, POLLIN) == POLLIN);
  CHECK(take_frames(rx, &next) == 3 + more);
  CHECK(ioctl(slave.fd, NIOCRXSYNC, NULL) == 0);
  CHECK(wait_port(&master, POLLOUT) == POLLOUT && ring_space(tx) == tx->num_slots - 1);
  /* And back; then one end goes, the other lives. */
  pass_frames(&slave, &master, 20);
  close_port(&slave);
  CHECK(wait_port(&master, POLLOUT) == POLLOUT);
  watched.events = POLLIN;
  CHECK(poll(&watched, 1, 50) == 0);
  slave = port_open("vale0:a}1");
  pass_frames(&master, &slave, 20);
  pass_frames(&slave, &master, 20);
}

static void monitors(void) {
  set_up();
  struct port seen_at_a, seen_at_b;
  memset(&seen_at_a, 0, sizeof seen_at_a);
  memset(&seen_at_b, 0, sizeof seen_at_b);
  seen_at_a.reg.nr_flags = NR_MONITOR_TX;
  seen_at_b.reg.nr_flags = NR_MONITOR_RX;
  seen_at_a.fd = open("/dev/netmap", O_RDWR);
  seen_at_b.fd = open("/dev/netmap", O_RDWR);
  CHECK(port_register(&seen_at_a, "vale0:a") == 0 && port_map(&seen_at_a) == 0);
  CHECK(port_register(&seen_at_b, "vale0:b") == 0 && port_map(&seen_at_b) == 0);
  CHECK(put_frames(NETMAP_TXRING(a.nifp, 0), 0, 30) == 30);
  CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == 0);
  /* Each monitor has its copies before anybody has read; then the port itself still has its own. */
  const struct port *readers[] = {&seen_at_a, &seen_at_b, &b};
  for (int i = 0; i < 3; i++)
    for (uint32_t next = 0; next < 30;) {
      CHECK(wait_port(readers[i], POLLIN) == POLLIN);
      take_frames(NETMAP_RXRING(readers[i]->nifp, 0), &next);
    }
  struct port zero_copy;
  memset(&zero_copy, 0, sizeof zero_copy);
  zero_copy.fd = open("/dev/netmap", O_RDWR);
  zero_copy.reg.nr_flags = NR_MONITOR_RX | NR_ZCOPY_MON;
  CHECK(port_register(&zero_copy, "vale0:b") == EOPNOTSUPP);
}

static void pipe_between_processes(void) {
  struct port master = port_open("vale0:a{1");
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    struct port slave = port_open("vale0:a}1");
    uint32_t next = 0;
    while (next < 20000) {
      CHECK(wait_port(&slave, POLLIN) == POLLIN);
      take_frames(NETMAP_RXRING(slave.nifp, 0), &next);
    }
    CHECK(ioctl(slave.fd, NIOCRXSYNC, NULL) == 0);
    _exit(0);
  }
  for (uint32_t sent = 0; sent < 20000;) {
    CHECK(wait_port(&master, POLLOUT) == POLLOUT);
    sent += put_frames(NETMAP_TXRING(master.nifp, 0), sent, 20000 - sent);
    CHECK(ioctl(master.fd, NIOCTXSYNC, NULL) == 0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv) {
  static const struct test_case cases[] = {
      {"rubbish", rubbish},
      {"fragments", fragments},
      {"indirect", indirect},
      {"swapped-buffers", swapped_buffers},
      {"timestamps", timestamps},
      {"threads-on-two-rings", threads_on_two_rings},
      {"pipes", pipes},
      {"monitors", monitors},
      {"pipe-between-processes", pipe_between_processes},
      {NULL, NULL},
  };
  return run_case(cases, argc, argv);
}
