/* traffic send NAME COUNT | receive NAME COUNT: numbered frames, by poll(). */
#include "port.h"

static void send_all(struct port *port, uint32_t count) {
  struct netmap_ring *ring = NETMAP_TXRING(port->nifp, 0);
  for (uint32_t sent = 0; sent < count;) {
    struct pollfd watched = {port->fd, POLLOUT, 0};
    CHECK(poll(&watched, 1, 10000) == 1);
    CHECK(!(watched.revents & POLLERR));
    sent += put_frames(ring, sent, count - sent < 64 ? count - sent : 64);
  }
  CHECK(ioctl(port->fd, NIOCTXSYNC, NULL) == 0);
}

static void receive_all(struct port *port, uint32_t count) {
  struct netmap_ring *ring = NETMAP_RXRING(port->nifp, 0);
  for (uint32_t next = 0; next < count;) {
    struct pollfd watched = {port->fd, POLLIN, 0};
    CHECK(poll(&watched, 1, 10000) == 1);
    CHECK(!(watched.revents & POLLERR));
    take_frames(ring, &next);
  }
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  struct port port = port_open(argv[2]);
  const uint32_t count = (uint32_t)atoi(argv[3]);
  printf("ready\n");
  fflush(stdout);
  if (strcmp(argv[1], "send") == 0)
    send_all(&port, count);
  else
    receive_all(&port, count);
  printf("done\n");
  close(port.fd);
  return 0;
}
