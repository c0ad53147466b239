// The parts of local_devices(), one file each: all work in the calling thread's network namespace.
#pragma once

#include <vector>

#include "core/devices/devices.h"

namespace paste {

// Closes what it still holds when it goes: descriptors on their way to the caller.
class Descriptors {
 public:
  Descriptors() = default;
  ~Descriptors();
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;

  void add(int fd) { fds_.push_back(fd); }
  std::vector<int> take() { return std::move(fds_); }

 private:
  std::vector<int> fds_;
};

Status open_local_tap(const TapRequest& request, std::vector<int>* queues, InterfaceInfo* info);
Status open_local_xdp(const XdpRequest& request, XdpDevice* device);
Status insert_local_socket(int map, uint32_t queue, int socket);
Status open_local_netmap(int* descriptor);

}  // namespace paste
