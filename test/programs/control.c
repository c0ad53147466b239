/* ioctl(): requests, options, the older interface, and what is refused with which errno. */
#include "cases.h"

static int device(void) {
  const int fd = open("/dev/netmap", O_RDWR);
  CHECK(fd >= 0);
  return fd;
}

static int ask(int fd, struct nmreq_header header) { return ioctl(fd, NIOCCTRL, &header) == 0 ? 0 : errno; }

static void versions(void) {
  struct nmreq_register reg;
  for (int version = 10; version <= 20; version++) {
    const int fd = device();
    memset(&reg, 0, sizeof reg);
    reg.nr_mode = NR_REG_ALL_NIC;
    struct nmreq_header header = request(NETMAP_REQ_REGISTER, "vale0:a", &reg);
    header.nr_version = (uint16_t)version;
    CHECK(ask(fd, header) == (version == 14 || version == 15 ? 0 : EINVAL));
    CHECK(close(fd) == 0);
  }
  for (uint32_t version = 10; version <= 20; version++) {
    struct nmreq old;
    const int fd = device();
    memset(&old, 0, sizeof old);
    strcpy(old.nr_name, "vale0:b");
    old.nr_version = version;
    CHECK((ioctl(fd, NIOCREGIF, &old) == 0 ? 0 : errno) == (version < 14 ? EINVAL : 0));
    CHECK(close(fd) == 0);
  }
}

static void malformed(void) {
  const int fd = device();
  struct nmreq_register reg;
  memset(&reg, 0, sizeof reg);
  reg.nr_mode = NR_REG_ALL_NIC;
  struct nmreq_header header = request(NETMAP_REQ_REGISTER, "vale0:a", &reg);
  header.nr_reserved = 1;
  CHECK(ask(fd, header) == EINVAL);
  CHECK(ask(fd, request(NETMAP_REQ_REGISTER, "vale0:a", NULL)) == EINVAL);
  CHECK(ask(fd, request(NETMAP_REQ_VALE_DELIF, "v0", &reg)) == EINVAL);
  CHECK(ask(fd, request(99, "vale0:a", &reg)) == EINVAL);
  CHECK(ask(fd, request(NETMAP_REQ_REGISTER, "vale0:a", (void *)8)) == EFAULT);
  CHECK(ioctl(fd, NIOCCTRL, NULL) == -1 && errno == EFAULT);
  CHECK(ioctl(fd, NIOCCTRL, (void *)16) == -1 && errno == EFAULT);
  CHECK(ioctl(fd, NIOCREGIF, (void *)16) == -1 && errno == EFAULT);
  CHECK(ioctl(fd, _IO('x', 1), NULL) == -1 && errno == EOPNOTSUPP);
  header = request(NETMAP_REQ_REGISTER, "", &reg);
  memset(header.nr_name, 'x', sizeof header.nr_name); /* no end */
  CHECK(ask(fd, header) != 0);
  reg.nr_mode = 77;
  CHECK(ask(fd, request(NETMAP_REQ_REGISTER, "vale0:a", &reg)) == EINVAL);
  reg.nr_mode = NR_REG_SW;
  CHECK(ask(fd, request(NETMAP_REQ_REGISTER, "vale0:a", &reg)) != 0);
  reg.nr_mode = NR_REG_ALL_NIC;
  CHECK(ask(fd, request(NETMAP_REQ_REGISTER, "eth99", &reg)) == ENXIO);
  uint64_t body[8] = {0};
  CHECK(ask(fd, request(NETMAP_REQ_SYNC_KLOOP_START, "vale0:a", body)) == EOPNOTSUPP);
  CHECK(ask(fd, request(NETMAP_REQ_CSB_ENABLE, "vale0:a", NULL)) == EOPNOTSUPP);
  CHECK(ask(fd, request(NETMAP_REQ_VALE_POLLING_ENABLE, "vale0:a", body)) == EOPNOTSUPP);
  /* None of it has harmed the descriptor. */
  CHECK(ask(fd, request(NETMAP_REQ_REGISTER, "vale0:a", &reg)) == 0);
}

static void unregistered(void) {
  struct port port;
  memset(&port, 0, sizeof port);
  port.fd = device();
  CHECK(ioctl(port.fd, NIOCTXSYNC, NULL) == -1 && errno == ENXIO);
  CHECK(ioctl(port.fd, NIOCRXSYNC, NULL) == -1 && errno == ENXIO);
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, port.fd, 0) == MAP_FAILED);
  struct pollfd watched = {port.fd, POLLIN | POLLOUT, 0};
  CHECK(poll(&watched, 1, 10000) == 1 && watched.revents == POLLERR);
  CHECK(port_register(&port, "vale0:a") == 0);
  CHECK(port_register(&port, "vale0:a") == EBUSY);
  CHECK(mmap(NULL, port.reg.nr_memsize + 4096, PROT_READ, MAP_SHARED, port.fd, 0) == MAP_FAILED && errno == EINVAL);
  CHECK(port_map(&port) == 0);
}

