#include "core/ports/vale_region.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace paste {

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHugePage = 2u << 20;
constexpr int kCollapse = 25;  // MADV_COLLAPSE (Linux 6.1): newer than some C libraries
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

constexpr uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

std::string error_text() { return std::strerror(errno); }

bool name_part(std::string_view part) {
  for (const char c : part)
    if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_')) return false;
  return part.size() < 16;
}

void reset_ring(netmap::Ring* ring, uint64_t ring_offset, const RegionLayout& layout, uint32_t slots, uint16_t id,
                bool transmit, uint32_t first_buffer) {
  std::memset(static_cast<void*>(ring), 0, sizeof(netmap::Ring));
  ring->buf_ofs = static_cast<int64_t>(layout.buffers - ring_offset);
  ring->num_slots = slots;
  ring->nr_buf_size = layout.geometry.buffer_bytes;
  ring->ringid = id;
  ring->dir = transmit ? 1 : 0;
  ring->tail = transmit ? slots - 1 : 0;
  ring->offset_mask = 0;
  ring->buf_align = 0;
  for (uint32_t i = 0; i < slots; i++) ring->slot[i] = {first_buffer + i, 0, 0, 0};
}

void reset_sync(netmap::RingSync* sync, uint32_t hwtail) {
  std::memset(static_cast<void*>(sync), 0, sizeof *sync);
  sync->daemon.hwtail = hwtail;
}

}  // namespace

RegionLayout::RegionLayout(const RegionGeometry& g) : geometry(g) {
  rings = kPage;
  tx_ring_bytes = round_up(sizeof(netmap::Ring) + sizeof(netmap::Slot) * uint64_t{g.tx_slots}, kPage);
  rx_ring_bytes = round_up(sizeof(netmap::Ring) + sizeof(netmap::Slot) * uint64_t{g.rx_slots}, kPage);
  buffers = rings + g.tx_rings * tx_ring_bytes + g.rx_rings * rx_ring_bytes;
  buffer_count = netmap::kReservedBuffers + g.tx_rings * g.tx_slots + g.rx_rings * g.rx_slots;
  sync = round_up(buffers + uint64_t{buffer_count} * g.buffer_bytes, kPage);
  bytes = round_up(sync + sizeof(netmap::RingSync) * (g.tx_rings + g.rx_rings), kPage);
}

Status check_geometry(const RegionGeometry& g) {
  const auto bad = [](const char* what, uint32_t value, uint32_t min, uint32_t max) {
    return Status(Code::kUsage, std::string(what) + " " + std::to_string(value) + " is outside " + std::to_string(min) +
                                    ".." + std::to_string(max));
  };
  if (g.tx_rings < 1 || g.tx_rings > kRingsMax) return bad("number of transmit rings", g.tx_rings, 1, kRingsMax);
  if (g.rx_rings < 1 || g.rx_rings > kRingsMax) return bad("number of receive rings", g.rx_rings, 1, kRingsMax);
  if (g.tx_slots < kRingSlotsMin || g.tx_slots > kRingSlotsMax)
    return bad("number of slots", g.tx_slots, kRingSlotsMin, kRingSlotsMax);
  if (g.rx_slots < kRingSlotsMin || g.rx_slots > kRingSlotsMax)
    return bad("number of slots", g.rx_slots, kRingSlotsMin, kRingSlotsMax);
  if (g.buffer_bytes < kBufferBytesMin || g.buffer_bytes > kBufferBytesMax)
    return bad("buffer size", g.buffer_bytes, kBufferBytesMin, kBufferBytesMax);
  if (g.buffer_bytes % 64 != 0)
    return Status(Code::kUsage, "buffer size " + std::to_string(g.buffer_bytes) + " is not a multiple of 64");
  return {};
}

Status check_vale_name(std::string_view name) {
  const size_t colon = name.find(':');
  if (name.starts_with("vale") && colon != std::string_view::npos && name_part(name.substr(0, colon)) &&
      colon + 1 < name.size() && name_part(name.substr(colon + 1)))
    return {};
  return Status(Code::kUsage, "port name `" + std::string(name.substr(0, 64)) +
                                  "`: a vale port is called valeSWITCH:PORT, letters, digits and _ only, each part shorter "
                                  "than 16 characters, such as vale0:a");
}

