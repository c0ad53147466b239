#include "core/export/store_input.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/switch/outcome.h"

namespace paste {
namespace {

constexpr uint32_t kEthernet = 1;
constexpr uint32_t kRecordsMax = 16384;
constexpr size_t kCommentsMax = 4096;

// The queue that a port stands for, when its name says so: "xdp:eth0@3".
uint32_t queue_of(const std::string& name) {
  const size_t at = name.rfind('@');
  if (name.compare(0, 4, "xdp:") != 0 || at == std::string::npos || at + 1 == name.size()) return FrameToEncode::kNoQueue;
  uint32_t queue = 0;
  for (size_t i = at + 1; i < name.size(); ++i) {
    if (name[i] < '0' || name[i] > '9' || queue > 65535) return FrameToEncode::kNoQueue;
    queue = queue * 10 + static_cast<uint32_t>(name[i] - '0');
  }
  return queue;
}

}  // namespace

std::string drop_comment(uint8_t outcome) {
  const uint32_t drop = outcome - 1u;
  return std::string("dropped: ") + (drop < kDrops ? kDropTexts[drop].sentence : "for a reason that this program does not know");
}

ExportInput::Head StoreInput::head(FrameToEncode* frame) {
  while (!ready_) {
    if (at_ == batch_.records.size()) {
      if (!more_) return Head::kEnd;
      batch_.clear();
      at_ = 0;
      more_ = reader_.next(&batch_, kRecordsMax, batch_bytes_) == Reader::More::kYes;
      if (batch_.records.empty()) return more_ ? Head::kSearching : Head::kEnd;
    }
    const ReadRecord& record = batch_.records[at_];
    const layout::RecordHeader& header = batch_.header(record);
    if (header.type == layout::kFrame) {
      fill(record, header);
      ready_ = true;
    } else {
      take_event(record, header);
      ++at_;
    }
  }
  *frame = frame_;
  return Head::kFrame;
}

void StoreInput::take_event(const ReadRecord& record, const layout::RecordHeader& header) {
  if (header.type != layout::kLost || record.length < sizeof(layout::LostPayload)) return;
  layout::LostPayload lost;
  memcpy(&lost, batch_.payload(record), sizeof lost);
  pending_lost_[header.ingress] += lost.count;
  lost_ += lost.count;
}

void StoreInput::fill(const ReadRecord& record, const layout::RecordHeader& header) {
  if (!port_ || port_id_ != header.ingress) port_ = &port_of(port_id_ = header.ingress);
  frame_.bytes = batch_.payload(record);
  frame_.length = record.length;
  frame_.wire_length = header.wire_length;
  frame_.time_ns = header.time_ns;
  frame_.from_store = true;
  frame_.direction = Direction::kIn;
  frame_.sequence = header.sequence;
  frame_.queue = port_->queue;
  frame_.lost = 0;
  if (!pending_lost_.empty())
    for (const uint32_t port : {header.ingress, 0u})
      if (const auto found = pending_lost_.find(port); found != pending_lost_.end()) {
        frame_.lost += found->second;
        pending_lost_.erase(found);
      }
  if (words_.comments) frame_.comment = comment_of(header);
}

StoreInput::Port& StoreInput::port_of(uint32_t id) {
  const auto [found, added] = ports_.try_emplace(id);
  if (!added) return found->second;
  Port& port = found->second;
  if (!words_.names) {
    port.name = "port " + std::to_string(ports_.size());
    return port;
  }
  port.name = id == 0 ? "unknown" : "port " + std::to_string(id);
  for (Reader::PortName& each : reader_.ports())
    if (each.id == id) port.name = std::move(each.name);
  port.queue = queue_of(port.name);
  return port;
}

Status StoreInput::interface_of_head(CaptureEncoder& encoder, EncodedBytes* out, uint32_t* number) {
  if (port_->file != encoder.file()) {
    if (Status status = encoder.describe(interface(port_->name, kEthernet, ~0u), out, &port_->interface); !status.ok()) return status;
    port_->file = encoder.file();
  }
  *number = port_->interface;
  return Status();
}

const std::string& StoreInput::comment_of(const layout::RecordHeader& header) {
  const bool flooded = header.flags & layout::kFlooded;
  const CommentKey key{static_cast<uint64_t>(header.rule) << 32 | header.egress, header.outcome | (flooded ? 256u : 0u)};
  if (comment_ && key == comment_key_) return *comment_;
  if (comments_.size() >= kCommentsMax) comments_.clear();
  const auto [found, added] = comments_.try_emplace(key);
  if (added) found->second = comment_text(header);
  comment_key_ = key;
  comment_ = &found->second;
  return *comment_;
}

// "rule web, to vale0:b", "rule web, flooded", "rule 7, dropped: ..."
std::string StoreInput::comment_text(const layout::RecordHeader& header) {
  std::string text;
  if (header.rule != 0 && words_.names) {
    std::string name = std::to_string(header.rule);
    for (Reader::RuleName& each : reader_.rules())
      if (each.id == header.rule) name = std::move(each.name);
    text = "rule " + name;
  }
  const char* const comma = text.empty() ? "" : ", ";
  if (header.outcome != 0) return text + comma + drop_comment(header.outcome);
  if (header.flags & layout::kFlooded) return text + comma + "flooded";
  return header.egress == 0 || !words_.names ? text : text + comma + "to " + port_of(header.egress).name;
}

}  // namespace paste
