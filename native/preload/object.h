// Which descriptors of the program are ours: a table from descriptor to object, read without a lock.
//
// An object lives as long as descriptors name it or calls use it; both are one count. Memory of objects is never given back to
// the system, so that a call may look at an object that another thread is closing: it can only find its count at zero.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace paste::preload {

struct Object {
  enum class Kind : uint8_t { kFree, kNetmap, kEpoll, kInternal };
  std::atomic<uint32_t> uses{0};
  std::atomic<uint32_t> generation{0};  // a new one each time the memory is taken again
  std::atomic<Kind> kind{Kind::kFree};
  std::atomic<bool> pooled{false};      // taken from the pool, not yet given back
};

struct NetmapFile;
struct EpollSet;

// The object that `fd` names, held until let_go(); null when it is not ours.
Object* hold_object(int fd);
NetmapFile* hold_netmap(int fd);
EpollSet* hold_epoll(int fd);
void let_go(Object* object);
// Without holding: whether the descriptor names this object.
bool names(int fd, const Object* object);
bool is_internal(int fd);
// True when no descriptor is ours, which is all that most calls need to know.
bool nothing_is_ours();

// fd names object from now on (which takes a use); false when fd is too large for the table.
bool bind_descriptor(int fd, Object* object);
// fd names nothing of ours any more; the object goes when this was its last use.
void unbind_descriptor(int fd);
// Calls visit(fd) for every descriptor that names `object`, or for all that are ours when it is null.
void visit_descriptors(const Object* object, void (*visit)(int fd, void* argument), void* argument);

// A descriptor of our own, moved to a high number, close-on-exec, hidden from the program; -1 when there is none left.
// The one given is closed.
int make_internal(int fd);
void close_internal(int fd);

// Bytes that nobody gives back to the system; zeros.
void* permanent_bytes(size_t bytes);

// Once per kind, by whoever makes its objects: what ends an object whose last use is gone.
void end_netmap(NetmapFile* file);
void end_epoll(EpollSet* set);

}  // namespace paste::preload
