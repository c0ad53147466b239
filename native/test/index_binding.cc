// The parser of frames, and index runs: made of a store's sealed blocks, asked what the tests ask.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

#include "core/base/glob.h"
#include "core/base/sha1.h"
#include "core/frame/dissect.h"
#include "core/index/builder.h"
#include "core/index/run.h"
#include "core/store/block_scan.h"
#include "core/store/checksums.h"
#include "core/store/community_id.h"
#include "test/binding.h"

namespace paste::test {
namespace {

Napi::Value layer_object(Napi::Env env, const uint8_t* frame, const NetworkLayer& layer) {
  Napi::Object o = Napi::Object::New(env);
  const auto number = [&](const char* name, uint32_t value) { o.Set(name, Napi::Number::New(env, value)); };
  number("version", layer.version);
  number("offset", layer.offset);
  number("headerBytes", layer.header_bytes);
  o.Set("source", Napi::Buffer<uint8_t>::Copy(env, frame + layer.source, layer.address_bytes));
  o.Set("destination", Napi::Buffer<uint8_t>::Copy(env, frame + layer.destination, layer.address_bytes));
  Napi::Array protocols = Napi::Array::New(env, layer.protocol_count);
  for (uint32_t i = 0; i < layer.protocol_count; i++) protocols.Set(i, Napi::Number::New(env, layer.protocols[i]));
  o.Set("protocols", protocols);
  o.Set("fragment", layer.later ? "later" : layer.fragment ? "first" : "");
  number("fragmentId", layer.fragment_id);
  number("transport", layer.transport);
  number("payload", layer.payload);
  number("tcpFlags", layer.tcp_flags);
  if (layer.has_source_port) number("portSource", layer.port_source);
  if (layer.has_destination_port) number("portDestination", layer.port_destination);
  if (layer.has_icmp_type) number("icmpType", layer.icmp_type);
  if (layer.has_icmp_code) number("icmpCode", layer.icmp_code);
  return o;
}

// The frame lies at the end of memory of its own, so that a read behind it is seen where memory is watched.
Napi::Value dissect_frame(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto given = info[0].As<Napi::Uint8Array>();
  const std::vector<uint8_t> frame(given.Data(), given.Data() + given.ByteLength());
  Dissection d;
  dissect(frame.data(), static_cast<uint32_t>(frame.size()), info[1].ToBoolean(), &d);
  Napi::Object o = Napi::Object::New(env);
  const auto list = [&](const char* name, uint32_t count, auto at) {
    Napi::Array array = Napi::Array::New(env, count);
    for (uint32_t i = 0; i < count; i++) array.Set(i, at(i));
    o.Set(name, array);
  };
  o.Set("odd", Napi::Boolean::New(env, d.odd));
  o.Set("cut", Napi::Boolean::New(env, d.cut));
  list("links", d.link_count, [&](uint32_t i) { return Napi::Number::New(env, d.links[i]); });
  list("types", d.type_count, [&](uint32_t i) { return Napi::Number::New(env, d.types[i]); });
  list("tags", d.tag_count, [&](uint32_t i) { return Napi::Number::New(env, d.tags[i]); });
  list("layers", d.layer_count, [&](uint32_t i) { return layer_object(env, frame.data(), d.layers[i]); });
  return o;
}

// A store's file, as bytes.
struct File {
  std::vector<uint8_t> bytes;
  layout::Superblock superblock;
  StoreView view;

  bool read(const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (file == nullptr) return false;
    std::fseek(file, 0, SEEK_END);
    bytes.resize(static_cast<size_t>(std::ftell(file)));
    std::rewind(file);
    const bool whole = std::fread(bytes.data(), 1, bytes.size(), file) == bytes.size();
    std::fclose(file);
    if (!whole || bytes.size() < layout::kDirectoryOffset) return false;
    std::memcpy(&superblock, bytes.data(), sizeof superblock);
    view = {bytes.data(), &superblock};
    return superblock.magic == layout::kMagic;
  }
};

class FilePlaces final : public PlacedBytes {
 public:
  explicit FilePlaces(const File& file) : file_(file) {}
  const uint8_t* bytes(const layout::PlacePayload& place) const override {
    return place.offset + place.length <= file_.bytes.size() ? file_.bytes.data() + place.offset : nullptr;
  }

