#include "test/sim_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/base/status.h"
#include "core/store/layout.h"

namespace paste::test {
namespace {

constexpr uint32_t kWords = 8;  // of a line

bool in(uint32_t mask, Part part) { return (mask >> static_cast<uint32_t>(part) & 1) != 0; }

}  // namespace

SimMemory::SimMemory(const std::vector<uint8_t>& contents, uint64_t blocks_offset)
    : size_(contents.size()),
      blocks_offset_(blocks_offset),
      now_(static_cast<uint8_t*>(std::aligned_alloc(4096, (contents.size() + 4095) / 4096 * 4096)), std::free),
      tracked_(contents),
      persistent_(contents),
      index_((contents.size() + 63) / 64, 0) {
  PASTE_CHECK(size_ % 64 == 0 && now_ != nullptr);
  std::memcpy(now_.get(), contents.data(), size_);
}

bool SimMemory::contains(const void* address) const {
  const auto* at = static_cast<const uint8_t*>(address);
  return at >= now_.get() && at < now_.get() + size_;
}

uint64_t SimMemory::offset_of(const void* address) const {
  PASTE_CHECK(contains(address));
  return static_cast<uint64_t>(static_cast<const uint8_t*>(address) - now_.get());
}

Part SimMemory::part_at(uint64_t offset) const {
  if (offset < layout::kLiveOffset) return Part::kSuperblock;
  if (offset < layout::kDirectoryOffset) return Part::kLive;
  if (offset >= blocks_offset_) return Part::kBlock;
  const uint64_t within = (offset - layout::kDirectoryOffset) % sizeof(layout::DirectoryEntry);
  if (within < 8) return Part::kWord;
  if (within < 16) return Part::kHeld;
  return within < offsetof(layout::DirectoryEntry, first_sequence) ? Part::kEntry : Part::kSeal;
}

void SimMemory::note(uint32_t line) {
  if (part_at(uint64_t{line} * 64) == Part::kLive) return;
  if (index_[line] == 0) {
    pending_.emplace_back();
    pending_.back().line = line;
    index_[line] = static_cast<uint32_t>(pending_.size());
  }
  Line version;
  std::memcpy(version.data(), tracked_.data() + uint64_t{line} * 64, 64);
  pending_[index_[line] - 1].versions.push_back(version);
}

void SimMemory::changed(uint64_t offset, uint64_t size_bytes) {
  for (uint64_t line = offset / 64; line * 64 < offset + size_bytes; ++line) note(static_cast<uint32_t>(line));
}

void SimMemory::store(uint64_t offset, const void* from, uint64_t size_bytes) {
  PASTE_CHECK(offset <= size_ && size_bytes <= size_ - offset);
  std::memcpy(now_.get() + offset, from, size_bytes);
  std::memcpy(tracked_.data() + offset, from, size_bytes);
  changed(offset, size_bytes);
}

void SimMemory::store64(uint64_t offset, uint64_t value) {
  PASTE_CHECK(offset % 8 == 0 && offset + 8 <= size_);
  __atomic_store_n(reinterpret_cast<uint64_t*>(now_.get() + offset), value, __ATOMIC_RELEASE);
  std::memcpy(tracked_.data() + offset, &value, sizeof value);
  changed(offset, sizeof value);
}

void SimMemory::flush(uint64_t offset, uint64_t size_bytes) {
  PASTE_CHECK(offset <= size_ && size_bytes <= size_ - offset);
  if (in(faults.drop_flushes, part_at(offset))) return;
  for (uint64_t line = offset / 64; line * 64 < offset + size_bytes; ++line) {
    if (index_[line] == 0) continue;
    Pending& pending = pending_[index_[line] - 1];
    pending.flushed = static_cast<int32_t>(pending.versions.size()) - 1;
  }
}

void SimMemory::fence() {
  ++fences_;
  if (faults.drop_fences != 0)
    for (const Pending& pending : pending_) {
      if (pending.flushed < 0) continue;
      for (uint64_t word = 0; word < kWords; ++word)
        if (in(faults.drop_fences, part_at(uint64_t{pending.line} * 64 + word * 8))) return;
    }
  for (size_t i = 0; i < pending_.size();) {
    Pending& pending = pending_[i];
    if (pending.flushed < 0) {
      ++i;
      continue;
    }
    const auto count = static_cast<size_t>(pending.flushed) + 1;
    std::memcpy(persistent_.data() + uint64_t{pending.line} * 64, pending.versions[count - 1].data(), 64);
    pending.versions.erase(pending.versions.begin(), pending.versions.begin() + static_cast<ptrdiff_t>(count));
    pending.flushed = -1;
    if (!pending.versions.empty()) {
      ++i;
      continue;
    }
    index_[pending.line] = 0;
    if (i + 1 < pending_.size()) {
      pending = std::move(pending_.back());
      index_[pending.line] = static_cast<uint32_t>(i + 1);
    }
    pending_.pop_back();
  }
}

std::vector<uint8_t> SimMemory::image(Subset subset, std::mt19937_64& random) const {
  std::vector<uint8_t> result = persistent_;
  const size_t chosen = pending_.empty() ? 0 : random() % pending_.size();
  for (size_t i = 0; i < pending_.size(); ++i) {
    const Pending& pending = pending_[i];
    uint8_t* const line = result.data() + uint64_t{pending.line} * 64;
    const size_t versions = pending.versions.size();
    const bool whole = subset == Subset::kAll || (subset == Subset::kAllButOne && i != chosen) ||
                       (subset == Subset::kOnlyOne && i == chosen);
    if (whole) std::memcpy(line, pending.versions.back().data(), 64);
    if (subset == Subset::kLines) {
      const size_t version = random() % (versions + 1);  // 0: not written back since the last fence
      if (version > 0) std::memcpy(line, pending.versions[version - 1].data(), 64);
    }
    if (subset == Subset::kWords)
      for (uint32_t word = 0; word < kWords; ++word) {
        const size_t version = random() % (versions + 1);
        if (version > 0) std::memcpy(line + word * 8, pending.versions[version - 1].data() + word * 8, 8);
      }
  }
  // The live page is written and never flushed: any mixture of its words may be there.
  for (uint64_t at = layout::kLiveOffset; at < layout::kDirectoryOffset; at += 8)
    if (subset == Subset::kAll || (subset != Subset::kNone && random() % 2 == 0))
      std::memcpy(&result[at], now_.get() + at, 8);
  return result;
}

void SimMemory::written(uint64_t offset, uint64_t size_bytes) {
  PASTE_CHECK(offset <= size_ && size_bytes <= size_ - offset);
  std::memcpy(tracked_.data() + offset, now_.get() + offset, size_bytes);
  changed(offset, size_bytes);
}

uint64_t SimMemory::untracked() const {
  for (uint64_t line = 0; line < size_; line += 64)
    if (part_at(line) != Part::kLive && std::memcmp(now_.get() + line, tracked_.data() + line, 64) != 0) return line;
  return ~0ull;
}

}  // namespace paste::test
