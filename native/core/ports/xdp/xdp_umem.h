// How a thread's frame memory is known to AF_XDP: registered once, and shared by the sockets of all its ports (XDP_SHARED_UMEM), so that a
// frame received through one of them leaves through another without being copied.
//
// A registration has one flavour, which its first socket decides and later ones inherit: zero-copy or copy, and whether frames may
// have several chunks. Devices of different flavours get registrations of their own over the same memory: the chunks, and so the
// addresses, are the same in each.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/ports/frame_memory.h"
#include "core/ports/xdp/xdp_options.h"
#include "core/ports/xdp/xdp_socket.h"

namespace paste {

// How much memory the kernel lets this process pin: RLIMIT_MEMLOCK, or all of it with CAP_IPC_LOCK. What every process of this user has
// registered counts together.
uint64_t pinnable_bytes();

class XdpUmem {
 public:
  // The one of this memory, which it lives as long as; made when there is none. Not on a forwarding thread.
  static XdpUmem& of(FrameMemory& memory);

  struct Request {
    uint32_t interface = 0;           // index
    XdpCopy copy = XdpCopy::kAuto;
    bool may_zero_copy = true;        // kAuto: worth trying with this driver
    bool fragments = false;
  };
  // Makes the socket's rings and binds it to its queue. EBUSY is tried again for a second: a queue that was just left is busy for some
  // milliseconds. `zero_copy`: what it became. Not on a forwarding thread.
  Status bind(XdpSocket& socket, const Request& request, bool* zero_copy);
  // The socket is about to be closed.
  void leave(const XdpSocket& socket);

  // Memory in DRAM for ports of the same thread that want it, or whose store cannot be pinned: shared by them.
  Status dram(XdpUmem** umem);
  FrameMemory& memory() { return memory_; }

 private:
  struct Registration {
    bool zero_copy, fragments;
    std::vector<int> sockets;         // bound ones
  };

  explicit XdpUmem(FrameMemory& memory) : memory_(memory) {}
  explicit XdpUmem(std::unique_ptr<FrameMemory> memory) : own_memory_(std::move(memory)), memory_(*own_memory_) {}
  int join(XdpSocket& socket, const Request& request, bool zero_copy);
  Status begin(XdpSocket& socket, const Request& request, bool* zero_copy);
  Status register_memory(const XdpSocket& socket);

  std::unique_ptr<FrameMemory> own_memory_;   // of dram()
  FrameMemory& memory_;
  std::unique_ptr<XdpUmem> dram_;
  std::mutex mutex_;
  std::vector<Registration> registrations_;
};

}  // namespace paste
