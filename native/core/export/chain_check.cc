#include "core/export/chain_check.h"

#include <algorithm>
#include <cstring>

namespace paste {
namespace {

constexpr uint32_t kSection = 0x0a0d0d0a, kInterface = 1, kPacket = 6, kByteOrderMagic = 0x1a2b3c4d;
constexpr uint32_t kBlockBytesMax = 16u << 20;
constexpr uint32_t kRecordHeadBytes = 16, kFileHeadBytes = 24;

uint16_t load16(const uint8_t* at) {
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return value;
}
uint32_t load32(const uint8_t* at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}
uint64_t load64(const uint8_t* at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}
uint32_t padded(uint32_t length) { return (length + 3) & ~3u; }

// Calls take(code, value, length) for each option; false where they do not fit.
template <class Take>
bool each_option(const uint8_t* at, const uint8_t* end, Take take) {
  while (end - at >= 4) {
    const uint16_t code = load16(at), length = load16(at + 2);
    at += 4;
    if (code == 0) return true;
    if (end - at < static_cast<ptrdiff_t>(padded(length))) return false;
    take(code, at, length);
    at += padded(length);
  }
  return at == end;
}

}  // namespace

Status ChainCheck::damaged(const std::string& what) const {
  return Status(Code::kCapture, "byte " + std::to_string(offset_) + ": " + what + ": this is no capture as an export writes it");
}

Status ChainCheck::feed(const uint8_t* bytes, size_t size) {
  // What was left over goes in front; else nothing is copied.
  if (!pending_.empty()) {
    pending_.insert(pending_.end(), bytes, bytes + size);
    bytes = pending_.data();
    size = pending_.size();
  }
  Status status;
  size_t done = 0;
  while (const size_t used = take(bytes + done, size - done, &status)) {
    done += used;
    offset_ += used;
  }
  std::vector<uint8_t> rest(bytes + done, bytes + size);
  pending_ = std::move(rest);
  return status;
}

Status ChainCheck::finish() const {
  if (format_ == Format::kUnknown) return damaged("it ends before its head does");
  return pending_.empty() ? Status() : damaged("it ends within a record");
}

size_t ChainCheck::take(const uint8_t* bytes, size_t size, Status* status) {
  if (!status->ok() || size < 4) return 0;
  if (format_ == Format::kUnknown) return take_head(bytes, size, status);
  return format_ == Format::kPcapng ? take_block(bytes, size, status) : take_record(bytes, size, status);
}

size_t ChainCheck::take_head(const uint8_t* bytes, size_t size, Status* status) {
  const uint32_t magic = load32(bytes);
  if (magic == kSection) {
    format_ = Format::kPcapng;
    return take_block(bytes, size, status);
  }
  if (magic != 0xa1b2c3d4 && magic != 0xa1b23c4d) {
    *status = damaged("no pcap or pcapng begins like this");
    return 0;
  }
  if (size < kFileHeadBytes) return 0;
  format_ = magic == 0xa1b2c3d4 ? Format::kPcap : Format::kNsecPcap;
  file_interfaces_.push_back(know(Interface{"", "", load32(bytes + 20)}));
  return kFileHeadBytes;
}

size_t ChainCheck::take_record(const uint8_t* bytes, size_t size, Status* status) {
  if (size < kRecordHeadBytes) return 0;
  const uint32_t length = load32(bytes + 8);
  if (length > kBlockBytesMax) {
    *status = damaged("a record of " + std::to_string(length) + " bytes");
    return 0;
  }
  if (size < kRecordHeadBytes + length) return 0;
  const uint64_t unit = format_ == Format::kPcap ? 1000 : 1;
  ChainedRecord record;
  record.time_ns = load32(bytes) * 1'000'000'000ull + load32(bytes + 4) * unit;
  record.wire_length = load32(bytes + 12);
  record.length = length;
  record.interface = file_interfaces_[0];
  record.bytes = bytes + kRecordHeadBytes;
  chain_.add(record);
  return kRecordHeadBytes + length;
}

size_t ChainCheck::take_block(const uint8_t* bytes, size_t size, Status* status) {
  if (size < 12) return 0;
  const uint32_t type = load32(bytes), length = load32(bytes + 4);
  if (length < 12 || length % 4 != 0 || length > kBlockBytesMax) {
    *status = damaged("a block of " + std::to_string(length) + " bytes");
    return 0;
  }
  if (size < length) return 0;
  if (load32(bytes + length - 4) != length) {
    *status = damaged("a block whose two lengths differ");
    return 0;
  }
  const uint8_t* const body = bytes + 8;
  const uint32_t body_bytes = length - 12;
  bool good = true;
  if (type == kSection) good = offset_ == 0 && body_bytes >= 16 && load32(body) == kByteOrderMagic;
  if (type == kInterface) good = take_interface(body, body_bytes);
  if (type == kPacket) good = take_packet(body, body_bytes);
  if (type == 2 || type == 3) good = false;  // packets of kinds that no export writes
  if (good) return length;
  *status = damaged("a block of type " + std::to_string(type) + " that does not fit");
  return 0;
}

uint32_t ChainCheck::know(Interface interface) {
  const auto found = std::find(interfaces_.begin(), interfaces_.end(), interface);
  const auto number = static_cast<uint32_t>(found - interfaces_.begin());
  if (found == interfaces_.end()) interfaces_.push_back(std::move(interface));
  return number;
}

bool ChainCheck::take_interface(const uint8_t* body, uint32_t length) {
  if (length < 8) return false;
  Interface interface{"", "", load16(body)};
  bool nanoseconds = false;
  const bool good = each_option(body + 8, body + length, [&](uint16_t code, const uint8_t* value, uint16_t size) {
    if (code == 2) interface.name.assign(reinterpret_cast<const char*>(value), size);
    if (code == 3) interface.description.assign(reinterpret_cast<const char*>(value), size);
    if (code == 9) nanoseconds = size == 1 && *value == 9;
  });
  if (!good || !nanoseconds) return false;
  const auto source = std::find(sources_.begin(), sources_.end(), interface.description);
  source_of_.push_back(static_cast<uint32_t>(source - sources_.begin()));
  if (source == sources_.end()) {
    sources_.push_back(interface.description);
    last_ids_.push_back(0);
  }
  file_interfaces_.push_back(know(std::move(interface)));
  return true;
}

bool ChainCheck::take_packet(const uint8_t* body, uint32_t length) {
  if (length < 20) return false;
  const uint32_t interface = load32(body), captured = load32(body + 12);
  if (interface >= file_interfaces_.size() || captured > length - 20 || padded(captured) > length - 20) return false;
  ChainedRecord record;
  record.interface = file_interfaces_[interface];
  record.time_ns = static_cast<uint64_t>(load32(body + 4)) << 32 | load32(body + 8);
  record.length = captured;
  record.wire_length = load32(body + 16);
  record.bytes = body + 20;
  const bool good = each_option(body + 20 + padded(captured), body + length, [&](uint16_t code, const uint8_t* value, uint16_t size) {
    if (code == 4 && size == 8) record.lost = load64(value);
    if (code == 5 && size == 8) record.packet_id = load64(value);
  });
  if (!good) return false;
  chain_.add(record);
  uint64_t& last = last_ids_[source_of_[interface]];
  if (record.packet_id != 0 && record.packet_id <= last && disorder_.record == 0)
    disorder_ = Disorder{chain_.part().records, record.packet_id, last};
  if (record.packet_id != 0) last = record.packet_id;
  return true;
}

}  // namespace paste
