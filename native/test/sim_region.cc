#include "test/sim_region.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace paste::test {
namespace {

constexpr uint64_t kPage = 4096;

}  // namespace

SimRegion::SimRegion(SimMemory& memory, bool disk, SimObserver observer)
    : memory_(memory), disk_(disk), observer_(std::move(observer)) {}

std::shared_ptr<SimRegion::Window> SimRegion::window_of(const void* address) const {
  const auto* at = static_cast<const uint8_t*>(address);
  for (const auto& [offset, window] : windows_)
    if (at >= window->memory.get() && at < window->memory.get() + window->size) return window;
  return nullptr;
}

uint64_t SimRegion::offset_of(const void* address) const {
  if (!disk_) return memory_.offset_of(address);
  const auto window = window_of(address);
  PASTE_CHECK(window != nullptr);  // on a disk nobody may store through the mapping
  return window->offset + static_cast<uint64_t>(static_cast<const uint8_t*>(address) - window->memory.get());
}

uint8_t* SimRegion::open_window(uint64_t offset, uint64_t size_bytes) {
  auto window = std::make_shared<Window>();
  window->offset = offset;
  window->size = (size_bytes + kPage - 1) / kPage * kPage;
  window->memory = {static_cast<uint8_t*>(std::aligned_alloc(kPage, window->size)), std::free};
  std::memset(window->memory.get(), 0, window->size);
  for (const auto& [other, open] : windows_)
    PASTE_CHECK(other + open->size <= offset || offset + window->size <= other);
  return (windows_[offset] = std::move(window))->memory.get();
}

uint8_t* SimRegion::writable_head(uint64_t extent_bytes) {
  if (!disk_) return memory_.base();
  if (!windows_.contains(0)) std::memcpy(open_window(0, extent_bytes), memory_.base(), extent_bytes);
  return windows_.at(0)->memory.get();
}

uint8_t* SimRegion::acquire_staging(uint64_t offset, uint32_t size_bytes) {
  PASTE_CHECK(offset <= this->size_bytes() && size_bytes <= this->size_bytes() - offset);
  return disk_ ? open_window(offset, size_bytes) : memory_.base() + offset;
}

void SimRegion::release_staging(uint64_t offset) {
  if (disk_) windows_.erase(offset);
}

void SimRegion::publish(uint64_t offset, uint32_t size_bytes) {
  if (disk_) memory_.store(offset, windows_.at(0)->memory.get() + offset, size_bytes);
}

void SimRegion::SimDomain::store(void* to, const void* from, size_t size_bytes) {
  if (region_.disk_)
    std::memcpy(to, from, size_bytes);
  else
    region_.memory_.store(region_.memory_.offset_of(to), from, size_bytes);
}

void SimRegion::SimDomain::store64(void* to, uint64_t value) {
  if (region_.disk_) {
    __atomic_store_n(static_cast<uint64_t*>(to), value, __ATOMIC_RELEASE);
  } else {
    region_.memory_.store64(region_.memory_.offset_of(to), value);
  }
}

void SimRegion::SimDomain::stream(void* to, const void* from, size_t lines) {
  PASTE_CHECK(reinterpret_cast<uintptr_t>(to) % 64 == 0 && reinterpret_cast<uintptr_t>(from) % 64 == 0);
  store(to, from, lines * 64);
  const uint64_t offset = region_.offset_of(to);
  if (!region_.disk_) region_.memory_.flush(offset, lines * 64);
  if (region_.observer_.streamed) region_.observer_.streamed(offset, static_cast<const uint8_t*>(from), lines);
}

void SimRegion::SimDomain::flush(const void* from, size_t size_bytes) {
  if (!region_.disk_) return region_.memory_.flush(region_.memory_.offset_of(from), size_bytes);
  if (size_bytes == 0) return;
  const uint64_t offset = region_.offset_of(from);
  const uint32_t part = 1u << static_cast<uint32_t>(region_.memory_.part_at(offset));
  if ((region_.memory_.faults.drop_flushes & part) != 0) return;
  const uint64_t end = (offset + size_bytes + kPage - 1) / kPage * kPage;
  region_.dirty_.push_back({offset / kPage * kPage, region_.window_of(from), end});
}

void SimRegion::SimDomain::fence() {
  if (region_.disk_) return;
  if (region_.observer_.before_fence) region_.observer_.before_fence();
  region_.memory_.fence();
}

Status SimRegion::SimDomain::sync() {
  if (region_.disk_) {
    for (const Dirty& range : region_.dirty_) {
      const uint64_t end = std::min(range.end, range.window->offset + range.window->size);
      const uint8_t* const from = range.window->memory.get() + (range.start - range.window->offset);
      region_.memory_.store(range.start, from, end - range.start);
    }
    if (region_.dirty_.empty()) return {};
  }
  if (region_.observer_.before_fence) region_.observer_.before_fence();
  for (const Dirty& range : region_.dirty_) {
    const uint64_t end = std::min(range.end, range.window->offset + range.window->size);
    region_.memory_.flush(range.start, end - range.start);
  }
  region_.dirty_.clear();
  region_.memory_.fence();
  return {};
}

}  // namespace paste::test
