// The file's side of a writer: opening, and the order of a commit.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/base/system_time.h"
#include "core/tree/tree.h"

namespace paste::tree {
namespace {

constexpr uint32_t kRunPages = 256;           // written at once, at most
constexpr uint32_t kRunsUnsynced = 1024;      // so that a disk domain's list of what to write stays short
constexpr uint32_t kChunkPages = 256;         // populated at once

Status reserve_head(Region& region) {
  if (region.populate(0, uint64_t{kFirstPage} * kPageBytes)) return {};
  return {Code::kResource, region.path() + ": the " + region.file_system() + " has no space for the tree's first pages: make room, or "
                                                                             "name another place"};
}

}  // namespace

Status Tree::create(const std::string& path, const CreateOptions& options) {
  Region::CreateOptions region_options;
  region_options.size_bytes = options.size_bytes;
  region_options.sparse = options.sparse;
  region_options.mode = options.mode;
  region_options.replace = options.replace;
  if (options.size_bytes > 0)
    if (Status status = File::check_size(path, options.size_bytes); !status.ok()) return status;
  region_options.size_bytes = (options.size_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  struct stat there;
  const bool device = stat(path.c_str(), &there) == 0 && S_ISCHR(there.st_mode);
  if (Status status = Region::create(path, region_options); !status.ok()) return status;
  std::unique_ptr<Region> region;
  Status status = Region::open(path, Region::Access::kWrite, &region);
  if (status.ok()) status = reserve_head(*region);
  if (status.ok()) status = File::create(*region);
  if (!status.ok() && !device) unlink(path.c_str());  // half a tree is none
  return status;
}

Status Tree::open(const std::string& path, std::unique_ptr<Tree>* tree) {
  std::unique_ptr<Region> region;
  if (Status status = Region::open(path, Region::Access::kWrite, &region); !status.ok()) return status;
  return open_region(std::move(region), tree);
}

Status Tree::open_region(std::unique_ptr<Region> region, std::unique_ptr<Tree>* tree) {
  std::unique_ptr<Tree> opened(new Tree(std::move(region)));
  if (Status status = File::open(*opened->region_, &opened->file_); !status.ok()) return status;
  if (Status status = opened->file_->read_root(&opened->root_); !status.ok()) return status;
  if (Status status = opened->learn_free_pages(); !status.ok()) return status;
  if (Status status = reserve_head(*opened->region_); !status.ok()) return status;
  opened->head_ = opened->region_->writable_head(uint64_t{kFirstPage} * kPageBytes);
  opened->populated_.resize(opened->file_->page_count() / kChunkPages + 1);
  // What was freed before counts as free now: of the snapshots, only the newest is intact for sure.
  opened->raise_oldest(opened->root_.generation);
  opened->abort();
  *tree = std::move(opened);
  return {};
}

Status Tree::mark(Ref ref, uint32_t level, std::vector<bool>* used, uint64_t* pages) {
  if (!file_->in_range(ref)) return file_->problem();
  if ((*used)[ref.page]) return file_->fail(ref.page, "two parents name it"), file_->problem();
  (*used)[ref.page] = true;
  ++*pages;
  if (level == 0) return {};
  if (!file_->check(ref, level)) return file_->problem();
  const PageView page(file_->address(ref.page));
  for (uint32_t i = 0; i <= page.count(); ++i) {
    Ref child;
    if (!page.child(i, &child)) return file_->fail(ref.page, "an entry lies outside of it"), file_->problem();
    if (Status status = mark(child, level - 1, used, pages); !status.ok()) return status;
  }
  return {};
}

Status Tree::learn_free_pages() {
  std::vector<bool> used(file_->page_count());
  uint64_t pages = 0;
  if (root_.height > 0)
    if (Status status = mark(root_.root, root_.height - 1, &used, &pages); !status.ok()) return status;
  if (pages != root_.pages)
    return {Code::kStore, file_->path() + ": the root of generation " + std::to_string(root_.generation) + " counts " +
                              std::to_string(root_.pages) + " pages, and " + std::to_string(pages) +
                              " are there; restore the tree from a copy"};
  std::vector<std::pair<uint32_t, uint32_t>> ranges;
  for (uint32_t page = kFirstPage; page < file_->page_count(); ++page) {
    if (used[page]) continue;
    if (!ranges.empty() && ranges.back().second == page)
      ++ranges.back().second;
    else
      ranges.emplace_back(page, page + 1);
  }
  space_ = Space(std::move(ranges));
  return {};
}

void Tree::abort() {
  for (uint32_t i = 0; i < dirty_.size(); ++i)
    if (dirty_[i].used) recycle({kPagesMax + i, 0});
  // A batch of many pages does not hold its memory for ever.
  if (dirty_.size() > 4096) {
    dirty_.clear();
    spare_.clear();
  }
  freed_.clear();
  top_ = root_.root;
  height_ = root_.height;
  entries_ = root_.entries;
  changed_ = false;
}

// Snapshots below `generation` are overtaken, and readers can see it, before any byte behind this call is stored.
void Tree::raise_oldest(uint64_t generation) {
  if (generation <= oldest_) return;
  oldest_ = generation;
  const uint64_t offset = uint64_t{kLivePage} * kPageBytes;
  region_->domain().store64(head_ + offset, generation);
  region_->publish(offset, sizeof(LivePage));
  region_->domain().fence();
}

Status Tree::populate(const std::vector<uint32_t>& pages) {
  for (const uint32_t page : pages) {
    const uint32_t chunk = page / kChunkPages;
    if (populated_[chunk]) continue;
    const uint64_t offset = uint64_t{chunk} * kChunkPages * kPageBytes;
    const uint64_t bytes = std::min<uint64_t>(uint64_t{kChunkPages} * kPageBytes, region_->size_bytes() - offset);
    if (!region_->populate(offset, bytes))
      return {Code::kResource, file_->path() + ": the file system has no space for " + std::to_string(bytes) +
                                   " bytes at byte " + std::to_string(offset) + " of the sparse tree: make room"};
    populated_[chunk] = true;
  }
  return {};
}

// Pages behind each other, on their way to the medium; durable with the next fence and sync.
Status Tree::write_run(const uint8_t* const* from, uint32_t first, uint32_t count) {
  Domain& domain = region_->domain();
  const uint64_t offset = uint64_t{first} * kPageBytes;
  uint8_t* const to = region_->acquire_staging(offset, count * kPageBytes);
  for (uint32_t i = 0; i < count; ++i) domain.stream(to + i * kPageBytes, from[i], kPageBytes / 64);
  if (!domain.immediate()) domain.flush(to, uint64_t{count} * kPageBytes);
  region_->release_staging(offset);
  if (domain.immediate() || ++unsynced_ < kRunsUnsynced) return {};
  unsynced_ = 0;
  return domain.sync();
}

// First everything that the root will reach, then the root: each durable before the next is stored.
Status Tree::publish(Root root) {
  Domain& domain = region_->domain();
  domain.fence();
  Status status = domain.immediate() ? Status{} : domain.sync();
  if (!status.ok()) return failed_ = status;
  unsynced_ = 0;
  root.generation = root_.generation + 1;
  root.committed_ns = wall_ns();
  root.crc = root_crc(root, file_->seed());
  uint8_t* const to = head_ + (kRootPage + (root.generation & 1)) * uint64_t{kPageBytes};
  domain.store(to, &root, sizeof root);
  domain.flush(to, sizeof root);
  domain.fence();
  status = domain.immediate() ? Status{} : domain.sync();
  if (!status.ok()) return failed_ = status;
  root_ = root;
  return {};
}

// The pages of the batch get their places and checksums; parents learn the places.
uint64_t Tree::seal_dirty(const std::vector<uint32_t>& pages, uint64_t generation) {
  std::vector<uint32_t> place(dirty_.size());
  uint32_t next = 0;
  for (uint32_t i = 0; i < dirty_.size(); ++i)
    if (dirty_[i].used) place[i] = pages[next++];
  const auto settled = [&](Ref ref) {
    return Ref{place[ref.page - kPagesMax], static_cast<uint32_t>(generation)};
  };
  for (uint32_t i = 0; i < dirty_.size(); ++i) {
    if (!dirty_[i].used) continue;
    Page page(dirty_[i].bytes.get());
    const uint32_t children = page.level() > 0 ? page.count() + 1 : 0;
    for (uint32_t child = 0; child < children; ++child)
      if (const Ref ref = page.child_at(child); is_dirty(ref)) page.set_child(child, settled(ref));
    page.seal(place[i], generation, file_->seed());
  }
  if (is_dirty(top_)) top_ = settled(top_);
  return next;
}

Status Tree::commit() {
  if (Status status = usable(); !status.ok()) return status;
  if (!changed_) return {};
  std::vector<uint32_t> pages;
  const uint64_t intact_from = space_.take(dirty_count_, root_.generation, &pages);
  if (Status status = populate(pages); !status.ok()) return space_.give_back(pages), raise_oldest(intact_from), status;
  raise_oldest(intact_from);
  const uint64_t generation = root_.generation + 1;
  seal_dirty(pages, generation);
  std::vector<const uint8_t*> run;
  uint32_t next = 0;
  for (const Dirty& dirty : dirty_) {
    if (!dirty.used) continue;
    run.push_back(dirty.bytes.get());
    ++next;
    if (next < pages.size() && pages[next] == pages[next - 1] + 1 && run.size() < kRunPages) continue;
    const auto count = static_cast<uint32_t>(run.size());
    if (Status status = write_run(run.data(), pages[next - 1] + 1 - count, count); !status.ok()) return failed_ = status;
    run.clear();
  }
  Root root{};
  root.entries = entries_;
  root.root = top_;
  root.height = height_;
  root.pages = root_.pages + dirty_count_ - static_cast<uint32_t>(freed_.size());
  if (Status status = publish(root); !status.ok()) return status;
  for (const uint32_t page : pages) file_->set_seen(page, generation);
  space_.release(generation, std::move(freed_));
  freed_ = {};
  abort();  // an empty batch on the new root
  return {};
}

}  // namespace paste::tree
