#include "core/devices/netns.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "core/devices/refusal.h"

namespace paste {
namespace {

constexpr unsigned long kNamespaces = 0x6e736673;  // NSFS_MAGIC (linux/magic.h)

struct Errand {
  int fd = -1;
  const std::string* netns = nullptr;
  const std::function<Status()>* work = nullptr;
  Status status;
};

// Sets or clears a capability of this thread in its effective set; false when it is not permitted.
bool use_capability(unsigned capability, bool on) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  const uint32_t bit = 1u << (capability % 32);
  uint32_t& effective = data[capability / 32].effective;
  effective = on ? effective | bit : effective & ~bit;
  return syscall(SYS_capset, &header, data) == 0;
}

Status no_namespace(const std::string& netns) {
  return {Code::kPort, netns + " is no network namespace: `ip netns list` shows those that have names"};
}

// Opens nothing but a namespace, because opening some devices has effects. `other`: the path is something else. -1 with errno.
int open_namespace(const std::string& path, bool* other) {
  const int place = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (place < 0) return -1;
  struct statfs system = {};
  *other = fstatfs(place, &system) == 0 && static_cast<unsigned long>(system.f_type) != kNamespaces;
  const int fd = *other ? -1 : open(("/proc/self/fd/" + std::to_string(place)).c_str(), O_RDONLY | O_CLOEXEC);
  const int error = errno;
  close(place);
  errno = error;
  return fd;
}

// /proc/PID/ns/net is shown to who may look into that process: one with other capabilities or another user's takes CAP_SYS_PTRACE.
Status open_errand(Errand& errand) {
  const std::string& netns = *errand.netns;
  const std::string path = netns.find('/') == std::string::npos ? "/run/netns/" + netns : netns;
  bool other = false;
  use_capability(CAP_SYS_PTRACE, true);
  errand.fd = open_namespace(path, &other);
  const int error = errno;
  use_capability(CAP_SYS_PTRACE, false);
  if (other) return no_namespace(netns);
  if (errand.fd >= 0) return {};
  if ((error == EACCES || error == EPERM) && path.compare(0, 6, "/proc/") == 0)
    return lacks_capability("network namespace " + netns, "CAP_SYS_PTRACE");
  if (error == EACCES || error == EPERM)
    return {Code::kPrivilege, "network namespace " + netns + ": " + path + " may not be opened by this user"};
  if (error == ENOENT || error == ENOTDIR)
    return {Code::kPort, "there is no network namespace " + netns +
                             (path == netns ? "" : " (" + path + "): `ip netns add " + netns + "` makes one")};
  return {Code::kResource, "network namespace " + netns + ": " + path + " cannot be opened (" + errno_text(error) + ")"};
}

// In a thread of its own: its capabilities are not another thread's either.
void* run(void* argument) {
  auto* errand = static_cast<Errand*>(argument);
  errand->status = open_errand(*errand);
  if (!errand->status.ok()) return nullptr;
  // The broker keeps this one permitted but not in effect: it works for this one call.
  use_capability(CAP_SYS_ADMIN, true);
  const int error = setns(errand->fd, CLONE_NEWNET) == 0 ? 0 : errno;
  close(errand->fd);
  if (error == EPERM) {
    errand->status = lacks_capability("network namespace " + *errand->netns, "CAP_SYS_ADMIN");
  } else if (error == EINVAL) {
    errand->status = no_namespace(*errand->netns);
  } else if (error != 0) {
    errand->status = {Code::kResource, "network namespace " + *errand->netns + " cannot be entered (" + errno_text(error) + ")"};
  } else {
    errand->status = (*errand->work)();
  }
  return nullptr;
}

}  // namespace

Status in_netns(const std::string& netns, const std::function<Status()>& work) {
  if (netns.empty()) return work();
  if (netns == "." || netns == ".." || netns.find('\0') != std::string::npos)
    return {Code::kUsage, "network namespace \"" + netns + "\": give a name of `ip netns list` or a path"};
  Errand errand;
  errand.netns = &netns;
  errand.work = &work;
  pthread_t thread;
  const int error = pthread_create(&thread, nullptr, run, &errand);
  if (error == 0)
    pthread_join(thread, nullptr);
  else
    errand.status = {Code::kResource, "network namespace " + netns + ": no thread for it (" + errno_text(error) + ")"};
  return errand.status;
}

}  // namespace paste
