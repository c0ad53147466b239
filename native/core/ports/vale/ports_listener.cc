#include "core/ports/vale/ports_listener.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace paste {

namespace {

constexpr int kBacklog = 128;
constexpr int kSeqpacket = SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC;

Status failed(const std::string& path, const std::string& what, Code code) {
  return Status(code, "ports socket " + path + ": " + what);
}

// Removes a socket that nobody listens at any more.
Status clear_the_way(const std::string& path, const sockaddr_un& address) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) return failed(path, "something that is no socket is in the way", Code::kUsage);
  const int probe = socket(AF_UNIX, kSeqpacket, 0);
  if (probe < 0) return failed(path, std::strerror(errno), Code::kResource);
  const int result = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = result == 0 ? 0 : errno;
  close(probe);
  if (error != ECONNREFUSED) return failed(path, "another daemon answers there", Code::kPort);
  unlink(path.c_str());
  return {};
}

bool in_group(int connection, uint32_t primary, uint32_t wanted) {
  if (primary == wanted) return true;
  gid_t groups[1024];
  socklen_t size = sizeof groups;
  if (getsockopt(connection, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0) return false;
  return std::find(groups, groups + size / sizeof groups[0], wanted) != groups + size / sizeof groups[0];
}

}  // namespace

Status listen_at(const PortsServerOptions& options, int* fd) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (options.path.empty() || options.path.size() >= sizeof address.sun_path)
    return failed(options.path, "a socket's path has 1 to 107 characters", Code::kUsage);
  std::memcpy(address.sun_path, options.path.data(), options.path.size());
  if (Status status = clear_the_way(options.path, address); !status.ok()) return status;
  const int listener = socket(AF_UNIX, kSeqpacket, 0);
  if (listener < 0) return failed(options.path, std::strerror(errno), Code::kResource);
  // The mode of the descriptor is the mode that bind() creates the socket with (less the umask), so it is never more open.
  fchmod(listener, options.mode);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      (options.gid != ~0u && chown(options.path.c_str(), ~0u, options.gid) != 0) ||
      chmod(options.path.c_str(), options.mode) != 0 || listen(listener, kBacklog) != 0) {
    const int error = errno;
    close(listener);
    return failed(options.path, std::strerror(error),
                  error == EACCES || error == EPERM ? Code::kPrivilege : Code::kResource);
  }
  *fd = listener;
  return {};
}

uint32_t user_share(int32_t uid, uint32_t all) {
  const auto user = static_cast<uint32_t>(uid);
  return user == 0 || user == geteuid() ? all : std::max(all / 2, 1u);
}

bool identify(const PortsServerOptions& options, int connection, ClientIdentity* client) {
  ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  client->pid = peer.pid;
  client->uid = static_cast<int32_t>(peer.uid);
  if (peer.uid == 0 || peer.uid == geteuid()) return true;
  if (std::find(options.allowed_uids.begin(), options.allowed_uids.end(), peer.uid) != options.allowed_uids.end())
    return true;
  return options.gid != ~0u && in_group(connection, peer.gid, options.gid);
}

}  // namespace paste
