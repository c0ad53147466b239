// The client's side of ports.sock: from a socket path to memory and a doorbell.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/ports/client/client.h"
#include "core/ports/vale/ports_protocol.h"
#include "core/ports/vale/vale_region.h"

namespace paste {

// Everything a client holds of its port. Descriptors are closed by close_descriptors(), the memory stays mapped for the next life.
struct Attachment {
  std::unique_ptr<ClientMemory> memory;
  int memory_fd = -1;           // closed with the object
  uint64_t interface = 0;       // where in the memory the netmap::If lies
  int doorbell = -1;
  int connection = -1;  // -1: a port of this process
  uint8_t token[ports_protocol::kTokenBytes] = {};
  netmap::Register given = {};  // what the daemon answered

  Attachment() = default;
  Attachment(Attachment&& other) noexcept;
  Attachment& operator=(Attachment&&) = delete;
  ~Attachment();
  void close_descriptors();
  netmap::If* itf() const { return reinterpret_cast<netmap::If*>(memory->memory() + interface); }
};

// Connects and registers. `attachment` may hold memory and token of an earlier life: the memory is offered back, and kept when
// the daemon takes it. On failure `attachment` keeps both. `transient`: trying again later may help. Blocks up to
// 2 s for the answer.
Status attach_to_daemon(const ClientOptions& options, Attachment* attachment, bool* transient);

// One request on a connection of its own, with a descriptor beside it (or -1), and the descriptor that its answer brings; that and the
// connection are the caller's. Blocks up to 2 s.
Status ask_daemon(const ClientOptions& options, const ports_protocol::Request& request, int offer, ports_protocol::Reply* reply,
                  int* descriptor, int* connection);

// Reads what the daemon says on a connection that is up; false when it is over. `bye`: on purpose.
bool connection_stands(int connection, bool* bye);

}  // namespace paste
