#include "core/ports/netmap/netmap_device.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace paste {

namespace {

constexpr uint32_t kChunkBytes = 2048;
constexpr uint32_t kChunks = 16384;        // 32 MiB of a store's buffers for a port, more where its rings need them
constexpr uint64_t kPageBytes = 4096;      // pools start on one; the module's own, whatever the store's pages are
constexpr uint32_t kInterfaceBytes = 4096; // room for an If with 505 rings
constexpr uint32_t kInterfaces = 2;
// A ring that crosses a page needs pages that lie side by side in memory, which tmpfs does not promise: this many slots
// fit one page.
constexpr uint32_t kSlotsOfPage = (kPageBytes - sizeof(netmap::Ring)) / sizeof(netmap::Slot);
constexpr uint32_t kSparesMin = 512;       // two full batches: with fewer, frames on their way starve the rings

uint64_t pages(uint64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes; }
uint32_t power_of_two(uint64_t bytes) {
  uint32_t size = static_cast<uint32_t>(kPageBytes);
  while (size < bytes) size *= 2;
  return size;
}

}  // namespace

// How the store's memory is divided: [interfaces | rings | buffers], each from a page on. Every size is a power of two:
// the module neither checks nor rounds what it is told, and a size that does not divide the memory makes it report more
// than there is.
struct NetmapDevice::Pools {
  uint32_t tx_slots, rx_slots, rings, ring_bytes, ring_buffers;
  // Host rings exist for every interface, whether they are asked for or not.
  Pools(const netmap::PortInfo& info, uint32_t tx, uint32_t rx)
      : tx_slots(tx), rx_slots(rx) {
    const uint32_t tx_rings = info.nr_tx_rings + std::max<uint32_t>(info.nr_host_tx_rings, 1);
    const uint32_t rx_rings = info.nr_rx_rings + std::max<uint32_t>(info.nr_host_rx_rings, 1);
    rings = tx_rings + rx_rings;
    ring_bytes = power_of_two(sizeof(netmap::Ring) + uint64_t{std::max(tx, rx)} * sizeof(netmap::Slot));
    ring_buffers = tx_rings * tx + rx_rings * rx + netmap::kReservedBuffers;
  }
  uint64_t buffers_at() const {
    return pages(uint64_t{kInterfaces} * kInterfaceBytes) + pages(uint64_t{rings} * ring_bytes);
  }
  uint32_t chunks() const {
    return std::max(kChunks, static_cast<uint32_t>(buffers_at() / kChunkBytes) + 2 * ring_buffers + kSparesMin);
  }
};

Status NetmapDevice::open(const std::string& text, const NetmapSpec& spec, const PortSite& site,
                          std::unique_ptr<NetmapDevice>* device) {
  std::unique_ptr<NetmapDevice> made(new NetmapDevice(text, spec));
  made->devices_ = site.devices;
  if (Status status = made->devices_->open_netmap(&made->fd_); !status.ok()) return status;
  // Asked past the C library, as our epoll_pwait2() is made: who serves /dev/netmap from within this process shows a
  // device there.
  struct stat what{};
  made->in_kernel_ = syscall(SYS_fstat, made->fd_, &what) == 0 && S_ISCHR(what.st_mode);
  if (Status status = made->find_shared_memory(); !status.ok()) return status;
  std::string why_not;
  if (!made->register_in_store(site, &why_not)) {
    if (spec.extmem == Extmem::kOn)
      return Status(Code::kResource, "port `" + text + "`: extmem=on, but there is no memory in the store: " + why_not);
    if (Status status = made->register_own(); !status.ok()) return status;
  }
  if (Status status = made->find_rings(); !status.ok()) return status;
  made->hold_store_buffers();
  made->describe(why_not);
  *device = std::move(made);
  return {};
}

// The descriptor goes first: from then on the module writes into no page of ours. Buffers are left to the module in no
// list: it would clobber the first bytes of each on it, and those may be a logged frame's by now.
NetmapDevice::~NetmapDevice() { close_descriptor(); }