 private:
  const File& file_;
};

Napi::Value record_object(Napi::Env env, const layout::RecordHeader& header, const BlockScan& scan) {
  Napi::Object o = Napi::Object::New(env);
  const auto number = [&](const char* name, double value) { o.Set(name, Napi::Number::New(env, value)); };
  number("offset", scan.start());
  number("type", header.type);
  o.Set("repeated", Napi::Boolean::New(env, (header.flags & layout::kRepeated) != 0));
  o.Set("placed", Napi::Boolean::New(env, (header.flags & layout::kPlaced) != 0));
  number("timeNs", static_cast<double>(header.time_ns));
  number("ingress", header.ingress);
  number("egress", (header.flags & layout::kFlooded) != 0 ? 0xffffffffu : header.egress);
  number("rule", header.rule);
  number("outcome", header.outcome);
  number("parts", header.parts);
  o.Set("bytes", Napi::Buffer<uint8_t>::Copy(env, scan.payload(), scan.payload_bytes()));
  uint32_t digest[5];
  if (header.type == layout::kFrame && community_id(scan.payload(), scan.payload_bytes(), digest)) {
    uint8_t eight[8];
    for (uint32_t i = 0; i < 8; i++) eight[i] = static_cast<uint8_t>(digest[i / 4] >> (24 - i % 4 * 8));
    o.Set("community", Napi::Buffer<uint8_t>::Copy(env, eight, 8));
  }
  return o;
}

// indexStore(path, {tunnels, bytesMax, blocksPerRun, damage}): {runs, blocks}; the runs are sealed with serial 77. damage: the nth block is
// given with a wrong byte in its second record's header.
Napi::Value index_store(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto given = info[1].As<Napi::Object>();
  const auto option = [&](const char* name, uint32_t missing) {
    return given.Has(name) ? static_cast<uint32_t>(to_u64(given.Get(name).ToNumber())) : missing;
  };
  File file;
  if (!file.read(info[0].As<Napi::String>())) {
    ok_or_throw(env, Status(Code::kStore, "no store"));
    return env.Undefined();
  }
  IndexBuilder builder({given.Get("tunnels").ToBoolean(), option("bytesMax", 1u << 20)});
  const uint32_t per_run = option("blocksPerRun", 1000), damage = option("damage", ~0u);
  Napi::Array runs = Napi::Array::New(env), blocks = Napi::Array::New(env);
  const auto finish = [&] {
    std::vector<uint8_t> run;
    builder.finish(&run);
    seal_run(run, 77);
    runs.Set(runs.Length(), Napi::Buffer<uint8_t>::Copy(env, run.data(), run.size()));
  };
  std::vector<std::pair<uint64_t, uint32_t>> order;
  for (uint32_t i = 0; i < file.superblock.block_count; i++)
    if (layout::sealed(file.view.entry(i))) order.push_back({layout::word_serial(file.view.entry(i).word), i});
  std::sort(order.begin(), order.end());
  for (const auto& [serial, index] : order) {
    const layout::DirectoryEntry& entry = file.view.entry(index);
    Napi::Object block = Napi::Object::New(env);
    Napi::Array records = Napi::Array::New(env);
    BlockScan scan(file.view, index, serial);
    for (layout::RecordHeader header; scan.next(&header);)
      records.Set(records.Length(), record_object(env, header, scan));
    block.Set("index", Napi::Number::New(env, index));
    block.Set("run", Napi::Number::New(env, runs.Length()));
    block.Set("lane", Napi::Number::New(env, entry.lane));
    block.Set("records", records);
    std::vector<uint8_t> bytes(file.view.block(index), file.view.block(index) + entry.end_bytes);
    if (blocks.Length() == damage && records.Length() > 1) {
      const uint32_t second = static_cast<uint32_t>(to_u64(records.Get(1u).As<Napi::Object>().Get("offset")));
      bytes[second + 40] ^= 1;
    }
    blocks.Set(blocks.Length(), block);
    builder.add_block(index, serial, bytes.data(), entry.end_bytes, FilePlaces(file));
    if (builder.blocks() == per_run) finish();
  }
  if (builder.blocks() != 0) finish();
  Napi::Object o = Napi::Object::New(env);
  o.Set("runs", runs);
  o.Set("blocks", blocks);
  return o;
}

// Counts what it is asked for; bytes behind the run are never there.
class Counted final : public IndexSource {
 public:
  explicit Counted(const Napi::Uint8Array& given) : bytes_(given.Data(), given.Data() + given.ByteLength()) {}
  bool read(uint32_t offset, uint32_t size_bytes, uint8_t* to) override {
    reads++;
    if (offset > bytes_.size() || size_bytes > bytes_.size() - offset) return false;
    std::memcpy(to, bytes_.data() + offset, size_bytes);
    return true;
  }
  uint32_t size() const { return static_cast<uint32_t>(bytes_.size()); }
  uint32_t reads = 0;

 private:
  const std::vector<uint8_t> bytes_;
};

class Globs final : public NameAnswers {
 public:
  explicit Globs(const Napi::Array& given) {
    for (uint32_t i = 0; i < given.Length(); i++) {
      const auto test = given.Get(i).As<Napi::Object>();
      tests_.push_back({static_cast<IndexField>(to_u64(test.Get("field"))), test.Get("pattern").As<Napi::String>()});
    }
  }
  size_t count() const { return tests_.size(); }
  IndexField field(uint32_t test) const override { return tests_[test].first; }
  bool holds(uint32_t test, std::string_view name) const override {
    return glob_matches(tests_[test].second, std::string(name));
  }

