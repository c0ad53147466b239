// Checksums, clock, domains and regions, driven piece by piece from test/native.
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <thread>

#include "core/base/clock.h"
#include "core/base/crc32c.h"
#include "core/export/packet_hash.h"
#include "core/pmem/cpu_domain.h"
#include "core/pmem/disk_domain.h"
#include "core/pmem/region.h"
#include "test/binding.h"

namespace paste::test {
namespace {

using Info = Napi::CallbackInfo;
using Bytes = Napi::Uint8Array;

// crc32cVariants(): { name, compute(seed, bytes) }[]
Napi::Value crc_variants(const Info& info) {
  Napi::Env env = info.Env();
  Napi::Array list = Napi::Array::New(env);
  for (const Crc32cVariant& variant : crc32c_variants()) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", variant.name);
    add_function(env, entry, "compute", [compute = variant.compute](const Info& call) -> Napi::Value {
      const auto bytes = call[1].As<Bytes>();
      return Napi::Number::New(call.Env(), compute(call[0].As<Napi::Number>().Uint32Value(), bytes.Data(), bytes.ByteLength()));
    });
    list.Set(list.Length(), entry);
  }
  return list;
}

// packetHashVariants(): { name, compute(bytes) }[]
Napi::Value packet_hashes(const Info& info) {
  Napi::Env env = info.Env();
  Napi::Array list = Napi::Array::New(env);
  for (const PacketHashVariant& variant : packet_hash_variants()) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", variant.name);
    add_function(env, entry, "compute", [compute = variant.compute](const Info& call) -> Napi::Value {
      const auto bytes = call[0].As<Bytes>();
      return Napi::Number::New(call.Env(), compute(bytes.Data(), bytes.ByteLength()));
    });
    list.Set(list.Length(), entry);
  }
  return list;
}

// streamVariants(bytes, offsetLines): for each kind of write-back and stream that this processor has, its name and the 64 KiB of
// memory after streaming and after storing the bytes there.
Napi::Value stream_variants(const Info& info) {
  Napi::Env env = info.Env();
  const auto bytes = info[0].As<Bytes>();
  const size_t at = 64 * to_u64(info[1]), lines = bytes.ByteLength() / 64;
  Napi::Array list = Napi::Array::New(env);
  const CpuFeatures whole = cpu_features();
  for (int step = 0; step < 5; ++step) {
    CpuFeatures some = whole;  // one feature fewer each time
    if (step >= 1) some.avx512 = false;
    if (step >= 2) some.avx = false;
    if (step >= 3) some.clwb = false;
    if (step >= 4) some.clflushopt = some.dc_cvap = false;
    std::unique_ptr<Domain> domain;
    if (!ok_or_throw(env, make_cpu_domain(Medium::kMemory, some, &domain))) return env.Undefined();
    constexpr size_t kBytes = 64u << 10;
    const std::unique_ptr<uint8_t[], void (*)(void*)> memory(static_cast<uint8_t*>(std::aligned_alloc(64, 2 * kBytes)), std::free);
    const std::unique_ptr<uint8_t[], void (*)(void*)> from(static_cast<uint8_t*>(std::aligned_alloc(64, kBytes)), std::free);
    std::memset(memory.get(), 0, 2 * kBytes);
    std::memcpy(from.get(), bytes.Data(), lines * 64);
    domain->stream(memory.get() + at, from.get(), lines);
    domain->store(memory.get() + kBytes + at, from.get(), lines * 64);
    domain->flush(memory.get() + kBytes + at + 1, lines * 64 - 1);
    domain->fence();
    if (!ok_or_throw(env, domain->sync())) return env.Undefined();
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", domain->name());
    entry.Set("streamed", Napi::Buffer<uint8_t>::Copy(env, memory.get(), kBytes));
    entry.Set("stored", Napi::Buffer<uint8_t>::Copy(env, memory.get() + kBytes, kBytes));
    list.Set(list.Length(), entry);
  }
  return list;
}