void NetmapDevice::close_descriptor() {
  if (mapped_) munmap(mapped_, memory_bytes_);  // a mapping that stays would keep the port registered
  if (fd_ >= 0) close(fd_);
  mapped_ = nullptr;
  fd_ = -1;
  if (store_memory_ && memory_lives_on()) (void)store_memory_.release();
}

// Memory of the store is registered exclusively, but another program may hold the same interface's host rings, and with
// them the memory. Then its blocks are the store's again only after a restart: the module would write into whatever
// they became.
bool NetmapDevice::memory_lives_on() {
  if (devices_->open_netmap(&fd_).ok()) {
    netmap::PortInfo info{};
    info.nr_mem_id = reply_.nr_mem_id;
    const std::string nobody;
    const bool lives = request(netmap::kPortInfoGet, &info, nullptr, &nobody) == 0;
    close(fd_);
    fd_ = -1;
    return lives;
  }
  return true;
}

// 0, or an errno.
int NetmapDevice::request(uint16_t type, void* body, netmap::Option* option, const std::string* name) const {
  netmap::RequestHeader header{};
  header.nr_version = netmap::kApi;
  header.nr_reqtype = type;
  std::memcpy(header.nr_name, (name ? *name : spec_.name).c_str(), (name ? *name : spec_.name).size());
  header.nr_options = reinterpret_cast<uintptr_t>(option);
  header.nr_body = reinterpret_cast<uintptr_t>(body);
  return ioctl(fd_, netmap::kIoctlControl, &header) == 0 ? 0 : errno;
}

netmap::Register NetmapDevice::registration() const {
  netmap::Register body{};
  body.nr_mode = spec_.mode;
  body.nr_ringid = spec_.ring;
  body.nr_mem_id = memory_id_;
  // poll() is asked for arrivals only, transmission is synchronised once a round: poll need not push it as well.
  body.nr_flags = spec_.flags | netmap::kNoTxPoll;
  body.nr_tx_slots = spec_.tx_slots;
  body.nr_rx_slots = spec_.rx_slots;
  body.nr_tx_rings = spec_.tx_rings;
  body.nr_rx_rings = spec_.rx_rings;
  body.nr_host_tx_rings = spec_.host_tx_rings;
  body.nr_host_rx_rings = spec_.host_rx_rings;
  return body;
}

Status NetmapDevice::find_shared_memory() {
  memory_id_ = spec_.memory_id;
  if (spec_.share.empty()) return {};
  netmap::PortInfo info{};
  if (const int error = request(netmap::kPortInfoGet, &info, nullptr, &spec_.share); error != 0)
    return Status(Code::kPort, "port `" + text_ + "`: share=" + spec_.share + ": netmap knows no such port (" +
                                   std::strerror(error) + ")");
  memory_id_ = info.nr_mem_id;
  return {};
}

// --- memory of the store ---------------------------------------------------------------------------------------------

bool NetmapDevice::register_in_store(const PortSite& site, std::string* why_not) {
  const auto no = [&](const char* reason) { return *why_not = reason, false; };
  if (spec_.extmem == Extmem::kOff) return no("extmem=off");
  if (memory_id_ != 0) return no("it shares another port's memory");
  if (spec_.monitor()) return no("a monitor has the memory of the port it watches");
  if (spec_.pipe()) return no("a pipe's memory belongs to both its ends");
  if (!site.region || !site.pool) return no("there is no store whose memory can be registered");
  netmap::PortInfo info{};
  if (request(netmap::kPortInfoGet, &info) != 0) return no("netmap does not say how many rings the port has");
  info.nr_tx_rings = std::max(info.nr_tx_rings, spec_.tx_rings);
  info.nr_rx_rings = std::max(info.nr_rx_rings, spec_.rx_rings);
  info.nr_host_tx_rings = std::max(info.nr_host_tx_rings, spec_.host_tx_rings);
  info.nr_host_rx_rings = std::max(info.nr_host_rx_rings, spec_.host_rx_rings);
  const uint32_t tx = spec_.tx_slots ? spec_.tx_slots : std::max(info.nr_tx_slots, 2u);
  const uint32_t rx = spec_.rx_slots ? spec_.rx_slots : std::max(info.nr_rx_slots, 2u);
  int error = 0;
  if (register_pools(site, Pools(info, tx, rx), why_not, &error)) return true;
  // The rings of ports in software are as large as we say; those of a device are not.
  const bool smaller = error == ENOMEM && spec_.on_vale() && std::max(tx, rx) > kSlotsOfPage;
  return smaller &&
         register_pools(site, Pools(info, std::min(tx, kSlotsOfPage), std::min(rx, kSlotsOfPage)), why_not, &error);
}

