// What a replay sends next, from the thread that reads it to the one that sends it, with as little work for the latter as can be: what
// was sent is freed by the thread that feeds, and that one is woken once for half a queue.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "core/store/reader.h"

namespace paste {

// Frames that are to be sent one behind the other.
struct PacedBatch {
  struct Item {
    uint64_t time_ns;
    uint32_t offset, length;  // in bytes
    uint32_t port;            // index of the port
    bool cut;                 // the source has not all of it
  };
  std::vector<Item> items;
  std::vector<uint8_t, RawAllocator<uint8_t>> bytes;
  bool source_start = false;  // the first frames of a source, or of one that begins again
};

class PacerQueue {
 public:
  static constexpr size_t kBytesMax = 16u << 20;
  static constexpr size_t kBatchesMax = 4096;

  struct Entry {
    std::shared_ptr<const PacedBatch> batch;
    uint32_t count = 0;  // its first frames
  };

  // Feeding side, one thread at a time. push() never blocks; room() says whether the queue is below its limits, wait_room() sleeps until
  // it has fallen to half of them or was closed.
  void push(Entry entry);
  bool room();
  void wait_room();
  void end();  // no more entries

  void close();  // any thread: nobody waits any more, and take() gives nothing

  // Sending side, before it begins: waits for an entry, and then until the queue is full, everything is in it, or so much time is over.
  void settle(std::chrono::nanoseconds most);
  // Waits for an entry and swaps it with the one before, which is kept for the feeding side. False: closed, or at the end.
  bool take(Entry* entry);

 private:
  bool below(size_t bytes, size_t batches) const { return closed_ || (queued_bytes_ < bytes && queue_.size() < batches); }

  std::mutex mutex_;
  std::condition_variable filled_, emptied_;
  std::deque<Entry> queue_;
  std::vector<std::shared_ptr<const PacedBatch>> sent_;  // push() leaves room for all that are queued
  size_t queued_bytes_ = 0;
  bool feeder_waits_ = false, ended_ = false, closed_ = false;
};

}  // namespace paste
