#include "core/ports/pcap/capture_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/store/layout.h"

namespace paste {

namespace {

constexpr uint32_t kMagicMicro = 0xa1b2c3d4, kMagicNano = 0xa1b23c4d;
constexpr uint32_t kSectionHeader = 0x0a0d0d0a, kByteOrderMagic = 0x1a2b3c4d;
constexpr uint32_t kInterfaceBlock = 1, kOldPacketBlock = 2, kSimplePacketBlock = 3, kEnhancedPacketBlock = 6;
constexpr uint16_t kTimeResolution = 9, kTimeOffset = 14;  // options of an interface block
constexpr uint16_t kEthernet = 1;
constexpr uint64_t kBlockBytesMax = 16u << 20;             // of a pcapng block; longer ones are damage
constexpr size_t kInterfacesMax = 4096;
constexpr const char* kConvert = "; `paste-switch import` can read it into a store";

// As much as there is, up to `size`; -1 on failure.
ssize_t read_at(int fd, uint8_t* to, size_t size, uint64_t position) {
  size_t done = 0;
  while (done < size) {
    const ssize_t got = pread(fd, to + done, size - done, static_cast<off_t>(position + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return static_cast<ssize_t>(done);
}

}  // namespace

uint16_t CaptureReader::u16(const uint8_t* at) const {
  uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return swapped_ ? __builtin_bswap16(value) : value;
}

uint32_t CaptureReader::u32(const uint8_t* at) const {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return swapped_ ? __builtin_bswap32(value) : value;
}

Status CaptureReader::open(const std::string& path, std::unique_ptr<CaptureReader>* reader) {
  // Non-blocking: a FIFO would otherwise hold whoever opens it.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return Status(errno == EACCES ? Code::kPrivilege : Code::kCapture, "capture " + path + ": " + std::strerror(errno));
  std::unique_ptr<CaptureReader> made(new CaptureReader(path, fd));
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return Status(Code::kCapture, "capture " + path + ": no regular file");
  made->file_bytes_ = static_cast<uint64_t>(info.st_size);
  if (Status status = made->read_header(); !status.ok()) return status;
  made->rewind();
  *reader = std::move(made);
  return {};
}

CaptureReader::~CaptureReader() { close(fd_); }

void CaptureReader::rewind() {
  position_ = first_record_;
  interfaces_.clear();
}

Status CaptureReader::read_header() {
  const auto refuse = [this](const std::string& why) { return Status(Code::kCapture, "capture " + path_ + ": " + why); };
  uint8_t header[24];
  const ssize_t got = read_at(fd_, header, sizeof header, 0);
  if (got < 0) return refuse(std::strerror(errno));
  if (got == 0) return refuse("the file is empty");
  if (got < 12) return refuse("too short for a capture");
  const uint32_t magic = u32(header);
  if (magic == kSectionHeader) {
    pcapng_ = true;
    return {};
  }
  swapped_ = magic == __builtin_bswap32(kMagicMicro) || magic == __builtin_bswap32(kMagicNano);
  if (u32(header) != kMagicMicro && u32(header) != kMagicNano) return refuse("neither pcap nor pcapng");
  nanoseconds_ = u32(header) == kMagicNano;
  if (got < 24) return refuse("the file header is cut off");
  if (u16(header + 4) != 2) return refuse("pcap version " + std::to_string(u16(header + 4)) + " is unknown, 2 is meant");
  const uint32_t link_type = u32(header + 20) & 0xffff;
  if (link_type != kEthernet)
    return refuse("link type " + std::to_string(link_type) + " is not Ethernet (1)" + kConvert);
  first_record_ = sizeof header;
  return {};
}

CaptureReader::End CaptureReader::fill(uint8_t* chunk, uint32_t chunk_bytes, std::vector<CaptureRecord>* records,
                                       uint32_t* oversize) {
  records->clear();
  *oversize = 0;
  const uint64_t space = chunk_bytes - kSlackBytes;
  for (;;) {
    const ssize_t got = read_at(fd_, chunk, space, position_);
    if (got < 0) {
      error_ = Status(Code::kCapture, "capture " + path_ + ": " + std::strerror(errno));
      return End::kDamaged;
    }
    const uint64_t available = static_cast<uint64_t>(got);
    uint64_t offset = 0, size = 0;
    Step step = Step::kSkip;
    while (offset < available && records->size() < kRecordsMax) {
      CaptureRecord record;
      looking_at_ = position_ + offset;
      step = pcapng_ ? step_pcapng(chunk + offset, available - offset, &record, &size)
                     : step_pcap(chunk + offset, available - offset, &record, &size);
      if (step == Step::kBad) return End::kDamaged;
      if (step == Step::kCut) break;
      if (step == Step::kRecord) {
        record.offset += static_cast<uint32_t>(offset);
        records->push_back(record);
      }
      offset += size;
    }
    position_ += offset;
    if (step == Step::kCut && offset == 0 && available == space && position_ + size <= file_bytes_) {
      position_ += size;  // longer than any chunk
      *oversize += 1;
      continue;
    }
    if (step == Step::kCut && available < space) {
      looking_at_ = position_;
      bad("the file ends in the middle of it");
      return End::kDamaged;
    }
    if (step != Step::kCut && available < space && offset == available) return End::kEndOfFile;
    if (available == 0) return End::kEndOfFile;
    return End::kMore;
  }
}

CaptureReader::Step CaptureReader::bad(const std::string& why) {
  error_ = Status(Code::kCapture, "capture " + path_ + ": record at byte " + std::to_string(looking_at_) + ": " + why);
  return Step::kBad;
}

// --- pcap ------------------------------------------------------------------------------------------------------------------

CaptureReader::Step CaptureReader::step_pcap(const uint8_t* at, uint64_t available, CaptureRecord* record, uint64_t* size) {
  constexpr uint32_t kRecordHeader = 16;
  *size = kRecordHeader;
  if (available < kRecordHeader) return Step::kCut;
  const uint32_t seconds = u32(at), fraction = u32(at + 4), captured = u32(at + 8), wire = u32(at + 12);
  if (captured > layout::kFrameBytesMax)
    return bad("it claims " + std::to_string(captured) + " bytes, more than a capture holds");
  *size = kRecordHeader + captured;
  if (*size > available) return Step::kCut;
  record->time_ns = uint64_t{seconds} * 1'000'000'000 + uint64_t{fraction} * (nanoseconds_ ? 1 : 1000);
  record->offset = kRecordHeader;
  record->length = captured;
  record->wire_length = std::max(wire, captured);
  return Step::kRecord;
}

// --- pcapng ----------------------------------------------------------------------------------------------------------------

CaptureReader::Step CaptureReader::step_pcapng(const uint8_t* at, uint64_t available, CaptureRecord* record,
                                               uint64_t* size) {
  *size = 12;
  if (available < 12) return Step::kCut;
  const uint32_t type = u32(at);  // the section header's type reads the same in both byte orders
  if (type == kSectionHeader) {
    uint32_t order;
    std::memcpy(&order, at + 8, sizeof order);
    if (order != kByteOrderMagic && order != __builtin_bswap32(kByteOrderMagic)) return bad("a section without byte order");
    swapped_ = order != kByteOrderMagic;
    interfaces_.clear();
  }
  *size = u32(at + 4);
  if (*size < 12 || *size % 4 != 0 || *size > kBlockBytesMax)
    return bad("a block of " + std::to_string(*size) + " bytes");
  if (*size > available) return Step::kCut;
  if (u32(at + *size - 4) != *size) return bad("a block whose two lengths differ");
  if (type == kSectionHeader) {
    if (*size < 28) return bad("a section header of " + std::to_string(*size) + " bytes");
    if (u16(at + 12) != 1) return bad("pcapng version " + std::to_string(u16(at + 12)) + " is unknown, 1 is meant");
    return Step::kSkip;
  }
  if (type == kInterfaceBlock) return add_interface(at, *size);
  if (type == kEnhancedPacketBlock || type == kSimplePacketBlock || type == kOldPacketBlock)
    return packet_block(at, *size, type, record);
  return Step::kSkip;
}

CaptureReader::Step CaptureReader::add_interface(const uint8_t* at, uint64_t size) {
  if (size < 20) return bad("an interface block of " + std::to_string(size) + " bytes");
  if (interfaces_.size() >= kInterfacesMax) return bad("more than 4096 interfaces");
  Interface made = {u16(at + 8), u32(at + 12), 1'000'000, 0};
  for (uint64_t option = 16; option + 4 <= size - 4;) {
    const uint16_t code = u16(at + option), length = u16(at + option + 2);
    if (code == 0 || option + 4 + length > size - 4) break;
    const uint8_t* value = at + option + 4;
    if (code == kTimeResolution && length >= 1) {
      const uint32_t exponent = *value & 0x7f;
      if (exponent > (*value & 0x80 ? 63u : 19u)) return bad("a time resolution beyond 64 bits");
      made.ticks_per_second = 1;
      for (uint32_t i = 0; i < exponent; i++) made.ticks_per_second *= *value & 0x80 ? 2 : 10;
    } else if (code == kTimeOffset && length >= 8) {
      const uint64_t low = u32(value + (swapped_ ? 4 : 0)), high = u32(value + (swapped_ ? 0 : 4));
      made.offset_seconds = static_cast<int64_t>(high << 32 | low);
    }
    option += 4 + (length + 3u) / 4 * 4;
  }
  interfaces_.push_back(made);
  return Step::kSkip;
}

CaptureReader::Step CaptureReader::packet_block(const uint8_t* at, uint64_t size, uint32_t type, CaptureRecord* record) {
  const bool simple = type == kSimplePacketBlock;
  const uint32_t data = simple ? 12 : 28;
  if (size < data + 4) return bad("a packet block of " + std::to_string(size) + " bytes");
  const uint32_t number = simple ? 0 : type == kOldPacketBlock ? u16(at + 8) : u32(at + 8);
  if (number >= interfaces_.size()) return bad("a packet of interface " + std::to_string(number) + ", which is not described");
  const Interface& from = interfaces_[number];
  if (from.link_type != kEthernet)
    return bad("link type " + std::to_string(from.link_type) + " is not Ethernet (1)" + kConvert);
  uint32_t captured, wire;
  if (simple) {
    wire = u32(at + 8);
    captured = std::min({wire, from.snap_length ? from.snap_length : ~0u, static_cast<uint32_t>(size - data - 4)});
  } else {
    const uint64_t ticks = uint64_t{u32(at + 12)} << 32 | u32(at + 16);
    captured = u32(at + 20);
    wire = u32(at + 24);
    const auto ns = static_cast<unsigned __int128>(ticks) * 1'000'000'000 / from.ticks_per_second;
    last_time_ns_ = static_cast<uint64_t>(ns) + static_cast<uint64_t>(from.offset_seconds) * 1'000'000'000;
  }
  if (captured > size - data - 4) return bad("it claims " + std::to_string(captured) + " bytes, more than its block has");
  *record = {last_time_ns_, data, captured, std::max(wire, captured)};
  return Step::kRecord;
}

}  // namespace paste
