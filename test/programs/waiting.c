/* poll, select and epoll of netmap and ordinary descriptors together. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <time.h>

#include "cases.h"

static struct port a, b;
static int ends[2];

static void set_up(void) {
  a = port_open("vale0:a");
  b = port_open("vale0:b");
  CHECK(pipe(ends) == 0);
}

static void send_frames(uint32_t first, uint32_t count) {
  CHECK(put_frames(NETMAP_TXRING(a.nifp, 0), first, count) == count);
  CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == 0);
}

static void take(uint32_t *next, uint32_t until) {
  while (*next < until) {
    CHECK(wait_port(&b, POLLIN) == POLLIN);
    take_frames(NETMAP_RXRING(b.nifp, 0), next);
  }
  CHECK(*next == until);
}

static void *send_soon(void *argument) {
  usleep(100000);
  send_frames(*(uint32_t *)argument, 1);
  return NULL;
}

static void *write_soon(void *argument) {
  usleep(100000);
  CHECK(write(ends[1], "x", 1) == 1);
  return argument;
}

static void poll_mixed(void) {
  set_up();
  struct pollfd both[3] = {{ends[0], POLLIN, 7}, {b.fd, POLLIN, 7}, {-1, POLLIN, 7}};
  char byte;
  uint32_t next = 0, first = 1;
  pthread_t thread;
  CHECK(poll(both, 3, 0) == 0 && both[0].revents == 0 && both[1].revents == 0 && both[2].revents == 0);
  CHECK(poll(both, 3, 30) == 0);
  CHECK(write(ends[1], "x", 1) == 1);
  CHECK(poll(both, 3, 5000) == 1 && both[0].revents == POLLIN && both[1].revents == 0);
  CHECK(read(ends[0], &byte, 1) == 1);
  send_frames(0, 1);
  CHECK(poll(both, 3, 5000) == 1 && both[0].revents == 0 && both[1].revents == POLLIN);
  CHECK(write(ends[1], "x", 1) == 1);
  CHECK(poll(both, 3, 5000) == 2 && both[0].revents == POLLIN && both[1].revents == POLLIN);
  CHECK(read(ends[0], &byte, 1) == 1);
  take(&next, 1);
  /* Woken from sleep by either. */
  CHECK(pthread_create(&thread, NULL, send_soon, &first) == 0);
  CHECK(poll(both, 3, -1) == 1 && both[1].revents == POLLIN);
  CHECK(pthread_join(thread, NULL) == 0);
  take(&next, 2);
  CHECK(pthread_create(&thread, NULL, write_soon, NULL) == 0);
  CHECK(poll(both, 3, -1) == 1 && both[0].revents == POLLIN && both[1].revents == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  /* A descriptor that is not open, and a reader that is gone. */
  struct pollfd bad[2] = {{b.fd, POLLIN, 0}, {999, POLLIN, 0}};
  CHECK(poll(bad, 2, 5000) == 1 && bad[1].revents == POLLNVAL && bad[0].revents == 0);
  CHECK(close(ends[0]) == 0);
  struct pollfd broken[2] = {{b.fd, POLLIN, 0}, {ends[1], POLLOUT, 0}};
  CHECK(poll(broken, 2, 5000) == 1 && (broken[1].revents & POLLERR));
}

static void poll_for_room(void) {
  set_up();
  /* A free ring has room at once; a full one has it again when the switch has taken what was in it. */
  CHECK(wait_port(&a, POLLOUT) == POLLOUT);
  struct netmap_ring *ring = NETMAP_TXRING(a.nifp, 0);
  for (uint32_t sent = 0; sent < 20000;) {
    CHECK(wait_port(&a, POLLOUT) == POLLOUT);
    const uint32_t count = put_frames(ring, sent, ring->num_slots);
    CHECK(count > 0);
    sent += count;
  }
  CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == 0);
}

static volatile int signals_seen;
static void see(int signal) {
  (void)signal;
  signals_seen++;
}

