#include "core/ports/vale/ports_server.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <pthread.h>
#include <set>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>

#include "core/base/descriptor_packet.h"
#include "core/base/system_time.h"
#include "core/ports/vale/netmap_control.h"
#include "core/ports/vale/ports_listener.h"
#include "core/ports/vale/ports_protocol.h"

namespace paste {

namespace {

using namespace ports_protocol;

constexpr uint32_t kSilentMax = 64;        // connections that asked for nothing yet; the oldest makes way
constexpr int kAcceptsPerWake = 64;
constexpr uint64_t kListener = 0, kWaker = 1, kFirstSession = 2;

uint64_t now_ms() { return monotonic_ns() / 1'000'000; }

struct Connection {
  int fd = -1;
  uint64_t session = 0;
  uint64_t deadline_ms = 0;  // while it has asked for nothing
  ClientIdentity client;
  bool tap = false;          // a live tap is its
};

// One packet with the first descriptor that came along, which is closed unless taken. The kernel drops further ones.
struct Packet {
  uint8_t bytes[sizeof(Request) + 1];
  ssize_t size = -1;
  bool truncated = false;
  int fd = -1;

  ~Packet() {
    if (fd >= 0) close(fd);
  }
};

// Closing what is no memory may take as long as somebody likes: a file on his own file system is flushed first (FUSE), a socket lingers.
bool is_memory(int fd) { return fcntl(fd, F_GET_SEALS) >= 0; }

void receive_packet(int fd, bool with_descriptor, Packet* packet) {
  iovec part = {packet->bytes, sizeof packet->bytes};
  alignas(cmsghdr) char control[CMSG_LEN(sizeof(int))];
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = with_descriptor ? control : nullptr;
  message.msg_controllen = with_descriptor ? sizeof control : 0;
  packet->size = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (packet->size < 0) return;
  packet->truncated = message.msg_flags & MSG_TRUNC;
  const cmsghdr* item = CMSG_FIRSTHDR(&message);
  if (item != nullptr && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS && item->cmsg_len == CMSG_LEN(sizeof(int)))
    std::memcpy(&packet->fd, CMSG_DATA(item), sizeof(int));
}

Status check_request(const Packet& packet, Request* request) {
  if (packet.truncated || packet.size < static_cast<ssize_t>(sizeof(Header)))
    return Status(Code::kUsage, "a message of a wrong size");
  Header header;
  std::memcpy(&header, packet.bytes, sizeof header);
  if (header.magic != kMagic) return Status(Code::kUsage, "this is no message of paste-switch's ports protocol");
  if (header.version != kVersion)
    return Status(Code::kUsage, "the daemon speaks version " + std::to_string(kVersion) +
                                    " of the ports protocol, the client version " + std::to_string(header.version));
  if (header.type != kRequest) return Status(Code::kUsage, "a message of a wrong type: clients send requests");
  if (packet.size != static_cast<ssize_t>(sizeof *request) || header.size != sizeof *request)
    return Status(Code::kUsage, "a message of a wrong size");
  std::memcpy(request, packet.bytes, sizeof *request);
  if (std::memchr(request->name, 0, sizeof request->name) == nullptr)
    return Status(Code::kUsage, "the port's name does not end");
  return {};
}

class Server final : public PortsServer {
 public:
  Server(const PortsServerOptions& options, const Clock& clock, PortsHost& host)
      : options_(options), host_(host), control_(options_, clock, host) {}
  ~Server() override;
  Status open();
  void dismiss(uint64_t session) override;

 private:
  void run();
  int next_timeout_ms();
  void accept_some();
  void add(int fd);
  uint32_t connections_of(int32_t uid) const;
  void serve(uint64_t session);
  bool answer(const Connection& connection, const ControlCall& call);
  void drop(uint64_t session);
  void drop_silent();
  void dismiss_waiting();

  void open_tap(ControlCall& call);

