#include "core/switch/tap_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <string>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace paste {
namespace {

using namespace live_tap;

Status no_memory(const char* what) { return {Code::kResource, std::string("no memory for a tap (") + what + ": " + std::strerror(errno) + ")"}; }

}  // namespace

Status TapMemory::create(uint32_t threads, uint32_t ring_bytes, std::unique_ptr<TapMemory>* memory) {
  if (!std::has_single_bit(ring_bytes) || ring_bytes < kRingBytesMin || uint64_t{ring_bytes} * threads > kTapBytesMax)
    return {Code::kUsage, "a tap's ring has a power of two of bytes from " + std::to_string(kRingBytesMin) + " to " +
                              std::to_string(std::bit_floor(kTapBytesMax / threads)) + ", not " + std::to_string(ring_bytes)};
  std::unique_ptr<TapMemory> made(new TapMemory);
  made->size_bytes_ = memory_bytes(threads, ring_bytes);
  if (!made->file_.make("paste-switch-tap")) return no_memory("memfd_create");
  // Taken before it is touched: no page, no SIGBUS.
  if (fallocate(made->file_.fd(), 0, 0, static_cast<off_t>(made->size_bytes_)) != 0) return no_memory("fallocate");
  void* mapped = mmap(nullptr, made->size_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, made->file_.fd(), 0);
  if (mapped == MAP_FAILED) return no_memory("mmap");
  made->memory_ = static_cast<uint8_t*>(mapped);
  // From here on nobody can write it but through the mapping above.
  if (fcntl(made->file_.fd(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0)
    return {Code::kResource, std::string("a tap's memory cannot be sealed against writing (") + std::strerror(errno) +
                                 "): that needs Linux 5.1"};
  const Head head = {kMagic, kVersion, threads, ring_bytes, 0, 0};
  std::memcpy(made->memory_, &head, sizeof head);
  for (uint32_t thread = 0; thread < threads; thread++) {
    uint8_t* at = made->memory_ + ring_head_at(thread, ring_bytes);
    made->rings_.emplace_back(reinterpret_cast<RingHead*>(at), at + kPage, ring_bytes);
  }
  *memory = std::move(made);
  return {};
}

TapMemory::~TapMemory() { unmap(); }

void TapMemory::unmap() {
  if (memory_ != nullptr) munmap(memory_, size_bytes_);
  memory_ = nullptr;
  rings_.clear();
}

void TapMemory::add_name(uint32_t id, std::string_view name) {
  auto* head = reinterpret_cast<Head*>(memory_);
  Name entry = {id, {}};
  std::memcpy(entry.text, name.data(), std::min<size_t>(name.size(), kNameBytes - 1));
  std::memcpy(memory_ + kPage + head->names % kNames * sizeof entry, &entry, sizeof entry);
  __atomic_store_n(&head->names, head->names + 1, __ATOMIC_RELEASE);
}

}  // namespace paste
