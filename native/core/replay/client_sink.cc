#include <poll.h>

#include "core/ports/client/client.h"
#include "core/ports/frame.h"
#include "core/replay/sink.h"

namespace paste {
namespace {

class ClientSink final : public ReplaySink {
 public:
  explicit ClientSink(std::unique_ptr<PortClient> client) : client_(std::move(client)) {}

  const std::string& name() const override { return client_->name(); }
  uint32_t frame_bytes_max() const override { return kLiveFrameBytesMax; }
  uint32_t send(const uint8_t* data, const uint32_t* offsets, const uint32_t* lengths, uint32_t count) override {
    return client_->send(data, offsets, lengths, count);
  }
  bool publish() override {
    client_->publish();
    return true;
  }
  bool flush() override { return client_->flush(); }
  void rouse() override {
    const bool asleep = __atomic_load_n(&client_->tx_sync()->daemon.need_kick, __ATOMIC_RELAXED) != 0;
    if (asleep && !roused_) client_->flush();  // rings the doorbell, though nothing is new; what went wrong the next flush says, too
    roused_ = asleep;
  }
  Wait wait_for_room(int timeout_ms) override {
    switch (client_->wait(true, timeout_ms)) {
      case PortClient::Wake::kReady:
        return Wait::kReady;
      case PortClient::Wake::kTimeout:
        return Wait::kTimeout;
      default:  // a replay that was torn apart is no replay: it does not come back
        return Wait::kGone;
    }
  }
  void discard() override {
    netmap::Ring* ring = client_->rx_ring();
    netmap::RingSync* sync = client_->rx_sync();
    const uint32_t tail = __atomic_load_n(&sync->daemon.hwtail, __ATOMIC_ACQUIRE);
    if (tail == ring->head) return;
    ring->head = ring->cur = tail;
    __atomic_store_n(&sync->client.cur, tail, __ATOMIC_RELAXED);
    __atomic_store_n(&sync->client.head, tail, __ATOMIC_RELEASE);
  }
  // A daemon says nothing on the connection unless it detaches the port; then, and when it is gone, there is something to read.
  bool alive() override {
    pollfd watched = {client_->connection(), POLLIN | POLLRDHUP, 0};
    return watched.fd >= 0 && poll(&watched, 1, 0) == 0;
  }
  bool sent_all() override { return client_->sent_all(); }

 private:
  std::unique_ptr<PortClient> client_;
  bool roused_ = false;
};

}  // namespace

Status open_client_sink(const SinkOptions& options, const std::string& name, std::unique_ptr<ReplaySink>* sink) {
  ClientOptions client;
  client.socket = options.socket;
  client.name = name;
  client.slots = options.slots;
  client.reconnect_ms = 0;
  std::unique_ptr<PortClient> opened;
  if (Status status = PortClient::open(client, &opened); !status.ok()) return status;
  *sink = std::make_unique<ClientSink>(std::move(opened));
  return {};
}

}  // namespace paste
