// poll, select and epoll: what the program calls instead of the C library.
#include "preload/epoll_set.h"
#include "preload/interpose.h"
#include "preload/libc.h"
#include "preload/wait.h"

namespace paste::preload {

namespace {

int failed(int error) {
  errno = error;
  return -1;
}

// What one call sleeps on, taken apart: `ordinary` is the program's list with netmap's entries blanked out, watches[i] belongs
// to entry owner[i] of it. A descriptor of an epoll set with netmap members stands for all of them.
struct Parts {
  pollfd* ordinary;
  Watch* watches;
  uint32_t* owner;
  pollfd* scratch;
  uint32_t count = 0;
};

size_t parts_bytes(size_t fds, size_t watches) {
  return (fds + kernel_entries(fds, watches)) * sizeof(pollfd) + watches * (sizeof(Watch) + sizeof(uint32_t)) + 64;
}

Parts lay_out(void* memory, size_t fds, size_t watches) {
  Parts parts;
  parts.watches = static_cast<Watch*>(memory);
  parts.ordinary = reinterpret_cast<pollfd*>(parts.watches + watches);
  parts.scratch = parts.ordinary + fds;
  parts.owner = reinterpret_cast<uint32_t*>(parts.scratch + kernel_entries(fds, watches));
  return parts;
}

// The most watches that these entries can come to; 0: none of ours is among them.
size_t watches_in(const pollfd* fds, nfds_t count) {
  size_t most = 0;
  for (nfds_t i = 0; i < count; i++) {
    Object* object = hold_object(fds[i].fd);
    if (!object) continue;
    most += object->kind == Object::Kind::kEpoll ? kMembersMax : 1;
    let_go(object);
  }
  return most;
}

void add_members(EpollSet& set, uint32_t index, size_t most, Parts* parts) {
  Scratch memory(kMembersMax * sizeof(EpollMember));
  if (!memory.get()) return;
  auto* members = static_cast<EpollMember*>(memory.get());
  const uint32_t count = hold_members(set, members);
  for (uint32_t i = 0; i < count; i++) {
    if (parts->count == most) {
      let_go(members[i].file);
      continue;
    }
    parts->owner[parts->count] = index;
    parts->watches[parts->count++] = {members[i].file, static_cast<short>(members[i].events), 0};
  }
}

void take_apart(const pollfd* fds, nfds_t count, size_t most, Parts* parts) {
  for (nfds_t i = 0; i < count; i++) {
    parts->ordinary[i] = fds[i];
    parts->ordinary[i].revents = 0;
    Object* object = hold_object(fds[i].fd);
    if (!object) continue;
    const auto index = static_cast<uint32_t>(i);
    if (object->kind == Object::Kind::kEpoll) {
      add_members(*static_cast<EpollSet*>(object), index, most, parts);
      let_go(object);
    } else if (parts->count < most) {
      parts->ordinary[i].fd = -1;
      parts->owner[parts->count] = index;
      parts->watches[parts->count++] = {static_cast<NetmapFile*>(object), fds[i].events, 0};  // stays held
    } else {
      let_go(object);
    }
  }
}

int put_together(const Parts& parts, pollfd* fds, nfds_t count, int result) {
  for (nfds_t i = 0; result >= 0 && i < count; i++) fds[i].revents = parts.ordinary[i].revents;
  for (uint32_t i = 0; i < parts.count; i++) {
    const Watch& watch = parts.watches[i];
    if (result >= 0 && watch.revents) {
      pollfd& entry = fds[parts.owner[i]];
      // Of a set it is only said that something in it is ready.
      entry.revents |= parts.ordinary[parts.owner[i]].fd < 0 ? watch.revents
                                                              : static_cast<short>(entry.events & (POLLIN | POLLRDNORM));
    }
    let_go(watch.file);
  }
  if (result <= 0) return result;
  int ready = 0;
  for (nfds_t i = 0; i < count; i++) ready += fds[i].revents != 0;
  return ready;
}

// poll() and ppoll() of a list with at least one of ours in it.
int poll_ours(pollfd* fds, nfds_t count, size_t most, int64_t deadline_ns, const sigset_t* mask) {
  Scratch memory(parts_bytes(count, most));
  if (!memory.get()) return failed(ENOMEM);
  Parts parts = lay_out(memory.get(), count, most);
  take_apart(fds, count, most, &parts);
  const int result = wait_for(parts.ordinary, count, parts.watches, parts.count, deadline_ns, mask, parts.scratch);
  const sys::KeepErrno keep;
  return put_together(parts, fds, count, result);
}

int poll_any(pollfd* fds, nfds_t count, int timeout_ms) {
  const size_t most = nothing_is_ours() || !fds ? 0 : watches_in(fds, count);
  if (most > 0) return poll_ours(fds, count, most, deadline_after_ms(timeout_ms), nullptr);
  const Libc* c = libc();
  if (c && c->poll) return c->poll(fds, count, timeout_ms);
  const timespec timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1'000'000L};
  return sys::poll(fds, count, timeout_ms < 0 ? nullptr : &timeout);
}

int ppoll_any(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  const size_t most = nothing_is_ours() || !fds ? 0 : watches_in(fds, count);
  if (most > 0) {
    int64_t deadline_ns;
    if (!deadline_after(timeout, &deadline_ns)) return failed(EINVAL);
    return poll_ours(fds, count, most, deadline_ns, mask);
  }
  const Libc* c = libc();
  return c && c->ppoll ? c->ppoll(fds, count, timeout, mask) : sys::poll(fds, count, timeout, mask);
}

// --- select ----------------------------------------------------------------------------------------------------------------

constexpr short kSelectRead = POLLIN | POLLRDNORM | POLLRDBAND;
constexpr short kSelectWrite = POLLOUT | POLLWRNORM | POLLWRBAND;

bool in_set(int fd, const fd_set* set) {
  if (!set) return false;
  const auto* words = reinterpret_cast<const unsigned long*>(set);
  constexpr unsigned kBits = 8 * sizeof(unsigned long);
  return words[static_cast<unsigned>(fd) / kBits] >> (static_cast<unsigned>(fd) % kBits) & 1;
}
void put_in_set(int fd, fd_set* set, bool in) {
  auto* words = reinterpret_cast<unsigned long*>(set);
  constexpr unsigned kBits = 8 * sizeof(unsigned long);
  const unsigned long bit = 1ul << (static_cast<unsigned>(fd) % kBits);
  unsigned long& word = words[static_cast<unsigned>(fd) / kBits];
  word = in ? word | bit : word & ~bit;
}

bool any_of_ours(int count, const fd_set* read, const fd_set* write, const fd_set* except) {
  if (nothing_is_ours()) return false;
  for (int fd = 0; fd < count; fd++) {
    if (!in_set(fd, read) && !in_set(fd, write) && !in_set(fd, except)) continue;
    Object* object = hold_object(fd);
    if (!object) continue;
    let_go(object);
    return true;
  }
  return false;
}

// As the kernel does it: sets become a list, what the list says becomes sets.
int select_ours(int count, fd_set* read, fd_set* write, fd_set* except, int64_t deadline_ns, const sigset_t* mask) {
  Scratch memory(static_cast<size_t>(count) * sizeof(pollfd));
  if (!memory.get()) return failed(ENOMEM);
  auto* fds = static_cast<pollfd*>(memory.get());
  nfds_t used = 0;
  for (int fd = 0; fd < count; fd++) {
    short events = 0;
    if (in_set(fd, read)) events |= kSelectRead;
    if (in_set(fd, write)) events |= kSelectWrite;
    if (in_set(fd, except)) events |= POLLPRI;
    if (events) fds[used++] = {fd, events, 0};
  }
  if (poll_ours(fds, used, watches_in(fds, used), deadline_ns, mask) < 0) return -1;
  for (nfds_t i = 0; i < used; i++)
    if (fds[i].revents & POLLNVAL) return failed(EBADF);
  int ready = 0;
  for (nfds_t i = 0; i < used; i++) {
    const auto report = [&](fd_set* set, short asked, short told) {
      if (!(fds[i].events & asked)) return;
      const bool in = fds[i].revents & told;
      put_in_set(fds[i].fd, set, in);
      ready += in;
    };
    report(read, kSelectRead, kSelectRead | POLLHUP | POLLERR);
    report(write, kSelectWrite, kSelectWrite | POLLERR);
    report(except, POLLPRI, POLLPRI);
  }
  return ready;
}

int epoll_wait_any(int epoll, epoll_event* events, int max, int64_t deadline_ns, const sigset_t* mask, bool* ours) {
  *ours = false;
  if (nothing_is_ours()) return 0;
  EpollSet* set = hold_epoll(epoll);
  if (!set) return 0;
  *ours = true;
  const int result = wait_for_set(epoll, *set, events, max, deadline_ns, mask);
  let_go(set);
  return result;
}

}  // namespace

