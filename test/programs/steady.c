/* steady NAME PEER: two ports in one program; frames go from one to the other, and the program says what it saw: "round N"
 * when frames arrived, "error I" when poll() said POLLERR of one. It never registers again: what the daemon's end takes away
 * must come back by itself. */
#include "cases.h"

int main(int argc, char **argv) {
  CHECK(argc == 3);
  struct port a = port_open(argv[1]), b = port_open(argv[2]);
  struct netmap_ring *tx = NETMAP_TXRING(a.nifp, 0), *rx = NETMAP_RXRING(b.nifp, 0);
  for (uint32_t round = 0;; round++) {
    if (ring_space(tx) > 0) put_frames(tx, round, 1);
    struct pollfd watched[2] = {{a.fd, 0, 0}, {b.fd, POLLIN, 0}};
    CHECK(poll(watched, 2, 20) >= 0);
    for (int i = 0; i < 2; i++)
      if (watched[i].revents & POLLERR) printf("error %d\n", i);
    uint32_t seen = 0;
    for (; rx->head != rx->tail; rx->head = rx->cur = ring_next(rx, rx->head))
      seen = frame_number(NETMAP_BUF(rx, rx->slot[rx->head].buf_idx));
    if (seen > 0 && round % 50 == 0) printf("round %u\n", seen);
    fflush(stdout);
    usleep(1000);
  }
}
