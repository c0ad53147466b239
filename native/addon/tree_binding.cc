// Trees for JavaScript: the writer, readers, snapshots and cursors (native/tree.ts is the face). Entries cross in batches: bytes
// behind each other (key, value, key, value...) and two numbers an entry (bytes of key, of value).
#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "addon/job.h"
#include "addon/values.h"
#include "core/tree/tree.h"
#include "status_error.h"

namespace paste {
namespace {

using Napi::CallbackInfo;
using tree::Bytes;
using tree::Outcome;

// An open tree: its writer, or a file for reading. Snapshots share it; close() empties it, whoever still holds it.
struct OpenTree {
  std::unique_ptr<tree::Tree> writer;
  std::unique_ptr<Region> region;   // readers; outlives the file
  std::unique_ptr<tree::File> own;  // readers
  bool busy = false;                // a commit is on another thread

  tree::File* file() const { return writer ? &writer->file() : own.get(); }
  void close() {
    own.reset();
    region.reset();
    writer.reset();
  }
};
using Shared = std::shared_ptr<OpenTree>;

bool usable(Napi::Env env, const Shared& open) {
  if (open && open->file() != nullptr && !open->busy) return true;
  throw_status(env, open && open->busy ? Status(Code::kUsage, "a commit of this tree is under way: wait for its promise")
                                       : Status(Code::kUsage, "the tree is closed"));
  return false;
}

bool passed(Napi::Env env, const Status& status) {
  if (!status.ok()) throw_status(env, status);
  return status.ok();
}

// True: found or absent. Else an exception is pending: "OVERTAKEN: ...", or what is damaged.
bool settled(Napi::Env env, Outcome outcome, const tree::Snapshot& snapshot) {
  if (outcome == Outcome::kOvertaken) {
    Napi::Error::New(env, "OVERTAKEN: " + snapshot.file().path() + ": the snapshot of generation " +
                              std::to_string(snapshot.generation()) +
                              " was overtaken, its pages are in use again: take a new snapshot and start anew")
        .ThrowAsJavaScriptException();
    return false;
  }
  if (outcome == Outcome::kDamaged) throw_status(env, snapshot.file().problem());
  return outcome != Outcome::kDamaged;
}

bool bytes_of(Napi::Env env, const Napi::Value& value, const char* what, Bytes* bytes) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw_status(env, Status(Code::kUsage, std::string(what) + " must be a Uint8Array"));
    return false;
  }
  const auto array = value.As<Napi::Uint8Array>();
  *bytes = {reinterpret_cast<const char*>(array.Data()), array.ByteLength()};
  return true;
}

Napi::Value buffer(Napi::Env env, Bytes bytes) { return Napi::Buffer<char>::Copy(env, bytes.data(), bytes.size()); }

Napi::Value info_object(Napi::Env env, const OpenTree& open, const tree::Root& root) {
  Napi::Object object = Napi::Object::New(env);
  const tree::Superblock& block = open.file()->superblock();
  Region& region = open.file()->region();
  std::string uuid;
  for (int i = 0; i < 16; ++i) {
    char hex[4];
    snprintf(hex, sizeof hex, "%02x", block.uuid[i]);
    uuid += hex;
    if (i == 3 || i == 5 || i == 7 || i == 9) uuid += '-';
  }
  object.Set("version", number(env, block.version));
  object.Set("uuid", uuid);
  object.Set("sizeBytes", number(env, block.region_bytes));
  object.Set("pageBytes", number(env, block.page_bytes));
  object.Set("pageCount", number(env, block.page_count));
  object.Set("pagesUsed", number(env, root.pages));
  object.Set("generation", number(env, root.generation));
  object.Set("entries", number(env, root.entries));
  object.Set("height", number(env, root.height));
  object.Set("keyBytesMax", number(env, tree::kKeyBytesMax));
  object.Set("entryBytesMax", number(env, tree::kEntryBytesMax));
  object.Set("createdNs", Napi::BigInt::New(env, block.created_ns));
  object.Set("committedNs", Napi::BigInt::New(env, root.committed_ns));
  object.Set("medium", medium_name(region.medium()));
  object.Set("survives", medium_survives(region.medium()));
  object.Set("fileSystem", region.file_system());
  return object;
}

class TreeCursor : public Napi::ObjectWrap<TreeCursor> {
 public:
  static Napi::Object make(Napi::Env env, Shared open, const tree::Snapshot& snapshot, Napi::FunctionReference& constructor) {
    Napi::Object object = constructor.New({});
    TreeCursor* const cursor = Unwrap(object);
    cursor->open_ = std::move(open);
    cursor->cursor_ = std::make_unique<tree::Cursor>(snapshot);
    cursor->snapshot_ = snapshot;
    (void)env;
    return object;
  }
  explicit TreeCursor(const CallbackInfo& call) : Napi::ObjectWrap<TreeCursor>(call) {}

