// ports.sock: hands vale ports to other processes. One native thread, which never waits for any one client.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/status.h"
#include "core/ports/vale_port.h"

namespace paste {

// The engine's side. Both are called on the server's thread and may wait for a quiescent point.
class PortsHost {
 public:
  virtual ~PortsHost() = default;
  // A client has attached: the port is ready, its client().session names the connection. A failure's message is the client's
  // answer (kPort: the name is in use; then it may try again).
  virtual Status on_attach(std::unique_ptr<ValePort> port) = 0;
  // The connection of this session ended. The port may be gone already (its doorbell broke, or it was detached), and another
  // session may have its name: only the port of exactly this session goes.
  virtual void on_gone(const std::string& name, uint64_t session) = 0;
};

struct PortsServerOptions {
  std::string path;
  uint32_t mode = 0600;
  std::vector<uint32_t> allowed_uids;  // besides the daemon's own and root
  uint32_t gid = ~0u;                  // != ~0: members may connect, and the socket belongs to it
  uint32_t connections_max = 1024;
  uint32_t hello_ms = 2000;            // a connection that says nothing is closed after this time
};

class PortsServer {
 public:
  // Binds and starts. PORT when another daemon answers at `path`; a socket that nobody answers at is replaced.
  static Status start(const PortsServerOptions& options, const Clock& clock, PortsHost& host,
                      std::unique_ptr<PortsServer>* server);
  virtual ~PortsServer() = default;  // stops the thread, closes every connection without a Bye, removes the socket

  // The port of this session was detached on purpose: tells the client not to come back. Any thread, returns at once.
  virtual void dismiss(uint64_t session) = 0;
};

}  // namespace paste
