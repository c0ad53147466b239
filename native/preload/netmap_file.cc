#include "preload/netmap_file.h"

#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace paste::preload {

namespace {

constexpr int64_t kLingerNs = 200'000'000;

// The state of a process: the files it has ever had, and where its daemon is.
constexpr uint32_t kFilesMax = 4096;
std::atomic<NetmapFile*> files[kFilesMax];
std::atomic<bool> prepared{false};
sockaddr_un address = {};
int owner_process = 0;

NetmapFile* take_file() {
  for (std::atomic<NetmapFile*>& place : files) {
    NetmapFile* file = place.load(std::memory_order_acquire);
    if (!file) {
      void* memory = permanent_bytes(sizeof(NetmapFile));
      if (!memory) return nullptr;
      auto* made = new (memory) NetmapFile();
      made->pooled = true;
      if (place.compare_exchange_strong(file, made)) return made;
      sys::unmap(memory, sizeof(NetmapFile));
    }
    bool idle = false;
    if (file->pooled.compare_exchange_strong(idle, true)) return file;
  }
  return nullptr;
}

void prepare() {
  if (prepared.load(std::memory_order_acquire)) return;
  const char* path = secure_getenv("PASTE_SWITCH_PORTS");
  address.sun_family = AF_UNIX;
  if (path) std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  owner_process = sys::process();
  pthread_atfork(before_fork, nullptr, after_fork_in_child);
  prepared.store(true, std::memory_order_release);
}

void reset(NetmapFile& file) {
  file.generation.fetch_add(1);
  file.lock.reset();
  file.state = NetmapFile::State::kFresh;
  file.shared = false;
  file.doorbell = -1;
  file.connection = -1;
  file.connected = file.error_told = file.pipe = false;
  file.lost_ns = file.retry_ns = 0;
  file.idle_syncs = 0;
  file.memory_fd = -1;
  file.memory = nullptr;
  file.memory_bytes = 0;
  file.tx_count = file.rx_count = 0;
  file.tx_sleepers = file.rx_sleepers = 0;
  std::memset(file.token, 0, sizeof file.token);
  file.registered = {};
  file.kind = Object::Kind::kNetmap;
}

void give_back(NetmapFile& file) {
  file.kind = Object::Kind::kFree;
  file.pooled.store(false, std::memory_order_release);
}

// The file behind `fd`, a socket whose life is the program's; null with errno when there is no room. Held once more.
NetmapFile* make_file(int fd) {
  NetmapFile* file = take_file();
  if (!file) {
    errno = ENFILE;
    return nullptr;
  }
  reset(*file);
  file->connection = make_internal(sys::control(fd, F_DUPFD_CLOEXEC, 3));
  file->uses.store(1, std::memory_order_release);
  if (file->connection >= 0 && bind_descriptor(fd, file)) return file;
  const int error = file->connection < 0 ? EMFILE : ENFILE;
  let_go(file);
  errno = error;
  return nullptr;
}

}  // namespace

const sockaddr_un& daemon_address() { return address; }

int open_netmap(bool close_on_exec) {
  prepare();
  // Seen now, while the program can still be told in the way that it expects.
  if (address.sun_path[0] == 0 || ::syscall(SYS_faccessat, AT_FDCWD, address.sun_path, W_OK) != 0) {
    errno = address.sun_path[0] != 0 && errno == EACCES ? EACCES : ENXIO;
    return -1;
  }
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | (close_on_exec ? SOCK_CLOEXEC : 0), 0);
  if (fd < 0) return -1;
  NetmapFile* file = make_file(fd);
  if (file) {
    let_go(file);
    return fd;
  }
  const sys::KeepErrno keep;
  sys::close(fd);
  return -1;
}

NetmapFile* adopt_descriptor(int fd) {
  const sys::KeepErrno keep;
  sockaddr_un peer = {};
  socklen_t bytes = sizeof peer;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &bytes) != 0 || peer.sun_family != AF_UNIX) return nullptr;
  prepare();
  if (address.sun_path[0] == 0 || std::strncmp(peer.sun_path, address.sun_path, sizeof peer.sun_path) != 0)
    return nullptr;
  NetmapFile* file = make_file(fd);
  if (!file) return nullptr;
  attach_again(*file);
  return file;
}

void linger(NetmapFile& file) {
  const sys::KeepErrno keep;
  if (file.state != NetmapFile::State::kUp || file.pipe || file.shared) return;
  const int64_t end = sys::now_ns() + kLingerNs;
  const auto taken = [&file] {
    for (uint32_t i = 0; i < file.tx_count; i++)
      if (__atomic_load_n(&file.tx[i].sync->daemon.hwcur, __ATOMIC_ACQUIRE) != file.tx[i].sync->client.head) return false;
    return true;
  };
  while (!taken() && sys::now_ns() < end) {
    pollfd ended = {file.connection, POLLIN, 0};
    if (sys::poll_ms(&ended, 1, 1) > 0) return;
  }
}

void end_netmap(NetmapFile* file) {
  const sys::KeepErrno keep;
  // In a child of vfork() the memory is the parent's: nothing of it may end here. Its descriptors go when it executes.
  if (in_borrowed_memory()) return;
  linger(*file);
  drop_memory(*file);
  close_internal(file->doorbell.exchange(-1));
  close_internal(file->connection.exchange(-1));
  file->state = NetmapFile::State::kFresh;
  give_back(*file);
}

bool in_borrowed_memory() { return sys::process() != owner_process; }

void before_fork() {
  for (std::atomic<NetmapFile*>& place : files) {
    NetmapFile* file = place.load(std::memory_order_acquire);
    if (!file) break;
    if (file->uses.load(std::memory_order_relaxed) > 0) file->shared = true;
  }
}

void after_fork_in_child() {
  thread_id_slot() = 0;
  owner_process = sys::process();
  for (std::atomic<NetmapFile*>& place : files) {
    NetmapFile* file = place.load(std::memory_order_acquire);
    if (!file) break;
    file->lock.reset();
    for (std::atomic<Waker*>& waiter : file->waiters) waiter = nullptr;
  }
}

}  // namespace paste::preload
