#include "core/export/capture_encoder.h"

#include <algorithm>
#include <cstring>

#include "core/export/packet_hash.h"
#include "core/store/layout.h"

namespace paste {
namespace {

enum BlockType : uint32_t { kInterface = 1, kStatistics = 5, kPacket = 6, kSection = 0x0a0d0d0a };
enum OptionCode : uint16_t {
  kEndOfOptions = 0,
  kComment = 1,
  kInterfaceName = 2, kInterfaceDescription = 3, kTimeResolution = 9,
  kUserApplication = 4,                                  // section header
  kFlags = 2, kHash = 3, kDropCount = 4, kPacketId = 5, kQueue = 6,  // enhanced packet
  kStartTime = 2, kEndTime = 3, kReceived = 4, kDropped = 5,  // interface statistics
};
// Flags word of a packet: direction, and how it is addressed.
constexpr uint32_t kUnicast = 1 << 2, kMulticast = 2 << 2, kBroadcast = 3 << 2;
constexpr uint8_t kHashCrc32 = 2;
constexpr uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr uint32_t kPacketFixedBytes = 28;
constexpr uint32_t kTextBytesMax = 1024;  // of a name or comment; options hold 65535

constexpr uint32_t padded(uint32_t length) { return (length + 3) & ~3u; }

// Writes at a place for which room was made.
struct Cursor {
  uint8_t* at;