  // next(maxEntries, maxBytes, from | null, reverse): the first call places the cursor at `from` (reverse: below it).
  Napi::Value next(const CallbackInfo& call) {
    Napi::Env env = call.Env();
    if (!usable(env, open_)) return env.Undefined();
    const uint32_t entries_max = call[0].As<Napi::Number>().Uint32Value(), bytes_max = call[1].As<Napi::Number>().Uint32Value();
    const bool reverse = call[3].ToBoolean();
    if (!placed_) {
      Bytes from;
      const bool bounded = call[2].IsTypedArray();
      if (bounded && !bytes_of(env, call[2], "a bound", &from)) return env.Undefined();
      outcome_ = bounded ? (reverse ? cursor_->below(from) : cursor_->at_or_above(from))
                         : (reverse ? cursor_->last() : cursor_->first());
      placed_ = true;
    }
    std::string bytes;
    std::vector<uint32_t> index;
    while (outcome_ == Outcome::kFound && index.size() < 2 * uint64_t{entries_max} && bytes.size() < bytes_max) {
      bytes.append(cursor_->key());
      bytes.append(cursor_->value());
      index.push_back(static_cast<uint32_t>(cursor_->key().size()));
      index.push_back(static_cast<uint32_t>(cursor_->value().size()));
      outcome_ = reverse ? cursor_->previous() : cursor_->next();
    }
    // What was read before the snapshot was overtaken is right: it is given out, the next call tells.
    if (index.empty() && !settled(env, outcome_, snapshot_)) return env.Undefined();
    Napi::Object object = Napi::Object::New(env);
    auto lengths = Napi::Uint32Array::New(env, index.size());
    std::copy(index.begin(), index.end(), lengths.Data());
    object.Set("lengths", lengths);
    object.Set("bytes", buffer(env, bytes));
    object.Set("more", Napi::Boolean::New(env, outcome_ != Outcome::kAbsent));
    return object;
  }

 private:
  Shared open_;
  tree::Snapshot snapshot_;
  std::unique_ptr<tree::Cursor> cursor_;
  Outcome outcome_ = Outcome::kAbsent;
  bool placed_ = false;
};

struct Constructors {
  Napi::FunctionReference cursor, snapshot;
};

class TreeSnapshot : public Napi::ObjectWrap<TreeSnapshot> {
 public:
  static Napi::Value make(Napi::Env env, const Shared& open, const tree::Snapshot& snapshot) {
    Napi::Object object = env.GetInstanceData<Constructors>()->snapshot.New({});
    TreeSnapshot* const face = Unwrap(object);
    face->open_ = open;
    face->snapshot_ = snapshot;
    object.Set("generation", number(env, snapshot.generation()));
    object.Set("entries", number(env, snapshot.entries()));
    return object;
  }
  explicit TreeSnapshot(const CallbackInfo& call) : Napi::ObjectWrap<TreeSnapshot>(call) {}

  Napi::Value get(const CallbackInfo& call) {
    Napi::Env env = call.Env();
    Bytes key;
    if (!usable(env, open_) || !bytes_of(env, call[0], "a key", &key)) return env.Undefined();
    const Outcome outcome = snapshot_.find(key, &value_);
    if (!settled(env, outcome, snapshot_)) return env.Undefined();
    return outcome == Outcome::kFound ? buffer(env, value_) : env.Null();
  }
  Napi::Value cursor(const CallbackInfo& call) {
    if (!usable(call.Env(), open_)) return call.Env().Undefined();
    return TreeCursor::make(call.Env(), open_, snapshot_, call.Env().GetInstanceData<Constructors>()->cursor);
  }
  Napi::Value overtaken(const CallbackInfo& call) {
    if (!usable(call.Env(), open_)) return call.Env().Undefined();
    return Napi::Boolean::New(call.Env(), snapshot_.overtaken());
  }
  // verify(limit): [{ page, what }]
  Napi::Value verify(const CallbackInfo& call) {
    Napi::Env env = call.Env();
    if (!usable(env, open_)) return env.Undefined();
    std::vector<tree::Problem> problems;
    if (!settled(env, snapshot_.verify(call[0].As<Napi::Number>().Uint32Value(), &problems), snapshot_)) return env.Undefined();
    Napi::Array list = Napi::Array::New(env);
    for (const tree::Problem& problem : problems) {
      Napi::Object one = Napi::Object::New(env);
      one.Set("page", number(env, problem.page));
      one.Set("what", problem.what);
      list.Set(list.Length(), one);
    }
    return list;
  }

