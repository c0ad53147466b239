#include "core/devices/descriptor_message.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/status.h"

namespace paste {

// The kernel's SCM_MAX_FD: as many as one message can carry.
static constexpr size_t kDescriptorsMax = 253;

bool send_packet(int socket, const void* data, size_t size, const int* fds, size_t count) {
  PASTE_CHECK(count <= kDescriptorsMax);
  iovec part = {const_cast<void*>(data), size};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsMax * sizeof(int))] = {};
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
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(size);
}

long receive_packet(int socket, void* data, size_t size, size_t most, std::vector<int>* fds) {
  fds->clear();
  iovec part = {data, size};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsMax * sizeof(int))];
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0) return -1;
  for (cmsghdr* item = CMSG_FIRSTHDR(&message); item != nullptr; item = CMSG_NXTHDR(&message, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const size_t before = fds->size();
    fds->resize(before + count);
    std::memcpy(fds->data() + before, CMSG_DATA(item), count * sizeof(int));
  }
  if (fds->size() > most || (message.msg_flags & MSG_CTRUNC) != 0) {
    for (const int fd : *fds) close(fd);
    fds->clear();
    errno = EPROTO;
    return -1;
  }
  return (message.msg_flags & MSG_TRUNC) != 0 ? static_cast<long>(size) + 1 : got;
}

}  // namespace paste