// createClock(): { now(): bigint, calibrate(): { stepped, from, to }, hold(bigint), backwards(readers, calibrations): number }
Napi::Value create_clock(const Info& info) {
  Napi::Env env = info.Env();
  auto clock = std::make_shared<Clock>();
  Napi::Object face = Napi::Object::New(env);
  add_function(env, face, "now", [clock](const Info& call) -> Napi::Value { return Napi::BigInt::New(call.Env(), clock->now_ns()); });
  add_function(env, face, "hold", [clock](const Info& call) {
    bool lossless = false;
    clock->hold(call[0].As<Napi::BigInt>().Uint64Value(&lossless));
  });
  add_function(env, face, "calibrate", [clock](const Info& call) -> Napi::Value {
    const Clock::Step step = clock->calibrate();
    Napi::Object result = Napi::Object::New(call.Env());
    result.Set("stepped", step.stepped);
    result.Set("from", Napi::BigInt::New(call.Env(), step.from_ns));
    result.Set("to", Napi::BigInt::New(call.Env(), step.to_ns));
    return result;
  });
  // The worst step backwards, in ns, that one reading thread saw while another calibrated without a pause.
  add_function(env, face, "backwards", [clock](const Info& call) -> Napi::Value {
    std::atomic<bool> stop{false};
    uint64_t worst = 0;
    std::thread reader([&] {
      for (uint64_t last = 0; !stop.load(std::memory_order_relaxed);) {
        const uint64_t now = clock->now_ns();
        if (now < last) worst = std::max(worst, last - now);
        last = now;
      }
    });
    for (uint64_t i = to_u64(call[0]); i > 0; --i) (void)clock->calibrate();
    stop.store(true);
    reader.join();
    return from_u64(call.Env(), worst);
  });
  return face;
}

struct OpenRegion {
  std::unique_ptr<Region> region;
  uint8_t* head = nullptr;
};

Napi::Object region_face(Napi::Env env, const std::shared_ptr<OpenRegion>& open) {
  Napi::Object face = Napi::Object::New(env);
  Region& region = *open->region;
  face.Set("sizeBytes", from_u64(env, region.size_bytes()));
  face.Set("medium", medium_name(region.medium()));
  face.Set("survives", medium_survives(region.medium()));
  face.Set("fileSystem", region.file_system());
  add_function(env, face, "domain", [open](const Info& call) -> Napi::Value {
    return Napi::String::New(call.Env(), open->region->domain().name());
  });
  add_function(env, face, "intact", [open](const Info& call) -> Napi::Value {
    return Napi::Boolean::New(call.Env(), open->region->intact());
  });
  add_function(env, face, "head", [open](const Info& call) { open->head = open->region->writable_head(to_u64(call[0])); });
  // storeHead(offset, bytes, flush)
  add_function(env, face, "storeHead", [open](const Info& call) {
    const auto bytes = call[1].As<Bytes>();
    uint8_t* const to = open->head + to_u64(call[0]);
    open->region->domain().store(to, bytes.Data(), bytes.ByteLength());
    if (call[2].ToBoolean()) open->region->domain().flush(to, bytes.ByteLength());
    open->region->domain().fence();
  });
  // storeStaged(offset, size, at, bytes, release): acquires, stores and flushes; releases before the sync when asked to
  add_function(env, face, "storeStaged", [open](const Info& call) {
    const auto bytes = call[3].As<Bytes>();
    uint8_t* const staging = open->region->acquire_staging(to_u64(call[0]), static_cast<uint32_t>(to_u64(call[1])));
    uint8_t* const to = staging + to_u64(call[2]);
    open->region->domain().store(to, bytes.Data(), bytes.ByteLength());
    open->region->domain().flush(to, bytes.ByteLength());
    open->region->domain().fence();
    if (call[4].ToBoolean()) open->region->release_staging(to_u64(call[0]));
  });
  add_function(env, face, "publish", [open](const Info& call) {
    open->region->publish(to_u64(call[0]), static_cast<uint32_t>(to_u64(call[1])));
  });
  add_function(env, face, "populate", [open](const Info& call) -> Napi::Value {
    return Napi::Boolean::New(call.Env(), open->region->populate(to_u64(call[0]), to_u64(call[1])));
  });
  add_function(env, face, "sync", [open](const Info& call) { ok_or_throw(call.Env(), open->region->domain().sync()); });
  add_function(env, face, "read", [open](const Info& call) -> Napi::Value {
    return Napi::Buffer<uint8_t>::Copy(call.Env(), open->region->base() + to_u64(call[0]), to_u64(call[1]));
  });
  add_function(env, face, "close", [open](const Info&) { open->region.reset(); });
  return face;
}

