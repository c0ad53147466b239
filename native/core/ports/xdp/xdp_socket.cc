#include "core/ports/xdp/xdp_socket.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/ports/frame.h"

namespace paste {

XdpSocket::~XdpSocket() {
  for (XdpRing* ring : {&rx, &tx, &fill, &completion})
    if (ring->mapping != nullptr) munmap(ring->mapping, ring->mapping_bytes);
  if (fd_ >= 0) close(fd_);
}

Status XdpSocket::make_rings() {
  const uint32_t entries = kXdpRingEntries;
  for (const int option : {xdp::kUmemFillRing, xdp::kUmemCompletionRing, xdp::kRxRing, xdp::kTxRing})
    if (setsockopt(fd_, xdp::kSocketLevel, option, &entries, sizeof entries) != 0)
      return {Code::kResource, "no ring of " + std::to_string(entries) + " entries: " + std::strerror(errno)};
  const uint32_t budget = kBatchFrames;
  if (setsockopt(fd_, xdp::kSocketLevel, xdp::kMaxTxBudget, &budget, sizeof budget) == 0) transmit_budget_ = budget;
  xdp::MmapOffsets offsets = {};
  socklen_t size = sizeof offsets;
  if (getsockopt(fd_, xdp::kSocketLevel, xdp::kMmapOffsets, &offsets, &size) != 0 || size != sizeof offsets)
    return {Code::kPort, "this kernel's AF_XDP is older than Linux 5.4, which is needed"};
  Status status = map_ring(&rx, offsets.rx, xdp::kRxOffset, sizeof(xdp::Descriptor));
  if (status.ok()) status = map_ring(&tx, offsets.tx, xdp::kTxOffset, sizeof(xdp::Descriptor));
  if (status.ok()) status = map_ring(&fill, offsets.fill, xdp::kFillOffset, sizeof(uint64_t));
  if (status.ok()) status = map_ring(&completion, offsets.completion, xdp::kCompletionOffset, sizeof(uint64_t));
  return status;
}

Status XdpSocket::map_ring(XdpRing* ring, const xdp::RingOffsets& offsets, int64_t place, size_t entry_bytes) {
  ring->mapping_bytes = offsets.descriptors + kXdpRingEntries * entry_bytes;
  void* memory = mmap(nullptr, ring->mapping_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, place);
  if (memory == MAP_FAILED) return {Code::kResource, std::string("a ring cannot be mapped: ") + std::strerror(errno)};
  uint8_t* base = static_cast<uint8_t*>(memory);
  ring->mapping = memory;
  ring->producer = reinterpret_cast<uint32_t*>(base + offsets.producer);
  ring->consumer = reinterpret_cast<uint32_t*>(base + offsets.consumer);
  ring->flags = reinterpret_cast<uint32_t*>(base + offsets.flags);
  ring->entries = base + offsets.descriptors;
  return {};
}

}  // namespace paste
