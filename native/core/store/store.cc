#include "core/store/store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/base/system_time.h"
#include "core/store/buffer_pool.h"
#include "core/store/indexer.h"
#include "core/store/keeper.h"
#include "core/store/log_lane.h"
#include "core/store/recovery.h"
#include "core/store/superblock.h"

namespace paste {
namespace {

constexpr uint32_t kIndexShare = 16;        // one of so many blocks may hold runs
constexpr uint64_t kSpareBytes = 4u << 20;  // a lane's head start, where the store is large enough

class OpenStore final : public Store {
 public:
  OpenStore(std::unique_ptr<Region> region, const StoreOptions& options, const layout::Superblock& superblock);

  Status begin(const StoreOptions& options, RecoveryReport* report);

  Lane& lane(uint32_t index) override {
    PASTE_CHECK(index < lanes_.size());
    return *lanes_[index];
  }
  BufferPool* buffers() override { return pool_.get(); }
  Region& region() override { return *region_; }
  const layout::Superblock& superblock() const override { return superblock_.current(); }
  uint32_t take_id() override { return superblock_.take_id(); }
  uint32_t epoch() const override { return superblock_.current().epoch; }
  StoreCounters counters() const override;
  uint64_t trim(uint64_t sequence) override { return keeper_->trim(sequence); }
  void keeper_round() override { keeper_->round(); }
  void index_round(bool all) override {
    if (indexer_ != nullptr) indexer_->round(all);
  }
  Status close() override;

 private:
  void init_live_page(uint64_t next_sequence);
  void make_lanes(const StoreOptions& options);
  void boot(const StoreOptions& options, uint64_t previous_last_sequence);

