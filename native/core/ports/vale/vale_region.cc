#include "core/ports/vale/vale_region.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/huge_pages.h"

namespace paste {

namespace {

constexpr uint64_t kPage = 4096;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr uint32_t kRegionRingsMax = 256;

// On the last page.
struct Stamp {
  uint64_t magic;
  RegionPools pools;
};
constexpr uint64_t kStampMagic = 0x31474552'54535350;  // "PSSTREG1"

constexpr uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

std::string error_text() { return std::strerror(errno); }

// So that both sides can have huge pages.
Status map_aligned(int fd, uint64_t bytes, uint8_t** memory) {
  void* const mapped = map_at_huge_page(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
  if (mapped == MAP_FAILED) return Status(Code::kResource, "a port's memory cannot be mapped: " + error_text());
  madvise(mapped, bytes, MADV_HUGEPAGE);
  *memory = static_cast<uint8_t*>(mapped);
  return {};
}

}  // namespace

// --- memory ------------------------------------------------------------------------------------------------------------------

Status ValeRegion::create(const RegionPools& pools, uint16_t id, std::shared_ptr<ValeRegion>* region) {
  auto file = std::make_shared<LentMemory>();
  if (!file->make("paste-switch-port")) return Status(Code::kResource, "no memory object (memfd_create: " + error_text() + ")");
  const int fd = file->fd();
  std::shared_ptr<ValeRegion> made(new ValeRegion(std::move(file), pools, id));
  if (ftruncate(fd, static_cast<off_t>(made->bytes())) != 0)
    return Status(Code::kResource, "no memory (ftruncate: " + error_text() + ")");
  if (Status status = map_aligned(fd, made->bytes(), &made->memory_); !status.ok()) return status;
  if (fcntl(fd, F_ADD_SEALS, kSeals) != 0)
    return Status(Code::kResource, "its memory cannot be sealed (" + error_text() + ")");
  const Stamp stamp = {kStampMagic, pools};
  std::memcpy(made->memory_ + made->bytes() - kPage, &stamp, sizeof stamp);
  *region = std::move(made);
  return {};
}

// Only a memfd carries F_SEAL_SHRINK. Where vm.memfd_noexec is set, it is sealed against execution as well.
bool ValeRegion::is_sealed(int fd) {
  constexpr int kSealExec = 0x20;  // F_SEAL_EXEC: Linux 6.3
  const int seals = fcntl(fd, F_GET_SEALS);
  return seals >= 0 && (seals & ~kSealExec) == kSeals;
}

// Whatever a client writes there, the layout that comes of it is bounded and fits the memory.
bool ValeRegion::pools_of(int fd, RegionPools* pools) {
  struct stat info;
  Stamp stamp;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || static_cast<uint64_t>(info.st_size) < 2 * kPage ||
      pread(fd, &stamp, sizeof stamp, info.st_size - static_cast<off_t>(kPage)) != sizeof stamp || stamp.magic != kStampMagic)
    return false;
  const RegionPools& p = stamp.pools;
  const uint32_t ring_bytes_max = round_up(sizeof(netmap::Ring) + sizeof(netmap::Slot) * kRingSlotsMax, kPage);
  if (p.interfaces == 0 || p.interfaces > 1024 || p.rings > kRegionRingsMax || p.ring_bytes % kPage != 0 || p.ring_bytes == 0 ||
      p.ring_bytes > ring_bytes_max || p.buffer_bytes < kBufferBytesMin || p.buffer_bytes > kBufferBytesMax ||
      p.buffer_bytes % 64 != 0 || p.buffers < netmap::kReservedBuffers || p.buffers > 1u << 20)
    return false;
  const uint64_t bytes = RegionLayout(p).bytes;
  *pools = p;
  return bytes == static_cast<uint64_t>(info.st_size) && bytes <= std::max(kPrivateBytesMax, RegionLayout(RegionPools::global()).bytes);
}

Status ValeRegion::adopt(int fd, const RegionPools& pools, uint16_t id, std::shared_ptr<ValeRegion>* region) {
  auto file = std::make_shared<LentMemory>();
  if (!file->take_over(fd)) return Status(Code::kPort, "the offered memory cannot be opened (" + error_text() + ")");
  std::shared_ptr<ValeRegion> made(new ValeRegion(std::move(file), pools, id));
  struct stat info;
  struct statfs system;
  // One on hugetlbfs could fault without memory behind it (SIGBUS), so it is refused.
  if (!is_sealed(fd) || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || fstatfs(fd, &system) != 0 ||
      system.f_type != TMPFS_MAGIC || static_cast<uint64_t>(info.st_size) != made->bytes())
    return Status(Code::kPort, "the offered memory is not a region sealed by a daemon");
  if (Status status = map_aligned(fd, made->bytes(), &made->memory_); !status.ok()) return status;
  made->adopted_ = true;
  *region = std::move(made);
  return {};
}

ValeRegion::~ValeRegion() {
  if (memory_) munmap(memory_, layout_.bytes);
}

bool ValeRegion::is_same(int fd, int offered) {
  struct stat mine, other;
  return fstat(fd, &mine) == 0 && fstat(offered, &other) == 0 && mine.st_dev == other.st_dev && mine.st_ino == other.st_ino;
}

// Page by page: MAP_POPULATE does not say when it fails, and would make pages for all of the region.
void ValeRegion::populate(uint64_t offset, uint64_t bytes) {
  const uint64_t from = offset / kPage * kPage, to = round_up(offset + bytes, kPage);
  if (to - from >= kHugePageBytes / 2) {
    const uint64_t end = std::min(round_up(to, kHugePageBytes), layout_.bytes / kHugePageBytes * kHugePageBytes);
    for (uint64_t at = from / kHugePageBytes * kHugePageBytes; at < end; at += kHugePageBytes)
      make_huge_page(file_->fd(), at, memory_ + at);
  }
  for (uint64_t at = from; at < to; at += kPage) {
    auto* word = reinterpret_cast<uint64_t*>(memory_ + at);
    __atomic_fetch_or(word, 0, __ATOMIC_RELAXED);  // a write that changes nothing, also beside a running client
  }
}

// --- objects -----------------------------------------------------------------------------------------------------------------

// The first of `count` free objects in a row, `from` or later.
uint32_t ValeRegion::find_run(std::vector<bool>& taken, uint32_t count, uint32_t from) const {
  uint32_t run = 0;
  for (uint32_t i = from; i < taken.size(); i++) {
    run = taken[i] ? 0 : run + 1;
    if (run == count) return i + 1 - count;
  }
  return kAnywhere;
}

Status ValeRegion::take_rings(const RegionGeometry& g, uint32_t first_ring, PortRings* rings) {
  const std::lock_guard hold(mutex_);
  *rings = {g, first_ring, 0};
  const uint32_t count = rings->count();
  const bool keep = adopted_ && first_ring != kAnywhere && first_ring + count <= ring_taken_.size() &&
                    find_run(ring_taken_, count, first_ring) == first_ring;
  if (!keep) rings->first_ring = find_run(ring_taken_, count, 0);
  rings->first_buffer = find_run(buffer_taken_, g.buffers(), netmap::kReservedBuffers);
  if (rings->first_ring == kAnywhere || rings->first_buffer == kAnywhere ||
      sizeof(netmap::Ring) + sizeof(netmap::Slot) * uint64_t{std::max(g.tx_slots, g.rx_slots)} > layout_.pools.ring_bytes)
    return Status(Code::kResource, "its memory region has no room for these rings");
  std::fill_n(ring_taken_.begin() + rings->first_ring, count, true);
  populate(layout_.ring(rings->first_ring), uint64_t{count} * layout_.pools.ring_bytes);
  populate(layout_.ring_sync(rings->first_ring), count * sizeof(netmap::RingSync));
  std::fill_n(buffer_taken_.begin() + rings->first_buffer, g.buffers(), true);
  populate(layout_.buffer(rings->first_buffer), uint64_t{g.buffers()} * g.buffer_bytes);
  for (uint32_t i = 0; i < g.tx_rings; i++)
    reset_ring(rings->tx(i), g.tx_slots, static_cast<uint16_t>(i), true, rings->tx_buffer(i), keep);
  for (uint32_t i = 0; i < g.rx_rings; i++)
    reset_ring(rings->rx(i), g.rx_slots, static_cast<uint16_t>(i), false, rings->rx_buffer(i), keep);
  return {};
}

// As netmap_ring_reinit(). In memory of an earlier life (`keep`) the slots keep what buffers they had, where those are good and nobody
// else's: a client that moved buffers between its rings and its own lists finds each where it left it.
void ValeRegion::reset_ring(uint32_t number, uint32_t slots, uint16_t id, bool transmit, uint32_t first_buffer, bool keep) {
  netmap::Ring* ring = this->ring(number);
  std::memset(static_cast<void*>(ring), 0, sizeof(netmap::Ring));
  ring->buf_ofs = static_cast<int64_t>(layout_.buffers - layout_.ring(number));
  ring->num_slots = slots;
  ring->nr_buf_size = layout_.pools.buffer_bytes;
  ring->ringid = id;
  ring->dir = transmit ? 1 : 0;
  ring->tail = transmit ? slots - 1 : 0;
  const netmap::RingTail tail = {static_cast<int64_t>(layout_.ring_sync(number) - layout_.ring(number)), 0};
  std::memcpy(ring->sem, &tail, sizeof tail);
  std::vector<bool> used(keep ? slots : 0);  // of this ring's own buffers
  std::vector<uint32_t> empty;
  for (uint32_t i = 0; i < slots; i++) {
    const uint32_t before = keep ? __atomic_load_n(&ring->slot[i].buf_idx, __ATOMIC_RELAXED) : first_buffer + i;
    ring->slot[i] = {before, 0, 0, 0};
    if (!keep) continue;
    const bool own = before >= first_buffer && before < first_buffer + slots;
    if (before < netmap::kReservedBuffers || before >= buffer_taken_.size() || (own ? used[before - first_buffer] : buffer_taken_[before]))
      empty.push_back(i);
    else if (own)
      used[before - first_buffer] = true;
    else
      buffer_taken_[before] = true;
  }
  for (uint32_t next = 0; const uint32_t i : empty) {
    while (used[next]) next++;
    used[next] = true;
    ring->slot[i].buf_idx = first_buffer + next;
  }
  netmap::RingSync* sync = ring_sync(number);
  std::memset(static_cast<void*>(sync), 0, sizeof *sync);
  sync->daemon.hwtail = transmit ? slots - 1 : 0;
}

// The buffers that the slots name now are freed, not those they started with: clients and the switch move them about. Whatever
// is nonsense there is passed over, and comes back when the region goes, as with netmap.
void ValeRegion::give_back_rings(const PortRings& rings) {
  const std::lock_guard hold(mutex_);
  const RegionGeometry& g = rings.geometry;
  for (uint32_t r = 0; r < rings.count(); r++) {
    const netmap::Ring* ring = this->ring(rings.first_ring + r);
    for (uint32_t i = 0; i < (r < g.tx_rings ? g.tx_slots : g.rx_slots); i++) {
      const uint32_t buffer = __atomic_load_n(&ring->slot[i].buf_idx, __ATOMIC_RELAXED);
      if (buffer >= netmap::kReservedBuffers && buffer < buffer_taken_.size()) buffer_taken_[buffer] = false;
    }
  }
  std::fill_n(ring_taken_.begin() + rings.first_ring, rings.count(), false);
}

Status ValeRegion::take_interface(const std::string& name, const PortRings& rings, const BoundRings& bound, uint64_t before,
                                  uint64_t* offset) {
  const std::lock_guard hold(mutex_);
  uint32_t at = kAnywhere;
  const uint64_t wanted = before / RegionLayout::kInterfaceBytes;
  if (adopted_ && before % RegionLayout::kInterfaceBytes == 0 && wanted < interface_taken_.size() && !interface_taken_[wanted])
    at = static_cast<uint32_t>(wanted);
  if (at == kAnywhere) at = find_run(interface_taken_, 1, 0);
  if (at == kAnywhere) return Status(Code::kResource, "its memory region has no room for another attachment");
  interface_taken_[at] = true;
  *offset = uint64_t{at} * RegionLayout::kInterfaceBytes;
  populate(*offset, RegionLayout::kInterfaceBytes);
  netmap::If* itf = interface(*offset);
  const RegionGeometry& g = rings.geometry;
  const uint32_t extra = *offset == before && adopted_ ? itf->ni_bufs_head : 0;
  std::memset(static_cast<void*>(itf), 0, RegionLayout::kInterfaceBytes);
  itf->ni_bufs_head = extra;
  std::memcpy(itf->ni_name, name.data(), std::min(name.size(), sizeof itf->ni_name - 1));
  itf->ni_version = netmap::kApi;
  itf->ni_flags = id_ == 1 ? 0 : 1;  // NI_PRIV_MEM
  itf->ni_tx_rings = g.tx_rings;
  itf->ni_rx_rings = g.rx_rings;
  itf->ni_host_tx_rings = 1;         // counted but never bound, as VALE ports do
  itf->ni_host_rx_rings = 1;
  for (uint32_t i = bound.tx_first; i < bound.tx_first + bound.tx_count; i++)
    itf->ring_ofs[i] = static_cast<int64_t>(layout_.ring(rings.tx(i)) - *offset);
  for (uint32_t i = bound.rx_first; i < bound.rx_first + bound.rx_count; i++)
    itf->ring_ofs[g.tx_rings + 1 + i] = static_cast<int64_t>(layout_.ring(rings.rx(i)) - *offset);
  return {};
}

void ValeRegion::link_rings(uint32_t one, uint32_t other) {
  for (const auto& [from, to] : {std::pair{one, other}, std::pair{other, one}}) {
    netmap::RingTail tail;
    std::memcpy(&tail, ring(from)->sem, sizeof tail);
    tail.peer = static_cast<int64_t>(layout_.ring(to)) - static_cast<int64_t>(layout_.ring(from));
    std::memcpy(ring(from)->sem, &tail, sizeof tail);
  }
}

// Both ends' own memory: whatever stands there, the daemon only copies it.
void ValeRegion::renew_ring(uint32_t number) {
  netmap::Ring* ring = this->ring(number);
  netmap::RingSync* sync = ring_sync(number);
  const uint32_t head = __atomic_load_n(&sync->client.head, __ATOMIC_RELAXED);
  __atomic_store_n(&ring->head, head, __ATOMIC_RELAXED);
  __atomic_store_n(&ring->cur, head, __ATOMIC_RELAXED);
  __atomic_store_n(&ring->tail, __atomic_load_n(&sync->daemon.hwtail, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

// Zeroed by the system as pages are touched: only rings that lend have any.
void ValeRegion::share(uint32_t tag) {
  if (tag_.load(std::memory_order_relaxed) != 0 || layout_.pools.rings > kRegionRingsMax) return;
  void* lent = std::calloc(size_t{layout_.pools.rings} * kRingSlotsMax, sizeof(uint32_t));
  if (lent == nullptr) return;  // then nothing is lent
  lent_.reset(static_cast<uint32_t*>(lent));
  tag_.store(tag, std::memory_order_release);
}

void ValeRegion::give_back_interface(uint64_t offset) {
  const std::lock_guard hold(mutex_);
  interface_taken_[offset / RegionLayout::kInterfaceBytes] = false;
}

uint32_t ValeRegion::take_extra(uint64_t offset, uint32_t count, bool held) {
  const std::lock_guard hold(mutex_);
  netmap::If* itf = interface(offset);
  uint32_t got = 0, head = 0;
  for (uint32_t i = static_cast<uint32_t>(buffer_taken_.size()); i-- > netmap::kReservedBuffers && got < count;) {
    if (buffer_taken_[i]) continue;
    buffer_taken_[i] = true;
    got++;
    if (held) continue;
    populate(layout_.buffer(i), layout_.pools.buffer_bytes);
    std::memcpy(memory_ + layout_.buffer(i), &head, sizeof head);
    head = i;
  }
  if (!held) itf->ni_bufs_head = head;
  return got;
}

void ValeRegion::give_back_extra(uint64_t offset) {
  const std::lock_guard hold(mutex_);
  uint32_t at = __atomic_load_n(&interface(offset)->ni_bufs_head, __ATOMIC_RELAXED);
  // A list that bites its tail ends where a buffer is free already.
  while (at >= netmap::kReservedBuffers && at < buffer_taken_.size() && buffer_taken_[at]) {
    auto* word = reinterpret_cast<uint32_t*>(memory_ + layout_.buffer(at));
    buffer_taken_[at] = false;
    at = __atomic_exchange_n(word, 0, __ATOMIC_RELAXED);
  }
}

uint32_t ValeRegion::place_before(uint64_t offset, const RegionGeometry& g) const {
  if (!adopted_ || offset % RegionLayout::kInterfaceBytes != 0 ||
      offset / RegionLayout::kInterfaceBytes >= layout_.pools.interfaces)
    return kAnywhere;
  const auto ring_at = [&](uint32_t entry) -> uint32_t {
    const uint64_t ring = static_cast<uint64_t>(__atomic_load_n(&interface(offset)->ring_ofs[entry], __ATOMIC_RELAXED)) + offset;
    if (ring == offset || ring < layout_.rings || ring >= layout_.buffers) return kAnywhere;
    if ((ring - layout_.rings) % layout_.pools.ring_bytes != 0) return kAnywhere;
    return static_cast<uint32_t>((ring - layout_.rings) / layout_.pools.ring_bytes);
  };
  for (uint32_t i = 0; i < g.tx_rings; i++)
    if (const uint32_t ring = ring_at(i); ring != kAnywhere && ring >= i) return ring - i;
  for (uint32_t i = 0; i < g.rx_rings; i++)
    if (const uint32_t ring = ring_at(g.tx_rings + 1 + i); ring != kAnywhere && ring >= g.tx_rings + i)
      return ring - g.tx_rings - i;
  return kAnywhere;
}

uint32_t ValeRegion::peer_before(uint32_t place, const RegionGeometry& g) const {
  if (place + g.tx_rings > layout_.pools.rings) return kAnywhere;
  // The first transmit ring's peer is the first receive ring there, behind as many transmit rings as there are receive rings here.
  netmap::RingTail tail;
  std::memcpy(&tail, ring(place)->sem, sizeof tail);
  const uint64_t peer = layout_.ring(place) + static_cast<uint64_t>(tail.peer);
  if (tail.peer == 0 || peer < layout_.rings || peer >= layout_.buffers || (peer - layout_.rings) % layout_.pools.ring_bytes != 0)
    return kAnywhere;
  const uint64_t number = (peer - layout_.rings) / layout_.pools.ring_bytes;
  return number >= g.rx_rings ? static_cast<uint32_t>(number) - g.rx_rings : kAnywhere;
}

// --- the client's side -------------------------------------------------------------------------------------------------------

Status ClientMemory::map(int fd, uint64_t bytes, std::unique_ptr<ClientMemory>* memory) {
  struct stat info;
  if (fstat(fd, &info) != 0 || bytes < sizeof(netmap::If) || static_cast<uint64_t>(info.st_size) != bytes)
    return Status(Code::kPort, "the daemon's memory has not the size that it says");
  uint8_t* mapped;
  if (Status status = map_aligned(fd, bytes, &mapped); !status.ok()) return status;
  memory->reset(new ClientMemory(mapped, bytes));
  return {};
}

ClientMemory::~ClientMemory() { munmap(memory_, bytes_); }

}  // namespace paste
