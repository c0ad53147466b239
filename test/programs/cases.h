/* A program of cases: `PROGRAM CASE` runs one and ends with 0 when all that it checks held. */
#ifndef TEST_CASES_H
#define TEST_CASES_H

#include "port.h"

struct test_case {
  const char *name;
  void (*run)(void);
};

static inline int run_case(const struct test_case *cases, int argc, char **argv) {
  if (argc != 2) {
    for (const struct test_case *c = cases; c->name; c++) printf("%s\n", c->name);
    return 0;
  }
  for (const struct test_case *c = cases; c->name; c++)
    if (strcmp(c->name, argv[1]) == 0) {
      c->run();
      return 0;
    }
  fprintf(stderr, "no case is called %s\n", argv[1]);
  return 2;
}

/* Waits for events on one port, 10 s at most. */
static inline short wait_port(const struct port *port, short events) {
  struct pollfd watched = {port->fd, events, 0};
  CHECK(poll(&watched, 1, 10000) == 1);
  return watched.revents;
}

/* Sends `count` numbered frames from one port and takes them at another. */
static inline void pass_frames(const struct port *from, const struct port *to, uint32_t count) {
  uint32_t next = 0;
  CHECK(put_frames(NETMAP_TXRING(from->nifp, 0), 0, count) == count);
  CHECK(ioctl(from->fd, NIOCTXSYNC, NULL) == 0);
  while (next < count) {
    CHECK(wait_port(to, POLLIN) == POLLIN);
    take_frames(NETMAP_RXRING(to->nifp, 0), &next);
  }
}

static inline void close_port(struct port *port) {
  CHECK(munmap(port->memory, port->reg.nr_memsize) == 0);
  CHECK(close(port->fd) == 0);
}

#endif
