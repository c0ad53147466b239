#include "launcher/broker_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace paste {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

#if defined(__x86_64__) || defined(__aarch64__)
// Newer than the headers of older systems.
constexpr uint32_t kClone3 = 435;
#if defined(__x86_64__)
constexpr uint32_t kRseq = 334;
#else
constexpr uint32_t kRseq = 293;
#endif

constexpr uint32_t kCalls[] = {
    // requests and answers
    SYS_recvmsg, SYS_sendmsg, SYS_close, SYS_getsockopt, SYS_setsockopt,
    // devices
    SYS_openat, SYS_ioctl, SYS_socket, SYS_bind, SYS_sendto, SYS_recvfrom, SYS_bpf, SYS_readlinkat,
    // another namespace, in a thread
    SYS_setns, SYS_fstatfs, SYS_capget, SYS_capset, SYS_clone, kClone3, SYS_set_robust_list, kRseq, SYS_futex, SYS_exit,
    SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_rt_sigreturn, SYS_prlimit64, SYS_sched_getaffinity, SYS_gettid, SYS_getpid,
    // memory, time, the end
    SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_getrandom, SYS_clock_gettime,
    SYS_restart_syscall, SYS_tgkill, SYS_exit_group,
#if defined(__x86_64__)
    SYS_open, SYS_readlink,
#endif
};
#endif

}  // namespace

#if defined(__x86_64__) || defined(__aarch64__)
bool filter_broker_calls() {
  constexpr uint32_t kDeny = SECCOMP_RET_ERRNO | EPERM;
  std::vector<sock_filter> program;
  // A call of another architecture's numbering (32 bit, x32) is none of ours.
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, kDeny));
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const uint32_t call : kCalls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, kDeny));
  const sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}
#else
bool filter_broker_calls() { return true; }
#endif

}  // namespace paste
