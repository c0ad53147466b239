#include "bench/raw_forwarder.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "core/devices/devices.h"
#include "core/ports/xdp/xdp_umem.h"

namespace paste::bench {
namespace {

constexpr uint32_t kBatch = 256;             // as the switch's
constexpr uint32_t kTapReads = 128;          // two busy ports share its batch
constexpr uint32_t kEmptyLooks = 64;         // before it sleeps
constexpr int kSleepMs = 100;

// Looks a while longer, as the switch does, then sleeps until one of the two has something.
class Patience {
 public:
  Patience(int first, int second) : events_{{first, POLLIN, 0}, {second, POLLIN, 0}} {}
  void round(bool worked) {
    if (worked) {
      empty_ = 0;
    } else if (++empty_ < kEmptyLooks) {
      sched_yield();
    } else {
      poll(events_, 2, kSleepMs);
      empty_ = 0;
    }
  }

 private:
  pollfd events_[2];
  uint32_t empty_ = 0;
};

// --- AF_XDP: both sockets share one memory, a frame leaves from the chunk that it was received into ---------------------------

struct XdpEnd {
  std::unique_ptr<XdpSocket> socket;
  int map = -1, link = -1;
};

Status open_xdp_end(Devices& devices, XdpUmem& umem, const std::string& interface, const std::string& netns, XdpEnd* end) {
  XdpDevice device;
  if (Status status = devices.open_xdp({interface, netns, {0}}, &device); !status.ok()) return status;
  end->socket = std::make_unique<XdpSocket>(device.sockets[0], 0);
  end->map = device.map;
  end->link = device.link;
  bool zero_copy;
  XdpUmem::Request request = {device.info.index, XdpCopy::kCopy, false, false};
  if (Status status = umem.bind(*end->socket, request, &zero_copy); !status.ok()) return status;
  return devices.insert_socket(end->map, 0, end->socket->fd());
}

bool forward_batch(XdpSocket& from, XdpSocket& to) {
  const uint32_t count = std::min({from.rx.waiting(), kBatch, kXdpRingEntries - to.tx.pending()});
  for (uint32_t i = 0; i < count; i++) {
    const xdp::Descriptor frame = from.rx.descriptor(from.rx.next++);
    to.tx.descriptor(to.tx.next++) = {frame.address, frame.length, 0};
  }
  if (count != 0) {
    from.rx.publish_consumer();
    to.tx.publish_producer();
  }
  while (to.tx.pending() != 0) {
    const uint32_t before = to.tx.pending();
    if (sendto(to.fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) < 0 && to.tx.pending() == before) break;
  }
  // What was sent out of goes back to where it came from.
  const uint32_t sent = to.completion.waiting();
  for (uint32_t i = 0; i < sent; i++) {
    const uint64_t address = to.completion.address(to.completion.next++);
    from.fill.address(from.fill.next++) = address;
  }
  if (sent != 0) {
    to.completion.publish_consumer();
    from.fill.publish_producer();
  }
  return count != 0;
}

Status run_xdp(const RawForwarderOptions& options, Devices& devices) {
  FrameMemoryOptions memory_options;
  memory_options.place = FrameMemoryPlace::kDram;
  std::unique_ptr<FrameMemory> memory;
  if (Status status = FrameMemory::create(memory_options, nullptr, nullptr, &memory); !status.ok()) return status;
  if (Status status = memory->pin(); !status.ok()) return status;
  XdpUmem& umem = XdpUmem::of(*memory);
  XdpEnd ends[2];
  for (uint32_t i = 0; i < 2; i++)
    if (Status status = open_xdp_end(devices, umem, options.interfaces[i], options.namespaces[i], &ends[i]); !status.ok())
      return status;
  for (XdpEnd& end : ends) {
    XdpRing& fill = end.socket->fill;
    for (uint32_t i = 0; i < kXdpRingEntries; i++) fill.address(fill.next++) = memory->umem_address(memory->take());
    fill.publish_producer();
  }
  options.ready();
  for (Patience patience(ends[0].socket->fd(), ends[1].socket->fd());;) {
    const bool there = forward_batch(*ends[0].socket, *ends[1].socket);
    const bool back = forward_batch(*ends[1].socket, *ends[0].socket);
    patience.round(there || back);
  }
}

// --- TAP: one read and one write for each frame -------------------------------------------------------------------------------

bool forward_reads(int from, int to, std::vector<uint8_t>& buffer) {
  for (uint32_t i = 0; i < kTapReads; i++) {
    const ssize_t got = read(from, buffer.data(), buffer.size());
    if (got <= 0) return i != 0;
    if (write(to, buffer.data(), static_cast<size_t>(got)) < 0) continue;  // shows as loss
  }
  return true;
}

Status run_tap(const RawForwarderOptions& options, Devices& devices) {
  int fds[2];
  for (uint32_t i = 0; i < 2; i++) {
    TapRequest request;
    request.name = options.interfaces[i];
    request.netns = options.namespaces[i];
    std::vector<int> queues;
    InterfaceInfo info;
    if (Status status = devices.open_tap(request, &queues, &info); !status.ok()) return status;
    fds[i] = queues[0];
  }
  std::vector<uint8_t> buffer(65536);
  options.ready();
  for (Patience patience(fds[0], fds[1]);;) {
    const bool there = forward_reads(fds[0], fds[1], buffer);
    const bool back = forward_reads(fds[1], fds[0], buffer);
    patience.round(there || back);
  }
}

}  // namespace

Status run_raw_forwarder(const RawForwarderOptions& options) {
  pthread_setname_np(pthread_self(), "paste-raw");
  const std::unique_ptr<Devices> devices = local_devices();
  if (options.kind == "xdp") return run_xdp(options, *devices);
  if (options.kind == "tap") return run_tap(options, *devices);
  return {Code::kUsage, "a raw forwarder is xdp or tap, not \"" + options.kind + "\""};
}

}  // namespace paste::bench
