// An interface of the kernel, written to through a packet socket: needs CAP_NET_RAW and nothing else.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/ports/frame.h"
#include "core/replay/sink.h"

namespace paste {
namespace {

constexpr uint32_t kFramesPerCall = 64;
constexpr uint32_t kTagBytes = 4;  // the kernel lets a tagged frame be that much longer

ifreq ask_for(const std::string& name) {
  ifreq asked = {};
  std::memcpy(asked.ifr_name, name.data(), std::min(name.size(), sizeof asked.ifr_name - 1));
  return asked;
}

class InterfaceSink final : public ReplaySink {
 public:
  InterfaceSink(std::string name, int fd, uint32_t frame_bytes_max)
      : name_(std::move(name)), fd_(fd), frame_bytes_max_(frame_bytes_max) {
    for (uint32_t i = 0; i < kFramesPerCall; ++i) {
      messages_[i].msg_hdr.msg_iov = &parts_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  ~InterfaceSink() override { close(fd_); }

  const std::string& name() const override { return name_; }
  uint32_t frame_bytes_max() const override { return frame_bytes_max_; }

  uint32_t send(const uint8_t* data, const uint32_t* offsets, const uint32_t* lengths, uint32_t count) override {
    const uint32_t most = std::min(count, kFramesPerCall);
    for (uint32_t i = 0; i < most; ++i) parts_[i] = {const_cast<uint8_t*>(data + offsets[i]), lengths[i]};
    const int sent = sendmmsg(fd_, messages_, most, MSG_DONTWAIT);
    if (sent > 0) return static_cast<uint32_t>(sent);
    switch (errno) {
      case ENOBUFS:
        if (running()) return 0;
        ++refused_;  // it has no carrier: the queue would be full for as long
        return 1;
      case EAGAIN:
      case EINTR:
        return 0;
      case EMSGSIZE:
      case EINVAL:  // an untagged frame of the tagged one's length; shorter than a header
      case ENETDOWN:
        ++refused_;
        return 1;
      default:
        gone_ = true;
        return 0;
    }
  }
  bool publish() override { return true; }  // the kernel has it
  bool flush() override { return !gone_; }
  Wait wait_for_room(int timeout_ms) override {
    if (gone_) return Wait::kGone;
    // A full queue of the device is not a full socket: poll() would say that there is room at once.
    pollfd watched = {fd_, POLLOUT, 0};
    const int ready = poll(&watched, 1, timeout_ms);
    if (ready > 0) usleep(20);
    return ready > 0 ? Wait::kReady : Wait::kTimeout;
  }
  // An interface that was removed leaves the socket bound to none.
  bool alive() override {
    sockaddr_ll bound = {};
    socklen_t size = sizeof bound;
    gone_ |= getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &size) != 0 || bound.sll_ifindex <= 0;
    return !gone_;
  }
  bool sent_all() override { return true; }  // the kernel's by now
  uint64_t refused() const override { return refused_; }

 private:
  // True also where that cannot be told.
  bool running() {
    ifreq asked = ask_for(name_);
    return ioctl(fd_, SIOCGIFFLAGS, &asked) != 0 || (asked.ifr_flags & IFF_RUNNING) != 0;
  }

  std::string name_;
  int fd_;
  uint32_t frame_bytes_max_;
  uint64_t refused_ = 0;
  bool gone_ = false;
  mmsghdr messages_[kFramesPerCall] = {};
  iovec parts_[kFramesPerCall] = {};
};

Status refused(const std::string& name, const char* what) {
  const int reason = errno;
  const Code code = reason == EPERM || reason == EACCES ? Code::kPrivilege : Code::kPort;
  return {code, name + ": " + what + ": " + std::strerror(reason)};
}

}  // namespace

Status open_interface_sink(const std::string& name, std::unique_ptr<ReplaySink>* sink) {
  const uint32_t index = if_nametoindex(name.c_str());
  if (index == 0)
    return {Code::kPort, "there is no interface " + name + "; `ip link` lists those there are, a switch's port is vale0:" + name};
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);  // protocol 0: receives nothing
  if (fd < 0) return refused(name, "a packet socket needs CAP_NET_RAW");
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(index);
  ifreq asked = ask_for(name);
  const int on = 1;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ioctl(fd, SIOCGIFMTU, &asked) != 0) {
    Status status = refused(name, "the interface cannot be used");
    close(fd);
    return status;
  }
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);  // where it cannot be, frames take the longer way
  const auto most = static_cast<uint32_t>(std::max(asked.ifr_mtu, 0)) + kEthernetHeaderBytes + kTagBytes;
  *sink = std::make_unique<InterfaceSink>(name, fd, std::min(most, kLiveFrameBytesMax));
  return {};
}

}  // namespace paste
