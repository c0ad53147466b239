#include "preload/control.h"

#include <cstring>

#include "preload/user_memory.h"

namespace paste::preload {

namespace {

using namespace netmap;

constexpr size_t kRequestBytesMax = 4096;  // NETMAP_REQ_MAXSIZE: body and options
constexpr uint32_t kOptionTypes = 6;       // NETMAP_REQ_OPT_MAX
constexpr size_t kOptionBytes[kOptionTypes] = {0, sizeof(Option) + 72, sizeof(Option), 40, 32, 56};
constexpr uint32_t kOptionsMax = kRequestBytesMax / sizeof(Option);

// Bytes of a request's structure; -1 for one that netmap does not know.
int body_bytes_of(uint32_t reqtype) {
  switch (reqtype) {
    case kRegister: return sizeof(Register);
    case kPortInfoGet: return sizeof(PortInfo);
    case kValeAttach: return sizeof(ValeAttach);
    case kValeDetach: return sizeof(ValeDetach);
    case kValeList: return sizeof(ValeList);
    case kPortHdrSet:
    case kPortHdrGet: return sizeof(PortHdr);
    case kValeNewIf: return sizeof(ValeNewIf);
    case kValeDelIf:
    case kSyncKloopStop:
    case kCsbEnable: return 0;
    case kPollingEnable:
    case kPollingDisable: return 16;
    case kPoolsInfoGet: return sizeof(PoolsInfo);
    case kSyncKloopStart: return 8;
    default: return -1;
  }
}

void tell_status(uint64_t option, uint32_t status) { copy_out(option + offsetof(Option, nro_status), &status, sizeof status); }

// Walks the list of options, none of which is served here: 0 when there is none, else what netmap says, also in each option.
int refuse_options(uint64_t first, size_t bytes) {
  uint64_t seen[kOptionTypes] = {};
  uint64_t places[kOptionsMax];
  uint32_t count = 0;
  for (uint64_t at = first; at != 0;) {
    Option option;
    if (count == kOptionsMax || bytes + sizeof option > kRequestBytesMax) return EMSGSIZE;  // a loop, perhaps
    if (!copy_in(&option, at, sizeof option)) return EFAULT;
    bytes += sizeof option;
    places[count++] = at;
    if (option.nro_reqtype == 0) return tell_status(at, EINVAL), EINVAL;
    if (option.nro_reqtype < kOptionTypes) {
      uint64_t& before = seen[option.nro_reqtype];
      if (before != 0 && before != at) {
        tell_status(at, EINVAL);
        tell_status(before, EINVAL);
        return EINVAL;
      }
      if (before == at) return EMSGSIZE;
      before = at;
      const size_t more = option.nro_reqtype == kOptKloopEventfds ? option.nro_size
                                                                  : kOptionBytes[option.nro_reqtype] - sizeof option;
      if (more > kRequestBytesMax || bytes + more > kRequestBytesMax) return EMSGSIZE;
      bytes += more;
    }
    at = option.nro_next;
  }
  for (uint32_t i = 0; i < count; i++) tell_status(places[i], EOPNOTSUPP);
  return count > 0 ? EOPNOTSUPP : 0;
}

int new_request(NetmapFile& file, uint64_t argument) {
  RequestHeader header;
  if (!copy_in(&header, argument, sizeof header)) return EFAULT;
  if (header.nr_version < kApiMin || header.nr_version > kApiMax) return EINVAL;
  if (header.nr_reserved != 0) return EINVAL;
  header.nr_name[sizeof header.nr_name - 1] = 0;
  const int wanted = body_bytes_of(header.nr_reqtype);
  if (wanted < 0) return EINVAL;
  const auto bytes = static_cast<size_t>(wanted);
  if ((bytes > 0) != (header.nr_body != 0)) return EINVAL;
  uint8_t body[ports_protocol::kBodyBytes] = {};
  if (!copy_in(body, header.nr_body, bytes)) return EFAULT;
  if (const int error = refuse_options(header.nr_options, bytes)) return error;
  char before[sizeof header.nr_name];
  std::memcpy(before, header.nr_name, sizeof before);
  const int error = control_request(file, header.nr_version, header.nr_reqtype, header.nr_name, body, bytes);
  if (error != 0) return error;
  if (bytes > 0 && !copy_out(header.nr_body, body, bytes)) return EFAULT;
  if (std::memcmp(before, header.nr_name, sizeof before) == 0) return 0;
  return copy_out(argument + offsetof(RequestHeader, nr_name), header.nr_name, sizeof header.nr_name) ? 0 : EFAULT;
}

int sync(NetmapFile& file, bool transmit) {
  if (file.state == NetmapFile::State::kLost) come_back(file);
  if (file.state == NetmapFile::State::kLost) return 0;  // a link that is down
  if (file.state != NetmapFile::State::kUp) return ENXIO;
  if (transmit)
    sync_tx(file);
  else
    sync_rx(file);
  return 0;
}

int dispatch(NetmapFile& file, unsigned long command, uint64_t argument) {
  switch (static_cast<uint32_t>(command)) {
    case kNiocTxSync: return sync(file, true);
    case kNiocRxSync: return sync(file, false);
    case kNiocCtrl: return new_request(file, argument);
    case kNiocRegif: return legacy_request(file, true, argument);
    case kNiocGinfo: return legacy_request(file, false, argument);
    case kNiocConfig: return EINVAL;  // for lookup functions loaded into the kernel, as from a switch that has none
    default: return EOPNOTSUPP;
  }
}

}  // namespace

int control_request(NetmapFile& file, uint16_t api, uint32_t reqtype, char name[64], void* body, size_t body_bytes) {
  switch (reqtype) {
    // Of the kernel alone: as from a module that was built without them.
    case kPollingEnable:
    case kPollingDisable:
    case kSyncKloopStart:
    case kSyncKloopStop:
    case kCsbEnable: return EOPNOTSUPP;
    case kRegister: return register_port(file, name, api, static_cast<Register*>(body));
    default: break;
  }
  ports_protocol::Request request = {};
  request.header = ports_protocol::header_of(ports_protocol::kRequest, sizeof request);
  request.reqtype = reqtype;
  request.api = api;
  std::memcpy(request.name, name, sizeof request.name);
  if (body_bytes > 0) std::memcpy(request.body, body, body_bytes);
  ports_protocol::Reply reply;
  const int error = ask(file, request, &reply, nullptr);
  if (error != 0) return error;
  if (body_bytes > 0) std::memcpy(body, reply.body, body_bytes);
  std::memcpy(name, reply.name, sizeof reply.name);
  return 0;
}

int netmap_ioctl(NetmapFile& file, unsigned long command, uint64_t argument) {
  const Hold hold(file.lock);
  const int error = hold ? dispatch(file, command, argument) : EBUSY;
  if (error == 0) return 0;
  errno = error;
  return -1;
}

}  // namespace paste::preload
