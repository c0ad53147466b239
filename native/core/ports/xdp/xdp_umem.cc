#include "core/ports/xdp/xdp_umem.h"

#include <cerrno>
#include <cstring>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace paste {
namespace {

constexpr uint32_t kBindTries = 500;
constexpr timespec kBindPause = {0, 2'000'000};

// 0, or the errno of the last try.
int bind_socket(const XdpSocket& socket, uint32_t interface, uint16_t flags, int shared) {
  const xdp::SocketAddress address = {static_cast<uint16_t>(xdp::kAddressFamily), flags, interface, socket.queue(),
                                      shared < 0 ? 0 : static_cast<uint32_t>(shared)};
  for (uint32_t tries = 1;; tries++) {
    if (::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return 0;
    if (errno != EBUSY || tries == kBindTries) return errno;
    nanosleep(&kBindPause, nullptr);
  }
}

bool is_zero_copy(const XdpSocket& socket) {
  uint32_t options = 0;
  socklen_t size = sizeof options;
  return getsockopt(socket.fd(), xdp::kSocketLevel, xdp::kOptions, &options, &size) == 0 &&
         (options & xdp::kOptionZeroCopy) != 0;
}

std::string megabytes(uint64_t bytes) {
  return bytes < 1 << 20 ? std::to_string(bytes >> 10) + " KiB" : std::to_string(bytes >> 20) + " MiB";
}

}  // namespace

uint64_t pinnable_bytes() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) == 0 && (data[0].effective >> CAP_IPC_LOCK & 1) != 0) return ~uint64_t{0};
  rlimit limit = {};
  return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur : ~uint64_t{0};
}

XdpUmem& XdpUmem::of(FrameMemory& memory) {
  if (memory.registration == nullptr) memory.registration = std::shared_ptr<XdpUmem>(new XdpUmem(memory));
  return *static_cast<XdpUmem*>(memory.registration.get());
}

Status XdpUmem::bind(XdpSocket& socket, const Request& request, bool* zero_copy) {
  const std::lock_guard lock(mutex_);
  if (Status status = socket.make_rings(); !status.ok()) return status;
  const bool zero = request.copy == XdpCopy::kZero || (request.copy == XdpCopy::kAuto && request.may_zero_copy);
  int error = join(socket, request, zero);
  if (error == 0) {
    *zero_copy = zero;
    return {};
  }
  if (error == EBUSY)
    return {Code::kPort, "queue " + std::to_string(socket.queue()) + " is in use by another AF_XDP socket"};
  return begin(socket, request, zero_copy);
}

// Shares a registration of this flavour. 0, or why not; ENOENT = there is none.
int XdpUmem::join(XdpSocket& socket, const Request& request, bool zero_copy) {
  int error = ENOENT;
  for (Registration& registration : registrations_) {
    if (registration.zero_copy != zero_copy || registration.fragments != request.fragments) continue;
    // A socket whose device went away is no longer bound (EBADF): the next one will do.
    for (const int member : registration.sockets) {
      error = bind_socket(socket, request.interface, xdp::kSharedUmem, member);
      if (error == EBADF) continue;
      if (error == 0) registration.sockets.push_back(socket.fd());
      return error;
    }
  }
  return error;
}

Status XdpUmem::begin(XdpSocket& socket, const Request& request, bool* zero_copy) {
  if (Status status = register_memory(socket); !status.ok()) return status;
  uint16_t flags = xdp::kUseNeedWakeup;
  if (request.copy == XdpCopy::kZero) flags |= xdp::kZeroCopy;
  else if (request.copy == XdpCopy::kCopy || !request.may_zero_copy) flags |= xdp::kCopy;
  if (request.fragments) flags |= xdp::kUseFragments;
  const int error = bind_socket(socket, request.interface, flags, -1);
  const std::string queue = "queue " + std::to_string(socket.queue());
  switch (error) {
    case 0:
      break;
    case EBUSY:
      return {Code::kPort, queue + " is in use by another AF_XDP socket"};
    case EOPNOTSUPP:
      return {Code::kPort, request.copy == XdpCopy::kZero
                               ? "its driver has no zero-copy mode; use copy=copy or copy=auto"
                               : queue + " cannot be bound: " + std::strerror(error)};
    case EINVAL:
      if (request.fragments)
        return {Code::kPort, "frames of several buffers, which its MTU needs, take Linux 6.6 or later; the largest MTU without is " +
                                 std::to_string(memory_.chunk_bytes() - xdp::kHeadroomBytes - 18)};
      return {Code::kPort, "there is no " + queue};
    case ENETDOWN:
      return {Code::kPort, "it is down; set it up: ip link set up"};
    default:
      return {Code::kPort, queue + " cannot be bound: " + std::strerror(error)};
  }
  *zero_copy = is_zero_copy(socket);
  registrations_.push_back({*zero_copy, request.fragments, {socket.fd()}});
  return {};
}

Status XdpUmem::register_memory(const XdpSocket& socket) {
  xdp::UmemRegistration registration = {};
  registration.address = reinterpret_cast<uintptr_t>(memory_.base());
  registration.length = memory_.size_bytes();
  registration.chunk_bytes = memory_.chunk_bytes();
  if (setsockopt(socket.fd(), xdp::kSocketLevel, xdp::kUmemRegister, &registration, sizeof registration) == 0) return {};
  const int error = errno;
  if (error == ENOBUFS) {
    rlimit limit = {};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    return {Code::kResource, "this user may pin " + megabytes(limit.rlim_cur) + " (RLIMIT_MEMLOCK), its frame memory has " +
                                 megabytes(memory_.size_bytes()) +
                                 "; raise it with `ulimit -l unlimited`, LimitMEMLOCK=infinity in the service's unit, or CAP_IPC_LOCK"};
  }
  return {Code::kResource, std::string("the kernel cannot pin its frame memory") +
                               (memory_.in_store() ? " in the store" : "") + " (" + std::strerror(error) + ")" +
                               (memory_.in_store() ? "; use umem=dram" : "")};
}

void XdpUmem::leave(const XdpSocket& socket) {
  const std::lock_guard lock(mutex_);
  for (Registration& registration : registrations_) std::erase(registration.sockets, socket.fd());
  std::erase_if(registrations_, [](const Registration& registration) { return registration.sockets.empty(); });
}

Status XdpUmem::dram(XdpUmem** umem) {
  const std::lock_guard lock(mutex_);
  if (dram_ == nullptr) {
    FrameMemoryOptions options;
    options.place = FrameMemoryPlace::kDram;
    options.chunk_bytes = memory_.chunk_bytes();
    std::unique_ptr<FrameMemory> memory;
    if (Status status = FrameMemory::create(options, nullptr, nullptr, &memory); !status.ok()) return status;
    if (Status status = memory->pin(); !status.ok()) return status;
    dram_.reset(new XdpUmem(std::move(memory)));
  }
  *umem = dram_.get();
  return {};
}

}  // namespace paste