extern "C" {

int paste_poll(pollfd* fds, nfds_t count, int timeout_ms) PASTE_INSTEAD_OF(poll);
int paste_poll_chk(pollfd* fds, nfds_t count, int timeout_ms, size_t bytes) PASTE_INSTEAD_OF(__poll_chk);
int paste_ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) PASTE_INSTEAD_OF(ppoll);
int paste_ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask, size_t bytes)
    PASTE_INSTEAD_OF(__ppoll_chk);
int paste_select(int count, fd_set* read, fd_set* write, fd_set* except, timeval* timeout) PASTE_INSTEAD_OF(select);
int paste_pselect(int count, fd_set* read, fd_set* write, fd_set* except, const timespec* timeout, const sigset_t* mask)
    PASTE_INSTEAD_OF(pselect);
int paste_epoll_ctl(int epoll, int operation, int fd, epoll_event* event) PASTE_INSTEAD_OF(epoll_ctl);
int paste_epoll_wait(int epoll, epoll_event* events, int max, int timeout_ms) PASTE_INSTEAD_OF(epoll_wait);
int paste_epoll_pwait(int epoll, epoll_event* events, int max, int timeout_ms, const sigset_t* mask)
    PASTE_INSTEAD_OF(epoll_pwait);
int paste_epoll_pwait2(int epoll, epoll_event* events, int max, const timespec* timeout, const sigset_t* mask)
    PASTE_INSTEAD_OF(epoll_pwait2);

