// netmap's control interface before NIOCCTRL, as its module translates it: struct nmreq, versions 14 and later.
#include <cstring>

#include "preload/control.h"
#include "preload/user_memory.h"

namespace paste::preload {

namespace {

using namespace netmap;

struct LegacyRequest {  // struct nmreq
  char nr_name[16];
  uint32_t nr_version;
  uint32_t nr_offset;
  uint32_t nr_memsize;
  uint32_t nr_tx_slots, nr_rx_slots;
  uint16_t nr_tx_rings, nr_rx_rings;
  uint16_t nr_ringid;
  uint16_t nr_cmd;
  uint16_t nr_arg1;
  uint16_t nr_arg2;      // memory id
  uint32_t nr_arg3;      // extra buffers
  uint32_t nr_flags;
  uint32_t spare2[1];
};
static_assert(sizeof(LegacyRequest) == 60 && offsetof(LegacyRequest, nr_ringid) == 40);
static_assert(offsetof(LegacyRequest, nr_arg3) == 48 && offsetof(LegacyRequest, nr_flags) == 52);

constexpr uint32_t kVersionMin = 14;
constexpr uint32_t kModeMask = 0xf;
constexpr uint16_t kRingMask = 0x0fff, kNoTxPollBit = 0x1000, kHostRing = 0x2000, kNicRing = 0x4000, kDoRxPollBit = 0x8000;
enum Command : uint16_t {
  kCmdRegister = 0, kCmdAttach = 1, kCmdDetach = 2, kCmdList = 4, kCmdHdrSet = 5, kCmdNewIf = 6, kCmdDelIf = 7,
  kCmdPollingOn = 10, kCmdPollingOff = 11, kCmdHdrGet = 12,
};

union Body {
  Register reg;
  ValeAttach attach;
  ValeDetach detach;
  PortHdr hdr;
  ValeNewIf newif;
  ValeList list;
  PortInfo info;
  uint8_t bytes[ports_protocol::kBodyBytes];
};

struct Translated {
  uint32_t reqtype;
  size_t bytes;
  char name[ports_protocol::kNameBytes];
  Body body;
};

// A pipe's end was a mode with a number; it is a name now.
bool name_pipe(Translated* to) {
  const size_t used = std::strlen(to->name);
  uint32_t id = to->body.reg.nr_ringid;
  char digits[8];
  size_t count = 0;
  do digits[count++] = static_cast<char>('0' + id % 10);
  while ((id /= 10) != 0);
  if (used + 1 + count >= sizeof to->name) return false;
  to->name[used] = to->body.reg.nr_mode == kPipeMaster ? '{' : '}';
  for (size_t i = 0; i < count; i++) to->name[used + 1 + i] = digits[count - 1 - i];
  to->name[used + 1 + count] = 0;
  to->body.reg.nr_mode = kAllNic;
  to->body.reg.nr_ringid = 0;
  return true;
}

bool read_register(const LegacyRequest& from, Translated* to) {
  Register& reg = to->body.reg;
  reg.nr_offset = from.nr_offset;
  reg.nr_memsize = from.nr_memsize;
  reg.nr_tx_slots = from.nr_tx_slots;
  reg.nr_rx_slots = from.nr_rx_slots;
  reg.nr_tx_rings = from.nr_tx_rings;
  reg.nr_rx_rings = from.nr_rx_rings;
  reg.nr_mem_id = from.nr_arg2;
  reg.nr_ringid = from.nr_ringid & kRingMask;
  reg.nr_mode = from.nr_flags & kModeMask;
  if (reg.nr_mode == 0) reg.nr_mode = from.nr_ringid & kHostRing ? kHostOnly : from.nr_ringid & kNicRing ? kOneNic : kAllNic;
  if ((reg.nr_mode == kPipeMaster || reg.nr_mode == kPipeSlave) && !name_pipe(to)) return false;
  reg.nr_flags = from.nr_flags & ~kModeMask;
  if (from.nr_ringid & kNoTxPollBit) reg.nr_flags |= kNoTxPoll;
  if (from.nr_ringid & kDoRxPollBit) reg.nr_flags |= kDoRxPoll;
  reg.nr_extra_bufs = from.nr_arg3;
  return true;
}

void write_register(const Register& reg, LegacyRequest* to) {
  to->nr_offset = static_cast<uint32_t>(reg.nr_offset);
  to->nr_memsize = static_cast<uint32_t>(reg.nr_memsize);
  to->nr_tx_slots = reg.nr_tx_slots;
  to->nr_rx_slots = reg.nr_rx_slots;
  to->nr_tx_rings = reg.nr_tx_rings;
  to->nr_rx_rings = reg.nr_rx_rings;
  to->nr_arg2 = reg.nr_mem_id;
  to->nr_arg3 = reg.nr_extra_bufs;
}

int translate_regif(const LegacyRequest& from, Translated* to) {
  switch (from.nr_cmd) {
    case kCmdRegister:
      to->reqtype = kRegister;
      to->bytes = sizeof(Register);
      return read_register(from, to) ? 0 : EINVAL;
    case kCmdAttach:
      to->reqtype = kValeAttach;
      to->bytes = sizeof(ValeAttach);
      if (!read_register(from, to)) return EINVAL;
      to->body.reg.nr_mode = from.nr_arg1 & 1 ? kNicAndHost : kAllNic;
      return 0;
    case kCmdDetach:
      to->reqtype = kValeDetach;
      to->bytes = sizeof(ValeDetach);
      return 0;
    case kCmdHdrSet:
    case kCmdHdrGet:
      to->reqtype = from.nr_cmd == kCmdHdrSet ? kPortHdrSet : kPortHdrGet;
      to->bytes = sizeof(PortHdr);
      to->body.hdr.nr_hdr_len = from.nr_arg1;
      return 0;
    case kCmdNewIf:
      to->reqtype = kValeNewIf;
      to->bytes = sizeof(ValeNewIf);
      to->body.newif = {from.nr_tx_slots, from.nr_rx_slots, from.nr_tx_rings, from.nr_rx_rings, from.nr_arg2, 0};
      return 0;
    case kCmdDelIf:
      to->reqtype = kValeDelIf;
      return 0;
    case kCmdPollingOn:
    case kCmdPollingOff:
      to->reqtype = from.nr_cmd == kCmdPollingOn ? kPollingEnable : kPollingDisable;
      return 0;
    default: return EINVAL;
  }
}

void translate_ginfo(const LegacyRequest& from, Translated* to) {
  if (from.nr_cmd == kCmdList) {
    to->reqtype = kValeList;
    to->bytes = sizeof(ValeList);
    to->body.list = {from.nr_arg1, 0, from.nr_arg2};
    return;
  }
  to->reqtype = kPortInfoGet;
  to->bytes = sizeof(PortInfo);
  PortInfo& info = to->body.info;
  info.nr_memsize = from.nr_memsize;
  info.nr_tx_slots = from.nr_tx_slots;
  info.nr_rx_slots = from.nr_rx_slots;
  info.nr_tx_rings = from.nr_tx_rings;
  info.nr_rx_rings = from.nr_rx_rings;
  info.nr_mem_id = from.nr_arg2;
}

// What the program expects to be written back, and nothing else.
void write_back(const Translated& from, LegacyRequest* to) {
  switch (from.reqtype) {
    case kRegister:
    case kValeAttach: return write_register(from.body.reg, to);
    case kPortInfoGet:
      to->nr_memsize = static_cast<uint32_t>(from.body.info.nr_memsize);
      to->nr_tx_slots = from.body.info.nr_tx_slots;
      to->nr_rx_slots = from.body.info.nr_rx_slots;
      to->nr_tx_rings = from.body.info.nr_tx_rings;
      to->nr_rx_rings = from.body.info.nr_rx_rings;
      to->nr_arg2 = from.body.info.nr_mem_id;
      return;
    case kValeList:
      std::memcpy(to->nr_name, from.name, sizeof to->nr_name);
      to->nr_name[sizeof to->nr_name - 1] = 0;
      to->nr_arg1 = from.body.list.nr_bridge_idx;
      to->nr_arg2 = static_cast<uint16_t>(from.body.list.nr_port_idx);
      return;
    case kPortHdrSet:
    case kPortHdrGet: to->nr_arg1 = static_cast<uint16_t>(from.body.hdr.nr_hdr_len); return;
    case kValeNewIf:
      to->nr_tx_slots = from.body.newif.nr_tx_slots;
      to->nr_rx_slots = from.body.newif.nr_rx_slots;
      to->nr_tx_rings = from.body.newif.nr_tx_rings;
      to->nr_rx_rings = from.body.newif.nr_rx_rings;
      to->nr_arg2 = from.body.newif.nr_mem_id;
      return;
    default: return;
  }
}

}  // namespace

int legacy_request(NetmapFile& file, bool regif, uint64_t argument) {
  LegacyRequest legacy;
  if (!copy_in(&legacy, argument, sizeof legacy)) return EFAULT;
  if (legacy.nr_version < kVersionMin) return EINVAL;
  legacy.nr_name[sizeof legacy.nr_name - 1] = 0;
  Translated request = {};
  std::memcpy(request.name, legacy.nr_name, sizeof legacy.nr_name);
  if (regif) {
    if (const int error = translate_regif(legacy, &request)) return error;
  } else {
    translate_ginfo(legacy, &request);
  }
  const int error = control_request(file, kApi, request.reqtype, request.name, request.body.bytes, request.bytes);
  if (error != 0) return error;
  write_back(request, &legacy);
  return copy_out(argument, &legacy, sizeof legacy) ? 0 : EFAULT;
}

}  // namespace paste::preload
