// One packet of fixed size with descriptors beside it.
#pragma once

#include <cstddef>
#include <vector>

namespace paste {

// False with errno when it could not be sent. Never a signal.
bool send_packet(int socket, const void* data, size_t size, const int* fds, size_t count);

// What came: its size, the descriptors (close-on-exec, the caller's). -1 with errno for a failure, also EPROTO when more descriptors
// came than `most` (all are closed then); 0 when the other end is gone. A packet that is longer than `size` counts as size + 1.
long receive_packet(int socket, void* data, size_t size, size_t most, std::vector<int>* fds);

}  // namespace paste
