#include "core/ports/client_socket.h"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace paste {

namespace {

using namespace ports_protocol;

constexpr int kAnswerMs = 2000;

Status failed(const ClientOptions& options, const std::string& what, Code code = Code::kPort) {
  return Status(code, "port " + options.name + " at " + options.socket + ": " + what);
}

Status connect_to(const ClientOptions& options, int* connection, bool* transient) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (options.socket.empty() || options.socket.size() >= sizeof address.sun_path)
    return failed(options, "a socket's path has 1 to 107 characters", Code::kUsage);
  std::memcpy(address.sun_path, options.socket.data(), options.socket.size());
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(options, std::strerror(errno), Code::kResource);
  // A full backlog would block for ever: SO_SNDTIMEO bounds connect() on unix sockets.
  const timeval limit = {kAnswerMs / 1000, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    *connection = fd;
    return {};
  }
  const int error = errno;
  close(fd);
  *transient = error == ENOENT || error == ECONNREFUSED || error == EAGAIN || error == EINTR;
  if (error == EACCES || error == EPERM) return failed(options, "permission denied", Code::kPrivilege);
  return failed(options, std::string("no daemon answers there (") + std::strerror(error) + ")");
}

bool send_hello(int connection, const ClientOptions& options, const Attachment& attachment) {
  Hello hello = {};
  hello.header = header_of(kHello, sizeof hello);
  std::strncpy(hello.name, options.name.c_str(), sizeof hello.name - 1);
  hello.geometry = {1, 1, options.slots, options.slots, options.buffer_bytes, 0};
  if (options.exclusive) hello.flags |= kExclusive;
  std::memcpy(hello.token, attachment.token, sizeof hello.token);
  iovec part = {&hello, sizeof hello};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (attachment.region) {
    hello.flags |= kOffersMemory;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* item = CMSG_FIRSTHDR(&message);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = attachment.region->fd();
    std::memcpy(CMSG_DATA(item), &fd, sizeof fd);
  }
  return sendmsg(connection, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof hello);
}

// Returns the size of the packet, 0 at the end, -1 on failure; at most two descriptors come along.
ssize_t receive_reply(int connection, Reply* reply, int fds[2], uint32_t* fd_count) {
  iovec part = {reply, sizeof *reply};
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do {
    got = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  *fd_count = 0;
  if (got < 0) return got;
  for (cmsghdr* item = CMSG_FIRSTHDR(&message); item; item = CMSG_NXTHDR(&message, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    *fd_count = static_cast<uint32_t>((item->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(fds, CMSG_DATA(item), *fd_count * sizeof(int));
  }
  return got;
}

Status take_reply(const ClientOptions& options, const Reply& reply, const int fds[2], uint32_t fd_count,
                  Attachment* attachment) {
  const bool adopted = (reply.flags & kAdopted) && attachment->region;
  if (fd_count != (adopted ? 1 : 2)) return failed(options, "the daemon's answer lacks its descriptors");
  if (!adopted) {
    const Geometry& g = reply.geometry;
    std::unique_ptr<ValeRegion> region;
    const int memory_fd = dup(fds[0]);
    if (memory_fd < 0) return failed(options, std::strerror(errno), Code::kResource);
    if (Status status =
            ValeRegion::map(memory_fd, {g.tx_rings, g.rx_rings, g.tx_slots, g.rx_slots, g.buffer_bytes}, &region);
        !status.ok())
      return status;
    attachment->region = std::move(region);
  }
  attachment->doorbell = dup(fds[fd_count - 1]);
  if (attachment->doorbell < 0) return failed(options, std::strerror(errno), Code::kResource);
  std::memcpy(attachment->token, reply.token, sizeof reply.token);
  return {};
}

Status exchange(const ClientOptions& options, int connection, Attachment* attachment, bool* transient) {
  Reply reply = {};
  int fds[2] = {-1, -1};
  uint32_t fd_count = 0;
  *transient = true;
  if (!send_hello(connection, options, *attachment)) return failed(options, "the daemon went away");
  const ssize_t got = receive_reply(connection, &reply, fds, &fd_count);
  Status status;
  if (got <= 0) {
    status = failed(options, got == 0 ? "the daemon hung up" : "the daemon does not answer");
  } else if (got != static_cast<ssize_t>(sizeof reply) || reply.header.magic != kMagic ||
             reply.header.version != kVersion || reply.header.type != kReply || reply.header.size != sizeof reply) {
    *transient = false;
    status = failed(options, "another program, or a daemon of another version, answers there");
  } else if (reply.status != 0) {
    const Code code = reply.status <= static_cast<uint32_t>(Code::kInternal) ? static_cast<Code>(reply.status)
                                                                              : Code::kInternal;
    *transient = code == Code::kPort || code == Code::kResource;
    reply.text[sizeof reply.text - 1] = 0;
    status = failed(options, reply.text, code);
  } else {
    status = take_reply(options, reply, fds, fd_count, attachment);
  }
  for (uint32_t i = 0; i < fd_count; i++) close(fds[i]);
  return status;
}

}  // namespace

void Attachment::close_descriptors() {
  if (doorbell >= 0) close(doorbell);
  if (connection >= 0) close(connection);
  doorbell = connection = -1;
}

Status attach_to_daemon(const ClientOptions& options, Attachment* attachment, bool* transient) {
  *transient = false;
  if (Status status = check_vale_name(options.name); !status.ok()) return status;
  if (Status status = check_geometry({1, 1, options.slots, options.slots, options.buffer_bytes}); !status.ok())
    return Status(status.code(), "port " + options.name + ": " + status.message());
  int connection = -1;
  if (Status status = connect_to(options, &connection, transient); !status.ok()) return status;
  Status status = exchange(options, connection, attachment, transient);
  if (status.ok())
    attachment->connection = connection;
  else
    close(connection);
  return status;
}

bool connection_stands(int connection, bool* bye) {
  union {
    Header header;
    Bye whole;
  } message = {};
  const ssize_t got = recv(connection, &message, sizeof message, MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  *bye = got >= static_cast<ssize_t>(sizeof(Header)) && message.header.magic == kMagic && message.header.type == kBye;
  return got > 0 && !*bye;
}

}  // namespace paste