static void ppoll_masks(void) {
  set_up();
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = see;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  sigset_t blocked, open_mask;
  sigemptyset(&open_mask);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
  CHECK(raise(SIGUSR1) == 0 && signals_seen == 0);
  struct pollfd both[2] = {{ends[0], POLLIN, 0}, {b.fd, POLLIN, 0}};
  struct timespec no_time = {0, 0}, long_time = {10, 0}, bad_time = {0, 1000000000};
  /* Blocked outside, let in while it waits: the call ends with EINTR, and only then. */
  CHECK(ppoll(both, 2, &no_time, NULL) == 0 && signals_seen == 0);
  CHECK(ppoll(both, 2, &long_time, &open_mask) == -1 && errno == EINTR && signals_seen == 1);
  CHECK(ppoll(both, 2, &bad_time, NULL) == -1 && errno == EINVAL);
  send_frames(0, 1);
  CHECK(ppoll(both, 2, &long_time, &open_mask) == 1 && both[1].revents == POLLIN);
}

static void select_mixed(void) {
  set_up();
  uint32_t next = 0;
  fd_set reads, writes, excepts;
  const int count = (ends[1] > b.fd ? ends[1] : b.fd) + 1;
#define SETS()            \
  FD_ZERO(&reads);        \
  FD_ZERO(&writes);       \
  FD_ZERO(&excepts);      \
  FD_SET(ends[0], &reads); \
  FD_SET(b.fd, &reads);   \
  FD_SET(b.fd, &excepts)
  SETS();
  struct timeval time = {0, 20000};
  CHECK(select(count, &reads, &writes, &excepts, &time) == 0);
  CHECK(!FD_ISSET(b.fd, &reads) && !FD_ISSET(ends[0], &reads) && time.tv_sec == 0 && time.tv_usec == 0);
  send_frames(0, 1);
  SETS();
  FD_SET(ends[1], &writes);
  time.tv_sec = 10;
  /* The frame may still be on its way; the pipe can be written at once. */
  CHECK(wait_port(&b, POLLIN) == POLLIN);
  CHECK(select(count, &reads, &writes, &excepts, &time) == 2);
  CHECK(FD_ISSET(b.fd, &reads) && FD_ISSET(ends[1], &writes) && !FD_ISSET(ends[0], &reads) && !FD_ISSET(b.fd, &excepts));
  CHECK(time.tv_sec > 0);
  take(&next, 1);
  SETS();
  struct timespec brief = {0, 20000000};
  CHECK(pselect(count, &reads, NULL, NULL, &brief, NULL) == 0);
  SETS();
  FD_SET(999, &reads);
  CHECK(select(1000, &reads, NULL, NULL, NULL) == -1 && errno == EBADF);
}

