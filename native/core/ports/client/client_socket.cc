#include "core/ports/client/client_socket.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/descriptor_packet.h"

namespace paste {

namespace {

using namespace ports_protocol;

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
  if (error == EACCES || error == EPERM) return failed(options, "not allowed to connect: start that daemon with --group and a group of yours, or act as its user", Code::kPrivilege);
  const bool nobody = error == ENOENT || error == ECONNREFUSED;
  return failed(options, std::string("no daemon answers there (") + std::strerror(error) + (nobody ? "): start one with `paste-switch daemon`" : ")"));
}

// One ring in each direction, for this client alone: its rings have one set of positions.
// A question and its answer, as receive_packet() says. A daemon that turns us away says why and hangs up, perhaps before it has read
// the question: the words are there all the same, behind the error.
template <size_t kMost>
ssize_t converse(int connection, const Request& request, int offer, Reply* reply, int* fds, size_t* count) {
  send_packet<1>(connection, &request, sizeof request, &offer, offer >= 0 ? 1 : 0);
  const ssize_t got = receive_packet<kMost>(connection, reply, sizeof *reply, fds, count);
  return got < 0 && errno == ECONNRESET ? receive_packet<kMost>(connection, reply, sizeof *reply, fds, count) : got;
}

Request request_of(const ClientOptions& options, const Attachment& attachment) {
  Request request = {};
  request.header = header_of(kRequest, sizeof request);
  request.reqtype = netmap::kRegister;
  request.api = netmap::kApi;
  std::strncpy(request.name, options.name.c_str(), sizeof request.name - 1);
  netmap::Register body = attachment.given;
  if (!attachment.memory) {
    body.nr_tx_rings = body.nr_rx_rings = 1;
    body.nr_tx_slots = body.nr_rx_slots = options.slots;
    body.nr_mode = netmap::kAllNic;
    body.nr_flags = netmap::kExclusive;
  }
  std::memcpy(request.body, &body, sizeof body);
  request.buffer_bytes = options.buffer_bytes;
  std::memcpy(request.token, attachment.token, sizeof request.token);
  if (attachment.memory) request.flags |= kOffersMemory;
  return request;
}

Status take_reply(const ClientOptions& options, const Reply& reply, const int fds[2], size_t fd_count,
                  Attachment* attachment) {
  const bool adopted = (reply.flags & kAdopted) && attachment->memory;
  if (fd_count != (adopted ? 1 : 2)) return failed(options, "the daemon's answer lacks its descriptors");
  const int doorbell = fcntl(fds[fd_count - 1], F_DUPFD_CLOEXEC, 0);
  if (doorbell < 0) return failed(options, std::strerror(errno), Code::kResource);
  if (!adopted) {
    std::unique_ptr<ClientMemory> memory;
    const int memory_fd = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
    Status status = memory_fd < 0 ? failed(options, std::strerror(errno), Code::kResource)
                                  : ClientMemory::map(memory_fd, reply.memory_bytes, &memory);
    if (!status.ok()) {
      if (memory_fd >= 0) close(memory_fd);
      close(doorbell);
      return status;
    }
    if (attachment->memory_fd >= 0) close(attachment->memory_fd);
    attachment->memory_fd = memory_fd;
    attachment->memory = std::move(memory);
  }
  attachment->doorbell = doorbell;
  std::memcpy(attachment->token, reply.token, sizeof reply.token);
  std::memcpy(&attachment->given, reply.body, sizeof attachment->given);
  attachment->interface = attachment->given.nr_offset;
  return {};
}

// Whether it is an answer, and not a refusal. `transient`: trying again later may help.
Status check_reply(const ClientOptions& options, ssize_t got, Reply* reply, bool* transient) {
  *transient = true;
  if (got <= 0) return failed(options, got == 0 ? "the daemon hung up" : "the daemon does not answer");
  if (got != static_cast<ssize_t>(sizeof *reply) || reply->header.magic != kMagic || reply->header.version != kVersion ||
      reply->header.type != kReply || reply->header.size != sizeof *reply) {
    *transient = false;
    return failed(options, "another program, or a daemon of another version, answers there");
  }
  if (reply->error == 0) return {};
  const Code code = reply->code <= static_cast<uint32_t>(Code::kInternal) ? static_cast<Code>(reply->code) : Code::kInternal;
  *transient = code == Code::kPort || code == Code::kResource;
  reply->text[sizeof reply->text - 1] = 0;
  return failed(options, reply->text, code);
}

Status exchange(const ClientOptions& options, int connection, Attachment* attachment, bool* transient) {
  Reply reply = {};
  int fds[2] = {-1, -1};
  size_t fd_count = 0;
  *transient = true;
  const ssize_t got = converse<2>(connection, request_of(options, *attachment), attachment->memory ? attachment->memory_fd : -1, &reply,
                                  fds, &fd_count);
  Status status = check_reply(options, got, &reply, transient);
  if (status.ok()) status = take_reply(options, reply, fds, fd_count, attachment);
  for (uint32_t i = 0; i < fd_count; i++) close(fds[i]);
  return status;
}

}  // namespace

Attachment::Attachment(Attachment&& other) noexcept
    : memory(std::move(other.memory)), memory_fd(std::exchange(other.memory_fd, -1)), interface(other.interface),
      doorbell(std::exchange(other.doorbell, -1)), connection(std::exchange(other.connection, -1)), given(other.given) {
  std::memcpy(token, other.token, sizeof token);
}

Attachment::~Attachment() {
  close_descriptors();
  if (memory_fd >= 0) close(memory_fd);
}

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

Status ask_daemon(const ClientOptions& options, const Request& request, int offer, Reply* reply, int* descriptor, int* connection) {
  bool transient = false;
  int socket = -1;
  if (Status status = connect_to(options, &socket, &transient); !status.ok()) return status;
  size_t count = 0;
  Status status = check_reply(options, converse<1>(socket, request, offer, reply, descriptor, &count), reply, &transient);
  if (status.ok() && count != 1) status = failed(options, "the daemon's answer lacks its descriptor");
  if (status.ok()) {
    *connection = socket;
    return {};
  }
  if (count == 1) close(*descriptor);
  close(socket);
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