int paste_poll(pollfd* fds, nfds_t count, int timeout_ms) { return poll_any(fds, count, timeout_ms); }
int paste_poll_chk(pollfd* fds, nfds_t count, int timeout_ms, size_t bytes) {
  if (bytes / sizeof(pollfd) < count) __builtin_trap();
  return poll_any(fds, count, timeout_ms);
}
int paste_ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  return ppoll_any(fds, count, timeout, mask);
}
int paste_ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask, size_t bytes) {
  if (bytes / sizeof(pollfd) < count) __builtin_trap();
  return ppoll_any(fds, count, timeout, mask);
}

int paste_select(int count, fd_set* read, fd_set* write, fd_set* except, timeval* timeout) {
  if (count <= 0 || !any_of_ours(count, read, write, except)) {
    const Libc* c = libc();
    if (c && c->select) return c->select(count, read, write, except, timeout);
    return static_cast<int>(::syscall(SYS_pselect6, count, read, write, except, nullptr, nullptr));
  }
  int64_t deadline_ns = -1;
  if (timeout) {
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0) return failed(EINVAL);
    const timespec limit = {timeout->tv_sec + timeout->tv_usec / 1'000'000, timeout->tv_usec % 1'000'000 * 1000};
    if (!deadline_after(&limit, &deadline_ns)) return failed(EINVAL);
  }
  const int result = select_ours(count, read, write, except, deadline_ns, nullptr);
  if (timeout && deadline_ns >= 0) {
    // Linux says how much was left.
    const int64_t left = deadline_ns == 0 ? 0 : deadline_ns - sys::now_ns();
    *timeout = {left > 0 ? left / 1'000'000'000 : 0, left > 0 ? left % 1'000'000'000 / 1000 : 0};
  }
  return result;
}

int paste_pselect(int count, fd_set* read, fd_set* write, fd_set* except, const timespec* timeout, const sigset_t* mask) {
  if (count <= 0 || !any_of_ours(count, read, write, except)) {
    const Libc* c = libc();
    if (c && c->pselect) return c->pselect(count, read, write, except, timeout, mask);
    return failed(ENOSYS);
  }
  int64_t deadline_ns;
  if (!deadline_after(timeout, &deadline_ns)) return failed(EINVAL);
  return select_ours(count, read, write, except, deadline_ns, mask);
}

int paste_epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
  if (NetmapFile* file = hold_netmap(fd)) {
    const int result = change_member(epoll, operation, fd, *file, event);
    let_go(file);
    return result;
  }
  const Libc* c = libc();
  return c && c->epoll_ctl ? c->epoll_ctl(epoll, operation, fd, event)
                           : static_cast<int>(::syscall(SYS_epoll_ctl, epoll, operation, fd, event));
}

int paste_epoll_wait(int epoll, epoll_event* events, int max, int timeout_ms) {
  bool ours;
  const int result = epoll_wait_any(epoll, events, max, deadline_after_ms(timeout_ms), nullptr, &ours);
  if (ours) return result;
  const Libc* c = libc();
  return c && c->epoll_wait ? c->epoll_wait(epoll, events, max, timeout_ms)
                            : static_cast<int>(::syscall(SYS_epoll_pwait, epoll, events, max, timeout_ms, nullptr, 8));
}
int paste_epoll_pwait(int epoll, epoll_event* events, int max, int timeout_ms, const sigset_t* mask) {
  bool ours;
  const int result = epoll_wait_any(epoll, events, max, deadline_after_ms(timeout_ms), mask, &ours);
  if (ours) return result;
  const Libc* c = libc();
  return c && c->epoll_pwait ? c->epoll_pwait(epoll, events, max, timeout_ms, mask)
                             : static_cast<int>(::syscall(SYS_epoll_pwait, epoll, events, max, timeout_ms, mask, 8));
}
int paste_epoll_pwait2(int epoll, epoll_event* events, int max, const timespec* timeout, const sigset_t* mask) {
  int64_t deadline_ns;
  if (!deadline_after(timeout, &deadline_ns)) return failed(EINVAL);
  bool ours;
  const int result = epoll_wait_any(epoll, events, max, deadline_ns, mask, &ours);
  if (ours) return result;
  return static_cast<int>(::syscall(SYS_epoll_pwait2, epoll, events, max, timeout, mask, sys::kSignalSetBytes));
}

}  // extern "C"

}  // namespace paste::preload