  std::unique_ptr<Region> region_;
  uint8_t* const head_;
  SuperblockWriter superblock_;
  Directory directory_;
  KeeperBell bell_;
  uint64_t disk_sequence_ = 0;          // the sequence counter where the live page is only a copy
  uint64_t* sequence_counter_;
  std::vector<LaneLink> links_;
  std::unique_ptr<StoreBufferPool> pool_;
  IndexSpace index_;
  std::vector<std::unique_ptr<LogLane>> lanes_;
  std::unique_ptr<Keeper> keeper_;      // its thread ends before what it works on
  std::unique_ptr<Indexer> indexer_;    // null: off, or the store is too small; last, as it waits for the keeper
  uint32_t index_close_ms_ = 0;
};

OpenStore::OpenStore(std::unique_ptr<Region> region, const StoreOptions& options, const layout::Superblock& superblock)
    : region_(std::move(region)),
      head_(region_->writable_head(superblock.blocks_offset)),
      superblock_(region_->domain(), head_, superblock),
      directory_(*region_, head_, superblock_.current()),
      sequence_counter_(region_->domain().immediate() ? &directory_.live().next_sequence : &disk_sequence_),
      links_(options.lanes),
      index_(*region_, directory_, directory_.count() / kIndexShare) {}

// The superblock is written before anything else changes: whatever happens from here on, no number seen so far is given again.
Status OpenStore::begin(const StoreOptions& options, RecoveryReport* report) {
  const RecoveryPlan plan = plan_recovery({region_->base(), &superblock_.current()}, false);
  if (report != nullptr) *report = plan.report;
  if (Status status = superblock_.open_epoch(options.lanes, plan.next_sequence, plan.next_serial, superblock_.current().next_id);
      !status.ok())
    return status;
  if (Status status = apply_recovery(plan, directory_, region_->domain()); !status.ok()) return status;
  init_live_page(plan.next_sequence);
  superblock_.count_sequences(sequence_counter_);
  make_lanes(options);
  keeper_->adopt();
  keeper_->round();
  if (options.boot_record) boot(options, plan.report.last_sequence);
  if (keeper_->failed()) return keeper_->failure();
  if (options.index && index_.blocks_max() > 0)
    indexer_ = std::make_unique<Indexer>(IndexerSetup{region_.get(), &directory_, &superblock_.current(), &index_,
                                                      keeper_.get(), &bell_, options.index_tunnels});
  index_close_ms_ = options.index_close_ms;
  if (options.start_keeper) keeper_->start();
  if (options.start_keeper && indexer_ != nullptr) indexer_->start();
  return {};
}

void OpenStore::init_live_page(uint64_t next_sequence) {
  Domain& domain = region_->domain();
  layout::LivePage fresh{};
  fresh.next_sequence = next_sequence;
  fresh.writer_epoch = superblock_.current().epoch;
  fresh.oldest_sequence = 0;
  fresh.heartbeat_ns = wall_ns();
  fresh.writer_pid = static_cast<uint64_t>(getpid());
  for (layout::LiveLane& lane : fresh.lanes) {
    lane.tail = uint64_t{layout::kNoBlock} << 32;
    lane.watermark = layout::kIdle;
  }
  domain.store(head_ + layout::kLiveOffset, &fresh, sizeof fresh);
  disk_sequence_ = next_sequence;
  region_->publish(layout::kLiveOffset, sizeof fresh);
}

void OpenStore::make_lanes(const StoreOptions& options) {
  // A lane's spares: a few MiB, but never more than a sixteenth of the store for all lanes together; yet enough for the longest
  // frame wherever half of the store allows it, as a frame is only begun when all of it has room.
  const uint32_t wanted = std::max<uint32_t>(options.spare_blocks, kSpareBytes / directory_.block_bytes());
  const uint32_t longest = layout::kFrameBytesMax / directory_.block_bytes() + 2;
  const uint32_t fair = std::max({directory_.count() / (16 * options.lanes),
                                  std::min(longest, directory_.count() / (2 * options.lanes)), 1u});
  const uint32_t spares = std::clamp(wanted, 1u, std::min(fair, kSparesMax));
  for (LaneLink& link : links_) link.spare_target = spares;

  const uint32_t log_share = std::max(directory_.count() / 4, options.lanes * (spares + 2));
  if (region_->domain().immediate())
    pool_ = std::make_unique<StoreBufferPool>(*region_, directory_, bell_,
                                              directory_.count() > log_share ? directory_.count() - log_share : 0);
  for (uint32_t lane = 0; lane < options.lanes; ++lane)
    lanes_.push_back(std::make_unique<LogLane>(LaneSetup{region_.get(), &directory_, &directory_.live().lanes[lane],
                                                         sequence_counter_, &links_[lane], &bell_, options.full,
                                                         options.block_timeout_ms, options.keeper_grace_ms,
                                                         options.exact_times}));
  keeper_ = std::make_unique<Keeper>(KeeperSetup{region_.get(), &directory_, &superblock_, pool_.get(), &index_,
                                                 links_.data(), options.lanes, &bell_, options.full, sequence_counter_});
}

// A full store under another policy than overwrite has no room for it: then it counts as lost.
void OpenStore::boot(const StoreOptions& options, uint64_t previous_last_sequence) {
  const layout::BootPayload fixed{epoch(), static_cast<uint32_t>(region_->medium()), previous_last_sequence};
  std::vector<uint8_t> payload(sizeof fixed + options.writer.size());
  std::memcpy(payload.data(), &fixed, sizeof fixed);
  std::memcpy(payload.data() + sizeof fixed, options.writer.data(), options.writer.size());
  LogLane& lane = *lanes_[0];
  if (!lane.append_event(layout::kBoot, wall_ns(), payload)) return;
  lane.commit();
  keeper_->round();
}

StoreCounters OpenStore::counters() const {
  StoreCounters counters;
  keeper_->count(&counters);
  if (indexer_ != nullptr) indexer_->count(&counters);
  counters.next_sequence = __atomic_load_n(sequence_counter_, __ATOMIC_ACQUIRE);
  for (const LaneLink& link : links_) {
    counters.medium_bytes += link.medium_bytes.load(std::memory_order_relaxed);
    counters.frame_bytes += link.frame_bytes.load(std::memory_order_relaxed);
    if (region_->domain().immediate()) counters.commits += link.commits.load(std::memory_order_relaxed);
    counters.durable_sequence = std::max(counters.durable_sequence, link.durable.load(std::memory_order_acquire));
  }
  return counters;
}

Status OpenStore::close() {
  if (indexer_ != nullptr) indexer_->stop();
  keeper_->stop();
  std::vector<SpareBlock> unused;
  for (auto& lane : lanes_) lane->finish(&unused);
  if (indexer_ != nullptr) {
    keeper_->round();
    indexer_->finish(index_close_ms_);
  }
  if (Status status = keeper_->drain(unused); !status.ok()) return status;
  if (Status status = superblock_.mark_clean(); !status.ok()) return status;
  Domain& domain = region_->domain();
  layout::LivePage& live = directory_.live();
  for (layout::LiveLane& lane : live.lanes) domain.store64(&lane.tail, uint64_t{layout::kNoBlock} << 32);
  domain.store64(&live.next_sequence, superblock_.current().next_sequence);
  domain.store64(&live.writer_pid, 0);
  region_->publish(layout::kLiveOffset, sizeof live);
  return {};
}

// Superblocks and directory must have their space before they are written: a file may have holes there.
Status reserve_head(Region& region, uint64_t head_bytes) {
  if (region.populate(0, head_bytes)) return {};
  return {Code::kResource, region.path() + ": " + std::to_string(head_bytes) + " bytes are needed for its directory and the " +
                               region.file_system() + " is full: make room, or move the store"};
}

Status check_options(const StoreOptions& options) {
  if (options.lanes == 0 || options.lanes > layout::kLanesMax)
    return {Code::kUsage, "a store has 1 to " + std::to_string(layout::kLanesMax) + " lanes, not " +
                              std::to_string(options.lanes)};
  return {};
}

}  // namespace

Status Store::create_region(Region& region, const CreateStoreOptions& options) {
  Geometry geometry;
  if (Status status = plan_geometry(region.size_bytes(), options.block_bytes, region.path(), &geometry); !status.ok())
    return status;
  if (Status status = reserve_head(region, geometry.blocks_offset); !status.ok()) return status;
  uint8_t* const head = region.writable_head(geometry.blocks_offset);
  return create_superblock(region.domain(), head, geometry, region.size_bytes(), options.segment_blocks);
}

Status Store::create(const std::string& path, const CreateStoreOptions& options) {
  struct stat there;
  const bool device = stat(path.c_str(), &there) == 0 && S_ISCHR(there.st_mode);
  Geometry geometry;  // refused before a file is made
  if (!device)
    if (Status status = plan_geometry(options.size_bytes, options.block_bytes, path, &geometry); !status.ok()) return status;
  if (Status status = Region::create(path, {options.size_bytes, options.sparse, options.mode}); !status.ok()) return status;
  std::unique_ptr<Region> region;
  Status status = Region::open(path, Region::Access::kWrite, &region);
  if (status.ok()) status = create_region(*region, options);
  if (!status.ok() && !device) unlink(path.c_str());
  return status;
}

Status Store::open_region(std::unique_ptr<Region> region, const StoreOptions& options, std::unique_ptr<Store>* store,
                          RecoveryReport* report) {
  if (Status status = check_options(options); !status.ok()) return status;
  layout::Superblock superblock;
  if (Status status = read_superblock(region->base(), region->size_bytes(), region->path(), &superblock); !status.ok())
    return status;
  if (Status status = reserve_head(*region, superblock.blocks_offset); !status.ok()) return status;
  auto opened = std::make_unique<OpenStore>(std::move(region), options, superblock);
  if (Status status = opened->begin(options, report); !status.ok()) return status;
  *store = std::move(opened);
  return {};
}

Status Store::open(const std::string& path, const StoreOptions& options, std::unique_ptr<Store>* store,
                   RecoveryReport* report) {
  if (Status status = check_options(options); !status.ok()) return status;
  std::unique_ptr<Region> region;
  if (Status status = Region::open(path, Region::Access::kWrite, &region); !status.ok()) return status;
  return open_region(std::move(region), options, store, report);
}

// A dry run maps read-only and takes no lock, so that evidence can be looked at where nothing may be written.
Status Store::recover(const std::string& path, bool dry_run, RecoveryReport* report) {
  std::unique_ptr<Region> region;
  const Region::Access access = dry_run ? Region::Access::kRead : Region::Access::kWrite;
  if (Status status = Region::open(path, access, &region); !status.ok()) return status;
  return recover_region(*region, dry_run, report);
}

Status Store::recover_region(Region& region, bool dry_run, RecoveryReport* report) {
  layout::Superblock superblock;
  if (Status status = read_superblock(region.base(), region.size_bytes(), region.path(), &superblock); !status.ok())
    return status;
  const RecoveryPlan plan = plan_recovery({region.base(), &superblock}, true);
  *report = plan.report;
  if (dry_run || (plan.report.was_clean && plan.changes_nothing())) return {};

  if (Status status = reserve_head(region, superblock.blocks_offset); !status.ok()) return status;
  uint8_t* const head = region.writable_head(superblock.blocks_offset);
  SuperblockWriter writer(region.domain(), head, superblock);
  Directory directory(region, head, writer.current());
  if (Status status = writer.open_epoch(superblock.lane_count, plan.next_sequence, plan.next_serial, superblock.next_id);
      !status.ok())
    return status;
  if (Status status = apply_recovery(plan, directory, region.domain()); !status.ok()) return status;
  return writer.mark_clean();
}

Status Store::trim_closed(const std::string& path, uint64_t sequence, uint64_t* retired_blocks) {
  StoreOptions options;
  options.start_keeper = false;
  options.boot_record = false;
  options.index = false;
  options.full = FullPolicy::kStop;  // nothing is retired but what the trim names
  std::unique_ptr<Store> store;
  if (Status status = open(path, options, &store, nullptr); !status.ok()) return status;
  *retired_blocks = store->trim(sequence);
  return store->close();
}

}  // namespace paste
