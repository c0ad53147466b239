// paste-switch-launcher: starts the daemon without capabilities.
//
// It forks the broker, which keeps the few that devices need, drops its own for good, and becomes the daemon: the process id stays, so
// whoever supervises it (systemd, a shell) sees one process. It may be started as root or given file capabilities.
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/devices/broker.h"
#include "launcher/broker_filter.h"
#include "launcher/capabilities.h"
#include "launcher/options.h"

namespace paste {
namespace {

// Newer than the headers of older systems: Linux 5.8 (linux/capability.h), 5.9 (the number is that of every processor).
constexpr unsigned kCapBpf = 39;
constexpr long kCloseRange = 436;
constexpr uint64_t kDeviceCapabilities =
    capability_bit(CAP_NET_ADMIN) | capability_bit(CAP_NET_RAW) | capability_bit(kCapBpf);
constexpr rlim_t kDescriptors = 65536;
constexpr int kBrokerSocket = 3;

[[noreturn]] void die(const std::string& message) {
  std::fprintf(stderr, "paste-switch: %s\n", message.c_str());
  std::exit(1);
}

[[noreturn]] void die_errno(const char* what) { die(std::string("the launcher cannot ") + what + " (" + strerror(errno) + ")"); }

// A supervisor may start this without standard descriptors: none of ours may get their numbers, which the broker and Node give to
// /dev/null.
void fill_standard_descriptors() {
  int fd;
  do fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= 2);
  if (fd > 2) close(fd);
}

// UMEM is pinned, and each port takes descriptors: as much as this process may raise, without saying so where it may not.
void raise_limits() {
  const rlimit endless = {RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_MEMLOCK, &endless) != 0) {
    rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
      limit.rlim_cur = limit.rlim_max;
      setrlimit(RLIMIT_MEMLOCK, &limit);
    }
  }
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  if (files.rlim_max < kDescriptors) {
    const rlimit more = {kDescriptors, kDescriptors};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0) return;
  }
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

// Where the allow-list has namespaces, CAP_SYS_ADMIN stays permitted for setns(), and CAP_SYS_PTRACE for opening /proc/PID/ns/net, out
// of effect but for these calls; before Linux 5.8, which has no CAP_BPF, bpf() wants the former too.
void keep_broker_capabilities(const AllowList& allowed) {
  const uint64_t permitted = permitted_capabilities();
  const bool has_bpf = prctl(PR_CAPBSET_READ, kCapBpf, 0, 0, 0) >= 0;
  const uint64_t administrator = capability_bit(CAP_SYS_ADMIN);
  const uint64_t namespaces = administrator | capability_bit(CAP_SYS_PTRACE);
  const uint64_t kept = kDeviceCapabilities | (allowed.any_netns() ? namespaces : 0) | (has_bpf ? 0 : administrator);
  const uint64_t effective = kDeviceCapabilities | (has_bpf ? 0 : administrator);
  clear_bounding_set();
  if (!keep_capabilities(permitted & kept, permitted & effective)) _exit(1);
}

void close_all_but(int kept) {
  if (syscall(kCloseRange, kept + 1, ~0u, 0) == 0) return;
  rlimit limit;
  const int end = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1 << 20 ? static_cast<int>(limit.rlim_cur) : 1 << 20;
  for (int fd = kept + 1; fd < end; fd++) close(fd);
}

[[noreturn]] void run_broker(int socket, pid_t daemon, const AllowList& allowed) {
  prctl(PR_SET_NAME, "paste-broker");
  // Signals to the daemon's terminal or service are the daemon's affair; the broker goes when the daemon is gone.
  setsid();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) std::signal(signal, SIG_IGN);
  const int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd <= 2 && null >= 0; fd++) dup2(null, fd);
  if (socket != kBrokerSocket && dup2(socket, kBrokerSocket) < 0) _exit(1);
  close_all_but(kBrokerSocket);
  if (chdir("/") != 0) _exit(1);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(1);
  keep_broker_capabilities(allowed);
  // After the change of credentials, which would clear it. The daemon may have died in between.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != daemon) _exit(0);
  // A kernel without seccomp goes without: the capabilities are what bounds the broker.
  filter_broker_calls();
  const auto devices = local_devices();
  serve_devices(kBrokerSocket, *devices, allowed);
  _exit(0);
}

// Gives the daemon's end of the broker's socket; -1 when there is no capability that a broker could keep.
int start_broker(const AllowList& allowed) {
  if ((permitted_capabilities() & kDeviceCapabilities) == 0) return -1;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) die_errno("make the broker's socket");
  const pid_t daemon = getpid();
  const pid_t child = fork();
  if (child < 0) die_errno("fork the broker");
  if (child == 0) run_broker(ends[1], daemon, allowed);
  close(ends[1]);
  fcntl(ends[0], F_SETFD, 0);  // it survives execve; the daemon marks it close-on-exec again
  return ends[0];
}

// The groups that files and sockets may be given to: a member may, without CAP_CHOWN.
void take_groups(const LaunchOptions& options) {
  std::vector<gid_t> groups;
  if (!options.change_user) {
    const int count = getgroups(0, nullptr);
    if (count < 0) die_errno("read its groups");
    groups.resize(static_cast<size_t>(count));
    if (count > 0 && getgroups(count, groups.data()) != count) die_errno("read its groups");
  }
  groups.insert(groups.end(), options.groups.begin(), options.groups.end());
  if ((permitted_capabilities() & capability_bit(CAP_SETGID)) != 0) {
    if (setgroups(groups.size(), groups.data()) != 0) die_errno("take the groups");
  } else if (options.change_user) {
    die("--user: changing the user needs CAP_SETUID and CAP_SETGID: start as root");
  }
}

void take_user(const LaunchOptions& options) {
  if (!options.change_user) return;
  if (setresgid(options.group, options.group, options.group) != 0) die_errno("change the group");
  if (setresuid(options.user, options.user, options.user) != 0) die_errno("change the user");
}

void drop_everything() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) die_errno("set no_new_privs");
  if (!keep_capabilities(0, 0)) die_errno("drop its capabilities");
  if (permitted_capabilities() != 0) die("the launcher could not drop its capabilities");
}

}  // namespace
}  // namespace paste

int main(int count, char** words) {
  using namespace paste;
  fill_standard_descriptors();
  LaunchOptions options;
  if (Status status = parse_options(count, words, &options); !status.ok()) die(status.message());
  raise_limits();
  const int broker = start_broker(AllowList(options.allow));
  clear_bounding_set();
  take_groups(options);
  take_user(options);
  drop_everything();
  setenv(kBrokerVariable, (std::to_string(getpid()) + ":" + std::to_string(broker)).c_str(), 1);
  execv(options.program[0], options.program.data());
  die_errno(("run " + std::string(options.program[0])).c_str());
}
