#include "core/replay/pacer_queue.h"

#include <utility>

namespace paste {

void PacerQueue::push(Entry entry) {
  std::vector<std::shared_ptr<const PacedBatch>> sent;  // freed without the lock
  const std::lock_guard lock(mutex_);
  sent.swap(sent_);
  queued_bytes_ += entry.batch->bytes.size();
  queue_.push_back(std::move(entry));
  sent_.reserve(queue_.size() + 1);
  filled_.notify_one();
}

bool PacerQueue::room() {
  const std::lock_guard lock(mutex_);
  return below(kBytesMax, kBatchesMax);
}

void PacerQueue::wait_room() {
  std::unique_lock lock(mutex_);
  feeder_waits_ = true;
  emptied_.wait(lock, [this] { return below(kBytesMax / 2, kBatchesMax / 2); });
  feeder_waits_ = false;
}

void PacerQueue::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  filled_.notify_one();
}

void PacerQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  filled_.notify_one();
  emptied_.notify_one();
}

void PacerQueue::settle(std::chrono::nanoseconds most) {
  std::unique_lock lock(mutex_);
  filled_.wait(lock, [this] { return !queue_.empty() || ended_ || closed_; });
  filled_.wait_for(lock, most, [this] { return ended_ || closed_ || !below(kBytesMax, kBatchesMax); });
}

bool PacerQueue::take(Entry* entry) {
  std::unique_lock lock(mutex_);
  if (entry->batch) sent_.push_back(std::move(entry->batch));
  filled_.wait(lock, [this] { return !queue_.empty() || ended_ || closed_; });
  if (closed_ || queue_.empty()) return false;
  *entry = std::move(queue_.front());
  queue_.pop_front();
  queued_bytes_ -= entry->batch->bytes.size();
  if (feeder_waits_ && below(kBytesMax / 2, kBatchesMax / 2)) emptied_.notify_one();
  return true;
}

}  // namespace paste