static void options(void) {
  const int fd = device();
  struct nmreq_register reg;
  struct nmreq_option list[64];
  memset(&reg, 0, sizeof reg);
  reg.nr_mode = NR_REG_ALL_NIC;
  struct nmreq_header header = request(NETMAP_REQ_REGISTER, "vale0:a", &reg);
  memset(list, 0, sizeof list);
  header.nr_options = (uint64_t)(uintptr_t)list;
  /* One that nobody knows; then one that is not served. */
  list[0].nro_reqtype = 1234;
  CHECK(ask(fd, header) == EOPNOTSUPP && list[0].nro_status == EOPNOTSUPP);
  struct {
    struct nmreq_option option;
    uint64_t body[9];
  } external[2];
  memset(external, 0, sizeof external);
  external[0].option.nro_reqtype = NETMAP_REQ_OPT_EXTMEM;
  header.nr_options = (uint64_t)(uintptr_t)external;
  CHECK(ask(fd, header) == EOPNOTSUPP && external[0].option.nro_status == EOPNOTSUPP);
  /* Twice the same. */
  external[1].option.nro_reqtype = NETMAP_REQ_OPT_EXTMEM;
  external[0].option.nro_next = (uint64_t)(uintptr_t)&external[1];
  CHECK(ask(fd, header) == EINVAL && external[0].option.nro_status == EINVAL && external[1].option.nro_status == EINVAL);
  /* A loop, of one and of two. */
  list[0].nro_next = (uint64_t)(uintptr_t)list;
  header.nr_options = (uint64_t)(uintptr_t)list;
  CHECK(ask(fd, header) == EMSGSIZE);
  list[1] = list[0];
  list[0].nro_next = (uint64_t)(uintptr_t)&list[1];
  CHECK(ask(fd, header) == EMSGSIZE);
  list[0].nro_next = 24;
  CHECK(ask(fd, header) == EFAULT);
  list[0].nro_next = 0;
  list[0].nro_reqtype = 0;
  CHECK(ask(fd, header) == EINVAL && list[0].nro_status == EINVAL);
  header.nr_options = 0;
  CHECK(ask(fd, header) == 0);
}

static void answers(void) {
  struct port port = port_open("vale0:a");
  CHECK(port.reg.nr_tx_rings == 1 && port.reg.nr_rx_rings == 1 && port.reg.nr_tx_slots == 1024 && port.reg.nr_rx_slots == 1024);
  CHECK(port.nifp->ni_tx_rings == 1 && port.nifp->ni_rx_rings == 1 && port.nifp->ni_version >= NETMAP_MIN_API);
  const struct netmap_ring *tx = NETMAP_TXRING(port.nifp, 0), *rx = NETMAP_RXRING(port.nifp, 0);
  CHECK(tx->num_slots == 1024 && tx->dir == 1 && tx->head == 0 && tx->cur == 0 && tx->tail == 1023 && tx->nr_buf_size == 2048);
  CHECK(rx->num_slots == 1024 && rx->dir == 0 && rx->head == 0 && rx->cur == 0 && rx->tail == 0);
  struct nmreq_port_info_get info;
  memset(&info, 0, sizeof info);
  CHECK(ask(port.fd, request(NETMAP_REQ_PORT_INFO_GET, "vale0:a", &info)) == 0);
  CHECK(info.nr_tx_slots == 1024 && info.nr_memsize == port.reg.nr_memsize && info.nr_mem_id == port.reg.nr_mem_id);
  struct nmreq_pools_info pools;
  memset(&pools, 0, sizeof pools);
  CHECK(ask(port.fd, request(NETMAP_REQ_POOLS_INFO_GET, "vale0:a", &pools)) == 0);
  CHECK(pools.nr_memsize == port.reg.nr_memsize && pools.nr_buf_pool_objsize == 2048);
  CHECK((char *)tx + tx->buf_ofs == port.memory + pools.nr_buf_pool_offset);
  /* Too much is cut to what there is. */
  struct port large;
  memset(&large, 0, sizeof large);
  large.fd = device();
  large.reg.nr_tx_rings = large.reg.nr_rx_rings = 2;
  large.reg.nr_tx_slots = large.reg.nr_rx_slots = 50000;
  CHECK(port_register(&large, "vale0:large") == 0);
  CHECK(large.reg.nr_tx_rings == 2 && large.reg.nr_tx_slots == 4096 && large.reg.nr_rx_slots == 4096);
}