  PortsServerOptions options_;
  PortsHost& host_;
  NetmapControl control_;
  int listener_ = -1, epoll_ = -1, waker_ = -1;
  int spare_ = -1;  // a descriptor in reserve, to turn a connection away when there is no other
  std::unordered_map<uint64_t, Connection> connections_;
  uint64_t next_session_ = kFirstSession;
  std::set<int32_t> distrusted_;  // users who sent a descriptor that is no memory: theirs are not received any more
  std::atomic<bool> stop_{false};
  std::mutex mutex_;  // guards dismissed_
  std::vector<uint64_t> dismissed_;
  std::thread thread_;
};

Status Server::open() {
  if (Status status = listen_at(options_, &listener_); !status.ok()) return status;
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  waker_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  spare_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  epoll_event event = {EPOLLIN, {.u64 = kListener}};
  epoll_event wake = {EPOLLIN, {.u64 = kWaker}};
  if (epoll_ < 0 || waker_ < 0 || spare_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) != 0 ||
      epoll_ctl(epoll_, EPOLL_CTL_ADD, waker_, &wake) != 0)
    return Status(Code::kResource, "ports socket " + options_.path + ": no descriptors (" + std::strerror(errno) + ")");
  // The thread takes no signals: those are for the thread that runs JavaScript.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

Server::~Server() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) {
    const uint64_t one = 1;
    (void)!write(waker_, &one, sizeof one);
    thread_.join();
  }
  for (auto& [session, connection] : connections_) close(connection.fd);
  if (listener_ >= 0) unlink(options_.path.c_str());
  for (const int fd : {listener_, epoll_, waker_, spare_})
    if (fd >= 0) close(fd);
}

void Server::run() {
  pthread_setname_np(pthread_self(), "paste-ports");
  epoll_event events[64];
  while (!stop_.load(std::memory_order_relaxed)) {
    const int count = epoll_wait(epoll_, events, 64, next_timeout_ms());
    // Ends before beginnings: a client that comes back finds its name free.
    for (int i = 0; i < count; i++)
      if (events[i].data.u64 >= kFirstSession) serve(events[i].data.u64);
    for (int i = 0; i < count; i++)
      if (events[i].data.u64 == kListener) accept_some();
    dismiss_waiting();
    drop_silent();
  }
}

// --- connections -----------------------------------------------------------------------------------------------------------

int Server::next_timeout_ms() {
  uint64_t earliest = ~0ull;
  for (const auto& [session, connection] : connections_)
    if (connection.deadline_ms != 0) earliest = std::min(earliest, connection.deadline_ms);
  if (earliest == ~0ull) return -1;
  const uint64_t now = now_ms();
  return earliest <= now ? 0 : static_cast<int>(earliest - now);
}

void Server::accept_some() {
  for (int i = 0; i < kAcceptsPerWake; i++) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      add(fd);
      continue;
    }
    if (errno != EMFILE && errno != ENFILE) return;
    // Out of descriptors: turned away, rather than waiting in the queue and waking this thread for ever.
    if (spare_ >= 0) close(spare_);
    const int unwanted = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (unwanted >= 0) close(unwanted);
    spare_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (unwanted < 0) return;
  }
}

