// The ABI from C++11: two ports, two threads, frames by poll(), exceptions and the C++ library beside the preloaded one.
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "port.h"

namespace {

class Port {
 public:
  explicit Port(const std::string &name) : port_(port_open(name.c_str())) {}
  ~Port() {
    munmap(port_.memory, port_.reg.nr_memsize);
    close(port_.fd);
  }
  Port(const Port &) = delete;
  Port &operator=(const Port &) = delete;

  void wait(short events, int timeout_ms = 10000) {
    pollfd watched = {port_.fd, events, 0};
    if (poll(&watched, 1, timeout_ms) != 1 || (watched.revents & POLLERR))
      throw std::runtime_error("no " + std::to_string(events));
  }
  void send(const std::vector<std::string> &texts) {
    netmap_ring *ring = NETMAP_TXRING(port_.nifp, 0);
    for (const std::string &text : texts) {
      while (ring_space(ring) == 0) wait(POLLOUT);
      netmap_slot &slot = ring->slot[ring->head];
      fill_frame(NETMAP_BUF(ring, slot.buf_idx), 0, 60);
      memcpy(NETMAP_BUF(ring, slot.buf_idx) + 14, text.data(), text.size());
      slot.len = static_cast<uint16_t>(14 + text.size());
      slot.flags = 0;
      ring->head = ring->cur = ring_next(ring, ring->head);
    }
    if (ioctl(port_.fd, NIOCTXSYNC, nullptr) != 0) throw std::runtime_error("NIOCTXSYNC");
  }
  std::string receive() {
    netmap_ring *ring = NETMAP_RXRING(port_.nifp, 0);
    while (ring->head == ring->tail) wait(POLLIN);
    const netmap_slot &slot = ring->slot[ring->head];
    const std::string text(NETMAP_BUF(ring, slot.buf_idx) + 14, slot.len - 14u);
    ring->head = ring->cur = ring_next(ring, ring->head);
    return text;
  }

 private:
  port port_;
};

}  // namespace

int main() {
  Port a("vale0:a"), b("vale0:b");
  std::vector<std::string> texts;
  for (int i = 0; i < 500; i++) texts.push_back("frame number " + std::to_string(i));
  std::thread sender([&] { a.send(texts); });
  for (const std::string &text : texts)
    if (b.receive() != text) return 1;
  sender.join();
  try {
    b.wait(POLLIN, 0);  // nothing is left
    return 2;
  } catch (const std::runtime_error &) {
  }
  return 0;
}