// The memory is made of blocks that were free: registering gives the port's rings whatever buffers come first, whatever
// lies in them, so memory that holds the only copy of a logged frame must never be registered. What recovery kept is in
// other blocks.
bool NetmapDevice::register_pools(const PortSite& site, const Pools& pools, std::string* why_not, int* error) {
  const FrameMemoryOptions options = {
      .chunk_bytes = kChunkBytes, .chunks = pools.chunks(), .place = FrameMemoryPlace::kStore};
  std::unique_ptr<FrameMemory> memory;
  if (Status status = FrameMemory::create(options, site.region, site.pool, &memory); !status.ok())
    return *why_not = status.message(), false;
  if (Status status = memory->pin(); !status.ok()) return *why_not = status.message(), false;
  if (memory->size_bytes() < pools.buffers_at() + uint64_t{pools.ring_buffers + kSparesMin} * kChunkBytes)
    return *why_not = site.region->path() + " has too few free blocks for its rings", false;
  // The module takes any address and then lays its structures out from the start of the page: only we can see the
  // difference.
  PASTE_CHECK(reinterpret_cast<uintptr_t>(memory->base()) % kPageBytes == 0 && memory->size_bytes() % kPageBytes == 0);

  const uint32_t buffers = static_cast<uint32_t>((memory->size_bytes() - pools.buffers_at()) / kChunkBytes);
  netmap::ExtmemOption option{};
  option.nro_opt.nro_reqtype = netmap::kOptExtmem;
  option.nro_usrptr = reinterpret_cast<uintptr_t>(memory->base());
  option.nro_info.nr_memsize = memory->size_bytes();
  option.nro_info.nr_if_pool_objtotal = kInterfaces;
  option.nro_info.nr_if_pool_objsize = kInterfaceBytes;
  option.nro_info.nr_ring_pool_objtotal = pools.rings;
  option.nro_info.nr_ring_pool_objsize = pools.ring_bytes;
  option.nro_info.nr_buf_pool_objtotal = buffers;
  option.nro_info.nr_buf_pool_objsize = kChunkBytes;
  netmap::Register body = registration();
  body.nr_tx_slots = pools.tx_slots;
  body.nr_rx_slots = pools.rx_slots;
  body.nr_extra_bufs = buffers - pools.ring_buffers;
  body.nr_flags |= netmap::kExclusive;  // whoever else bound its rings would keep the memory when this port goes
  std::memset(memory->base(), 0, kInterfaces * kInterfaceBytes);
  *error = request(netmap::kRegister, &body, &option.nro_opt);
  // A port that somebody has open keeps its memory, and the option is passed over without a word: then nothing was laid
  // out in ours.
  if (*error == 0 && !laid_out(memory->base(), body)) {
    close(fd_);
    fd_ = -1;
    *error = EBUSY;
    *why_not = "others have the port open, and with it its memory";
    if (!devices_->open_netmap(&fd_).ok()) fd_ = -1;  // register_own() says so then
    return false;
  }
  if (*error != 0) {
    const bool unknown = option.nro_opt.nro_status == EOPNOTSUPP;
    *why_not = unknown ? "this netmap was built without EXTMEM (configure --enable-extmem)"
               : *error == ENOMEM ? "its rings need pages that lie side by side: a store on hugetlbfs or DAX has them"
                                  : std::string("netmap refused it (") + std::strerror(*error) + ")";
    return false;
  }
  reply_ = body;
  memory_ = memory->base();
  memory_bytes_ = memory->size_bytes();  // not nr_memsize, which may be more
  store_memory_ = std::move(memory);
  return true;
}

