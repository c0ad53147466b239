// The listening socket of ports.sock: binding beside other daemons' leftovers, and who may connect.
#pragma once

#include "core/ports/vale/ports_server.h"

namespace paste {

// A bound, listening, non-blocking SOCK_SEQPACKET socket.
Status listen_at(const PortsServerOptions& options, int* fd);

// Who is at the other end of a connection, by the kernel's word; false when options do not let it in.
bool identify(const PortsServerOptions& options, int connection, ClientIdentity* client);

}  // namespace paste
