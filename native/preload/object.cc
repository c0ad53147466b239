#include "preload/object.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include "preload/epoll_set.h"
#include "preload/netmap_file.h"
#include "preload/sys.h"

namespace paste::preload {

namespace {

constexpr uint32_t kChunk = 1024;
constexpr uint32_t kChunks = 1024;  // 2^20 descriptors, the kernel's own default bound (fs.nr_open)

constexpr rlim_t kInternalTo = 1024;  // ours begin at three quarters of it

struct Chunk {
  std::atomic<Object*> of[kChunk];
};

std::atomic<Chunk*> chunks[kChunks];
std::atomic<uint32_t> ours{0};
Object internal;

std::atomic<Object*>* place(int fd) {
  if (fd < 0 || static_cast<uint32_t>(fd) >= kChunk * kChunks) return nullptr;
  Chunk* chunk = chunks[static_cast<uint32_t>(fd) / kChunk].load(std::memory_order_acquire);
  return chunk ? &chunk->of[static_cast<uint32_t>(fd) % kChunk] : nullptr;
}

bool make_place(int fd) {
  if (fd < 0 || static_cast<uint32_t>(fd) >= kChunk * kChunks) return false;
  std::atomic<Chunk*>& chunk = chunks[static_cast<uint32_t>(fd) / kChunk];
  if (chunk.load(std::memory_order_acquire)) return true;
  auto* made = static_cast<Chunk*>(permanent_bytes(sizeof(Chunk)));
  if (!made) return false;
  Chunk* none = nullptr;
  if (!chunk.compare_exchange_strong(none, made)) sys::unmap(made, sizeof(Chunk));
  return true;
}

bool add_use(Object* object) {
  uint32_t uses = object->uses.load(std::memory_order_relaxed);
  while (uses > 0)
    if (object->uses.compare_exchange_weak(uses, uses + 1, std::memory_order_acquire)) return true;
  return false;
}

}  // namespace

void* permanent_bytes(size_t bytes) {
  void* memory = sys::map(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

bool nothing_is_ours() { return ours.load(std::memory_order_acquire) == 0; }

bool names(int fd, const Object* object) {
  std::atomic<Object*>* at = place(fd);
  return at && at->load(std::memory_order_acquire) == object;
}

bool is_internal(int fd) { return names(fd, &internal); }

Object* hold_object(int fd) {
  if (nothing_is_ours()) return nullptr;
  std::atomic<Object*>* at = place(fd);
  if (!at) return nullptr;
  for (;;) {
    Object* object = at->load(std::memory_order_acquire);
    if (!object || object == &internal) return nullptr;
    if (!add_use(object)) return nullptr;  // it is being closed
    if (at->load(std::memory_order_acquire) == object) return object;
    let_go(object);
  }
}

NetmapFile* hold_netmap(int fd) {
  Object* object = hold_object(fd);
  if (!object) return nullptr;
  if (object->kind == Object::Kind::kNetmap) return static_cast<NetmapFile*>(object);
  let_go(object);
  return nullptr;
}

EpollSet* hold_epoll(int fd) {
  Object* object = hold_object(fd);
  if (!object) return nullptr;
  if (object->kind == Object::Kind::kEpoll) return static_cast<EpollSet*>(object);
  let_go(object);
  return nullptr;
}

void let_go(Object* object) {
  if (object->uses.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (object->kind == Object::Kind::kNetmap)
    end_netmap(static_cast<NetmapFile*>(object));
  else
    end_epoll(static_cast<EpollSet*>(object));
}

bool bind_descriptor(int fd, Object* object) {
  if (!make_place(fd)) return false;
  object->uses.fetch_add(1, std::memory_order_relaxed);
  ours.fetch_add(1, std::memory_order_relaxed);
  Object* before = place(fd)->exchange(object, std::memory_order_acq_rel);
  if (!before) return true;
  // A descriptor that was closed behind our back and has come again.
  ours.fetch_sub(1, std::memory_order_relaxed);
  if (before != &internal) let_go(before);
  return true;
}

void unbind_descriptor(int fd) {
  std::atomic<Object*>* at = place(fd);
  if (!at) return;
  Object* object = at->exchange(nullptr, std::memory_order_acq_rel);
  if (!object) return;
  ours.fetch_sub(1, std::memory_order_release);
  if (object != &internal) let_go(object);
}

void visit_descriptors(const Object* object, void (*visit)(int, void*), void* argument) {
  for (uint32_t i = 0; i < kChunks; i++) {
    Chunk* chunk = chunks[i].load(std::memory_order_acquire);
    if (!chunk) continue;
    for (uint32_t k = 0; k < kChunk; k++) {
      const Object* here = chunk->of[k].load(std::memory_order_acquire);
      if (here && (object ? here == object : true)) visit(static_cast<int>(i * kChunk + k), argument);
    }
  }
}

// Above what programs count on for themselves, below the soft limit and what select() can name.
int make_internal(int fd) {
  if (fd < 0) return -1;
  rlimit limit = {1024, 1024};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t most = limit.rlim_cur > kInternalTo ? kInternalTo : limit.rlim_cur;
  int moved = sys::control(fd, F_DUPFD_CLOEXEC, static_cast<long>(most - most / 4));
  if (moved < 0) moved = sys::control(fd, F_DUPFD_CLOEXEC, 3);
  const sys::KeepErrno keep;
  sys::close(fd);
  if (moved < 0) return -1;
  internal.kind = Object::Kind::kInternal;
  if (bind_descriptor(moved, &internal)) return moved;
  sys::close(moved);
  return -1;
}

void close_internal(int fd) {
  if (fd < 0) return;
  const sys::KeepErrno keep;
  unbind_descriptor(fd);
  sys::close(fd);
}

}  // namespace paste::preload
