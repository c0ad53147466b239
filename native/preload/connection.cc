// The conversation with the daemon: requests and answers, doorbells, its end and its return.
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/base/descriptor_packet.h"
#include "preload/netmap_file.h"

namespace paste::preload {

namespace {

using namespace ports_protocol;

constexpr int64_t kRetryNs = 20'000'000;
constexpr int64_t kRetrySlowNs = 200'000'000;
constexpr int64_t kSlowAfterNs = 5'000'000'000;
constexpr int64_t kLastWordsNs = 500'000'000;  // between the end of the doorbell and that of the connection

int connect_to_daemon(NetmapFile& file) {
  if (file.connected) return 0;
  if (daemon_address().sun_path[0] == 0) return ENXIO;
  // A full backlog would block for ever: SO_SNDTIMEO bounds connect() on unix sockets.
  const timeval limit = {2, 0};
  const int fd = file.connection.load(std::memory_order_relaxed);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  int result;
  do {
    result = connect(fd, reinterpret_cast<const sockaddr*>(&daemon_address()), sizeof(sockaddr_un));
  } while (result != 0 && errno == EINTR);
  if (result != 0 && errno != EISCONN) return errno == EACCES || errno == EPERM ? EACCES : ENXIO;
  file.connected = true;
  return 0;
}

// The next message: its size, 0 at the end, -1 when there was none in time. Descriptors that come are put into fds.
ssize_t receive_message(int connection, void* to, size_t bytes, int fds[2], size_t* fd_count) {
  *fd_count = 0;
  const int64_t end = sys::now_ns() + kAnswerMs * 1'000'000LL;
  for (;;) {
    const int64_t left = end - sys::now_ns();
    pollfd watched = {connection, POLLIN, 0};
    if (left <= 0) return -1;
    if (sys::poll_ms(&watched, 1, static_cast<int>(left / 1'000'000 + 1)) <= 0) continue;
    const ssize_t got = receive_packet<2>(connection, to, bytes, fds, fd_count, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) continue;
    return got < 0 ? 0 : got;
  }
}

void say_lost(NetmapFile& file) {
  if (file.state != NetmapFile::State::kUp) return;
  file.error_told = false;
  file.lost_ns = sys::now_ns();
  file.retry_ns = file.lost_ns;
  file.state = NetmapFile::State::kLost;
}

// Reads what the connection says; false when it ended. A Bye ends it for good.
bool connection_stands(NetmapFile& file) {
  union {
    Header header;
    Bye whole;
  } message = {};
  const int fd = file.connection.load(std::memory_order_relaxed);
  const ssize_t got = recv(fd, &message, sizeof message, MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got >= static_cast<ssize_t>(sizeof(Header)) && message.header.magic == kMagic && message.header.type == kBye)
    file.state = NetmapFile::State::kDetached;
  return got > 0;
}

void note_inherited(int fd, void* argument) {
  const int flags = sys::control(fd, F_GETFD, 0);
  if (flags >= 0 && !(flags & FD_CLOEXEC)) *static_cast<bool*>(argument) = true;
}

// Takes over what a REGISTER brought. The descriptors stay the caller's.
int take_attachment(NetmapFile& file, const Reply& reply, const Descriptors& got) {
  const bool adopted = reply.flags & kAdopted;
  if (got.doorbell < 0 || (!adopted && got.memory < 0)) return ENXIO;
  if (!adopted && file.memory) {
    // Other memory than the program has mapped: what it writes would go nowhere. Better gone than silent.
    shutdown(file.connection, SHUT_RDWR);
    file.state = NetmapFile::State::kDetached;
    return ENXIO;
  }
  if (!adopted && !take_memory(file, got.memory, reply.memory_bytes)) return ENOMEM;
  std::memcpy(&file.registered, reply.body, sizeof file.registered);
  std::memcpy(file.token, reply.token, sizeof file.token);
  if (!find_rings(file)) return ENXIO;
  const int before = file.doorbell.load();
  const int doorbell = make_internal(sys::control(got.doorbell, F_DUPFD_CLOEXEC, 3));
  if (doorbell < 0) return ENFILE;
  // What is executed with the connection goes on with the attachment, and needs its doorbell to stand until it asks for one.
  bool inherited = false;
  visit_descriptors(&file, note_inherited, &inherited);
  if (inherited) sys::control(doorbell, F_SETFD, 0);
  file.doorbell = doorbell;
  close_internal(before);
  file.state = NetmapFile::State::kUp;
  file.idle_syncs = 0;
  return 0;
}

Request request_for(const NetmapFile& file, uint32_t type) {
  Request request = {};
  request.header = header_of(kRequest, sizeof request);
  request.reqtype = type;
  request.api = file.api;
  std::memcpy(request.name, file.name, sizeof request.name);
  std::memcpy(request.body, &file.registered, sizeof file.registered);
  return request;
}

int attach(NetmapFile& file, const Request& request, int offered, netmap::Register* answer) {
  Reply reply;
  Descriptors got;
  int error = ask(file, request, &reply, &got, offered);
  if (error == 0) error = take_attachment(file, reply, got);
  if (got.memory >= 0) sys::close(got.memory);
  if (got.doorbell >= 0) sys::close(got.doorbell);
  if (error == 0 && answer) *answer = file.registered;
  return error;
}

struct Replace {
  int with;
};
void replace_descriptor(int fd, void* argument) {
  const int flags = sys::control(fd, F_GETFD, 0);
  if (flags >= 0)
    ::syscall(SYS_dup3, static_cast<Replace*>(argument)->with, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
}

// A new socket in the place of the one whose daemon is gone, for the program's descriptors too.
bool renew_connection(NetmapFile& file) {
  const int fd = make_internal(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (fd < 0) return false;
  const int before = file.connection.exchange(fd);
  close_internal(before);
  file.connected = false;
  return true;
}

}  // namespace

int ask(NetmapFile& file, const Request& request, Reply* reply, Descriptors* descriptors, int offered) {
  if (const int error = connect_to_daemon(file)) return error;
  const int connection = file.connection.load(std::memory_order_relaxed);
  if (!send_packet<1>(connection, &request, sizeof request, &offered, offered >= 0 ? 1 : 0)) return ENXIO;
  for (;;) {
    int fds[2] = {-1, -1};
    size_t count = 0;
    *reply = {};
    const ssize_t got = receive_message(connection, reply, sizeof *reply, fds, &count);
    const bool whole = got == static_cast<ssize_t>(sizeof *reply) && reply->header.magic == kMagic &&
                       reply->header.version == kVersion && reply->header.type == kReply;
    if (whole && descriptors && reply->error == 0) {
      descriptors->doorbell = count > 0 ? fds[count - 1] : -1;
      descriptors->memory = count > 1 ? fds[0] : -1;
    } else {
      for (size_t i = 0; i < count; i++) sys::close(fds[i]);
    }
    if (whole) return static_cast<int>(reply->error);
    if (got >= static_cast<ssize_t>(sizeof(Header)) && reply->header.type == kBye) {
      file.state = NetmapFile::State::kDetached;
      return ENXIO;
    }
    if (got > 0) return EPROTO;
    say_lost(file);
    return ENXIO;
  }
}

// Failing leaves a file that is not registered, as it may well be.
void attach_again(NetmapFile& file) {
  const Hold hold(file.lock);
  file.connected = true;
  Reply reply;
  Descriptors got;
  if (ask(file, request_for(file, kAttachmentGet), &reply, &got) == 0) {
    std::memcpy(file.name, reply.name, sizeof file.name);
    take_attachment(file, reply, got);
    file.shared = file.pipe;  // a pipe's bell is one for all who have this end
  }
  if (got.memory >= 0) sys::close(got.memory);
  if (got.doorbell >= 0) sys::close(got.doorbell);
}

int register_port(NetmapFile& file, const char* name, uint16_t api, netmap::Register* reg) {
  if (file.state != NetmapFile::State::kFresh) return EBUSY;
  file.api = api;
  std::strncpy(file.name, name, sizeof file.name - 1);
  file.name[sizeof file.name - 1] = 0;
  file.registered = *reg;
  return attach(file, request_for(file, netmap::kRegister), -1, reg);
}

void look(NetmapFile& file, const Waker* mine) {
  const sys::KeepErrno keep;
  for (std::atomic<Waker*>& place : file.waiters) {
    Waker* other = place.load(std::memory_order_acquire);
    const uint64_t one = 1;
    if (other && other != mine) (void)!sys::write(other->fd.load(std::memory_order_relaxed), &one, sizeof one);
  }
  const Hold hold(file.lock);
  if (hold) read_doorbell(file);
}

void read_doorbell(NetmapFile& file) {
  const sys::KeepErrno keep;
  if (file.state != NetmapFile::State::kUp) return;
  uint8_t bytes[512];
  const ssize_t got = recv(file.doorbell.load(std::memory_order_relaxed), bytes, sizeof bytes, MSG_DONTWAIT);
  const bool rings = got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
  const bool stands = connection_stands(file);
  if (file.state == NetmapFile::State::kUp && (!stands || !rings)) say_lost(file);
}

bool come_back(NetmapFile& file) {
  if (file.state == NetmapFile::State::kUp) return true;
  if (file.state != NetmapFile::State::kLost) return false;
  const sys::KeepErrno keep;
  const int64_t now = sys::now_ns();
  if (now < file.retry_ns) return false;
  file.retry_ns = now + (now - file.lost_ns > kSlowAfterNs ? kRetrySlowNs : kRetryNs);
  // When only the doorbell ended, the daemon is about to say why, or to die.
  if (file.connected && connection_stands(file)) {
    if (file.state == NetmapFile::State::kDetached || now - file.lost_ns < kLastWordsNs) return false;
  }
  if (file.state == NetmapFile::State::kDetached) return false;
  if (!renew_connection(file)) return false;
  Request request = request_for(file, netmap::kRegister);
  request.flags = kOffersMemory;
  std::memcpy(request.token, file.token, sizeof request.token);
  if (attach(file, request, file.memory_fd, nullptr) != 0) {
    if (file.state != NetmapFile::State::kDetached) file.state = NetmapFile::State::kLost;
    return false;
  }
  Replace replace = {file.connection.load()};
  visit_descriptors(&file, replace_descriptor, &replace);
  return true;
}

}  // namespace paste::preload
