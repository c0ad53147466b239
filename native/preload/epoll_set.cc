#include "preload/epoll_set.h"

#include <sys/mman.h>

#include "preload/libc.h"
#include "preload/wait.h"

namespace paste::preload {

namespace {

constexpr uint32_t kSetsMax = 1024;
constexpr uint32_t kPollEvents = EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM;
std::atomic<EpollSet*> sets[kSetsMax];

EpollSet* take_set() {
  for (std::atomic<EpollSet*>& place : sets) {
    EpollSet* set = place.load(std::memory_order_acquire);
    if (!set) {
      void* memory = permanent_bytes(sizeof(EpollSet));
      if (!memory) return nullptr;
      auto* made = new (memory) EpollSet();
      made->pooled = true;
      if (place.compare_exchange_strong(set, made)) return made;
      sys::unmap(memory, sizeof(EpollSet));
    }
    bool idle = false;
    if (set->pooled.compare_exchange_strong(idle, true)) return set;
  }
  return nullptr;
}

// Made when the first netmap file is added.
EpollSet* set_of(int epoll) {
  if (EpollSet* set = hold_epoll(epoll)) return set;
  EpollSet* set = take_set();
  if (!set) return nullptr;
  set->lock.reset();
  set->count = 0;
  set->kind = Object::Kind::kEpoll;
  set->uses.store(1, std::memory_order_release);
  if (bind_descriptor(epoll, set)) return set;
  let_go(set);
  return nullptr;
}

bool stands(const EpollMember& member) {
  return names(member.fd, member.file) && member.file->generation.load() == member.generation;
}

void prune(EpollSet& set) {
  for (uint32_t i = 0; i < set.count;)
    if (stands(set.members[i]))
      i++;
    else
      set.members[i] = set.members[--set.count];
}

EpollMember* find(EpollSet& set, int fd, const NetmapFile& file) {
  for (uint32_t i = 0; i < set.count; i++)
    if (set.members[i].fd == fd && set.members[i].file == &file) return &set.members[i];
  return nullptr;
}

bool is_epoll(int fd) {
  const sys::KeepErrno keep;
  epoll_event event = {};
  // Waiting for nothing tells an epoll descriptor from any other.
  return ::syscall(SYS_epoll_pwait, fd, &event, 1, 0, nullptr, sys::kSignalSetBytes) >= 0 || errno == EINTR;
}

int failed(int error) {
  errno = error;
  return -1;
}

int change(EpollSet& set, int operation, int fd, NetmapFile& file, const epoll_event* event) {
  prune(set);
  EpollMember* member = find(set, fd, file);
  if (operation == EPOLL_CTL_ADD) {
    if (member) return failed(EEXIST);
    if (set.count == kMembersMax) return failed(ENOSPC);
    set.members[set.count++] = {fd, file.generation.load(), &file, event->events, false, event->data};
    return 0;
  }
  if (!member) return failed(ENOENT);
  if (operation == EPOLL_CTL_MOD) {
    member->events = event->events;
    member->data = event->data;
    member->spent = false;
    return 0;
  }
  if (operation != EPOLL_CTL_DEL) return failed(EINVAL);
  *member = set.members[--set.count];
  return 0;
}

int report(EpollSet& set, const EpollMember* members, const Watch* watches, uint32_t count, epoll_event* events, int max) {
  int reported = 0;
  const Hold hold(set.lock);
  for (uint32_t i = 0; i < count && reported < max; i++) {
    if (!watches[i].revents) continue;
    EpollMember* member = find(set, members[i].fd, *members[i].file);
    if (!member || member->spent) continue;
    if (member->events & EPOLLONESHOT) member->spent = true;
    events[reported].events = static_cast<uint32_t>(watches[i].revents);
    events[reported++].data = member->data;
  }
  return reported;
}

int real_wait(int epoll, epoll_event* events, int max) {
  return static_cast<int>(::syscall(SYS_epoll_pwait, epoll, events, max, 0, nullptr, sys::kSignalSetBytes));
}

}  // namespace

void end_epoll(EpollSet* set) {
  set->count = 0;
  set->kind = Object::Kind::kFree;
  set->pooled.store(false, std::memory_order_release);
}

int change_member(int epoll, int operation, int fd, NetmapFile& file, const epoll_event* event) {
  if (operation != EPOLL_CTL_DEL && !event) return failed(EFAULT);
  if (epoll == fd) return failed(EINVAL);
  if (sys::control(epoll, F_GETFD, 0) < 0) return failed(EBADF);
  if (!is_epoll(epoll)) return failed(EINVAL);
  EpollSet* set = set_of(epoll);
  if (!set) return failed(ENOMEM);
  int result;
  {
    const Hold hold(set->lock);
    result = hold ? change(*set, operation, fd, file, event) : failed(EBUSY);
  }
  let_go(set);
  return result;
}

uint32_t hold_members(EpollSet& set, EpollMember* members) {
  const Hold hold(set.lock);
  if (!hold) return 0;
  prune(set);
  uint32_t count = 0;
  for (uint32_t i = 0; i < set.count; i++) {
    if (set.members[i].spent) continue;
    NetmapFile* file = hold_netmap(set.members[i].fd);
    if (!file) continue;
    members[count] = set.members[i];
    members[count++].file = file;
  }
  return count;
}

int wait_for_set(int epoll, EpollSet& set, epoll_event* events, int max, int64_t deadline_ns, const sigset_t* mask) {
  if (max <= 0) return failed(EINVAL);
  Scratch memory(kMembersMax * (sizeof(EpollMember) + sizeof(Watch) + 2 * sizeof(pollfd)) + 4 * sizeof(pollfd));
  if (!memory.get()) return failed(ENOMEM);
  auto* members = static_cast<EpollMember*>(memory.get());
  auto* watches = reinterpret_cast<Watch*>(members + kMembersMax);
  auto* scratch = reinterpret_cast<pollfd*>(watches + kMembersMax);
  for (;;) {
    const uint32_t count = hold_members(set, members);
    for (uint32_t i = 0; i < count; i++)
      watches[i] = {members[i].file, static_cast<short>(members[i].events & kPollEvents), 0};
    pollfd ordinary = {epoll, POLLIN, 0};
    const int ready = wait_for(&ordinary, 1, watches, count, deadline_ns, mask, scratch);
    int got = ready;
    if (ready > 0) {
      const bool ours_first = max == 1 && (set.netmap_first = !set.netmap_first);
      int ours_ready = 0;
      for (uint32_t i = 0; i < count; i++) ours_ready += watches[i].revents != 0;
      got = 0;
      if (ours_first) got = report(set, members, watches, count, events, max);
      if (got < max && ordinary.revents) {
        // Neither kind may keep the other out.
        const int kept = ours_first || max == 1 ? 0 : (ours_ready < max / 2 ? ours_ready : max / 2);
        const int theirs = real_wait(epoll, events + got, max - got - kept);
        if (theirs > 0) got += theirs;
      }
      if (!ours_first && got < max) got += report(set, members, watches, count, events + got, max - got);
    }
    for (uint32_t i = 0; i < count; i++) let_go(members[i].file);
    // An event that another thread took meanwhile is none: on with what is left of the time.
    if (got != 0 || ready == 0) return got;
    if (deadline_ns >= 0 && (deadline_ns == 0 || sys::now_ns() >= deadline_ns)) return 0;
  }
}

}  // namespace paste::preload