// createRegion(path, { sizeBytes, sparse })
void create_region(const Info& info) {
  const auto options = info[1].As<Napi::Object>();
  Region::CreateOptions create;
  create.size_bytes = to_u64(options.Get("sizeBytes"));
  create.sparse = options.Get("sparse").ToBoolean();
  ok_or_throw(info.Env(), Region::create(info[0].ToString(), create));
}

// openRegion(path, "read" | "write")
Napi::Value open_region(const Info& info) {
  auto open = std::make_shared<OpenRegion>();
  const bool writes = info[1].ToString().Utf8Value() == "write";
  const Status status = Region::open(info[0].ToString(), writes ? Region::Access::kWrite : Region::Access::kRead, &open->region);
  if (!ok_or_throw(info.Env(), status)) return info.Env().Undefined();
  return region_face(info.Env(), open);
}

// syncTo(path): messages of three syncs of a disk domain on this file, each after a new store and flush; "" is success.
Napi::Value sync_to(const Info& info) {
  Napi::Env env = info.Env();
  const int descriptor = open(info[0].ToString().Utf8Value().c_str(), O_RDWR | O_CLOEXEC);
  Napi::Array messages = Napi::Array::New(env);
  {
    DiskDomain domain(descriptor, info[0].ToString());
    uint8_t* const window = domain.open_window(0, 8192);
    for (uint32_t i = 0; i < 3; ++i) {
      domain.store(window, &i, sizeof i);
      domain.flush(window, sizeof i);
      messages.Set(i, domain.sync().message());
    }
  }
  close(descriptor);
  return messages;
}

// flushFromThreads(path, threads, rounds): each thread fills its own pages of one window and flushes them while another
// syncs all the time; after the last sync the file holds what the memory held. Returns the first page that differs, or -1.
Napi::Value flush_from_threads(const Info& info) {
  const std::string path = info[0].ToString();
  const size_t threads = to_u64(info[1]), rounds = to_u64(info[2]);
  const int descriptor = open(path.c_str(), O_RDWR | O_CLOEXEC);
  DiskDomain domain(descriptor, path);
  constexpr size_t kPages = 16, kPage = 4096;
  uint8_t* const window = domain.open_window(0, threads * kPages * kPage);
  std::vector<std::thread> flushers;
  for (size_t t = 0; t < threads; ++t)
    flushers.emplace_back([&, t] {
      for (size_t round = 0; round < rounds; ++round) {
        const uint64_t value = t << 32 | round;
        uint8_t* const page = window + (t * kPages + round % kPages) * kPage;
        for (size_t at = 0; at < kPage; at += 8) domain.store64(page + at, value);
        domain.flush(page, kPage);
      }
    });
  std::atomic<bool> stop{false};
  std::thread syncer([&] {
    while (!stop.load()) (void)domain.sync();
  });
  for (std::thread& flusher : flushers) flusher.join();
  stop.store(true);
  syncer.join();
  const bool synced = domain.sync().ok();
  int64_t wrong = synced ? -1 : 0;
  uint8_t page[kPage];
  for (size_t i = 0; i < threads * kPages && wrong < 0; ++i)
    if (pread(descriptor, page, kPage, static_cast<off_t>(i * kPage)) != static_cast<ssize_t>(kPage) ||
        std::memcmp(page, window + i * kPage, kPage) != 0)
      wrong = static_cast<int64_t>(i);
  close(descriptor);
  return Napi::Number::New(info.Env(), static_cast<double>(wrong));
}

}  // namespace

void add_pmem(Napi::Env env, Napi::Object exports) {
  add_function(env, exports, "crc32cVariants", crc_variants);
  add_function(env, exports, "packetHashVariants", packet_hashes);
  add_function(env, exports, "streamVariants", stream_variants);
  add_function(env, exports, "createClock", create_clock);
  add_function(env, exports, "createRegion", create_region);
  add_function(env, exports, "openRegion", open_region);
  add_function(env, exports, "syncTo", sync_to);
  add_function(env, exports, "flushFromThreads", flush_from_threads);
}

}  // namespace paste::test
