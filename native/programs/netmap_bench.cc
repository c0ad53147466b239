// A netmap program, as `paste-switch bench run` starts it under `paste-switch run`: it knows nothing but /dev/netmap.
//
//   netmap_bench tx|rx|ping|pong PORT LENGTH MILLISECONDS
//
// tx sends numbered frames for that time, rx receives until nothing has come for that time, ping sends one frame at a time and waits
// in poll() for the answer that pong gives. Each prints one line of JSON; exits 1 with a line on stderr when it cannot.
#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <vector>

#include "core/base/system_time.h"
#include "core/ports/netmap_abi.h"

namespace {

using namespace paste::netmap;
using paste::monotonic_ns;

constexpr uint32_t kSlotsPerSync = 128;
constexpr uint32_t kSequenceAt = 16;     // in a frame
constexpr uint8_t kSender[6] = {2, 0, 0, 0, 0, 1}, kReceiver[6] = {2, 0, 0, 0, 0, 2};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "netmap_bench: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

// One port with its first ring in each direction.
class NetmapPort {
 public:
  explicit NetmapPort(const std::string& name) {
    fd_ = open("/dev/netmap", O_RDWR);
    if (fd_ < 0) fail("/dev/netmap");
    Register reg = {};
    reg.nr_mode = kAllNic;
    RequestHeader header = {};
    header.nr_version = kApi;
    header.nr_reqtype = kRegister;
    std::snprintf(header.nr_name, sizeof header.nr_name, "%s", name.c_str());
    header.nr_body = reinterpret_cast<uintptr_t>(&reg);
    if (ioctl(fd_, kIoctlControl, &header) != 0) fail(name);
    void* memory = mmap(nullptr, reg.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (memory == MAP_FAILED) fail("mmap");
    const auto* interface = reinterpret_cast<If*>(static_cast<uint8_t*>(memory) + reg.nr_offset);
    const auto* first = reinterpret_cast<const uint8_t*>(interface);
    const uint32_t first_rx = interface->ni_tx_rings + interface->ni_host_tx_rings;
    tx = reinterpret_cast<Ring*>(const_cast<uint8_t*>(first) + interface->ring_ofs[0]);
    rx = reinterpret_cast<Ring*>(const_cast<uint8_t*>(first) + interface->ring_ofs[first_rx]);
  }

  static uint32_t next(const Ring* ring, uint32_t slot) { return slot + 1 == ring->num_slots ? 0 : slot + 1; }
  static uint8_t* buffer(Ring* ring, uint32_t slot) {
    return reinterpret_cast<uint8_t*>(ring) + ring->buf_ofs + uint64_t{ring->slot[slot].buf_idx} * ring->nr_buf_size;
  }
  void sync_tx() { ioctl(fd_, kIoctlTxSync, nullptr); }
  // Sleeps until the events are there; false after the time.
  bool wait(short events, int timeout_ms) {
    pollfd watched = {fd_, events, 0};
    return poll(&watched, 1, timeout_ms) > 0;
  }

  Ring* tx;
  Ring* rx;

 private:
  int fd_;
};

void fill(NetmapPort& port, uint32_t slot, const uint8_t* to, const uint8_t* from, uint32_t length, uint64_t sequence) {
  uint8_t* bytes = NetmapPort::buffer(port.tx, slot);
  std::memcpy(bytes, to, 6);
  std::memcpy(bytes + 6, from, 6);
  bytes[12] = 0x88;  // an EtherType for experiments, IEEE 802 (0x88b5)
  bytes[13] = 0xb5;
  std::memcpy(bytes + kSequenceAt, &sequence, sizeof sequence);
  port.tx->slot[slot].len = static_cast<uint16_t>(length);
  port.tx->slot[slot].flags = 0;
}

uint64_t sequence_in(NetmapPort& port, uint32_t slot) {
  uint64_t sequence;
  std::memcpy(&sequence, NetmapPort::buffer(port.rx, slot) + kSequenceAt, sizeof sequence);
  return sequence;
}

void send(NetmapPort& port, uint32_t length, uint64_t duration_ns) {
  uint64_t sequence = 0;
  const uint64_t start = monotonic_ns(), end = start + duration_ns;
  while (monotonic_ns() < end) {
    uint32_t head = port.tx->head;
    for (uint32_t n = 0; n < kSlotsPerSync && head != port.tx->tail; n++, head = NetmapPort::next(port.tx, head))
      fill(port, head, kReceiver, kSender, length, sequence++);
    port.tx->head = port.tx->cur = head;
    if (head == port.tx->tail)
      port.wait(POLLOUT, 100);
    else
      port.sync_tx();
  }
  port.sync_tx();
  std::printf("{\"frames\":%" PRIu64 ",\"ns\":%" PRIu64 "}\n", sequence, monotonic_ns() - start);
}

// The switch learns where the receiver is from a frame of its own.
void say_ready(NetmapPort& port, uint32_t length) {
  fill(port, port.tx->head, kSender, kReceiver, length, 0);
  port.tx->head = port.tx->cur = NetmapPort::next(port.tx, port.tx->head);
  port.sync_tx();
  std::printf("ready\n");
  std::fflush(stdout);
}

void receive(NetmapPort& port, uint32_t length, int idle_ms) {
  say_ready(port, length);
  uint64_t frames = 0, wrong = 0, lost = 0, expected = 0, first_ns = 0, last_ns = 0;
  while (port.wait(POLLIN, frames == 0 ? 10'000 : idle_ms)) {
    uint32_t head = port.rx->head;
    for (; head != port.rx->tail; head = NetmapPort::next(port.rx, head)) {
      if (port.rx->slot[head].len != length) {
        wrong++;
        continue;
      }
      const uint64_t sequence = sequence_in(port, head);
      if (sequence < expected)
        wrong++;  // out of order, or twice
      else
        lost += sequence - expected;
      expected = sequence + 1;
      frames++;
    }
    port.rx->head = port.rx->cur = head;
    last_ns = monotonic_ns();
    if (first_ns == 0) first_ns = last_ns;
  }
  std::printf("{\"frames\":%" PRIu64 ",\"ns\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"wrong\":%" PRIu64 "}\n", frames,
              last_ns - first_ns, lost, wrong);
}

void ping(NetmapPort& port, uint32_t length, uint64_t duration_ns) {
  std::vector<uint64_t> round_trips;
  uint64_t unanswered = 0;
  const uint64_t end = monotonic_ns() + duration_ns;
  for (uint64_t sequence = 1; monotonic_ns() < end; sequence++) {
    const uint64_t sent = monotonic_ns();
    fill(port, port.tx->head, kReceiver, kSender, length, sequence);
    port.tx->head = port.tx->cur = NetmapPort::next(port.tx, port.tx->head);
    port.sync_tx();
    bool answered = false;
    while (!answered && port.wait(POLLIN, 1000)) {
      uint32_t head = port.rx->head;
      for (; head != port.rx->tail; head = NetmapPort::next(port.rx, head)) answered |= sequence_in(port, head) == sequence;
      port.rx->head = port.rx->cur = head;
    }
    if (answered)
      round_trips.push_back(monotonic_ns() - sent);
    else
      unanswered++;
  }
  std::sort(round_trips.begin(), round_trips.end());
  const auto part = [&](double share) {
    return round_trips.empty() ? 0 : round_trips[static_cast<size_t>(share * static_cast<double>(round_trips.size() - 1))];
  };
  std::printf("{\"frames\":%zu,\"unanswered\":%" PRIu64 ",\"p50_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64 "}\n",
              round_trips.size(), unanswered, part(0.5), part(0.99));
}

void pong(NetmapPort& port, uint32_t length, int idle_ms) {
  say_ready(port, length);
  uint64_t frames = 0;
  while (port.wait(POLLIN, frames == 0 ? 10'000 : idle_ms)) {
    uint32_t head = port.rx->head;
    for (; head != port.rx->tail; head = NetmapPort::next(port.rx, head)) {
      if (port.tx->head == port.tx->tail) break;
      fill(port, port.tx->head, kSender, kReceiver, length, sequence_in(port, head));
      port.tx->head = port.tx->cur = NetmapPort::next(port.tx, port.tx->head);
      frames++;
    }
    port.rx->head = port.rx->cur = head;
    port.sync_tx();
  }
  std::printf("{\"frames\":%" PRIu64 "}\n", frames);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc == 5 ? argv[1] : "";
  const int length = argc == 5 ? std::atoi(argv[3]) : 0, ms = argc == 5 ? std::atoi(argv[4]) : 0;
  if ((mode != "tx" && mode != "rx" && mode != "ping" && mode != "pong") || length < 60 || length > 2048 || ms <= 0) {
    std::fprintf(stderr, "usage: netmap_bench tx|rx|ping|pong PORT LENGTH(60..2048) MILLISECONDS\n");
    return 2;
  }
  NetmapPort port(argv[2]);
  const uint32_t bytes = static_cast<uint32_t>(length);
  const uint64_t ns = static_cast<uint64_t>(ms) * 1'000'000;
  if (mode == "tx") send(port, bytes, ns);
  if (mode == "rx") receive(port, bytes, ms);
  if (mode == "ping") ping(port, bytes, ns);
  if (mode == "pong") pong(port, bytes, ms);
}