static void epoll_mixed(void) {
  set_up();
  uint32_t next = 0;
  char byte;
  const int set = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event, got[4];
  memset(&event, 0, sizeof event);
  event.events = EPOLLIN;
  event.data.u64 = 11;
  CHECK(epoll_ctl(set, EPOLL_CTL_MOD, b.fd, &event) == -1 && errno == ENOENT);
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, b.fd, &event) == 0);
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, b.fd, &event) == -1 && errno == EEXIST);
  CHECK(epoll_ctl(ends[0], EPOLL_CTL_ADD, b.fd, &event) == -1 && errno == EINVAL);
  event.data.u64 = 22;
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event) == 0);
  CHECK(epoll_wait(set, got, 4, 0) == 0);
  CHECK(epoll_wait(set, got, 4, 20) == 0);
  CHECK(write(ends[1], "x", 1) == 1);
  CHECK(epoll_wait(set, got, 4, 5000) == 1 && got[0].data.u64 == 22 && got[0].events == EPOLLIN);
  send_frames(0, 1);
  CHECK(wait_port(&b, POLLIN) == POLLIN);
  CHECK(epoll_wait(set, got, 4, 5000) == 2 && got[0].data.u64 + got[1].data.u64 == 33);
  /* With room for one event, neither keeps the other out. */
  uint64_t seen = 0;
  for (int i = 0; i < 4; i++) {
    CHECK(epoll_wait(set, got, 1, 5000) == 1);
    seen |= got[0].data.u64;
  }
  CHECK(seen == (11 | 22));
  CHECK(read(ends[0], &byte, 1) == 1);
  CHECK(epoll_wait(set, got, 4, 5000) == 1 && got[0].data.u64 == 11);
  /* A set of sets is ready when what is in them is. */
  struct pollfd outer = {set, POLLIN, 0};
  CHECK(poll(&outer, 1, 5000) == 1 && outer.revents == POLLIN);
  take(&next, 1);
  CHECK(poll(&outer, 1, 0) == 0);
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = 44;
  CHECK(epoll_ctl(set, EPOLL_CTL_MOD, b.fd, &event) == 0);
  send_frames(1, 1);
  CHECK(epoll_wait(set, got, 4, 5000) == 1 && got[0].data.u64 == 44);
  CHECK(epoll_wait(set, got, 4, 0) == 0);
  CHECK(epoll_ctl(set, EPOLL_CTL_MOD, b.fd, &event) == 0);
  CHECK(epoll_wait(set, got, 4, 5000) == 1);
  CHECK(epoll_ctl(set, EPOLL_CTL_DEL, b.fd, NULL) == 0);
  CHECK(epoll_ctl(set, EPOLL_CTL_DEL, b.fd, NULL) == -1 && errno == ENOENT);
  CHECK(epoll_wait(set, got, 4, 0) == 0);
  /* A member goes with its descriptor. */
  event.events = EPOLLIN;
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, b.fd, &event) == 0);
  CHECK(close(b.fd) == 0);
  CHECK(epoll_wait(set, got, 4, 0) == 0);
  CHECK(write(ends[1], "x", 1) == 1);
  CHECK(epoll_wait(set, got, 4, 5000) == 1 && got[0].data.u64 == 22);
}

static void *wait_in_thread(void *argument) {
  CHECK(wait_port(&b, POLLIN) == POLLIN);
  return argument;
}

static void many_waiters(void) {
  set_up();
  /* All threads that sleep on one descriptor wake, whichever of them hears the bell. */
  pthread_t threads[6];
  for (int i = 0; i < 6; i++) CHECK(pthread_create(&threads[i], NULL, wait_in_thread, NULL) == 0);
  usleep(100000);
  send_frames(0, 1);
  for (int i = 0; i < 6; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

/* Processor time, in microseconds. */
static long used_us(const struct rusage *usage) {
  return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000L + usage->ru_utime.tv_usec + usage->ru_stime.tv_usec;
}

static void idle(void) {
  set_up();
  struct rusage before, after;
  struct pollfd both[2] = {{b.fd, POLLIN, 0}, {ends[0], POLLIN, 0}};
  CHECK(poll(both, 2, 0) == 0);
  CHECK(getrusage(RUSAGE_SELF, &before) == 0);
  CHECK(poll(both, 2, 1000) == 0);
  CHECK(getrusage(RUSAGE_SELF, &after) == 0);
  /* One sleep: a loop would give way to others many times. */
  CHECK(after.ru_nvcsw - before.ru_nvcsw <= 5);
  CHECK(used_us(&after) - used_us(&before) < 20000);
}

int main(int argc, char **argv) {
  static const struct test_case cases[] = {
      {"poll-mixed", poll_mixed},     {"poll-for-room", poll_for_room}, {"ppoll-masks", ppoll_masks},
      {"select-mixed", select_mixed}, {"epoll-mixed", epoll_mixed},     {"many-waiters", many_waiters},
      {"idle", idle},                 {NULL, NULL},
  };
  return run_case(cases, argc, argv);
}
