// The client library's inside: rings worked on as netmap's user does, plus the connection to the daemon.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "core/ports/client/client.h"
#include "core/ports/client/client_socket.h"
#include "core/ports/line_copy.h"
#include "core/ports/vale/vale_region.h"

namespace paste {

// Positions live in netmap's rings (head, cur), so that a program that works on the rings in place and these calls can be
// mixed. The daemon is trusted here.
class RingClient final : public PortClient {
 public:
  RingClient(ClientOptions options, Attachment attachment);

  uint32_t send(const uint8_t* data, const uint32_t* offsets, const uint32_t* lengths, uint32_t count) override;
  bool flush() override;
  void publish() override;
  uint32_t room() override;
  uint32_t receive(uint8_t* data, size_t size, uint32_t* offsets, uint32_t* lengths, uint32_t max) override;
  uint32_t pending() override;
  Wake wait(bool for_room, int timeout_ms) override;
  bool arm(bool for_room) override;
  void disarm() override;
  bool sent_all() override;

  netmap::If* interface() override { return attachment_.itf(); }
  netmap::Ring* tx_ring() override { return tx_; }
  netmap::Ring* rx_ring() override { return rx_; }
  netmap::RingSync* tx_sync() override { return tx_sync_; }
  netmap::RingSync* rx_sync() override { return rx_sync_; }
  uint8_t* memory() override { return attachment_.memory->memory(); }
  size_t memory_bytes() const override { return attachment_.memory->bytes(); }
  int doorbell() const override { return gone_ ? -1 : attachment_.doorbell; }
  int connection() const override { return gone_ ? -1 : attachment_.connection; }
  const std::string& name() const override { return options_.name; }
  uint32_t reconnects() const override { return reconnects_; }
  uint64_t lost_on_reconnect() const override { return lost_on_reconnect_; }
  uint32_t ring_resets() const override;

 private:
  using Time = std::chrono::steady_clock::time_point;
  void take_rings();
  void touch_buffers();
  uint32_t slots_for(uint32_t length) const {
    return length <= buffer_bytes_ ? 1 : (length + buffer_bytes_ - 1) / buffer_bytes_;
  }
  uint8_t* buffer(uint32_t index) const { return buffers_ + uint64_t{index < buffer_count_ ? index : 0} * buffer_bytes_; }
  void put(const uint8_t* from, uint32_t length, uint32_t* head);
  uint32_t take(uint8_t* to, size_t space, uint32_t* head, uint32_t tail);
  bool ready(bool for_room);
  void look_at_connection(int timeout_ms);
  bool try_again(Wake* wake);
  uint64_t frames_in_rings();

  ClientOptions options_;
  Attachment attachment_;
  LongCopy copy_long_;
  netmap::Ring* tx_;
  netmap::Ring* rx_;
  netmap::RingSync* tx_sync_;
  netmap::RingSync* rx_sync_;
  uint8_t* buffers_;
  uint32_t tx_slots_, rx_slots_, buffer_bytes_, buffer_count_;
  uint32_t wanted_slots_ = 1;      // of the frame that the last send() had no room for
  uint32_t idle_flushes_ = 0;      // since the daemon last took a slot
  uint32_t seen_hwcur_ = 0;
  bool gone_ = false;              // the connection broke and none has taken its place
  bool refused_ = false;           // for good
  Time gone_since_;
  uint32_t reconnects_ = 0;
  uint64_t lost_on_reconnect_ = 0;
};

}  // namespace paste
