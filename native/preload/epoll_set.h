// An epoll descriptor of the program that netmap files were added to: the kernel keeps the ordinary members, we keep those.
#pragma once

#include <sys/epoll.h>

#include "preload/lock.h"
#include "preload/netmap_file.h"
#include "preload/object.h"

namespace paste::preload {

inline constexpr uint32_t kMembersMax = 256;

struct EpollMember {
  int fd;                  // as it was added
  uint32_t generation;     // of the file then
  NetmapFile* file;        // not held: a member goes with its last descriptor, as in the kernel
  uint32_t events;
  bool spent;              // EPOLLONESHOT has reported
  epoll_data_t data;
};

struct EpollSet : Object {
  Lock lock;
  uint32_t count = 0;
  bool netmap_first = false;  // who comes first when there is room for one event only: each in turn
  EpollMember members[kMembersMax];
};

// epoll_ctl() of a netmap file: 0, or -1 with errno.
int change_member(int epoll, int operation, int fd, NetmapFile& file, const epoll_event* event);
// epoll_wait() on a descriptor with members; sets up what wait_for() needs itself.
int wait_for_set(int epoll, EpollSet& set, epoll_event* events, int max, int64_t deadline_ns, const sigset_t* mask);
// The members that still stand, each file held; returns how many.
uint32_t hold_members(EpollSet& set, EpollMember* members);

}  // namespace paste::preload