static void older_interface(void) {
  struct nmreq old;
  struct port a, b = port_open("vale0:b");
  memset(&old, 0, sizeof old);
  memset(&a, 0, sizeof a);
  strcpy(old.nr_name, "vale0:a");
  old.nr_version = NETMAP_API;
  old.nr_tx_slots = 512;
  old.nr_flags = NR_REG_ALL_NIC;
  a.fd = device();
  CHECK(ioctl(a.fd, NIOCREGIF, &old) == 0);
  CHECK(old.nr_tx_slots == 512 && old.nr_rx_slots == 1024 && old.nr_tx_rings == 1 && old.nr_rx_rings == 1 && old.nr_arg2 > 0);
  a.reg.nr_memsize = old.nr_memsize;
  a.reg.nr_offset = old.nr_offset;
  CHECK(port_map(&a) == 0);
  pass_frames(&a, &b, 100);
  pass_frames(&b, &a, 100);
  struct nmreq info;
  memset(&info, 0, sizeof info);
  strcpy(info.nr_name, "vale0:a");
  info.nr_version = NETMAP_API;
  CHECK(ioctl(a.fd, NIOCGINFO, &info) == 0);
  CHECK(info.nr_tx_slots == 512 && info.nr_memsize == old.nr_memsize && info.nr_arg2 == old.nr_arg2);
  /* One ring, chosen as before there were modes. */
  struct nmreq one;
  memset(&one, 0, sizeof one);
  strcpy(one.nr_name, "vale0:a");
  one.nr_version = NETMAP_API;
  one.nr_ringid = NETMAP_HW_RING | 0;
  const int other = device();
  CHECK(ioctl(other, NIOCREGIF, &one) == 0 && one.nr_tx_slots == 512);
  one.nr_cmd = 99;
  CHECK(ioctl(device(), NIOCREGIF, &one) == -1 && errno == EINVAL);
}

static void exclusive(void) {
  struct port first, second;
  memset(&first, 0, sizeof first);
  memset(&second, 0, sizeof second);
  first.fd = device();
  second.fd = device();
  first.reg.nr_flags = NR_EXCLUSIVE;
  CHECK(port_register(&first, "vale0:a") == 0);
  CHECK(port_register(&second, "vale0:a") == EBUSY);
  second.reg.nr_flags = NR_EXCLUSIVE;
  CHECK(port_register(&second, "vale0:a") == EBUSY);
  CHECK(port_register(&second, "vale0:b") == 0);
}

static void persistent(void) {
  const int fd = device();
  struct nmreq_vale_newif made;
  struct nmreq_vale_attach attach;
  struct nmreq_vale_detach detach;
  struct nmreq_port_hdr header;
  memset(&made, 0, sizeof made);
  memset(&attach, 0, sizeof attach);
  memset(&detach, 0, sizeof detach);
  attach.reg.nr_mode = NR_REG_ALL_NIC;
  CHECK(ask(fd, request(NETMAP_REQ_VALE_NEWIF, "v0", &made)) == 0);
  CHECK(ask(fd, request(NETMAP_REQ_VALE_NEWIF, "v0", &made)) == EEXIST);
  CHECK(ask(fd, request(NETMAP_REQ_VALE_ATTACH, "vale0:v0", &attach)) == 0);
  struct nmreq_vale_list list;
  memset(&list, 0, sizeof list);
  struct nmreq_header named = request(NETMAP_REQ_VALE_LIST, "", &list);
  CHECK(ioctl(fd, NIOCCTRL, &named) == 0 && strstr(named.nr_name, "v0"));
  header.nr_hdr_len = 12;
  CHECK(ask(fd, request(NETMAP_REQ_PORT_HDR_SET, "vale0:v0", &header)) == 0);
  header.nr_hdr_len = 0;
  CHECK(ask(fd, request(NETMAP_REQ_PORT_HDR_GET, "vale0:v0", &header)) == 0 && header.nr_hdr_len == 12);
  header.nr_hdr_len = 11;
  CHECK(ask(fd, request(NETMAP_REQ_PORT_HDR_SET, "vale0:v0", &header)) == EINVAL);
  CHECK(ask(fd, request(NETMAP_REQ_VALE_DETACH, "vale0:v0", &detach)) == 0);
  CHECK(ask(fd, request(NETMAP_REQ_VALE_DELIF, "v0", NULL)) == 0);
  CHECK(ask(fd, request(NETMAP_REQ_VALE_DELIF, "v0", NULL)) == ENXIO);
}

int main(int argc, char **argv) {
  static const struct test_case cases[] = {
      {"versions", versions},   {"malformed", malformed}, {"unregistered", unregistered}, {"options", options},
      {"answers", answers},     {"older-interface", older_interface}, {"exclusive", exclusive}, {"persistent", persistent},
      {NULL, NULL},
  };
  return run_case(cases, argc, argv);
}
