#include "bench/processes.h"

#include <sched.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "bench/traffic.h"
#include "core/base/system_time.h"
#include "core/ports/client/client.h"
#include "core/ports/frame.h"

namespace paste::bench {
namespace {

constexpr uint32_t kBurst = 64;

uint64_t address(uint64_t station) {
  uint64_t load = 0x02;
  for (int i = 0; i < 5; i++) load |= (station >> (8 * i) & 0xff) << (8 * (5 - i));
  return load;
}

Status open_end(const EndOptions& options, std::unique_ptr<PortClient>* client) {
  if (options.frame_bytes < 64 || options.frame_bytes > kLiveFrameBytesMax)
    return {Code::kUsage, "frameBytes: " + std::to_string(options.frame_bytes) + " is not between 64 and 9216"};
  ClientOptions given;
  given.socket = options.socket;
  given.name = options.name;
  given.slots = options.slots;
  given.reconnect_ms = 0;
  return PortClient::open(given, client);
}

// A burst's worth of frames side by side.
struct Burst {
  std::vector<uint8_t> data;
  uint32_t offsets[kBatchFrames], lengths[kBatchFrames];
  Burst(uint32_t frame_bytes, uint32_t frames) : data(frames * ((frame_bytes + 63u) & ~63u)) {
    for (uint32_t i = 0; i < frames; i++) {
      offsets[i] = i * ((frame_bytes + 63u) & ~63u);
      lengths[i] = frame_bytes;
    }
  }
};

// False when the daemon went away.
bool wait(PortClient& client, bool for_room, bool busy, int timeout_ms, EndResult* result) {
  if (busy) {
    sched_yield();
    return true;
  }
  result->waits++;
  return client.wait(for_room, timeout_ms) != PortClient::Wake::kGone;
}

}  // namespace

Status run_source(const EndOptions& options, EndResult* result) {
  std::unique_ptr<PortClient> client;
  if (Status status = open_end(options, &client); !status.ok()) return status;
  const NumberedFrame frame(options.frame_bytes);
  Burst burst(options.frame_bytes, kBurst);
  const uint64_t to = address(options.to), from = address(options.from);
  const uint64_t start = monotonic_ns(), end = start + uint64_t{options.duration_ms} * 1'000'000;
  result->first_ns = start;
  for (uint64_t now = start; now < end && result->frames < options.frames_max; now = monotonic_ns()) {
    uint64_t due = kBurst;
    if (options.frames_per_second > 0)
      due = static_cast<uint64_t>(static_cast<double>(now - start) / 1e9 * options.frames_per_second) + 1 - result->frames;
    const uint32_t count = static_cast<uint32_t>(std::min({due, uint64_t{kBurst}, options.frames_max - result->frames}));
    for (uint32_t i = 0; i < count; i++) frame.write(burst.data.data() + burst.offsets[i], to, from, result->frames + i);
    const uint32_t sent = count == 0 ? 0 : client->send(burst.data.data(), burst.offsets, burst.lengths, count);
    if (sent != 0 && !client->flush()) return {Code::kPort, options.name + ": the daemon is gone"};
    result->frames += sent;
    if (sent < count && !wait(*client, true, options.busy, 100, result))
      return {Code::kPort, options.name + ": the daemon is gone"};
  }
  result->bytes = result->frames * options.frame_bytes;
  result->last_ns = monotonic_ns();
  while (!client->sent_all())
    if (!client->flush() || !wait(*client, true, true, 1, result)) break;
  return {};
}

Status run_sink(const EndOptions& options, EndResult* result) {
  std::unique_ptr<PortClient> client;
  if (Status status = open_end(options, &client); !status.ok()) return status;
  const NumberedFrame frame(options.frame_bytes);
  Burst burst(options.frame_bytes, kBatchFrames);
  if (options.announce) {
    frame.write(burst.data.data(), 0xffff'ffff'ffff, address(options.to), 0);
    client->send(burst.data.data(), burst.offsets, burst.lengths, 1);
    client->flush();
  }
  uint64_t next = 0, idle_since = monotonic_ns();
  for (;;) {
    const uint32_t count =
        client->receive(burst.data.data(), burst.data.size(), burst.offsets, burst.lengths, kBatchFrames);
    const uint64_t now = monotonic_ns();
    if (count == 0) {
      if (now - idle_since > uint64_t{options.idle_ms} * 1'000'000) break;
      if (!wait(*client, false, options.busy, 50, result)) break;
      continue;
    }
    idle_since = result->last_ns = now;
    if (result->first_ns == 0) result->first_ns = now;
    for (uint32_t i = 0; i < count; i++) {
      uint64_t number = 0;
      if (!frame.read(burst.data.data() + burst.offsets[i], burst.lengths[i], &number)) {
        result->wrong++;
        continue;
      }
      if (number >= next) {
        result->lost += number - next;
        next = number + 1;
      } else {
        result->disordered++;
        result->lost -= result->lost != 0;
      }
    }
    result->frames += count;
    result->bytes += uint64_t{count} * options.frame_bytes;
    if (result->frames >= options.frames_max || now - result->first_ns > uint64_t{options.duration_ms} * 1'000'000) break;
  }
  return {};
}

}  // namespace paste::bench
