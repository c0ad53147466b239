// Whose memory regions there are, by id, and how much of them a user has.
#include <algorithm>
#include <cerrno>

#include "core/ports/vale/netmap_records.h"

namespace paste {

using namespace ports_protocol;

namespace {

// Each costs a descriptor, and a look at whether it is held.
constexpr uint32_t kUserRegionsMax = 1024;

}  // namespace

uint64_t NetmapControl::bytes_of(int32_t uid) const {
  uint64_t sum = 0;
  for (const Region& region : regions_)
    if (region.uid == uid) sum += region.bytes;
  return sum;
}

// Those that are gone, and that no client kept.
void NetmapControl::forget_regions() {
  std::erase_if(regions_, [](const Region& known) { return known.region.expired() && !known.file->held(); });
}

// A user's own regions only; the global region (1) is one for each user. Root may join anybody's.
std::shared_ptr<ValeRegion> NetmapControl::region_of_id(uint16_t id, int32_t uid) const {
  for (const Region& region : regions_)
    if (region.id == id && (region.uid == uid || (uid == 0 && id != kGlobalRegion)))
      if (std::shared_ptr<ValeRegion> found = region.region.lock()) return found;
  return nullptr;
}

uint16_t NetmapControl::free_region_id() {
  const auto used = [&](uint16_t id) {
    return std::any_of(regions_.begin(), regions_.end(),
                       [id](const Region& region) { return region.id == id && !region.region.expired(); });
  };
  do {
    last_region_ = last_region_ == UINT16_MAX ? kGlobalRegion + 1 : last_region_ + 1;
  } while (used(last_region_));
  return last_region_;
}

void NetmapControl::keep_region(const std::shared_ptr<ValeRegion>& region, uint16_t id, int32_t uid) {
  regions_.push_back({region, region->file(), id, uid, region->bytes()});
}

// From now on ports in it lend each other frames.
void NetmapControl::share(ValeRegion& region) {
  if (region.tag() != 0) return;
  uint32_t tag = 1;
  const auto used = [&](uint32_t wanted) {
    return std::any_of(regions_.begin(), regions_.end(), [wanted](const Region& known) {
      const std::shared_ptr<ValeRegion> alive = known.region.lock();
      return alive && alive->tag() == wanted;
    });
  };
  while (tag <= ValeRegion::kTagMax && used(tag)) tag++;
  if (tag <= ValeRegion::kTagMax) region.share(tag);
}

Status NetmapControl::may_have(int32_t uid, uint64_t bytes) const {
  const bool too_much = bytes_of(uid) + bytes > options_.user_bytes_max;
  const auto theirs = std::count_if(regions_.begin(), regions_.end(), [uid](const Region& region) { return region.uid == uid; });
  if (!too_much && theirs < kUserRegionsMax) return {};
  const auto kept = std::count_if(regions_.begin(), regions_.end(),
                                  [uid](const Region& region) { return region.uid == uid && region.region.expired(); });
  return {Code::kResource, "the regions of this user's ports come to more than " +
                               (too_much ? std::to_string(options_.user_bytes_max >> 20) + " MiB" : std::to_string(kUserRegionsMax)) +
                               (kept == 0 ? "" : " with " + std::to_string(kept) + " of ports that are gone, kept by clients") +
                               ": close some"};
}

bool NetmapControl::make_region(ControlCall& call, const RegionPools& pools, uint16_t id, std::shared_ptr<ValeRegion>* region) {
  const uint64_t bytes = RegionLayout(pools).bytes;
  if (id != kGlobalRegion && bytes > kPrivateBytesMax) {
    call.refuse(ENOMEM, Code::kUsage, "rings x slots x buffer size come to more than 64 MiB");
    return false;
  }
  if (Status status = may_have(call.client.uid, bytes); !status.ok())
    return call.refuse(ENOMEM, status.code(), status.message()), false;
  if (Status status = ValeRegion::create(pools, id, region); !status.ok()) return call.refuse(status), false;
  keep_region(*region, id, call.client.uid);
  return true;
}

// Memory that the client kept: a region that is here already, or one of an earlier daemon's. False: make another.
bool NetmapControl::region_before(ControlCall& call, uint16_t id, std::shared_ptr<ValeRegion>* region) {
  if (call.offered < 0) return false;
  for (const Region& known : regions_) {
    *region = known.uid == call.client.uid ? known.region.lock() : nullptr;
    if (*region && (*region)->is_same(call.offered)) return true;
  }
  RegionPools pools;
  if (!ValeRegion::pools_of(call.offered, &pools) || (id != kGlobalRegion && RegionLayout(pools).bytes > kPrivateBytesMax)) return false;
  // Where it was the memory of a region here, it was counted: as that one.
  std::erase_if(regions_, [&](const Region& known) { return known.region.expired() && ValeRegion::is_same(known.file->fd(), call.offered); });
  if (!may_have(call.client.uid, RegionLayout(pools).bytes).ok()) return false;
  if (id == 0 || region_of_id(id, call.client.uid)) id = free_region_id();
  if (!ValeRegion::adopt(call.offered, pools, id, region).ok()) return false;
  keep_region(*region, id, call.client.uid);
  return true;
}

bool NetmapControl::region_for(ControlCall& call, uint16_t id, const RegionGeometry& geometry, uint32_t extra,
                               std::shared_ptr<ValeRegion>* region) {
  forget_regions();
  if (region_before(call, id, region)) {
    call.reply.flags |= kAdopted;
    if (id == kGlobalRegion) share(**region);
    return true;
  }
  const bool again = call.request.flags & kOffersMemory;
  if (id == kGlobalRegion) {
    *region = region_of_id(id, call.client.uid);
    if (!*region && !make_region(call, RegionPools::global(), id, region)) return false;
    share(**region);
    return true;
  }
  if (id != 0) {
    *region = region_of_id(id, call.client.uid);
    if (*region) return share(**region), true;
    if (!again) return call.refuse(EINVAL, Code::kUsage, "no memory region has this id"), false;
  }
  if (Status status = check_geometry(geometry); !status.ok()) return call.refuse(status), false;
  return make_region(call, RegionPools::with_room(geometry, extra), free_region_id(), region);
}

}  // namespace paste
