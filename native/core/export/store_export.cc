#include "core/export/store_export.h"

#include <cstring>

#include "core/switch/outcome.h"

namespace paste {
namespace {

constexpr uint32_t kEthernet = 1;
constexpr uint32_t kRecordsMax = 16384;
constexpr uint32_t kLooksMax = 8;

std::string comment_of(uint8_t outcome) {
  if (outcome == 0) return {};
  const uint32_t drop = outcome - 1u;
  return std::string("dropped: ") + (drop < kDrops ? kDropTexts[drop].sentence : "for a reason that this program does not know");
}

}  // namespace

Status StoreExport::next(EncodedBytes* out, uint32_t max_bytes, uint64_t* frames_left, bool* more) {
  more_ = true;  // a reader that follows has more after its end
  // Looks are counted, too: where hardly a frame is wanted, whoever called still gets a turn.
  for (uint32_t looks = 0; looks < kLooksMax && out->size() < max_bytes && *frames_left > 0; ++looks) {
    if (at_ == batch_.records.size()) {
      if (!more_) break;
      batch_.clear();
      at_ = 0;
      more_ = reader_.next(&batch_, kRecordsMax, max_bytes) == Reader::More::kYes;
    }
    for (; at_ < batch_.records.size() && *frames_left > 0; ++at_)
      if (Status status = take(batch_.records[at_], out, frames_left); !status.ok()) return status;
  }
  *more = *frames_left > 0 && (more_ || at_ < batch_.records.size());
  return Status();
}

Status StoreExport::take(const ReadRecord& record, EncodedBytes* out, uint64_t* frames_left) {
  const layout::RecordHeader& header = batch_.header(record);
  if (header.type == layout::kFrame) {
    --*frames_left;
    return take_frame(record, out);
  }
  if (header.type == layout::kLost && record.length >= sizeof(layout::LostPayload)) {
    layout::LostPayload lost;
    memcpy(&lost, batch_.payload(record), sizeof lost);
    pending_lost_[header.ingress] += lost.count;
    lost_ += lost.count;
  }
  return Status();
}

Status StoreExport::take_frame(const ReadRecord& record, EncodedBytes* out) {
  const layout::RecordHeader& header = batch_.header(record);
  FrameToEncode frame;
  if (Status status = interface_of(header.ingress, out, &frame.interface); !status.ok()) return status;
  frame.bytes = batch_.payload(record);
  frame.length = record.length;
  frame.wire_length = header.wire_length;
  frame.time_ns = header.time_ns;
  frame.from_store = true;
  frame.sequence = header.sequence;
  if (!pending_lost_.empty())
    for (const uint32_t port : {header.ingress, 0u})
      if (const auto found = pending_lost_.find(port); found != pending_lost_.end()) {
        frame.lost += found->second;
        pending_lost_.erase(found);
      }
  const std::string comment = comment_of(header.outcome);
  frame.comment = comment;
  return encoder_.append(frame, out);
}

Status StoreExport::interface_of(uint32_t port, EncodedBytes* out, uint32_t* interface) {
  if (port == last_port_ && !interfaces_.empty()) {
    *interface = last_interface_;
    return Status();
  }
  last_port_ = port;
  if (const auto found = interfaces_.find(port); found != interfaces_.end()) {
    *interface = last_interface_ = found->second;
    return Status();
  }
  std::string name = port == 0 ? "unknown" : "port " + std::to_string(port);
  for (const Reader::PortName& each : reader_.ports())
    if (each.id == port) name = each.name;
  if (Status status = encoder_.describe(name, kEthernet, ~0u, out, interface); !status.ok()) return status;
  interfaces_[port] = last_interface_ = *interface;
  return Status();
}

}  // namespace paste