// True when `memory` holds the interface that netmap says it has made, and spare buffers.
bool NetmapDevice::laid_out(const uint8_t* memory, const netmap::Register& body) const {
  if (body.nr_extra_bufs == 0 || body.nr_offset > kInterfaces * kInterfaceBytes - sizeof(netmap::If)) return false;
  const auto* interface = reinterpret_cast<const netmap::If*>(memory + body.nr_offset);
  // Not ni_version: the module never writes it.
  return interface->ni_name[0] != 0 && interface->ni_rx_rings + interface->ni_tx_rings != 0;
}

// Everything in the memory is netmap's, but for the spare buffers: those it lists once, linked through their first four
// bytes. They leave that list for good: what lies on it when the port closes gets its first bytes zeroed.
void NetmapDevice::hold_store_buffers() {
  if (!store_memory_) return;
  FrameMemory& memory = *store_memory_;
  while (memory.take() != kNoChunk) {
  }
  auto* interface = reinterpret_cast<netmap::If*>(memory_ + reply_.nr_offset);
  uint32_t spare = interface->ni_bufs_head;
  interface->ni_bufs_head = 0;
  for (uint32_t i = 0; i < reply_.nr_extra_bufs && names_buffer(spare); i++) {
    uint32_t next;
    std::memcpy(&next, buffer(spare), sizeof next);
    memory.drop_use(memory.chunk_of(buffer(spare)));
    spare = next;
  }
}

// --- netmap's own memory ---------------------------------------------------------------------------------------------

Status NetmapDevice::register_own() {
  reply_ = registration();
  if (const int error = request(netmap::kRegister, &reply_); error != 0) return refused(error);
  memory_bytes_ = reply_.nr_memsize;
  void* memory = mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, 0);
  if (memory == MAP_FAILED)
    return Status(Code::kResource, "port `" + text_ + "`: its " + std::to_string(memory_bytes_ >> 20) +
                                       " MiB of netmap's memory cannot be mapped (" + std::strerror(errno) + ")");
  memory_ = mapped_ = static_cast<uint8_t*>(memory);
  return {};
}

Status NetmapDevice::refused(int error) const {
  const std::string port = "port `" + text_ + "`: ";
  switch (error) {
    case ENXIO:
    case ENODEV:
      return Status(Code::kPort, port + "netmap knows no interface or port `" + spec_.name + "`");
    case EBUSY:
      return Status(Code::kPort, port + "in use by another program (/x), a bridge or a bond");
    case ENOMEM:
      return Status(Code::kResource, port + "netmap has too little memory for its rings: raise the module's "
                                            "ring_num, ring_size and buf_num, or ask for fewer slots");
    case EIO:
      return Status(Code::kPort, port + "it has a virtio-net header, which is not taken here: set its length to 0");
    case EINVAL:
      return Status(Code::kPort, port + "netmap does not take this mode, ring or memory id here, or speaks no API 14");
    case EACCES:
    case EPERM:
      return Status(Code::kPrivilege, port + "netmap refused it (" + std::strerror(error) + "): see CAP_NET_ADMIN");
    default:
      return Status(Code::kPort, port + "netmap refused it (" + std::strerror(error) + ")");
  }
}

// --- rings -----------------------------------------------------------------------------------------------------------

