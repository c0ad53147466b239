// What the operating system says about interfaces of this network namespace: rtnetlink's link events. Needs no privilege.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace paste {

struct LinkEvent {
  uint32_t index = 0;
  std::string name;
  bool gone = false;
  bool running = false;   // up, with a carrier: frames can pass
};

class LinkWatch {
 public:
  LinkWatch();
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

  // Readable when there are events; -1 where the kernel gives no such socket: then everybody must be asked instead.
  int descriptor() const { return fd_; }
  // Appends what came, in its order, without waiting. False when events were lost: what is known may be wrong.
  bool read(std::vector<LinkEvent>* events);

 private:
  int fd_;
};

}  // namespace paste
