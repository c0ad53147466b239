#include "bench/index_bench.h"

#include <cstring>
#include <memory>

#include "core/base/system_time.h"
#include "core/index/builder.h"
#include "core/index/mix.h"
#include "core/index/run_in_memory.h"
#include "core/store/checksums.h"

namespace paste::bench {
namespace {

using layout::kLine;

// Of this thread's processor time: what one core does, also on a machine that others use.
double seconds() { return static_cast<double>(clock_ns(CLOCK_THREAD_CPUTIME_ID)) * 1e-9; }

// Numbers that look random and are the same each time.
class Numbers {
 public:
  uint64_t next() { return index::fold(++state_, 0x9e3779b97f4a7c15); }
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>((next() >> 32) * limit >> 32); }

 private:
  uint64_t state_ = 0x1234567;
};

void put_u32(uint8_t* to, uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(to, &value, 4);
}

// Ethernet, IPv4, TCP or UDP of the flow with that number.
void write_frame(uint8_t* frame, uint64_t flow) {
  const uint64_t mixed = index::fold(flow + 1, 0xd6e8feb86659fd93);
  const uint8_t head[34] = {2, 0, 0,   0, 0, static_cast<uint8_t>(mixed & 63),
                            2, 0, 0,   0, 1, static_cast<uint8_t>(mixed >> 8 & 63),
                            8, 0, 0x45};
  std::memcpy(frame, head, sizeof head);
  frame[23] = (mixed & 0x300) == 0 ? 17 : 6;
  put_u32(frame + 26, 0x0a000000 | static_cast<uint32_t>(flow));
  put_u32(frame + 30, 0xc0a80000 | static_cast<uint32_t>(mixed >> 40 & 0xfff));
  frame[34] = static_cast<uint8_t>(mixed >> 16);
  frame[35] = static_cast<uint8_t>(mixed >> 24);
  static constexpr uint16_t kPorts[8] = {80, 443, 22, 53, 25, 8080, 3306, 5432};
  const uint16_t port = kPorts[mixed >> 32 & 7];
  frame[36] = static_cast<uint8_t>(port >> 8);
  frame[37] = static_cast<uint8_t>(port);
  frame[46] = 0x50;
}

// The same in IPv6 behind two tags; the addresses end like IPv4's.
void write_ipv6_frame(uint8_t* frame, uint64_t flow) {
  uint8_t plain[60] = {};
  write_frame(plain, flow);
  const uint8_t tags[10] = {0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 0x86, 0xdd};
  std::memcpy(frame, plain, 12);
  std::memcpy(frame + 12, tags, sizeof tags);
  uint8_t* ip = frame + 22;
  ip[0] = 0x60;
  ip[6] = plain[23];
  ip[8] = ip[24] = 0xfd;
  std::memcpy(ip + 20, plain + 26, 4);
  std::memcpy(ip + 36, plain + 30, 4);
  std::memcpy(ip + 40, plain + 34, 20);
}

struct Blocks {
  std::vector<std::vector<uint8_t>> bytes;
  std::vector<uint32_t> ends;
  uint64_t frames = 0, data_bytes = 0;
};

// IMIX without checksums: 7 of 60 bytes, 4 of 590, 1 of 1514.
uint32_t frame_bytes(const IndexBenchOptions& options, Numbers& numbers) {
  if (options.new_flows) return options.ipv6 ? 82 : 64;
  const uint32_t which = numbers.below(12);
  return which < 7 ? (options.ipv6 ? 82 : 60) : which < 11 ? 590 : 1514;
}

Blocks make_blocks(const IndexBenchOptions& options) {
  Blocks blocks;
  Numbers numbers;
  for (uint64_t b = 0; b < options.segment_bytes / options.block_bytes; b++) {
    std::vector<uint8_t> block(options.block_bytes, 0);
    uint32_t at = kLine;
    for (;;) {
      const uint32_t length = frame_bytes(options, numbers);
      const uint32_t lines = 1 + layout::lines_of(length);
      if (at + lines * kLine > block.size()) break;
      layout::RecordHeader header{};
      header.lines = static_cast<uint16_t>(lines);
      header.type = layout::kFrame;
      header.parts = 1;
      header.wire_length = header.payload_length = length;
      header.sequence = ++blocks.frames;
      header.time_ns = 1'700'000'000'000'000'000 + blocks.frames * 1000;
      header.ingress = 1 + numbers.below(4);
      header.egress = 1 + numbers.below(4);
      header.rule = 9;
      header.header_crc = layout::record_header_crc(header, b + 1);
      std::memcpy(block.data() + at, &header, sizeof header);
      (options.ipv6 ? write_ipv6_frame : write_frame)(block.data() + at + kLine,
                                                      options.new_flows ? blocks.frames : numbers.below(options.flows));
      at += lines * kLine;
    }
    blocks.ends.push_back(at);
    blocks.data_bytes += at;
    blocks.bytes.push_back(std::move(block));
  }
  return blocks;
}

class NoPlaces final : public PlacedBytes {
 public:
  const uint8_t* bytes(const layout::PlacePayload&) const override { return nullptr; }
};

IndexNode host(IndexField field, uint32_t address) {
  IndexNode node{};
  node.op = IndexOp::kRange;
  node.field = static_cast<uint8_t>(field);
  node.low[10] = node.low[11] = 0xff;
  put_u32(node.low + 12, address);
  std::memcpy(node.high, node.low, sizeof node.high);
  return node;
}

// Source or destination: nanoseconds a question.
Status ask(IndexRun& run, uint32_t address, double* ns, uint64_t* records) {
  constexpr uint32_t kQuestions = 2000;
  std::vector<IndexNode> plan{host(IndexField::kIpSource, address), host(IndexField::kIpDestination, address), {}};
  plan[2].op = IndexOp::kOr;
  plan[2].count = 2;
  IndexAnswer answer;
  const double start = seconds();
  for (uint32_t i = 0; i < kQuestions; i++)
    if (Status status = run.evaluate(plan, NoNames(), &answer); !status.ok()) return status;
  *ns = (seconds() - start) * 1e9 / kQuestions;
  *records = answer.offsets.size();
  return {};
}

}  // namespace

