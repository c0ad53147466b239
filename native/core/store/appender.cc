#include "core/store/appender.h"

#include <time.h>

#include <algorithm>

#include "core/frame/wire.h"

namespace paste {
namespace {

constexpr uint32_t kInterfacesMax = 65536;
constexpr timespec kPause{0, 50'000};  // between two looks for room or durability

// 802.1Q and 802.1ad: the outermost tag, as a live port gives it.
void note_vlan(FrameRecord& frame) {
  if (frame.length < 18) return;
  if (!wire::is_tag(wire::big16(frame.bytes + 12))) return;
  frame.flags |= layout::kVlanTagged;
  frame.vlan_tci = static_cast<uint16_t>(wire::big16(frame.bytes + 14));
}

}  // namespace

Status Appender::open(const std::string& path, FullPolicy full, const std::string& writer, bool index,
                      std::unique_ptr<Appender>* appender, RecoveryReport* report) {
  StoreOptions options;
  options.full = full;
  options.exact_times = true;
  options.keeper_grace_ms = 60'000;  // nothing is forwarded meanwhile: rather wait than lose
  options.index = index;
  options.index_close_ms = 600'000;  // closing waits for the index rather than leave it to the next opening
  options.writer = writer;
  std::unique_ptr<Store> store;
  if (Status status = Store::open(path, options, &store, report); !status.ok()) return status;
  appender->reset(new Appender(std::move(store)));
  (*appender)->run_.reserve(kRun);
  return {};
}

Status Appender::add_interface(const std::string& name, uint16_t* index) {
  if (port_ids_.size() == kInterfacesMax)
    return {Code::kUsage, "an import has at most " + std::to_string(kInterfacesMax) + " interfaces: import in several runs"};
  const uint32_t id = store_->take_id();
  if (id == 0) return failure();
  store_->lane(0).describe_port(id, store_->epoch(), layout::kImportPort, name);
  *index = static_cast<uint16_t>(port_ids_.size());
  port_ids_.push_back(id);
  return {};
}

Status Appender::check(const AppendBatch& batch) const {
  for (uint32_t i = 0; i < batch.count; ++i) {
    const std::string frame = "frame " + std::to_string(i) + " of the batch ";
    if (uint64_t{batch.offsets[i]} + batch.captured_lengths[i] > batch.data_bytes)
      return {Code::kUsage, frame + "lies outside of its data"};
    if (batch.wire_lengths[i] < batch.captured_lengths[i])
      return {Code::kUsage, frame + "is longer than it was on the wire"};
    if (batch.times_ns[i] < 0) return {Code::kUsage, frame + "is from before 1970"};
    if (batch.interfaces[i] >= port_ids_.size())
      return {Code::kUsage, frame + "names interface " + std::to_string(batch.interfaces[i]) + ", which was not added"};
  }
  return {};
}

// True when the frame will be taken; false: refused for good, under the policy.
bool Appender::plan(FrameRecord& frame) {
  Lane& lane = store_->lane(0);
  for (;;) {
    const PlanResult result = lane.plan(frame);
    if (result != PlanResult::kBlock) return result == PlanResult::kRoom;
    // What is planned so far holds blocks that only a commit gives back.
    if (!run_.empty()) commit();
    nanosleep(&kPause, nullptr);
  }
}

void Appender::commit() {
  Lane& lane = store_->lane(0);
  lane.append(run_);
  lane.commit();
  run_.clear();
}

Status Appender::append(const AppendBatch& batch) {
  if (Status status = check(batch); !status.ok()) return status;
  for (uint32_t i = 0; i < batch.count; ++i) {
    FrameRecord frame;
    frame.bytes = batch.data + batch.offsets[i];
    frame.length = std::min(batch.captured_lengths[i], layout::kFrameBytesMax);
    frame.wire_length = batch.wire_lengths[i];
    frame.time_ns = static_cast<uint64_t>(batch.times_ns[i]);
    frame.ingress = port_ids_[batch.interfaces[i]];
    note_vlan(frame);
    if (!plan(frame)) {
      if (store_->lane(0).failed()) break;
      ++counters_.refused;
      continue;
    }
    counters_.shortened += frame.length < batch.captured_lengths[i];
    counters_.frames += 1;
    counters_.bytes += frame.length;
    run_.push_back(frame);
    if (run_.size() == kRun) commit();
  }
  if (!run_.empty()) commit();
  return store_->lane(0).failed() ? failure() : Status{};
}

Status Appender::flush() {
  Lane& lane = store_->lane(0);
  const uint64_t ticket = lane.commit();
  while (!lane.durable(ticket) && !lane.failed()) nanosleep(&kPause, nullptr);
  return lane.durable(ticket) ? Status{} : failure();
}

Status Appender::close() { return store_->close(); }

Status Appender::failure() const {
  return {Code::kStore, const_cast<Store&>(*store_).region().path() +
                            ": the medium failed, what was not durable by then is lost; look at the disk before writing on"};
}

}  // namespace paste
