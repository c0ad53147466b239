// A packet with descriptors beside it, on a unix socket (SCM_RIGHTS, unix(7)). Needs the C library only: the preload library has it, too.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace paste {

// The kernel's SCM_MAX_FD: as many as one message can carry.
inline constexpr size_t kPacketDescriptorsMax = 253;

// False, with errno where the kernel refused, when it could not be sent whole. Never a signal. `count`: at most kMost.
template <size_t kMost>
bool send_packet(int socket, const void* data, size_t size, const int* fds, size_t count, int flags = 0) {
  static_assert(kMost <= kPacketDescriptorsMax);
  iovec part = {const_cast<void*>(data), size};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMost * sizeof(int))] = {};
  if (count != 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* item = CMSG_FIRSTHDR(&message);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::memcpy(CMSG_DATA(item), fds, count * sizeof(int));
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
  while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(size);
}

// What came: its size, and its descriptors (close-on-exec, the caller's). -1 with errno for a failure, also EPROTO when more
// descriptors came than kMost (all are closed then); 0 when the other end is gone. A packet that is longer than `size` counts as
// size + 1.
template <size_t kMost>
ssize_t receive_packet(int socket, void* data, size_t size, int* fds, size_t* count, int flags = 0) {
  static_assert(kMost <= kPacketDescriptorsMax);
  *count = 0;
  iovec part = {data, size};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMost * sizeof(int))];
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags);
  while (got < 0 && errno == EINTR);
  if (got < 0) return -1;
  bool too_many = (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* item = CMSG_FIRSTHDR(&message); item != nullptr; item = CMSG_NXTHDR(&message, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; i < (item->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(item) + i * sizeof fd, sizeof fd);
      if (*count < kMost) {
        fds[(*count)++] = fd;
      } else {
        close(fd);
        too_many = true;
      }
    }
  }
  if (too_many) {
    while (*count > 0) close(fds[--*count]);
    errno = EPROTO;
    return -1;
  }
  return (message.msg_flags & MSG_TRUNC) != 0 ? static_cast<ssize_t>(size) + 1 : got;
}

}  // namespace paste