 private:
  std::vector<std::pair<IndexField, std::string>> tests_;
};

// askRun(run, plan, nameTests): {blocks: [{index, all, offsets}], reads, bytesRead, omitted}; throws what a damaged run says.
Napi::Value ask_run(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Counted source(info[0].As<Napi::Uint8Array>());
  const auto bytes = info[1].As<Napi::Uint8Array>();
  const Globs globs(info[2].As<Napi::Array>());
  std::vector<IndexNode> plan;
  std::unique_ptr<IndexRun> run;
  if (!ok_or_throw(env, decode_expression({bytes.Data(), bytes.ByteLength()}, globs.count(), &plan)))
    return env.Undefined();
  if (!ok_or_throw(env, IndexRun::open(source, source.size(), 77, &run))) return env.Undefined();
  IndexAnswer answer;
  const Status status = run->evaluate(plan, globs, &answer);
  Napi::Object o = Napi::Object::New(env);
  Napi::Array blocks = Napi::Array::New(env);
  for (size_t i = 0; i < answer.blocks.size(); i++) {
    const BlockAnswer& part = answer.blocks[i];
    Napi::Object block = Napi::Object::New(env);
    block.Set("index", Napi::Number::New(env, run->blocks()[i].index));
    block.Set("records", Napi::Number::New(env, run->blocks()[i].records));
    block.Set("all", Napi::Boolean::New(env, part.what == BlockAnswer::What::kAll));
    Napi::Array offsets = Napi::Array::New(env, part.count);
    for (uint32_t k = 0; k < part.count; k++) offsets.Set(k, Napi::Number::New(env, answer.offsets[part.first + k]));
    block.Set("offsets", offsets);
    blocks.Set(static_cast<uint32_t>(i), block);
  }
  o.Set("blocks", blocks);
  o.Set("failure", Napi::String::New(env, status.message()));
  o.Set("reads", Napi::Number::New(env, source.reads));
  o.Set("bytesRead", from_u64(env, run->bytes_read()));
  Napi::Array omitted = Napi::Array::New(env);
  for (uint32_t field = 1; field <= 18; field++)
    if (run->omitted(static_cast<IndexField>(field))) omitted.Set(omitted.Length(), Napi::Number::New(env, field));
  o.Set("omitted", omitted);
  std::vector<IndexName> names;
  Napi::Array list = Napi::Array::New(env);
  if (run->names(&names).ok()) {
    for (const IndexName& name : names) {
      Napi::Object one = Napi::Object::New(env);
      one.Set("of", name.of == IndexName::Of::kPort ? "port" : "rule");
      one.Set("id", Napi::Number::New(env, name.id));
      one.Set("name", name.name);
      list.Set(list.Length(), one);
    }
  }
  o.Set("names", list);
  return o;
}

// sha1Blocks(block of 64 bytes): {name, digest}[], every variant that runs here; sha1Short(message): digest.
Napi::Value digest_value(Napi::Env env, const uint32_t (&digest)[5]) {
  Napi::Array words = Napi::Array::New(env, 5);
  for (uint32_t i = 0; i < 5; i++) words.Set(i, Napi::Number::New(env, digest[i]));
  return words;
}
Napi::Value sha1_blocks(const Napi::CallbackInfo& info) {
  const auto block = info[0].As<Napi::Uint8Array>();
  PASTE_CHECK(block.ByteLength() == 64);
  Napi::Array list = Napi::Array::New(info.Env());
  for (const Sha1Variant& variant : sha1_variants()) {
    uint32_t digest[5];
    variant.compute(block.Data(), digest);
    Napi::Object one = Napi::Object::New(info.Env());
    one.Set("name", variant.name);
    one.Set("digest", digest_value(info.Env(), digest));
    list.Set(list.Length(), one);
  }
  return list;
}
Napi::Value sha1_message(const Napi::CallbackInfo& info) {
  const auto message = info[0].As<Napi::Uint8Array>();
  uint32_t digest[5];
  sha1_short(message.Data(), static_cast<uint32_t>(message.ByteLength()), digest);
  return digest_value(info.Env(), digest);
}

}  // namespace

void add_index(Napi::Env env, Napi::Object exports) {
  add_function(env, exports, "dissect", dissect_frame);
  add_function(env, exports, "indexStore", index_store);
  add_function(env, exports, "askRun", ask_run);
  add_function(env, exports, "sha1Blocks", sha1_blocks);
  add_function(env, exports, "sha1Short", sha1_message);
}

}  // namespace paste::test
