#include "launcher/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace paste {
namespace {

constexpr unsigned kCapabilities = 64;

}  // namespace

uint64_t permitted_capabilities() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return 0;
  return data[0].permitted | static_cast<uint64_t>(data[1].permitted) << 32;
}

bool keep_capabilities(uint64_t permitted, uint64_t effective) {
  // A kernel without ambient capabilities has none to clear.
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) return false;
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  for (unsigned word = 0; word < 2; word++) {
    data[word].permitted = static_cast<uint32_t>(permitted >> (32 * word));
    data[word].effective = static_cast<uint32_t>(effective >> (32 * word));
  }
  return syscall(SYS_capset, &header, data) == 0;
}

void clear_bounding_set() {
  for (unsigned capability = 0; capability < kCapabilities; capability++)
    if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

}  // namespace paste
