// The tree beside LMDB: compiled by `paste-switch bench tree` when it runs, against the library that the addon is made of, and LMDB
// where its header is (-DWITH_LMDB). Prints "peer|what|nanoseconds per entry", round by round, both peers in turn.
//
// Durability is the medium's on both sides: on memory (tmpfs) LMDB runs with MDB_WRITEMAP and MDB_NOSYNC (its fastest: a sync of
// tmpfs does nothing, and the death of the process loses nothing), the tree with its line write-backs and fences; on a disk both
// with fdatasync, LMDB in its default mode.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/tree/tree.h"
#ifdef WITH_LMDB
#include <lmdb.h>
#endif

namespace {

using paste::tree::Bytes;

struct Data {
  std::vector<std::string> keys;    // 16 bytes, random
  std::vector<std::string> sorted;
  std::vector<uint32_t> order;      // of look-ups
  std::string value = std::string(32, 'v');
};

double now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

void must(bool right, const std::string& what) {
  if (right) return;
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

void must(const paste::Status& status) { must(status.ok(), status.message()); }

class Peer {
 public:
  virtual ~Peer() = default;
  virtual void load(const Data& data) = 0;
  virtual void insert(const Data& data, size_t batch) = 0;
  virtual uint64_t look_up(const Data& data) = 0;  // bytes seen
  virtual uint64_t scan(const Data& data) = 0;
  virtual uint64_t scan_back(const Data& data) = 0;
};

class TreePeer final : public Peer {
 public:
  explicit TreePeer(const std::string& path) {
    paste::tree::CreateOptions options;
    options.size_bytes = 512u << 20;
    must(paste::tree::Tree::create(path, options));
    must(paste::tree::Tree::open(path, &tree_));
  }
  void load(const Data& data) override {
    must(tree_->load_start());
    for (const std::string& key : data.sorted) must(tree_->load(key, data.value));
    must(tree_->load_finish());
  }
  void insert(const Data& data, size_t batch) override {
    for (size_t i = 0; i < data.keys.size(); ++i) {
      must(tree_->put(data.keys[i], data.value));
      if ((i + 1) % batch == 0 || i + 1 == data.keys.size()) must(tree_->commit());
    }
  }
  uint64_t look_up(const Data& data) override {
    const paste::tree::Snapshot snapshot = tree_->snapshot();
    std::string value;
    uint64_t bytes = 0;
    for (const uint32_t i : data.order) {
      must(snapshot.find(data.keys[i], &value) == paste::tree::Outcome::kFound, "a key is missing");
      bytes += value.size() + static_cast<uint8_t>(value[0]);
    }
    return bytes;
  }
  uint64_t scan(const Data&) override {
    paste::tree::Cursor cursor(tree_->snapshot());
    uint64_t bytes = 0;
    for (auto outcome = cursor.first(); outcome == paste::tree::Outcome::kFound; outcome = cursor.next())
      bytes += cursor.key().size() + cursor.value().size() + static_cast<uint8_t>(cursor.value()[0]);
    return bytes;
  }
  uint64_t scan_back(const Data&) override {
    paste::tree::Cursor cursor(tree_->snapshot());
    uint64_t bytes = 0;
    for (auto outcome = cursor.last(); outcome == paste::tree::Outcome::kFound; outcome = cursor.previous())
      bytes += cursor.key().size() + cursor.value().size() + static_cast<uint8_t>(cursor.value()[0]);
    return bytes;
  }

 private:
  std::unique_ptr<paste::tree::Tree> tree_;
};

#ifdef WITH_LMDB
class LmdbPeer final : public Peer {
 public:
  LmdbPeer(const std::string& path, bool memory) {
    must(mdb_env_create(&env_) == 0, "mdb_env_create");
    must(mdb_env_set_mapsize(env_, 512u << 20) == 0, "mdb_env_set_mapsize");
    const unsigned flags = MDB_NOSUBDIR | (memory ? MDB_WRITEMAP | MDB_NOSYNC : 0);
    must(mdb_env_open(env_, path.c_str(), flags, 0600) == 0, "mdb_env_open");
    begin(0);
    must(mdb_dbi_open(txn_, nullptr, 0, &dbi_) == 0, "mdb_dbi_open");
    commit();
  }
  ~LmdbPeer() override { mdb_env_close(env_); }
  void load(const Data& data) override { put_all(data.sorted, data.value, data.sorted.size(), MDB_APPEND); }
  void insert(const Data& data, size_t batch) override { put_all(data.keys, data.value, batch, 0); }
  uint64_t look_up(const Data& data) override {
    begin(MDB_RDONLY);
    std::string copy;
    uint64_t bytes = 0;
    for (const uint32_t i : data.order) {
      MDB_val key = slice(data.keys[i]), value;
      must(mdb_get(txn_, dbi_, &key, &value) == 0, "a key is missing");
      copy.assign(static_cast<const char*>(value.mv_data), value.mv_size);  // as the tree's find() copies it
      bytes += copy.size() + static_cast<uint8_t>(copy[0]);
    }
    mdb_txn_abort(txn_);
    return bytes;
  }
  uint64_t scan(const Data&) override { return walk(MDB_FIRST, MDB_NEXT); }
  uint64_t scan_back(const Data&) override { return walk(MDB_LAST, MDB_PREV); }

 private:
  static MDB_val slice(const std::string& bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }
  void begin(unsigned flags) { must(mdb_txn_begin(env_, nullptr, flags, &txn_) == 0, "mdb_txn_begin"); }
  void commit() { must(mdb_txn_commit(txn_) == 0, "mdb_txn_commit"); }
  void put_all(const std::vector<std::string>& keys, const std::string& bytes, size_t batch, unsigned flags) {
    for (size_t i = 0; i < keys.size();) {
      begin(0);
      MDB_cursor* cursor = nullptr;
      must(mdb_cursor_open(txn_, dbi_, &cursor) == 0, "mdb_cursor_open");
      for (const size_t end = std::min(keys.size(), i + batch); i < end; ++i) {
        MDB_val key = slice(keys[i]), value = slice(bytes);
        must(mdb_cursor_put(cursor, &key, &value, flags) == 0, "mdb_cursor_put");
      }
      mdb_cursor_close(cursor);
      commit();
    }
  }
  uint64_t walk(MDB_cursor_op first, MDB_cursor_op next) {
    begin(MDB_RDONLY);
    MDB_cursor* cursor = nullptr;
    must(mdb_cursor_open(txn_, dbi_, &cursor) == 0, "mdb_cursor_open");
    uint64_t bytes = 0;
    MDB_val key, value;
    for (int result = mdb_cursor_get(cursor, &key, &value, first); result == 0;
         result = mdb_cursor_get(cursor, &key, &value, next))
      bytes += key.mv_size + value.mv_size + *static_cast<const uint8_t*>(value.mv_data);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn_);
    return bytes;
  }
  MDB_env* env_ = nullptr;
  MDB_txn* txn_ = nullptr;
  MDB_dbi dbi_ = 0;
};
#endif

std::unique_ptr<Peer> make(const std::string& peer, const std::string& path, bool memory) {
  unlink(path.c_str());
  unlink((path + "-lock").c_str());
  if (peer == "tree") return std::make_unique<TreePeer>(path);
#ifdef WITH_LMDB
  if (peer == "lmdb") return std::make_unique<LmdbPeer>(path, memory);
#endif
  (void)memory;
  return nullptr;
}

template <class Work>
void timed(const std::string& peer, const char* what, size_t entries, Work work) {
  const double start = now_ns();
  work();
  std::printf("%s|%s|%.2f\n", peer.c_str(), what, (now_ns() - start) / static_cast<double>(entries));
  std::fflush(stdout);
}

void run(const std::string& name, const std::string& folder, const Data& data, size_t batch, bool memory) {
  const std::string path = folder + "/" + name + ".bench";
  const size_t entries = data.keys.size();
  uint64_t bytes = 0;
  {
    const std::unique_ptr<Peer> peer = make(name, path, memory);
    if (!peer) return;
    timed(name, "bulk load, sorted", entries, [&] { peer->load(data); });
    timed(name, "range scan, upwards", entries, [&] { bytes += peer->scan(data); });
    timed(name, "range scan, downwards", entries, [&] { bytes += peer->scan_back(data); });
  }
  {
    const std::unique_ptr<Peer> peer = make(name, path, memory);
    timed(name, "random inserts in batches", entries, [&] { peer->insert(data, batch); });
    bytes += peer->look_up(data);  // both warm
    timed(name, "point look-up", entries, [&] { bytes += peer->look_up(data); });
  }
  must(bytes == entries * (2 * (16 + 32 + 'v') + 2 * (32 + 'v')), name + " did not return what was put");
  unlink(path.c_str());
  unlink((path + "-lock").c_str());
}

}  // namespace

int main(int count, char** args) {
  must(count == 6, "tree_bench FOLDER ENTRIES BATCH ROUNDS memory|disk");
  const std::string folder = args[1];
  const auto entries = static_cast<size_t>(std::atol(args[2])), batch = static_cast<size_t>(std::atol(args[3]));
  const int rounds = std::atoi(args[4]);
  const bool memory = std::strcmp(args[5], "memory") == 0;
  Data data;
  std::mt19937_64 random(1);
  for (size_t i = 0; i < entries; ++i) {
    const uint64_t words[2] = {random(), random()};
    data.keys.emplace_back(reinterpret_cast<const char*>(words), sizeof words);
    data.order.push_back(static_cast<uint32_t>(i));
  }
  data.sorted = data.keys;
  std::sort(data.sorted.begin(), data.sorted.end());
  std::shuffle(data.order.begin(), data.order.end(), random);
  for (int round = 0; round < rounds; ++round)
    for (const char* peer : {"tree", "lmdb"}) run(peer, folder, data, batch, memory);
}