 private:
  Shared open_;
  tree::Snapshot snapshot_;
  std::string value_;
};

class TreeReader : public Napi::ObjectWrap<TreeReader> {
 public:
  explicit TreeReader(const CallbackInfo& call) : Napi::ObjectWrap<TreeReader>(call), open_(std::make_shared<OpenTree>()) {
    const std::string path = call[0].ToString();
    Status status = Region::open(path, Region::Access::kRead, &open_->region);
    if (status.ok()) status = tree::File::open(*open_->region, &open_->own);
    if (!status.ok()) open_->close();
    passed(call.Env(), status);
  }
  Napi::Value snapshot(const CallbackInfo& call) {
    Napi::Env env = call.Env();
    tree::Snapshot snapshot;
    if (!usable(env, open_) || !passed(env, tree::Snapshot::take(*open_->own, &snapshot))) return env.Undefined();
    return TreeSnapshot::make(env, open_, snapshot);
  }
  Napi::Value info(const CallbackInfo& call) {
    Napi::Env env = call.Env();
    tree::Root root;
    if (!usable(env, open_) || !passed(env, open_->own->read_root(&root))) return env.Undefined();
    return info_object(env, *open_, root);
  }
  void close(const CallbackInfo&) { open_->close(); }

 private:
  Shared open_;
};

class TreeWriter : public Napi::ObjectWrap<TreeWriter> {
 public:
  explicit TreeWriter(const CallbackInfo& call) : Napi::ObjectWrap<TreeWriter>(call), open_(std::make_shared<OpenTree>()) {
    passed(call.Env(), tree::Tree::open(call[0].ToString(), &open_->writer));
  }
  Napi::Value put(const CallbackInfo& call) {
    Bytes key, value;
    if (usable(call.Env(), open_) && bytes_of(call.Env(), call[0], "a key", &key) &&
        bytes_of(call.Env(), call[1], "a value", &value))
      passed(call.Env(), open_->writer->put(key, value));
    return call.Env().Undefined();
  }
  Napi::Value remove(const CallbackInfo& call) {
    Napi::Env env = call.Env();
    Bytes key;
    bool was_there = false;
    if (!usable(env, open_) || !bytes_of(env, call[0], "a key", &key)) return env.Undefined();
    if (!passed(env, open_->writer->remove(key, &was_there))) return env.Undefined();
    return Napi::Boolean::New(env, was_there);
  }
  Napi::Value get(const CallbackInfo& call) {
    Napi::Env env = call.Env();
    Bytes key;
    bool found = false;
    if (!usable(env, open_) || !bytes_of(env, call[0], "a key", &key)) return env.Undefined();
    if (!passed(env, open_->writer->find(key, &value_, &found))) return env.Undefined();
    return found ? buffer(env, value_) : env.Null();
  }
  Napi::Value put_all(const CallbackInfo& call) { return each(call, &tree::Tree::put); }
  Napi::Value load(const CallbackInfo& call) { return each(call, &tree::Tree::load); }
  Napi::Value load_start(const CallbackInfo& call) {
    if (usable(call.Env(), open_)) passed(call.Env(), open_->writer->load_start());
    return call.Env().Undefined();
  }
  Napi::Value load_finish(const CallbackInfo& call) {
    if (usable(call.Env(), open_)) passed(call.Env(), open_->writer->load_finish());
    return call.Env().Undefined();
  }
  Napi::Value load_abort(const CallbackInfo& call) {
    if (usable(call.Env(), open_)) open_->writer->load_abort();
    return call.Env().Undefined();
  }
  // A promise of the generation. Where a fence makes durable it is done on return; on a disk another thread waits for it.
  Napi::Value commit(const CallbackInfo& call) {
    Napi::Env env = call.Env();
    if (!usable(env, open_)) return env.Undefined();
    if (!open_->writer->region().domain().immediate()) {
      open_->busy = true;
      return start_job(
          env, [open = open_] { return open->writer->commit(); },
          [open = open_](Napi::Env env) -> Napi::Value { return number(env, open->writer->root().generation); },
          [open = open_] { open->busy = false; });
    }
    if (!passed(env, open_->writer->commit())) return env.Undefined();
    return number(env, open_->writer->root().generation);
  }
  Napi::Value abort(const CallbackInfo& call) {
    if (usable(call.Env(), open_)) open_->writer->abort();
    return call.Env().Undefined();
  }
  Napi::Value snapshot(const CallbackInfo& call) {
    if (!usable(call.Env(), open_)) return call.Env().Undefined();
    return TreeSnapshot::make(call.Env(), open_, open_->writer->snapshot());
  }
  Napi::Value info(const CallbackInfo& call) {
    if (!usable(call.Env(), open_)) return call.Env().Undefined();
    return info_object(call.Env(), *open_, open_->writer->root());
  }
  Napi::Value close(const CallbackInfo& call) {
    if (open_->busy)
      usable(call.Env(), open_);
    else
      open_->close();
    return call.Env().Undefined();
  }

