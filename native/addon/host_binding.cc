// What a daemon needs of the operating system and Node does not offer: a lock that dies with its process, the datagram by which
// systemd learns that a service is ready, who is at the other end of a socket, and whether its broker lives.
#include <napi.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include "core/devices/devices.h"

namespace {

Napi::Value fail(Napi::Env env, const std::string& message) {
  Napi::Error::New(env, message).ThrowAsJavaScriptException();
  return env.Undefined();
}

// tryLock(fd): true when the file behind it is now locked through this descriptor, false when somebody else holds it.
Napi::Value try_lock(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber()) return fail(info.Env(), "INTERNAL: tryLock: a descriptor is needed");
  if (flock(info[0].As<Napi::Number>().Int32Value(), LOCK_EX | LOCK_NB) == 0)
    return Napi::Boolean::New(info.Env(), true);
  if (errno == EWOULDBLOCK) return Napi::Boolean::New(info.Env(), false);
  return fail(info.Env(), std::string("RESOURCE: the file system refused a lock (") + strerror(errno) +
                              "): use --control to put the sockets elsewhere");
}

// sendDatagram(path, text): one datagram to a unix socket; a path that starts with '@' is in the abstract name space.
// Never blocks. True when it was taken.
Napi::Value send_datagram(const Napi::CallbackInfo& info) {
  if (!info[0].IsString() || !info[1].IsString())
    return fail(info.Env(), "INTERNAL: sendDatagram: a path and a text are needed");
  const std::string path = info[0].As<Napi::String>();
  const std::string text = info[1].As<Napi::String>();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return Napi::Boolean::New(info.Env(), false);
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Napi::Boolean::New(info.Env(), false);
  const ssize_t sent = sendto(fd, text.data(), text.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address), length);
  close(fd);
  return Napi::Boolean::New(info.Env(), sent == static_cast<ssize_t>(text.size()));
}

// peerUser(fd): uid of whoever connected at the other end of a unix socket; -1 when the kernel does not say.
Napi::Value peer_user(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber()) return fail(info.Env(), "INTERNAL: peerUser: a descriptor is needed");
  ucred peer{};
  socklen_t size = sizeof peer;
  const bool known = getsockopt(info[0].As<Napi::Number>().Int32Value(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  return Napi::Number::New(info.Env(), known ? static_cast<double>(peer.uid) : -1);
}

Napi::Value broker_gone(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), paste::process_broker_gone()); }

}  // namespace

void init_host(Napi::Env env, Napi::Object exports) {
  exports.Set("tryLock", Napi::Function::New(env, try_lock, "tryLock"));
  exports.Set("sendDatagram", Napi::Function::New(env, send_datagram, "sendDatagram"));
  exports.Set("peerUser", Napi::Function::New(env, peer_user, "peerUser"));
  exports.Set("brokerGone", Napi::Function::New(env, broker_gone, "brokerGone"));
}