void Server::add(int fd) {
  Connection connection;
  connection.fd = fd;
  const uint64_t session = next_session_++;
  connection.session = session;
  Status status;
  if (!identify(options_, fd, &connection.client))
    status = Status(Code::kPrivilege, "user " + std::to_string(connection.client.uid) + " may not attach ports here: the daemon's own user, root, and members of its --group may");
  else if (connections_.size() >= options_.connections_max)
    status = Status(Code::kResource,
                    "the daemon has no room for more connections, " + std::to_string(connections_.size()) + " are open: close some");
  else if (connections_of(connection.client.uid) >= user_share(connection.client.uid, options_.connections_max))
    status = Status(Code::kResource, "user " + std::to_string(connection.client.uid) + " has its share of the daemon's connections, " +
                                         std::to_string(user_share(connection.client.uid, options_.connections_max)) +
                                         " of " + std::to_string(options_.connections_max) + ": close some");
  epoll_event event = {EPOLLIN | EPOLLRDHUP, {.u64 = session}};
  if (status.ok() && epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0)
    status = Status(Code::kResource, std::strerror(errno));
  if (!status.ok()) {
    Reply reply = {};
    reply.header = header_of(kReply, sizeof reply);
    reply.error = status.code() == Code::kPrivilege ? EPERM : ENOMEM;
    reply.code = static_cast<uint32_t>(status.code());
    std::strncpy(reply.text, status.message().c_str(), sizeof reply.text - 1);
    (void)!send(fd, &reply, sizeof reply, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
    return;
  }
  connection.deadline_ms = now_ms() + options_.hello_ms;
  connection.client.session = session;
  connections_.emplace(session, std::move(connection));
}

uint32_t Server::connections_of(int32_t uid) const {
  return static_cast<uint32_t>(std::count_if(connections_.begin(), connections_.end(),
                                             [uid](const auto& each) { return each.second.client.uid == uid; }));
}

// Closes connections that said nothing in time, and the oldest of those when there are too many.
void Server::drop_silent() {
  const uint64_t now = now_ms();
  std::vector<uint64_t> silent;
  for (const auto& [session, connection] : connections_)
    if (connection.deadline_ms != 0) silent.push_back(session);
  std::sort(silent.begin(), silent.end());
  for (size_t i = 0; i < silent.size(); i++)
    if (silent.size() - i > kSilentMax || connections_[silent[i]].deadline_ms <= now) drop(silent[i]);
}

void Server::drop(uint64_t session) {
  const auto found = connections_.find(session);
  if (found == connections_.end()) return;
  const int fd = found->second.fd;
  const bool tap = found->second.tap;
  connections_.erase(found);
  close(fd);
  if (tap) host_.close_tap(session);
  control_.leave(session);
}

void Server::dismiss(uint64_t session) {
  {
    const std::lock_guard<std::mutex> hold(mutex_);
    dismissed_.push_back(session);
  }
  const uint64_t one = 1;
  (void)!write(waker_, &one, sizeof one);
}

void Server::dismiss_waiting() {
  uint64_t count;
  (void)!read(waker_, &count, sizeof count);
  std::vector<uint64_t> sessions;
  {
    const std::lock_guard<std::mutex> hold(mutex_);
    sessions.swap(dismissed_);
  }
  for (const uint64_t port : sessions)
    for (const uint64_t session : control_.sessions_of(port)) {
      const auto found = connections_.find(session);
      if (found == connections_.end()) continue;
      Bye bye = {};
      bye.header = header_of(kBye, sizeof bye);
      std::strncpy(bye.text, "the port was detached", sizeof bye.text - 1);
      (void)!send(found->second.fd, &bye, sizeof bye, MSG_DONTWAIT | MSG_NOSIGNAL);
      drop(session);
    }
}

// --- requests --------------------------------------------------------------------------------------------------------------

void Server::serve(uint64_t session) {
  const auto found = connections_.find(session);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  Packet packet;
  const int32_t user = connection.client.uid;
  receive_packet(connection.fd, !distrusted_.contains(user), &packet);
  if (packet.fd >= 0 && !is_memory(packet.fd)) {
    packet.fd = -1;  // stays open, and is the last that this user's messages bring
    distrusted_.insert(user);
  }
  if (packet.size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (packet.size <= 0) return drop(session);

  ControlCall call;
  call.client = connection.client;
  const Status status = check_request(packet, &call.request);
  if (status.ok()) {
    connection.deadline_ms = 0;
    if ((call.request.flags & kOffersMemory) && packet.fd >= 0 && ValeRegion::is_sealed(packet.fd))
      call.offered = std::exchange(packet.fd, -1);
    // A client that lost its connection and is back before the loss was seen here, known by its token, takes its own place.
    if (const uint64_t before = control_.predecessor(call)) drop(before);
    if (call.request.reqtype == kTapOpen) open_tap(call);
    else control_.serve(call);
  } else {
    call.refuse(EINVAL, status.code(), status.message());
  }
  if (!answer(connections_[session], call) || !status.ok()) drop(session);
}

void Server::open_tap(ControlCall& call) {
  Connection& connection = connections_[call.client.session];
  if (connection.tap) return call.refuse(EBUSY, Code::kUsage, "this connection has a tap already: one for each");
  if ((call.request.flags & kOffersMemory) && call.offered < 0)
    return call.refuse(EINVAL, Code::kUsage, "a tap's filter comes in sealed memory");
  const Status status = host_.open_tap(connection.client, call.name(), call.body<live_tap::TapWish>(), call.offered, &call.give[1],
                                       &call.reply.memory_bytes);
  if (!status.ok()) return call.refuse(status);
  connection.tap = true;
}

bool Server::answer(const Connection& connection, const ControlCall& call) {
  Reply reply = call.reply;
  reply.header = header_of(kReply, sizeof reply);
  // A port whose memory its client has already gets a doorbell only.
  const bool memory = call.give[0] >= 0;
  const size_t count = reply.error != 0 || call.give[1] < 0 ? 0 : memory ? 2 : 1;
  return send_packet<2>(connection.fd, &reply, sizeof reply, memory ? call.give : call.give + 1, count, MSG_DONTWAIT);
}

}  // namespace

Status PortsServer::start(const PortsServerOptions& options, const Clock& clock, PortsHost& host,
                          std::unique_ptr<PortsServer>* server) {
  auto made = std::make_unique<Server>(options, clock, host);
  if (Status status = made->open(); !status.ok()) return status;
  *server = std::move(made);
  return {};
}

}  // namespace paste