// Offsets stand in the order NIC tx, host tx, NIC rx, host rx, 0 = not bound to this descriptor.
Status NetmapDevice::find_rings() {
  const Status broken(Code::kPort, "port `" + text_ + "`: its memory is not laid out as netmap's API 14 says: another "
                                                      "version of the module?");
  const auto inside = [&](uint64_t offset, uint64_t bytes) {
    return offset <= memory_bytes_ && bytes <= memory_bytes_ - offset;
  };
  if (!inside(reply_.nr_offset, sizeof(netmap::If))) return broken;
  auto* interface = reinterpret_cast<netmap::If*>(memory_ + reply_.nr_offset);
  const uint32_t counts[] = {interface->ni_tx_rings, interface->ni_host_tx_rings, interface->ni_rx_rings,
                             interface->ni_host_rx_rings};
  std::vector<netmap::Ring*>* const lists[] = {&nic_tx_, &host_tx_, &nic_rx_, &host_rx_};
  const bool sends = !spec_.monitor();
  const bool wanted[] = {sends && spec_.uses_nic(), sends && spec_.uses_host(), spec_.uses_nic(), spec_.uses_host()};
  const int64_t* offset = interface->ring_ofs;
  for (int group = 0; group < 4; group++) {
    const auto table = static_cast<uint64_t>(reinterpret_cast<const uint8_t*>(offset) - memory_);
    if (counts[group] > 0xffff || !inside(table, counts[group] * sizeof *offset)) return broken;
    for (uint32_t i = 0; i < counts[group]; i++, offset++) {
      if (*offset == 0 || !wanted[group]) continue;
      const uint64_t at = reply_.nr_offset + static_cast<uint64_t>(*offset);
      if (at % 64 != 0 || !inside(at, sizeof(netmap::Ring))) return broken;
      auto* ring = reinterpret_cast<netmap::Ring*>(memory_ + at);
      if (ring->num_slots < 2 || !inside(at, sizeof(netmap::Ring) + uint64_t{ring->num_slots} * sizeof(netmap::Slot)))
        return broken;
      // 0 = receive, 1 = transmit, the reverse of what netmap's header says.
      if (ring->dir != (group < 2 ? 1 : 0)) return broken;
      if (!buffers_) {
        buffers_ = reinterpret_cast<uint8_t*>(ring) + ring->buf_ofs;
        buffer_bytes_ = ring->nr_buf_size;
      }
      const uint8_t* first = reinterpret_cast<uint8_t*>(ring) + ring->buf_ofs;
      if (first != buffers_ || ring->nr_buf_size != buffer_bytes_) return broken;
      lists[group]->push_back(ring);
    }
  }
  if (!buffers_) return Status(Code::kPort, "port `" + text_ + "`: netmap bound no ring to it");
  if (buffer_bytes_ < 64 || buffers_ < memory_) return broken;
  if (!inside(static_cast<uint64_t>(buffers_ - memory_), 3 * uint64_t{buffer_bytes_})) return broken;
  buffer_count_ = static_cast<uint32_t>((memory_ + memory_bytes_ - buffers_) / buffer_bytes_);
  return {};
}

void NetmapDevice::describe(const std::string& why_not_store) {
  const auto count = [](size_t number, const char* what) { return std::to_string(number) + " " + what; };
  description_ = in_kernel_ ? "netmap API 14" : "netmap API 14 in user space";
  if (spec_.monitor()) description_ += ", monitor";
  description_ += ", rings " + count(nic_rx_.size(), "rx ") + count(nic_tx_.size(), "tx");
  if (spec_.uses_host())
    description_ += " and of the host " + count(host_rx_.size(), "rx ") + count(host_tx_.size(), "tx") +
                    " (checksum and segmentation offloads of the interface must be off: ethtool -K " +
                    spec_.name + " tx off gso off tso off gro off)";
  const auto& some = !nic_rx_.empty() ? nic_rx_ : !nic_tx_.empty() ? nic_tx_ : !host_rx_.empty() ? host_rx_ : host_tx_;
  description_ += " of " + count(some[0]->num_slots, "slots, ") + count(buffer_bytes_, "B buffers, ");
  const std::string own = "memory " + std::to_string(reply_.nr_mem_id) + " of netmap's own: " + why_not_store;
  description_ += store_memory_ ? "memory in the store" : own;
}

}  // namespace paste
