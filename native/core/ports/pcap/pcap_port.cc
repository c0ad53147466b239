#include "core/ports/pcap/pcap_port.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace paste {

namespace {

constexpr uint32_t kOwnChunkBytes = 1u << 20;
constexpr uint32_t kFramesPerReading = 16;  // of the clock
constexpr uint64_t kStarvingNs = 10'000'000;  // no chunk: the reader rings, but free memory does not

bool parse_number(std::string_view text, double* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_number(std::string_view text, uint32_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Status parse_pcap_spec(const std::string& spec, PcapOptions* options) {
  std::string_view rest = spec;
  if (!rest.starts_with("pcap:")) return Status(Code::kUsage, "port `" + spec + "`: pcap:FILE is meant");
  rest.remove_prefix(5);
  // Options stand at the end, so that a file's name may hold commas.
  for (size_t comma; (comma = rest.rfind(',')) != std::string_view::npos; rest = rest.substr(0, comma)) {
    const std::string_view item = rest.substr(comma + 1);
    if (item == "speed=max")
      options->speed = 0;
    else if (item.starts_with("speed=")) {
      if (!parse_number(item.substr(6), &options->speed) || !(options->speed > 0 && options->speed < 1e9))
        return Status(Code::kUsage, "port `" + spec + "`: speed is a number above 0, or max");
    } else if (item.starts_with("loop=")) {
      if (!parse_number(item.substr(5), &options->loops))
        return Status(Code::kUsage, "port `" + spec + "`: loop is a whole number, 0 = for ever");
    } else
      break;
  }
  if (rest.empty()) return Status(Code::kUsage, "port `" + spec + "`: a file's name is missing behind pcap:");
  options->path = rest;
  return {};
}

// Chunks outside the store. Only the owner thread takes and counts.
class PcapPort::OwnMemory final : public BufferPool {
 public:
  ~OwnMemory() override {
    for (uint8_t* memory : memory_)
      if (memory) munmap(memory, kOwnChunkBytes);
  }
  bool take(BufferBlock* block) override {
    for (uint32_t i = 0; i < kChunks; i++) {
      if (uses_[i] != 0) continue;
      if (!memory_[i]) {
        // Not populated: the reader thread takes the faults.
        void* memory = mmap(nullptr, kOwnChunkBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return false;
        memory_[i] = static_cast<uint8_t*>(memory);
      }
      uses_[i] = 1;
      *block = {memory_[i], 0, kOwnChunkBytes, i};
      return true;
    }
    return false;
  }
  void add_uses(uint32_t index, uint32_t count) override { uses_[index] += count; }
  void drop_uses(uint32_t index, uint32_t count) override { uses_[index] -= count; }

 private:
  uint8_t* memory_[kChunks] = {};
  uint32_t uses_[kChunks] = {};
};

Status PcapPort::create(const std::string& name, const std::string& spec, const Clock& clock, BufferPool* pool,
                        std::unique_ptr<PcapPort>* port) {
  PcapOptions options;
  if (Status status = parse_pcap_spec(spec, &options); !status.ok()) return status;
  std::unique_ptr<PcapPort> made(new PcapPort(name, std::move(options), clock, pool));
  if (Status status = CaptureReader::open(made->options_.path, &made->reader_); !status.ok()) return status;
  made->timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (made->timer_ < 0) return Status(Code::kResource, "port " + name + ": no timer (" + std::strerror(errno) + ")");
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  made->thread_ = std::thread([raw = made.get()] { raw->read_ahead(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  *port = std::move(made);
  return {};
}

PcapPort::PcapPort(std::string name, PcapOptions options, const Clock& clock, BufferPool* pool)
    : name_(std::move(name)), options_(std::move(options)), clock_(clock), pool_(pool),
      own_memory_(std::make_unique<OwnMemory>()) {
  for (Chunk& chunk : chunks_) chunk.records.reserve(CaptureReader::kRecordsMax);
}

PcapPort::~PcapPort() {
  stop_.store(true, std::memory_order_relaxed);
  given_.fetch_add(1, std::memory_order_release);
  given_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (Chunk& chunk : chunks_)
    if (chunk.pool) chunk.pool->drop_uses(chunk.block.index, 1);
  if (timer_ >= 0) ::close(timer_);
}

const char* PcapPort::state() const {
  switch (final_.load(std::memory_order_acquire)) {
    case CaptureReader::End::kMore:
      return "up";
    case CaptureReader::End::kEndOfFile:
      return "end of file";
    case CaptureReader::End::kDamaged:
      return state_text_.c_str();
  }
  return "";
}

// --- the reader thread -----------------------------------------------------------------------------------------------------

void PcapPort::read_ahead() {
  pthread_setname_np(pthread_self(), "paste-pcap");
  uint32_t loops_left = options_.loops;
  bool starts_loop = true, any_in_loop = false;
  for (uint32_t i = 0;; i = (i + 1) % kChunks) {
    Chunk& chunk = chunks_[i];
    for (;;) {
      const uint32_t given = given_.load(std::memory_order_acquire);
      if (stop_.load(std::memory_order_relaxed)) return;
      if (chunk.state.load(std::memory_order_acquire) == kToFill) break;
      given_.wait(given);
    }
    chunk.end = reader_->fill(chunk.block.memory, chunk.block.size_bytes, &chunk.records, &chunk.oversize);
    chunk.starts_loop = starts_loop;
    any_in_loop = any_in_loop || !chunk.records.empty();
    if (any_in_loop) starts_loop = false;
    if (chunk.end == CaptureReader::End::kEndOfFile && any_in_loop && (options_.loops == 0 || --loops_left > 0)) {
      reader_->rewind();
      chunk.end = CaptureReader::End::kMore;
      starts_loop = true;
      any_in_loop = false;
    }
    if (chunk.end == CaptureReader::End::kDamaged) state_text_ = "error: " + reader_->error().message();
    const bool last = chunk.end != CaptureReader::End::kMore;
    chunk.state.store(kFilled, std::memory_order_release);
    set_timer(1);  // wakes the owner if it sleeps; see arm()
    if (last) return;
  }
}

// --- the owner thread ------------------------------------------------------------------------------------------------------

void PcapPort::feed_reader() {
  while (!ended_) {
    Chunk& chunk = chunks_[to_give_];
    if (chunk.state.load(std::memory_order_acquire) != kEmpty) return;
    if (pool_ && pool_->take(&chunk.block))
      chunk.pool = pool_;
    else if (own_memory_->take(&chunk.block))
      chunk.pool = own_memory_.get();
    else
      return;
    chunk.state.store(kToFill, std::memory_order_release);
    given_.fetch_add(1, std::memory_order_release);
    given_.notify_one();
    to_give_ = (to_give_ + 1) % kChunks;
  }
}

// The chunk with records to hand out, or null when there is none yet (or none any more).
PcapPort::Chunk* PcapPort::current() {
  while (!ended_) {
    feed_reader();
    Chunk& chunk = chunks_[to_take_];
    if (chunk.state.load(std::memory_order_acquire) != kFilled) return nullptr;
    if (!started_) {
      started_ = true;
      counters.received_frames += chunk.oversize;
      counters.dropped[static_cast<size_t>(Drop::oversize)] += chunk.oversize;
      if (chunk.starts_loop && !chunk.records.empty()) {
        base_clock_ns_ = clock_.now_ns();
        base_time_ns_ = chunk.records[0].time_ns;
      }
    }
    if (cursor_ < chunk.records.size()) return &chunk;
    finish_current();
  }
  return nullptr;
}

void PcapPort::finish_current() {
  Chunk& chunk = chunks_[to_take_];
  chunk.pool->drop_uses(chunk.block.index, 1);
  chunk.pool = nullptr;
  if (chunk.end != CaptureReader::End::kMore) {
    ended_ = true;
    final_.store(chunk.end, std::memory_order_release);
  }
  chunk.state.store(kEmpty, std::memory_order_release);
  to_take_ = (to_take_ + 1) % kChunks;
  cursor_ = counted_ = 0;
  started_ = false;
}

bool PcapPort::due(const CaptureRecord& record, uint64_t now_ns, uint64_t* deadline_ns) {
  *deadline_ns = now_ns;
  if (options_.speed == 0 || record.time_ns <= base_time_ns_) return true;
  *deadline_ns =
      base_clock_ns_ + static_cast<uint64_t>(static_cast<double>(record.time_ns - base_time_ns_) / options_.speed);
  return *deadline_ns <= now_ns;
}

// One call stays within one chunk, so that unreceive() never leaves the current one.
uint32_t PcapPort::receive(Batch& batch, uint32_t max) {
  last_count_ = 0;
  Chunk* chunk = current();
  if (!chunk) return 0;
  max = std::min(max, kBatchFrames - batch.count);
  uint64_t now_ns = clock_.now_ns(), deadline_ns, bytes = 0;
  uint32_t count = 0;
  for (uint32_t seen = 1; count < max && cursor_ < chunk->records.size(); seen++, cursor_++) {
    const CaptureRecord& record = chunk->records[cursor_];
    if (seen % kFramesPerReading == 0) now_ns = clock_.now_ns();
    if (!due(record, now_ns, &deadline_ns)) break;
    if (record.length < kEthernetHeaderBytes || record.length > kLiveFrameBytesMax) {
      if (cursor_ < counted_) continue;
      counters.received_frames++;
      counters.received_bytes += record.length;
      counters.dropped[static_cast<size_t>(record.length < kEthernetHeaderBytes ? Drop::runt : Drop::oversize)]++;
      continue;
    }
    Frame& frame = batch.frames[batch.count++];
    frame.bytes = chunk->block.memory + record.offset;
    frame.length = record.length;
    frame.wire_length = record.wire_length;
    frame.time_ns = now_ns;
    frame.store_offset = chunk->block.store_offset ? chunk->block.store_offset + record.offset : 0;
    frame.buffer_block = chunk->block.index;
    frame.ingress = index;
    frame.framed = false;
    last_cursor_[count++] = cursor_;
    bytes += record.length;
    if (cursor_ + 4 < chunk->records.size())
      __builtin_prefetch(chunk->block.memory + chunk->records[cursor_ + 4].offset);
  }
  counted_ = std::max(counted_, cursor_);
  chunk->pool->add_uses(chunk->block.index, count);
  outstanding_ += count;
  counters.received_frames += count;
  counters.received_bytes += bytes;
  counters.zero_copy_frames += count;
  last_count_ = count;
  return count;
}

void PcapPort::unreceive(uint32_t count) {
  PASTE_CHECK(count <= last_count_);
  if (count == 0) return;
  Chunk& chunk = chunks_[to_take_];
  last_count_ -= count;
  for (uint32_t i = last_count_; i < last_count_ + count; i++)
    counters.received_bytes -= chunk.records[last_cursor_[i]].length;
  counters.received_frames -= count;
  counters.zero_copy_frames -= count;
  cursor_ = last_cursor_[last_count_];
  chunk.pool->drop_uses(chunk.block.index, count);
  outstanding_ -= count;
}

void PcapPort::release(const Batch& batch, std::span<const uint16_t> frames) {
  for (size_t i = 0; i < frames.size();) {
    const Frame& first = batch.frames[frames[i]];
    size_t run = i + 1;
    while (run < frames.size() && batch.frames[frames[run]].buffer_block == first.buffer_block &&
           (batch.frames[frames[run]].store_offset != 0) == (first.store_offset != 0))
      run++;
    BufferPool* pool = first.store_offset != 0 ? pool_ : own_memory_.get();
    pool->drop_uses(first.buffer_block, static_cast<uint32_t>(run - i));
    i = run;
  }
  outstanding_ -= frames.size();
}

uint32_t PcapPort::deliver(const Batch&, std::span<const uint16_t> frames) {
  PASTE_CHECK(frames.empty());  // reserve() promises nothing
  return 0;
}

// --- waiting ---------------------------------------------------------------------------------------------------------------

void PcapPort::set_timer(uint64_t after_ns) {
  const itimerspec when = {{0, 0}, {static_cast<time_t>(after_ns / 1'000'000'000), static_cast<long>(after_ns % 1'000'000'000)}};
  timerfd_settime(timer_, 0, &when, nullptr);
}

// True when there is something to do; else how long there is nothing, as far as is known.
bool PcapPort::work_waits(uint64_t* sleep_ns) {
  Chunk* chunk = current();
  if (ended_) return outstanding_ == 0;  // to be detached
  *sleep_ns = kStarvingNs;
  if (!chunk) return false;
  const uint64_t now_ns = clock_.now_ns();
  uint64_t deadline_ns;
  if (due(chunk->records[cursor_], now_ns, &deadline_ns)) return true;
  *sleep_ns = deadline_ns - now_ns;
  return false;
}

// The timer has one setting: the reader's "now" may be overwritten here, but then the second look sees the chunk it filled.
bool PcapPort::arm() {
  uint64_t sleep_ns = kStarvingNs, again_ns = kStarvingNs;
  if (work_waits(&sleep_ns)) return true;
  set_timer(sleep_ns);
  if (work_waits(&again_ns)) return true;
  if (again_ns < sleep_ns) set_timer(again_ns);
  return false;
}

void PcapPort::rang() {
  uint64_t expirations;
  (void)!read(timer_, &expirations, sizeof expirations);
}

}  // namespace paste