Status ValeRegion::create(const std::string& name, const RegionGeometry& geometry, std::unique_ptr<ValeRegion>* region) {
  if (Status status = check_geometry(geometry); !status.ok()) return status;
  const int fd = memfd_create("paste-switch-port", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return Status(Code::kResource, "port " + name + ": no memory object (memfd_create: " + error_text() + ")");
  std::unique_ptr<ValeRegion> made(new ValeRegion(fd, geometry));
  if (ftruncate(fd, static_cast<off_t>(made->layout_.bytes)) != 0)
    return Status(Code::kResource, "port " + name + ": no memory (ftruncate: " + error_text() + ")");
  if (Status status = made->map_shared(); !status.ok()) return status;
  if (fcntl(fd, F_ADD_SEALS, kSeals) != 0)
    return Status(Code::kResource, "port " + name + ": its memory cannot be sealed (" + error_text() + ")");
  made->reset(name);
  *region = std::move(made);
  return {};
}

Status ValeRegion::adopt(int fd, const std::string& name, const RegionGeometry& geometry,
                         std::unique_ptr<ValeRegion>* region) {
  std::unique_ptr<ValeRegion> made(new ValeRegion(fd, geometry));
  if (Status status = check_geometry(geometry); !status.ok()) return status;
  struct stat info;
  struct statfs system;
  // Only a memfd carries F_SEAL_SHRINK; one on hugetlbfs could fault without memory behind it (SIGBUS), so it is refused.
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals != kSeals || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || fstatfs(fd, &system) != 0 ||
      system.f_type != TMPFS_MAGIC || static_cast<uint64_t>(info.st_size) != made->layout_.bytes)
    return Status(Code::kPort, "port " + name + ": the offered memory is not a region sealed by a daemon");
  if (Status status = made->map_shared(); !status.ok()) return status;
  made->reset(name);
  *region = std::move(made);
  return {};
}

Status ValeRegion::map(int fd, const RegionGeometry& geometry, std::unique_ptr<ValeRegion>* region) {
  std::unique_ptr<ValeRegion> made(new ValeRegion(fd, geometry));
  if (Status status = check_geometry(geometry); !status.ok()) return status;
  struct stat info;
  if (fstat(fd, &info) != 0 || static_cast<uint64_t>(info.st_size) != made->layout_.bytes)
    return Status(Code::kPort, "the daemon's memory has not the size that its geometry asks for");
  if (Status status = made->map_shared(); !status.ok()) return status;
  *region = std::move(made);
  return {};
}

ValeRegion::~ValeRegion() {
  if (memory_) munmap(memory_, layout_.bytes);
  close(fd_);
}

// Mapped at a huge page's boundary, so that both sides can have huge pages. Populated page by page: MAP_POPULATE does not say
// when it fails.
Status ValeRegion::map_shared() {
  const uint64_t span = layout_.bytes + kHugePage;
  void* room = mmap(nullptr, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return Status(Code::kResource, "no address space for a port's memory: " + error_text());
  auto* start = static_cast<uint8_t*>(room);
  uint8_t* aligned = reinterpret_cast<uint8_t*>(round_up(reinterpret_cast<uintptr_t>(start), kHugePage));
  const uint64_t mapped = round_up(layout_.bytes, kPage);
  if (mmap(aligned, mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd_, 0) == MAP_FAILED) {
    munmap(room, span);
    return Status(Code::kResource, "a port's memory cannot be mapped: " + error_text());
  }
  if (aligned > start) munmap(start, static_cast<size_t>(aligned - start));
  munmap(aligned + mapped, static_cast<size_t>(start + span - (aligned + mapped)));
  memory_ = aligned;
  madvise(memory_, mapped, MADV_HUGEPAGE);
  for (uint64_t at = 0; at < mapped; at += kPage) {
    auto* word = reinterpret_cast<uint64_t*>(memory_ + at);
    __atomic_fetch_or(word, 0, __ATOMIC_RELAXED);  // a write that changes nothing, also beside a running client
  }
  madvise(memory_, mapped / kHugePage * kHugePage, kCollapse);
  return {};
}

void ValeRegion::reset(const std::string& name) {
  const RegionGeometry& g = layout_.geometry;
  netmap::If* itf = interface();
  std::memset(static_cast<void*>(itf), 0, kPage);
  std::memcpy(itf->ni_name, name.data(), std::min(name.size(), sizeof itf->ni_name - 1));
  itf->ni_version = netmap::kApi;
  itf->ni_flags = 1;  // NI_PRIV_MEM
  itf->ni_tx_rings = g.tx_rings;
  itf->ni_rx_rings = g.rx_rings;
  itf->ni_host_tx_rings = 1;
  itf->ni_host_rx_rings = 1;
  for (uint32_t i = 0; i < g.tx_rings; i++) {
    itf->ring_ofs[i] = static_cast<int64_t>(layout_.tx_ring(i));
    reset_ring(tx_ring(i), layout_.tx_ring(i), layout_, g.tx_slots, static_cast<uint16_t>(i), true,
               layout_.tx_first_buffer(i));
    reset_sync(tx_sync(i), g.tx_slots - 1);
  }
  for (uint32_t i = 0; i < g.rx_rings; i++) {
    itf->ring_ofs[g.tx_rings + 1 + i] = static_cast<int64_t>(layout_.rx_ring(i));
    reset_ring(rx_ring(i), layout_.rx_ring(i), layout_, g.rx_slots, static_cast<uint16_t>(i), false,
               layout_.rx_first_buffer(i));
    reset_sync(rx_sync(i), 0);
  }
}

}  // namespace paste
