#include "core/devices/refusal.h"

#include <dlfcn.h>
#include <unistd.h>

#include <climits>
#include <cstring>

namespace paste {

static constexpr char kLauncher[] = "paste-switch-launcher";

std::string launcher_path() {
  char self[PATH_MAX] = {};
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  std::string path(self, length > 0 ? static_cast<size_t>(length) : 0);
  if (path.size() >= sizeof kLauncher - 1 && path.compare(path.size() - (sizeof kLauncher - 1), std::string::npos, kLauncher) == 0)
    return path;
  // The addon: the build puts the launcher beside it.
  Dl_info info = {};
  if (dladdr(reinterpret_cast<void*>(&launcher_path), &info) == 0 || info.dli_fname == nullptr) return kLauncher;
  path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? kLauncher : path.substr(0, slash + 1) + kLauncher;
}

Status lacks_capability(const std::string& what, const char* capability) {
  // CAP_SYS_ADMIN and CAP_SYS_PTRACE are asked for by few and worth much: they are granted only where they are needed.
  const bool tracer = std::strcmp(capability, "CAP_SYS_PTRACE") == 0;
  const bool administrator = tracer || std::strcmp(capability, "CAP_SYS_ADMIN") == 0;
  return {Code::kPrivilege, what + ": this needs the capability " + capability +
                                ": run the daemon as root, or `sudo setcap cap_net_admin,cap_net_raw,cap_bpf" +
                                (administrator ? ",cap_sys_admin" : "") + (tracer ? ",cap_sys_ptrace" : "") + "+ep " +
                                launcher_path() + "`"};
}

std::string errno_text(int error) { return std::string(strerror(error)) + ", errno " + std::to_string(error); }

}  // namespace paste
