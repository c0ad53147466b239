#include "core/ports/client/live_tap_client.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "core/ports/client/client_socket.h"

namespace paste {

using namespace live_tap;

namespace {

// Memory as the daemon takes it from clients.
Status sealed_copy(const std::vector<uint8_t>& bytes, int* fd) {
  *fd = memfd_create("paste-switch-filter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (*fd >= 0 && write(*fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) &&
      fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
    return {};
  const Status status(Code::kResource, std::string("no memory for a tap's filter: ") + std::strerror(errno));
  if (*fd >= 0) close(*fd);
  return status;
}

}  // namespace

Status LiveTapClient::open(const LiveTapOptions& options, std::unique_ptr<LiveTapClient>* client) {
  ports_protocol::Request request = {};
  if (options.port.empty() || options.port.size() >= sizeof request.name)
    return {Code::kUsage, "a tap is on a port, such as vale0:a, or on \"any\""};
  request.header = ports_protocol::header_of(ports_protocol::kRequest, sizeof request);
  request.reqtype = ports_protocol::kTapOpen;
  std::memcpy(request.name, options.port.data(), options.port.size());
  std::memcpy(request.body, &options.wish, sizeof options.wish);
  int filter = -1;
  if (!options.filter.empty()) {
    if (Status status = sealed_copy(options.filter, &filter); !status.ok()) return status;
    request.flags |= ports_protocol::kOffersMemory;
  }
  std::unique_ptr<LiveTapClient> made(new LiveTapClient);
  ports_protocol::Reply reply = {};
  int fd = -1;
  const ClientOptions at = {.socket = options.socket, .name = options.port};
  Status status = ask_daemon(at, request, filter, &reply, &fd, &made->connection_);
  if (filter >= 0) close(filter);
  if (!status.ok()) return status;
  status = made->map(fd, reply.memory_bytes);
  close(fd);
  if (status.ok()) *client = std::move(made);
  return status;
}

LiveTapClient::~LiveTapClient() {
  if (memory_ != nullptr) munmap(const_cast<uint8_t*>(memory_), size_bytes_);
  if (connection_ >= 0) close(connection_);
}

Status LiveTapClient::map(int fd, uint64_t size_bytes) {
  const Status strange(Code::kPort, "what the daemon gave for a tap is none: it is of another version");
  struct stat info;
  Head head;
  if (fstat(fd, &info) != 0 || static_cast<uint64_t>(info.st_size) != size_bytes || size_bytes < kRings ||
      pread(fd, &head, sizeof head, 0) != sizeof head || head.magic != kMagic || head.version != kVersion || head.threads == 0 ||
      !std::has_single_bit(head.ring_bytes) || head.ring_bytes < kRingBytesMin || head.ring_bytes > kTapBytesMax ||
      head.threads > kTapBytesMax / head.ring_bytes || memory_bytes(head.threads, head.ring_bytes) != size_bytes)
    return strange;
  void* mapped = mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return {Code::kResource, std::string("a tap's memory cannot be mapped: ") + std::strerror(errno)};
  memory_ = static_cast<const uint8_t*>(mapped);
  size_bytes_ = size_bytes;
  ring_bytes_ = head.ring_bytes;
  for (uint32_t thread = 0; thread < head.threads; thread++) {
    const uint8_t* at = memory_ + ring_head_at(thread, ring_bytes_);
    rings_.push_back({reinterpret_cast<const RingHead*>(at), at + kPage});
  }
  return {};
}

// --- frames ------------------------------------------------------------------------------------------------------------------

bool LiveTapClient::read(TappedFrames* frames, uint32_t frames_max, uint32_t bytes_max) {
  const size_t first = frames->records.size();
  for (Ring& ring : rings_) {
    const uint64_t written = __atomic_load_n(&ring.head->written, __ATOMIC_ACQUIRE);
    const size_t records = frames->records.size(), bytes = frames->bytes.size();
    while (ring.at < written) {
      if (!read_one(ring, written, frames)) catch_up(ring);
      if (frames->records.size() - records >= frames_max / rings_.size() || frames->bytes.size() - bytes >= bytes_max / rings_.size()) break;
    }
  }
  if (frames->records.size() == first) return false;
  if (rings_.size() == 1) return true;
  // Each ring is nearly in order; between them nothing is.
  std::vector<uint32_t> order(frames->records.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin() + static_cast<ptrdiff_t>(first), order.end(),
                   [&](uint32_t a, uint32_t b) { return frames->records[a].time_ns < frames->records[b].time_ns; });
  const TappedFrames unsorted = {frames->records, frames->offsets, {}};
  for (size_t i = 0; i < order.size(); i++) {
    frames->records[i] = unsorted.records[order[i]];
    frames->offsets[i] = unsorted.offsets[order[i]];
  }
  return true;
}

// One record, or one step to the next chunk; false when the daemon was there first, or what lies there is no record.
bool LiveTapClient::read_one(Ring& ring, uint64_t written, TappedFrames* frames) {
  const uint64_t chunk_end = (ring.at | (kChunkBytes - 1)) + 1;
  const uint8_t* from = ring.bytes + (ring.at & (ring_bytes_ - 1));
  const uint64_t left = std::min(chunk_end, written) - ring.at;
  Record record = {};
  std::memcpy(&record, from, std::min<uint64_t>(sizeof record, left));
  if (overrun(ring)) return false;
  if (record.size == 0) {
    ring.at = chunk_end;
    return true;
  }
  if (record.size > left || record.size % 8 != 0 || record.length > kLiveFrameBytesMax || record.size != record_bytes(record.length))
    return false;
  const size_t at = frames->bytes.size();
  frames->bytes.resize(at + record.length);
  std::memcpy(frames->bytes.data() + at, from + sizeof record, record.length);
  if (overrun(ring)) {
    frames->bytes.resize(at);
    return false;
  }
  ring.missed += record.number - ring.number;
  ring.number = record.number + 1;
  ring.at += record.size;
  frames->records.push_back(record);
  frames->offsets.push_back(static_cast<uint32_t>(at));
  return true;
}

// After copying: whether the daemon had begun to write over the place.
bool LiveTapClient::overrun(const Ring& ring) const {
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return __atomic_load_n(&ring.head->reserved, __ATOMIC_RELAXED) > ring.at + ring_bytes_;
}

// Goes on at a chunk's beginning a quarter of the ring ahead of what is being written over, so that it is not overtaken at once.
void LiveTapClient::catch_up(Ring& ring) const {
  const uint64_t reserved = __atomic_load_n(&ring.head->reserved, __ATOMIC_ACQUIRE);
  const uint64_t oldest = reserved > ring_bytes_ ? reserved - ring_bytes_ : 0;
  const uint64_t next = (oldest + ring_bytes_ / 4 + kChunkBytes - 1) & ~uint64_t{kChunkBytes - 1};
  ring.at = std::max(next, (ring.at | (kChunkBytes - 1)) + 1);
}

uint64_t LiveTapClient::missed() const {
  uint64_t sum = 0;
  for (const Ring& ring : rings_) sum += ring.missed;
  return sum;
}

uint64_t LiveTapClient::unread() const {
  uint64_t sum = 0;
  for (const Ring& ring : rings_) {
    const uint64_t frames = __atomic_load_n(&ring.head->frames, __ATOMIC_ACQUIRE);
    if (frames > ring.number) sum += frames - ring.number;
  }
  return sum;
}

// --- the daemon --------------------------------------------------------------------------------------------------------------

bool LiveTapClient::stands() {
  bool bye = false;
  if (stands_) stands_ = connection_stands(connection_, &bye);
  return stands_;
}

const std::map<uint32_t, std::string>& LiveTapClient::names() {
  const auto* head = reinterpret_cast<const Head*>(memory_);
  const uint64_t written = __atomic_load_n(&head->names, __ATOMIC_ACQUIRE);
  if (written - names_read_ > kNames) names_read_ = written - kNames;
  for (; names_read_ < written; names_read_++) {
    Name name;
    std::memcpy(&name, memory_ + kPage + names_read_ % kNames * sizeof name, sizeof name);
    name.text[sizeof name.text - 1] = 0;
    names_[name.id] = name.text;
  }
  while (names_.size() > kNames) names_.erase(names_.begin());
  return names_;
}

}  // namespace paste