  void u16(uint16_t value) { put(&value, sizeof value); }
  void u32(uint32_t value) { put(&value, sizeof value); }
  void u64(uint64_t value) { put(&value, sizeof value); }
  // A time, or a count in the words of pcapng's timestamps: high half first.
  void time(uint64_t value) {
    u32(static_cast<uint32_t>(value >> 32));
    u32(static_cast<uint32_t>(value));
  }
  void put(const void* from, size_t size) {
    memcpy(at, from, size);
    at += size;
  }
  void padding(uint32_t length) {
    memset(at, 0, padded(length) - length);
    at += padded(length) - length;
  }
  void option(uint16_t code, const void* from, uint32_t length) {
    u16(code);
    u16(static_cast<uint16_t>(length));
    put(from, length);
    padding(length);
  }
  void option32(uint16_t code, uint32_t value) { option(code, &value, sizeof value); }
  void option64(uint16_t code, uint64_t value) { option(code, &value, sizeof value); }
  void option_time(uint16_t code, uint64_t value) {
    u16(code);
    u16(8);
    time(value);
  }
  void text_option(uint16_t code, std::string_view text) {
    if (!text.empty()) option(code, text.data(), static_cast<uint32_t>(text.size()));
  }
  void hash_option(uint8_t algorithm, uint32_t hash) {
    u16(kHash);
    u16(5);
    put(&algorithm, 1);
    const uint32_t network_order = __builtin_bswap32(hash);
    put(&network_order, sizeof network_order);
    padding(5);
  }
  void end_of_options() { u32(kEndOfOptions); }
};

uint32_t text_option_bytes(std::string_view text) {
  return text.empty() ? 0 : 4 + padded(static_cast<uint32_t>(text.size()));
}

uint32_t flags_of(const FrameToEncode& frame) {
  static constexpr uint8_t kEveryone[6] = {255, 255, 255, 255, 255, 255};
  const auto direction = static_cast<uint32_t>(frame.direction);
  if (frame.length < sizeof kEveryone) return direction;
  if (memcmp(frame.bytes, kEveryone, sizeof kEveryone) == 0) return direction | kBroadcast;
  return direction | (frame.bytes[0] & 1 ? kMulticast : kUnicast);
}

std::string_view cut(std::string_view text) {
  if (text.size() <= kTextBytesMax) return text;
  size_t end = kTextBytesMax;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;  // not within a character of UTF-8
  return text.substr(0, end);
}

}  // namespace

void CaptureEncoder::begin(uint32_t link_type, EncodedBytes* out) {
  begun_ = true;
  if (format_ == CaptureFormat::kPcapng) {
    const std::string_view application = cut(application_);
    const uint32_t length = 28 + text_option_bytes(application) + 4;
    Cursor to{room(out, length)};
    to.u32(kSection);
    to.u32(length);
    to.u32(kByteOrderMagic);
    to.u16(1);
    to.u16(0);
    to.u64(~0ull);  // the section's length is not known while it is written
    to.text_option(kUserApplication, application);
    to.end_of_options();
    to.u32(length);
    return;
  }
  Cursor to{room(out, 24)};
  to.u32(format_ == CaptureFormat::kPcap ? 0xa1b2c3d4 : 0xa1b23c4d);
  to.u16(2);
  to.u16(4);
  to.u32(0);
  to.u32(0);
  to.u32(std::min(snaplen_, layout::kFrameBytesMax));
  to.u32(link_type);
}

Status CaptureEncoder::describe(const InterfaceToEncode& interface, EncodedBytes* out, uint32_t* number) {
  for (size_t i = 0; i < interfaces_.size(); ++i) {
    const Interface& known = interfaces_[i];
    if (known.name != interface.name || known.link_type != interface.link_type || known.source != interface.source) continue;
    *number = static_cast<uint32_t>(i);
    return Status();
  }
  const uint32_t link_type = interface.link_type;
  if (format_ != CaptureFormat::kPcapng && !interfaces_.empty() && interfaces_[0].link_type != link_type)
    return Status(Code::kUsage, "pcap holds frames of one link type, and these have " + std::to_string(interfaces_[0].link_type) +
                                    " and " + std::to_string(link_type) + ": write pcapng (-F pcapng)");
  if (!begun_) begin(link_type, out);
  *number = static_cast<uint32_t>(interfaces_.size());
  interfaces_.push_back(Interface{std::string(interface.name), link_type, interface.source, know(interface)});
  if (format_ != CaptureFormat::kPcapng) return Status();
  const std::string_view name = cut(interface.name), description = cut(interface.description);
  const uint32_t length = 16 + text_option_bytes(name) + text_option_bytes(description) + 8 + 4 + 4;
  const uint32_t snaplen = std::min(interface.snaplen, snaplen_);
  Cursor to{room(out, length)};
  to.u32(kInterface);
  to.u32(length);
  to.u16(static_cast<uint16_t>(link_type));
  to.u16(0);
  to.u32(snaplen >= layout::kFrameBytesMax ? 0 : snaplen);  // 0: no limit
  to.text_option(kInterfaceName, name);
  to.text_option(kInterfaceDescription, description);
  const uint8_t nanoseconds = 9;
  to.option(kTimeResolution, &nanoseconds, 1);
  to.end_of_options();
  to.u32(length);
  return Status();
}

// By what the file shows of it. Classic pcap shows nothing: one interface.
uint32_t CaptureEncoder::know(const InterfaceToEncode& interface) {
  if (!chain_) return 0;
  const bool named = format_ == CaptureFormat::kPcapng;
  const std::string_view name = named ? cut(interface.name) : "", description = named ? cut(interface.description) : "";
  for (size_t i = 0; i < known_.size(); ++i)
    if (known_[i].name == name && known_[i].description == description && known_[i].link_type == interface.link_type)
      return static_cast<uint32_t>(i);
  known_.push_back(KnownInterface{std::string(name), std::string(description), interface.link_type});
  return static_cast<uint32_t>(known_.size() - 1);
}

void CaptureEncoder::chain(const FrameToEncode& frame, uint32_t length, const Interface& from) {
  const bool pcapng = format_ == CaptureFormat::kPcapng;
  ChainedRecord record;
  record.time_ns = format_ == CaptureFormat::kPcap ? frame.time_ns / 1000 * 1000 : frame.time_ns;
  record.packet_id = pcapng && frame.from_store ? frame.sequence : 0;
  record.wire_length = std::max(frame.wire_length, length);
  record.length = length;
  record.interface = from.known;
  record.lost = pcapng ? frame.lost : 0;
  record.bytes = frame.bytes;
  chain_->add(record);
}

Split CaptureEncoder::splits_before(uint64_t time_ns) const {
  if (file_frames_ == 0) return Split::kNone;
  if (lasted(time_ns)) return Split::kTime;
  const bool size = (limits_.bytes_over > 0 && file_bytes_ > limits_.bytes_over) || (limits_.frames > 0 && file_frames_ >= limits_.frames);
  return size ? Split::kSize : Split::kNone;
}

Status CaptureEncoder::append(const FrameToEncode& frame, EncodedBytes* out) {
  const uint32_t length = std::min(frame.length, snaplen_);
  PASTE_CHECK(frame.interface < interfaces_.size());
  if (format_ == CaptureFormat::kPcapng) {
    append_pcapng(frame, length, out);
  } else if (Status status = append_pcap(frame, length, out); !status.ok()) {
    return status;
  }
  Interface& from = interfaces_[frame.interface];
  if (chain_) chain(frame, length, from);
  if (from.received == 0) from.first_ns = from.last_ns = frame.time_ns;
  from.first_ns = std::min(from.first_ns, frame.time_ns);
  from.last_ns = std::max(from.last_ns, frame.time_ns);
  ++from.received;
  from.lost += frame.lost;
  if (file_frames_++ == 0 && (frames_ == 0 || !limits_.by_period || lasted(frame.time_ns))) period_first_ns_ = frame.time_ns;
  ++frames_;
  return Status();
}

void CaptureEncoder::append_pcapng(const FrameToEncode& frame, uint32_t length, EncodedBytes* out) {
  const std::string_view comment = cut(frame.comment);
  const bool hashed = frame.from_store && frame.hashed, directed = frame.direction != Direction::kUnknown;
  uint32_t options = text_option_bytes(comment) + (directed ? 8 : 0) + (frame.from_store ? 12 : 0) + (hashed ? 12 : 0) + (frame.lost ? 12 : 0) +
                     (frame.queue != FrameToEncode::kNoQueue ? 8 : 0);
  if (options > 0) options += 4;
  const uint32_t size = kPacketFixedBytes + padded(length) + options + 4;
  Cursor to{room(out, size)};
  to.u32(kPacket);
  to.u32(size);
  to.u32(frame.interface);
  to.time(frame.time_ns);
  to.u32(length);
  to.u32(std::max(frame.wire_length, length));
  to.put(frame.bytes, length);
  to.padding(length);
  to.text_option(kComment, comment);
  if (directed) to.option32(kFlags, flags_of(frame));
  if (hashed) to.hash_option(kHashCrc32, packet_crc32(frame.bytes, frame.length));
  if (frame.lost) to.option64(kDropCount, frame.lost);
  if (frame.from_store) to.option64(kPacketId, frame.sequence);
  if (frame.queue != FrameToEncode::kNoQueue) to.option32(kQueue, frame.queue);
  if (options > 0) to.end_of_options();
  to.u32(size);
}

Status CaptureEncoder::append_pcap(const FrameToEncode& frame, uint32_t length, EncodedBytes* out) {
  const uint64_t seconds = frame.time_ns / 1'000'000'000;
  const auto rest = static_cast<uint32_t>(frame.time_ns % 1'000'000'000);
  if (seconds > 0xffffffff)
    return Status(Code::kUsage, "a frame's time, " + std::to_string(seconds) +
                                    " s after 1970, is later than pcap can say (2106): write pcapng (-F pcapng)");
  Cursor to{room(out, 16 + length)};
  to.u32(static_cast<uint32_t>(seconds));
  to.u32(format_ == CaptureFormat::kPcap ? rest / 1000 : rest);
  to.u32(length);
  to.u32(std::max(frame.wire_length, length));
  to.put(frame.bytes, length);
  return Status();
}

void CaptureEncoder::finish(EncodedBytes* out) {
  uint32_t number = 0;
  // libpcap takes no pcapng without an interface.
  if (interfaces_.empty()) PASTE_CHECK(describe(InterfaceToEncode{}, out, &number).ok());
  for (size_t i = 0; format_ == CaptureFormat::kPcapng && i < interfaces_.size(); ++i) {
    const Interface& each = interfaces_[i];
    const uint32_t length = 20 + 4 * 12 + 4 + 4;
    Cursor to{room(out, length)};
    to.u32(kStatistics);
    to.u32(length);
    to.u32(static_cast<uint32_t>(i));
    to.time(each.last_ns);
    to.option_time(kStartTime, each.first_ns);
    to.option_time(kEndTime, each.last_ns);
    to.option64(kReceived, each.received);
    to.option64(kDropped, each.lost);
    to.end_of_options();
    to.u32(length);
  }
  if (chain_) parts_.push_back(chain_->take());
  interfaces_.clear();
  begun_ = false;
  file_bytes_ = file_frames_ = 0;
  ++file_;
}

}  // namespace paste
