// Names, numbers and sizes of vale ports: what is allowed, and how a region is laid out.
#include <algorithm>

#include "core/ports/vale/vale_region.h"

namespace paste {

namespace {

constexpr uint64_t kPage = 4096;
// What a private region has besides its port: attachments, and rings for four pipes.
constexpr uint32_t kSpareInterfaces = 31;
constexpr uint32_t kSpareRings = 16;
constexpr uint32_t kSpareBuffers = 16 * 1024;

constexpr uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

bool name_part(std::string_view part) {
  for (const char c : part)
    if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_')) return false;
  return part.size() < 16;
}

}  // namespace

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

RegionPools RegionPools::of_port(const RegionGeometry& g) {
  const uint64_t ring_bytes = sizeof(netmap::Ring) + sizeof(netmap::Slot) * uint64_t{std::max(g.tx_slots, g.rx_slots)};
  return {1, g.tx_rings + g.rx_rings, static_cast<uint32_t>(round_up(ring_bytes, kPage)),
          netmap::kReservedBuffers + g.buffers(), g.buffer_bytes};
}

RegionPools RegionPools::with_room(const RegionGeometry& g, uint32_t extra_buffers) {
  RegionPools pools = of_port(g);
  const RegionPools least = pools;
  pools.interfaces += kSpareInterfaces;
  pools.rings += kSpareRings;
  const uint64_t fixed = RegionLayout({pools.interfaces, pools.rings, pools.ring_bytes, 0, g.buffer_bytes}).bytes + kPage;
  if (fixed >= kPrivateBytesMax) return least;
  const uint64_t most = (kPrivateBytesMax - fixed) / g.buffer_bytes;
  const uint64_t wanted = uint64_t{least.buffers} + extra_buffers + kSpareBuffers;
  pools.buffers = static_cast<uint32_t>(std::max<uint64_t>(least.buffers, std::min(wanted, most)));
  return pools;
}

RegionPools RegionPools::global() { return {100, 200, 36864, 163840, 2048}; }

RegionLayout::RegionLayout(const RegionPools& p) : pools(p) {
  rings = round_up(uint64_t{p.interfaces} * kInterfaceBytes, kPage);
  buffers = rings + uint64_t{p.rings} * p.ring_bytes;
  sync = round_up(buffers + uint64_t{p.buffers} * p.buffer_bytes, kPage);
  bytes = round_up(sync + sizeof(netmap::RingSync) * p.rings, kPage) + kPage;  // the stamp's
}

}  // namespace paste
