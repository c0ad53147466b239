// Which frames a forwarding thread says are marked when it gives them back: a port whose frames lie in the store's buffers must keep
// those, and may use the others again.
#include <sched.h>

#include <cstring>

#include "core/ports/polled_port.h"
#include "core/store/store.h"
#include "core/switch/worker.h"
#include "test/binding.h"

namespace paste::test {
namespace {

struct Wanted {
  uint32_t length;
  bool selected;
};

// Gives its frames once, from a buffer block, and notes how they come back.
class DevicePort final : public PolledPort {
 public:
  DevicePort(const BufferBlock& block, BufferPool* pool, bool filled_by_device, std::vector<Wanted> frames)
      : block_(block), pool_(pool), filled_by_device_(filled_by_device), wanted_(std::move(frames)) {
    for (size_t i = 0; i < wanted_.size(); i++) {
      uint8_t* bytes = block_.memory + i * kSlotBytes;
      std::memset(bytes, 0xff, 6);
      std::memset(bytes + 6, 2, wanted_[i].length - 6);
      bytes[kSelectedAt] = wanted_[i].selected;
    }
  }
  ~DevicePort() override { pool_->drop_uses(block_.index, 1); }

  uint32_t receive(Batch& batch, uint32_t) override {
    if (given_) return 0;
    given_ = true;
    for (uint32_t i = 0; i < wanted_.size(); i++) {
      Frame& frame = batch.frames[batch.count++] = Frame{};
      frame.bytes = block_.memory + i * kSlotBytes;
      frame.length = frame.wire_length = wanted_[i].length;
      frame.time_ns = i + 1;
      frame.store_offset = block_.store_offset + i * kSlotBytes;
      frame.buffer_block = block_.index;
      frame.ingress = index;
    }
    counters.received_frames += wanted_.size();
    return static_cast<uint32_t>(wanted_.size());
  }
  void unreceive(uint32_t count) override { given_ = count != wanted_.size(); }
  void release(const Batch& batch, std::span<const uint16_t> frames) override {
    for (const uint16_t i : frames) marked.push_back(batch.frames[i].marked);
  }
  layout::PortKind kind() const override { return layout::kTapPort; }
  bool filled_by_device() const override { return filled_by_device_; }
  const std::string& name() const override { return name_; }
  uint32_t frame_bytes_max() const override { return kLiveFrameBytesMax; }
  bool sink() const override { return false; }
  uint32_t reserve(const Batch&, std::span<const uint16_t>) override { return 0; }
  uint32_t deliver(const Batch&, std::span<const uint16_t>) override { return 0; }
  void cancel(const Batch&, std::span<const uint16_t>) override {}

  static constexpr uint32_t kSlotBytes = 16384, kSelectedAt = 14;
  std::vector<bool> marked;

 private:
  std::string name_ = "vale0:device";
  BufferBlock block_;
  BufferPool* pool_;
  bool filled_by_device_;
  std::vector<Wanted> wanted_;
  bool given_ = false;
};

Status run_marked(const std::string& path, PersistMode persist, bool filled_by_device, std::vector<Wanted> frames,
                  std::vector<bool>* marked) {
  StoreOptions options;
  options.spare_blocks = 4;
  RecoveryReport report;
  std::unique_ptr<Store> store;
  if (Status status = Store::open(path, options, &store, &report); !status.ok()) return status;
  PASTE_CHECK(store->buffers() != nullptr);
  BufferBlock block;
  while (!store->buffers()->take(&block)) sched_yield();  // the keeper makes one ready
  PASTE_CHECK(frames.size() * DevicePort::kSlotBytes <= block.size_bytes && frames.size() <= kBatchFrames);
  {
    DevicePort port(block, store->buffers(), filled_by_device, std::move(frames));
    port.id = store->take_id();
    MacTable table({.entries = 16, .entries_per_port = 16});
    SwitchView view;
    view.table = &table;
    table.add_port(0, port.id);
    store->lane(0).describe_port(port.id, store->epoch(), port.kind(), port.name());
    RuleSpec spec;
    spec.name = "selected";
    spec.program = {{0x30, 0, 0, DevicePort::kSelectedAt}, {0x15, 0, 1, 1}, {0x06, 0, 0, 0x40000}, {0x06, 0, 0, 0}};
    const uint32_t id = store->take_id();
    std::unique_ptr<RuleSet> rules;
    if (Status status = RuleSet::compile({&spec, 1}, true, 1, {&id, 1}, &rules); !status.ok()) return status;
    rules = rules->resolve({});
    store->lane(0).describe_rule(id, 1, spec.name, "");
    RuleTally tally;
    WorkerOptions worker_options;
    worker_options.persist = persist;
    Worker worker(worker_options, &store->lane(0));
    worker.add_port(&port, 0, &view);
    worker.set_rules(rules.get(), &tally);
    while (port.marked.empty()) worker.round();
    *marked = port.marked;
  }
  return store->close();
}

}  // namespace

// markedFrames(storePath, "auto" | "pack" | "mark", filledByDevice, [{length, selected}]): boolean[]
void add_marked(Napi::Env env, Napi::Object exports) {
  add_function(env, exports, "markedFrames", [](const Napi::CallbackInfo& info) -> Napi::Value {
    const std::string mode = info[1].As<Napi::String>();
    const PersistMode persist = mode == "pack" ? PersistMode::kPack : mode == "mark" ? PersistMode::kMark : PersistMode::kAuto;
    const auto given = info[3].As<Napi::Array>();
    std::vector<Wanted> frames;
    for (uint32_t i = 0; i < given.Length(); i++) {
      const auto frame = given.Get(i).As<Napi::Object>();
      frames.push_back({static_cast<uint32_t>(to_u64(frame.Get("length"))), frame.Get("selected").ToBoolean()});
    }
    std::vector<bool> marked;
    if (!ok_or_throw(info.Env(), run_marked(info[0].As<Napi::String>(), persist, info[2].ToBoolean(), std::move(frames), &marked)))
      return info.Env().Undefined();
    Napi::Array list = Napi::Array::New(info.Env(), marked.size());
    for (uint32_t i = 0; i < marked.size(); i++) list.Set(i, Napi::Boolean::New(info.Env(), marked[i]));
    return list;
  });
}

}  // namespace paste::test
