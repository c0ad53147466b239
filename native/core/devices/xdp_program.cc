#include "core/devices/xdp_program.h"

#include <cerrno>
#include <cstring>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/devices/interface.h"
#include "core/devices/refusal.h"
#include "core/devices/xdp_abi.h"

namespace paste {
namespace {

constexpr uint32_t kLogBytes = 4096;
const char kLicense[] = "Dual BSD/GPL";

template <typename Attributes>
int bpf(int command, Attributes& attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

uint64_t address_of(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

Status failed(const std::string& what, const std::string& interface, int error) {
  if (error == EPERM || error == EACCES)
    return lacks_capability("xdp:" + interface + ": " + what, "CAP_BPF and CAP_NET_ADMIN");
  const Code code = error == ENOMEM || error == EMFILE || error == ENFILE ? Code::kResource : Code::kPort;
  return {code, "xdp:" + interface + ": " + what + " failed: " + std::strerror(error)};
}

//   r2 = *(u32 *)(r1 + 16)     ; ctx->rx_queue_index
//   r1 = map                   ; two instructions wide
//   r3 = XDP_PASS              ; what the helper returns where the map has no socket
//   call bpf_redirect_map
//   exit
int load(int map, bool fragments, std::string* log) {
  const xdp::Instruction instructions[] = {
      {0x61, 2 | 1 << 4, xdp::kContextQueue, 0},
      {0x18, 1 | 1 << 4, 0, map},                // BPF_PSEUDO_MAP_FD
      {0x00, 0, 0, 0},
      {0xb7, 3, 0, xdp::kPass},
      {0x85, 0, 0, xdp::kRedirectMap},
      {0x95, 0, 0, 0},
  };
  xdp::ProgramLoad attributes = {};
  attributes.type = xdp::kXdpProgram;
  attributes.instruction_count = sizeof instructions / sizeof instructions[0];
  attributes.instructions = address_of(instructions);
  attributes.license = address_of(kLicense);
  attributes.flags = fragments ? xdp::kProgramHasFragments : 0;
  std::memcpy(attributes.name, "paste_switch", 12);
  attributes.attach_type = xdp::kAttachXdp;
  const int program = bpf(xdp::kProgramLoad, attributes);
  if (program >= 0 || errno == EPERM) return program;
  const int error = errno;
  log->resize(kLogBytes);
  attributes.log_level = 1;
  attributes.log_bytes = kLogBytes;
  attributes.log = address_of(log->data());
  const int again = bpf(xdp::kProgramLoad, attributes);
  log->resize(std::strlen(log->c_str()));
  if (again < 0) errno = error;
  return again;
}

int link_program(int program, uint32_t interface, bool native) {
  xdp::LinkCreate attributes = {static_cast<uint32_t>(program), interface, xdp::kAttachXdp,
                                native ? xdp::kAttachNative : xdp::kAttachGeneric};
  return bpf(xdp::kLinkCreate, attributes);
}

// " (id 17)" of the program that is attached already.
std::string program_id(const InterfaceInfo& info) {
  const uint32_t id = attached_xdp_program(info.index);
  return id == 0 ? "" : " (id " + std::to_string(id) + ")";
}

Status attach_failed(const InterfaceInfo& info, const std::string& interface, bool native, bool fragments, int error) {
  const std::string place = "xdp:" + interface + ": ";
  if (error == EBUSY || error == EEXIST)
    return {Code::kPort, place + "another XDP program" + program_id(info) + " is attached to it; see `ip link show " + interface +
                             "`, take it off with `ip link set dev " + interface + " xdp off`, or stop the program that owns it"};
  if (error == EOPNOTSUPP && native)
    return {Code::kPort, place + "its driver" + (info.driver.empty() ? "" : " (" + info.driver + ")") +
                             " has no native XDP" + (fragments ? " for frames of several buffers" : "") + "; use mode=generic"};
  if (error == ERANGE || error == EINVAL || error == ENOSPC)
    return {Code::kPort, place + "the driver refuses an XDP program " +
                             (error == ENOSPC ? "with this number of queues (" + std::to_string(info.rx_queues) +
                                                    "); it wants at least as many receive queues as its peer has transmit queues"
                                              : "with this MTU (" + std::to_string(info.mtu) +
                                                    ", or that of its peer); lower it, or use mode=generic")};
  return failed("attaching the program", interface, error);
}

}  // namespace

Status attach_xdp_program(const InterfaceInfo& info, const std::string& interface, uint32_t queues, XdpRequest::Mode mode,
                          bool fragments, XdpProgram* program) {
  xdp::MapCreate attributes = {xdp::kXskMap, sizeof(uint32_t), sizeof(uint32_t), queues, 0};
  const int map = bpf(xdp::kMapCreate, attributes);
  if (map < 0) return failed("making the map of sockets", interface, errno);
  std::string log;
  const int code = load(map, fragments, &log);
  if (code < 0) {
    const int error = errno;
    close(map);
    return log.empty() ? failed("loading the XDP program", interface, error)
                       : Status(Code::kPort, "xdp:" + interface + ": the kernel refuses the XDP program: " +
                                                 log.substr(0, log.find('\n')));
  }
  const bool native_first = mode != XdpRequest::Mode::kGeneric;
  bool native = native_first;
  int link = link_program(code, info.index, native);
  int error = errno;
  // Whatever the driver has against it, generic mode may do; but never beside somebody else's program.
  if (link < 0 && mode == XdpRequest::Mode::kAuto && error != EBUSY && error != EEXIST && error != EPERM) {
    native = false;
    link = link_program(code, info.index, native);
    error = errno;
  }
  close(code);  // the link holds it
  if (link < 0) {
    close(map);
    return attach_failed(info, interface, native, fragments, error);
  }
  *program = {map, link, native};
  return {};
}

Status insert_xdp_socket(int map, uint32_t queue, int socket) {
  const uint32_t value = static_cast<uint32_t>(socket);
  xdp::MapUpdate attributes = {static_cast<uint32_t>(map), 0, address_of(&queue), address_of(&value), 0};
  if (bpf(xdp::kMapUpdate, attributes) == 0) return {};
  return {Code::kPort, "queue " + std::to_string(queue) + ": its socket cannot be put into the XDP program's map: " +
                           std::strerror(errno)};
}

}  // namespace paste