 private:
  // (bytes, lengths, count): entries behind each other, in order; ends at the first that fails.
  Napi::Value each(const CallbackInfo& call, Status (tree::Tree::*what)(Bytes, Bytes)) {
    Napi::Env env = call.Env();
    Bytes bytes;
    if (!usable(env, open_) || !bytes_of(env, call[0], "entries", &bytes)) return env.Undefined();
    const auto lengths = call[1].As<Napi::Uint32Array>();
    const uint64_t count = call[2].As<Napi::Number>().Uint32Value();
    const auto broken = [&](const char* what) {
      throw_status(env, Status(Code::kInternal, what));
      return env.Undefined();
    };
    if (count * 2 > lengths.ElementLength()) return broken("fewer lengths than entries");
    uint64_t at = 0;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t key = lengths[2 * i], value = lengths[2 * i + 1];
      if (key + value > bytes.size() - at) return broken("fewer bytes than entries");
      const Status status = (open_->writer.get()->*what)(bytes.substr(at, key), bytes.substr(at + key, value));
      if (!passed(env, status)) return env.Undefined();
      at += key + value;
    }
    return env.Undefined();
  }

  Shared open_;
  std::string value_;
};

Napi::Value create_tree(const CallbackInfo& call) {
  const auto given = call[1].As<Napi::Object>();
  tree::CreateOptions options;
  options.size_bytes = static_cast<uint64_t>(given.Get("sizeBytes").As<Napi::Number>().Int64Value());
  options.sparse = given.Get("sparse").ToBoolean();
  options.replace = given.Get("replace").ToBoolean();
  if (given.Get("mode").IsNumber()) options.mode = given.Get("mode").As<Napi::Number>().Uint32Value();
  passed(call.Env(), tree::Tree::create(call[0].ToString(), options));
  return call.Env().Undefined();
}

}  // namespace
}  // namespace paste

void init_tree(Napi::Env env, Napi::Object exports) {
  using namespace paste;
  auto* const constructors = new Constructors();
  env.SetInstanceData(constructors);
  const Napi::Function cursor =
      TreeCursor::DefineClass(env, "TreeCursor", {TreeCursor::InstanceMethod("next", &TreeCursor::next)});
  const Napi::Function snapshot = TreeSnapshot::DefineClass(
      env, "TreeSnapshot",
      {TreeSnapshot::InstanceMethod("get", &TreeSnapshot::get), TreeSnapshot::InstanceMethod("cursor", &TreeSnapshot::cursor),
       TreeSnapshot::InstanceMethod("overtaken", &TreeSnapshot::overtaken),
       TreeSnapshot::InstanceMethod("verify", &TreeSnapshot::verify)});
  constructors->cursor = Napi::Persistent(cursor);
  constructors->snapshot = Napi::Persistent(snapshot);
  exports.Set("TreeReader", TreeReader::DefineClass(env, "TreeReader",
                                                    {TreeReader::InstanceMethod("snapshot", &TreeReader::snapshot),
                                                     TreeReader::InstanceMethod("info", &TreeReader::info),
                                                     TreeReader::InstanceMethod("close", &TreeReader::close)}));
  exports.Set("TreeWriter",
              TreeWriter::DefineClass(
                  env, "TreeWriter",
                  {TreeWriter::InstanceMethod("put", &TreeWriter::put), TreeWriter::InstanceMethod("remove", &TreeWriter::remove),
                   TreeWriter::InstanceMethod("get", &TreeWriter::get), TreeWriter::InstanceMethod("putAll", &TreeWriter::put_all),
                   TreeWriter::InstanceMethod("load", &TreeWriter::load),
                   TreeWriter::InstanceMethod("loadStart", &TreeWriter::load_start),
                   TreeWriter::InstanceMethod("loadFinish", &TreeWriter::load_finish),
                   TreeWriter::InstanceMethod("loadAbort", &TreeWriter::load_abort),
                   TreeWriter::InstanceMethod("commit", &TreeWriter::commit),
                   TreeWriter::InstanceMethod("abort", &TreeWriter::abort),
                   TreeWriter::InstanceMethod("snapshot", &TreeWriter::snapshot),
                   TreeWriter::InstanceMethod("info", &TreeWriter::info),
                   TreeWriter::InstanceMethod("close", &TreeWriter::close)}));
  exports.Set("createTree", Napi::Function::New(env, create_tree, "createTree"));
}
