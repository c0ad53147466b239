#include "core/tree/file.h"

#include <sys/random.h>

#include <cstring>

#include "core/base/crc32c.h"
#include "core/base/system_time.h"

namespace paste::tree {
namespace {

std::string number(uint64_t value) { return std::to_string(value); }

uint32_t superblock_crc(const Superblock& s) { return crc32c(0, &s, offsetof(Superblock, crc)); }

// What a copy turned out to be, from the least to the most promising: the best one names the refusal.
enum class Copy { kForeign, kNewer, kDamaged, kMisshapen, kValid };

Copy examine_copy(const Superblock& s, uint64_t region_bytes, const std::string& path, Status* status) {
  if (s.magic != kMagic) {
    *status = {Code::kStore, path + " is no tree (its first bytes are foreign): name another file, or create one"};
    return Copy::kForeign;
  }
  if (s.version != kVersion) {
    *status = {Code::kStore, path + " has tree format " + number(s.version) + ", this program reads format " + number(kVersion) +
                                 ": use the version that made it"};
    return Copy::kNewer;
  }
  if (s.crc != superblock_crc(s)) {
    *status = {Code::kStore, path + ": both copies of the tree's superblock are damaged (checksum): it cannot be opened"};
    return Copy::kDamaged;
  }
  if (s.page_bytes != kPageBytes || s.page_count < kPagesMin || s.page_count > kPagesMax ||
      uint64_t{s.page_count} * kPageBytes > s.region_bytes) {
    *status = {Code::kStore, path + ": the tree's geometry is impossible (" + number(s.page_count) + " pages of " +
                                 number(s.page_bytes) + " bytes in " + number(s.region_bytes) + ")"};
    return Copy::kMisshapen;
  }
  if (s.region_bytes != region_bytes) {
    *status = {Code::kStore, path + (s.region_bytes > region_bytes ? " is truncated" : " is longer than the tree in it") +
                                 ": the tree has " + number(s.region_bytes) + " bytes, the file " + number(region_bytes) +
                                 "; restore it from a copy"};
    return Copy::kMisshapen;
  }
  return Copy::kValid;
}

uint32_t seed_of(const Superblock& s) {
  uint32_t seed;
  std::memcpy(&seed, s.uuid, sizeof seed);
  return seed;
}

}  // namespace

uint32_t root_crc(const Root& root, uint32_t seed) { return crc32c(seed, &root, offsetof(Root, crc)); }

Status File::check_size(const std::string& path, uint64_t size_bytes) {
  const uint64_t least = uint64_t{kPagesMin} * kPageBytes, most = uint64_t{kPagesMax} * kPageBytes;
  if (size_bytes >= least && size_bytes <= most) return {};
  return {Code::kUsage, path + ": " + number(size_bytes) + " bytes are no size for a tree: at least " + number(least) + ", at most " +
                            number(most)};
}

Status File::create(Region& region) {
  Superblock fresh{};
  fresh.magic = kMagic;
  fresh.version = kVersion;
  fresh.page_bytes = kPageBytes;
  fresh.region_bytes = region.size_bytes();
  if (Status status = check_size(region.path(), fresh.region_bytes); !status.ok()) return status;
  fresh.page_count = static_cast<uint32_t>(fresh.region_bytes / kPageBytes);
  if (getrandom(fresh.uuid, sizeof fresh.uuid, 0) != static_cast<ssize_t>(sizeof fresh.uuid))
    return {Code::kResource, "the system gives no random bytes for the tree's uuid"};
  fresh.uuid[6] = static_cast<uint8_t>((fresh.uuid[6] & 0x0f) | 0x40);  // RFC 9562: version 4,
  fresh.uuid[8] = static_cast<uint8_t>((fresh.uuid[8] & 0x3f) | 0x80);  // variant 10
  fresh.created_ns = wall_ns();
  fresh.crc = superblock_crc(fresh);
  Root empty{};
  empty.generation = 1;
  empty.committed_ns = fresh.created_ns;
  empty.crc = root_crc(empty, seed_of(fresh));

  Domain& domain = region.domain();
  uint8_t* const head = region.writable_head(uint64_t{kFirstPage} * kPageBytes);
  // The root first: a superblock that says "a tree" stands on one. The other root's place is cleared of a former life.
  const Root none{};
  domain.store(head + kRootPage * uint64_t{kPageBytes}, &none, sizeof none);
  domain.store(head + (kRootPage + 1) * uint64_t{kPageBytes}, &empty, sizeof empty);
  domain.flush(head + kRootPage * uint64_t{kPageBytes}, 2 * kPageBytes);
  domain.store64(head + kLivePage * uint64_t{kPageBytes}, 0);
  domain.flush(head + kLivePage * uint64_t{kPageBytes}, sizeof(LivePage));
  domain.fence();
  if (Status status = domain.sync(); !status.ok()) return status;
  for (uint64_t copy = 0; copy < 2; ++copy) {
    domain.store(head + copy * kPageBytes, &fresh, sizeof fresh);
    domain.flush(head + copy * kPageBytes, sizeof fresh);
  }
  domain.fence();
  return domain.sync();
}

Status File::open(Region& region, std::unique_ptr<File>* file) {
  if (region.size_bytes() < uint64_t{kPagesMin} * kPageBytes)
    return {Code::kStore, region.path() + " is no tree: it has only " + number(region.size_bytes()) + " bytes"};
  std::unique_ptr<File> opened(new File(region));
  Copy best = Copy::kForeign;
  Status refusal;
  for (uint64_t at = 0; at < 2; ++at) {
    Superblock copy;
    std::memcpy(&copy, region.base() + at * kPageBytes, sizeof copy);
    Status status;
    const Copy found = examine_copy(copy, region.size_bytes(), region.path(), &status);
    if (found == Copy::kValid && best != Copy::kValid) opened->superblock_ = copy;
    if (refusal.ok() || found > best) refusal = std::move(status);
    if (found > best) best = found;
  }
  if (best != Copy::kValid) return refusal;
  opened->seed_ = seed_of(opened->superblock_);
  opened->seen_.reset(static_cast<uint32_t*>(std::calloc(opened->page_count(), sizeof(uint32_t))));
  if (!opened->seen_) return {Code::kResource, region.path() + ": no memory for a word for each of the tree's pages"};
  Root root;
  if (Status status = opened->read_root(&root); !status.ok()) return status;
  *file = std::move(opened);
  return {};
}

Status File::read_root(Root* root) const {
  // A record may be replaced while it is copied, but only the older one of the two is, and the newer one is whole; twice in a row
  // only when two commits pass in between, and then a second look finds the newer ones.
  for (int attempt = 0; attempt < 100; ++attempt) {
    bool any = false;
    for (uint32_t at = 0; at < 2; ++at) {
      Root copy;
      std::memcpy(&copy, address(kRootPage + at), sizeof copy);
      if (copy.generation == 0 || (copy.generation & 1) != at || copy.crc != root_crc(copy, seed_)) continue;
      if (!any || copy.generation > root->generation) *root = copy;
      any = true;
    }
    if (!any) continue;
    if (root->height > kHeightMax || root->pages > page_count() || (root->height == 0) != (root->entries == 0))
      return {Code::kStore, path() + ": the root of generation " + number(root->generation) + " is impossible (height " +
                                number(root->height) + ", " + number(root->pages) + " pages, " + number(root->entries) + " entries)"};
    return {};
  }
  return {Code::kStore, path() + ": both roots of the tree are damaged (pages " + number(kRootPage) + " and " +
                            number(kRootPage + 1) + ")"};
}

bool File::fail(uint32_t page, const std::string& what) {
  problem_ = {Code::kStore, path() + ": page " + number(page) + " at byte " + number(uint64_t{page} * kPageBytes) +
                                " is damaged: " + what + "; restore the tree from a copy or from what it was made of"};
  return false;
}

bool File::in_range(Ref ref) {
  if (ref.page >= kFirstPage && ref.page < page_count()) return true;
  problem_ = {Code::kStore, path() + ": a child or root is said to be in page " + number(ref.page) + " of " + number(page_count())};
  return false;
}

bool File::examine(Ref ref, uint32_t level, const uint8_t* bytes) {
  if (!in_range(ref)) return false;
  // A copy of our own: what was summed is what is looked at.
  alignas(64) uint8_t copy[kPageBytes];
  std::memcpy(copy, bytes, sizeof copy);
  const PageView view(copy);
  const std::string what = view.problem(ref.page, ref.generation, seed_);
  if (!what.empty()) return fail(ref.page, what);
  if (view.level() != level) return wrong_level(ref, level);
  seen_[ref.page] = ref.generation + 1;
  return true;
}

bool File::wrong_level(Ref ref, uint32_t level) {
  return fail(ref.page, "it is not of level " + number(level) + ", as its parent has it");
}

}  // namespace paste::tree