Status run_index_bench(const IndexBenchOptions& options, IndexBenchResult* result) {
  const Blocks blocks = make_blocks(options);
  result->frames = blocks.frames;
  result->data_bytes = blocks.data_bytes;
  IndexBuilder builder({options.tunnels, options.bytes_max});
  std::vector<uint8_t> bytes;
  for (uint32_t round = 0; round <= options.rounds; round++) {
    const double start = seconds();
    for (size_t b = 0; b < blocks.bytes.size(); b++)
      builder.add_block(static_cast<uint32_t>(b), b + 1, blocks.bytes[b].data(), blocks.ends[b], NoPlaces());
    builder.finish(&bytes);
    if (round != 0) result->frames_per_second.push_back(static_cast<double>(blocks.frames) / (seconds() - start));
  }
  seal_run(bytes, 1);
  result->run_bytes = bytes.size();
  RunInMemory memory(bytes.data(), static_cast<uint32_t>(bytes.size()));
  std::unique_ptr<IndexRun> run;
  if (Status status = IndexRun::open(memory, static_cast<uint32_t>(bytes.size()), 1, &run); !status.ok()) return status;
  for (uint32_t field = 1; field < 19; field++)
    if (run->omitted(static_cast<IndexField>(field))) result->omitted |= 1u << field;
  for (uint32_t round = 0; round < options.rounds; round++) {
    double absent, present;
    uint64_t records;
    if (Status status = ask(*run, 0x0b000001, &absent, &records); !status.ok()) return status;
    if (Status status = ask(*run, 0x0a000007, &present, &result->host_records); !status.ok()) return status;
    result->absent_ns.push_back(absent);
    result->host_ns.push_back(present);
  }
  return {};
}

}  // namespace paste::bench
