// ports.sock: hands vale ports to other processes. One native thread, which never waits for any one client.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/status.h"
#include "core/ports/vale/live_tap.h"
#include "core/ports/port_options.h"
#include "core/ports/vale/vale_port.h"

namespace paste {

// The engine's side. All are called on the server's thread and may wait for a quiescent point. A port is known by its name and
// its session(): another that took its name meanwhile is another port.
class PortsHost {
 public:
  virtual ~PortsHost() = default;
  // A port has come, with its first attachment or, a persistent one, with any number. A failure's message is the client's answer
  // (kPort: the name is in use; then it may try again). `mirror`: what a monitor listens to.
  virtual Status on_attach(std::unique_ptr<ValePort> port, const MirrorOptions& mirror) = 0;
  // Runs `change` where the port's owner thread does nothing else, and watches the doorbell that it has then. False when that
  // port is gone; then nothing ran.
  virtual bool on_change(const std::string& name, uint64_t session, const std::function<void(ValePort&)>& change) = 0;
  // The port's last attachment ended, or it was taken off its switch. It may be gone already (its doorbell broke, or an operator
  // detached it).
  virtual void on_gone(const std::string& name, uint64_t session) = 0;
  // A live tap for this connection, on the port of this name or on all (live_tap::kAnyPort). `filter`: a memfd with a program that nobody has
  // looked at yet, or -1. `fd`: of the tap's memory, for the client.
  virtual Status open_tap(const ClientIdentity& client, const std::string& name, const live_tap::TapWish& wish, int filter, int* fd,
                          uint64_t* bytes) {
    (void)client, (void)wish, (void)filter, (void)fd, (void)bytes;
    return {Code::kUsage, "no taps here: " + name + " cannot be watched"};
  }
  virtual void close_tap(uint64_t session) { (void)session; }
};

// Of what there is for all users, how much this one may take: half; root and the daemon's own user all.
uint32_t user_share(int32_t uid, uint32_t all);

struct PortsServerOptions {
  std::string path;
  uint32_t mode = 0600;
  std::vector<uint32_t> allowed_uids;  // besides the daemon's own and root
  uint32_t gid = ~0u;                  // != ~0: members may connect, and the socket belongs to it
  uint32_t connections_max = 1024;
  uint32_t hello_ms = 2000;            // a connection that asks for nothing is closed after this time
  uint64_t user_bytes_max = 16ull << 30;  // of all regions of one user's ports
};

class PortsServer {
 public:
  // Binds and starts. PORT when another daemon answers at `path`; a socket that nobody answers at is replaced.
  static Status start(const PortsServerOptions& options, const Clock& clock, PortsHost& host,
                      std::unique_ptr<PortsServer>* server);
  virtual ~PortsServer() = default;  // stops the thread, closes every connection without a Bye, removes the socket

  // The port of this session was detached on purpose: tells its clients not to come back. Any thread, returns at once.
  virtual void dismiss(uint64_t session) = 0;
};

}  // namespace paste
