/* detached NAME: waits on a port until it is taken away, and finds it gone for good. */
#include "cases.h"

int main(int argc, char **argv) {
  CHECK(argc == 2);
  struct port port = port_open(argv[1]);
  printf("ready\n");
  fflush(stdout);
  CHECK(wait_port(&port, POLLIN) == POLLERR);
  for (int i = 0; i < 3; i++) {
    CHECK(wait_port(&port, POLLIN) == POLLERR);
    CHECK(ioctl(port.fd, NIOCTXSYNC, NULL) == -1 && errno == ENXIO);
    CHECK(ioctl(port.fd, NIOCRXSYNC, NULL) == -1 && errno == ENXIO);
  }
  fill_frame(NETMAP_BUF(NETMAP_TXRING(port.nifp, 0), 2), 1, 60); /* the memory stays */
  return close(port.fd);
}
