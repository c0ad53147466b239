// The client library: what a program uses to be a port. One thread per client; no call blocks but wait() and open().
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/ports/netmap_abi.h"

namespace paste {

struct ClientEnd;

struct ClientOptions {
  std::string socket;        // path of the daemon's ports.sock
  std::string name;          // "vale0:a"
  uint32_t slots = 1024;     // per ring, power of two not required; 4096 at most
  uint32_t buffer_bytes = 2048;
  bool exclusive = false;
  int reconnect_ms = 10'000; // how long wait() tries to come back when the daemon went away; 0 = never
};

class PortClient {
 public:
  static Status open(const ClientOptions& options, std::unique_ptr<PortClient>* client);
  // The client of a port in the same process (vale_port.h): no socket, no reconnecting. Owns what `end` holds.
  static Status join(const std::string& name, const ClientEnd& end, std::unique_ptr<PortClient>* client);
  virtual ~PortClient() = default;   // detaches

  // Copies frames into free transmit slots, several slots for a long one; returns how many went in. Publish with flush().
  // frames: `count` of them, frame i at data + offsets[i], lengths[i] bytes; one of no bytes is passed over, one longer than
  // kLiveFrameBytesMax ends the call.
  virtual uint32_t send(const uint8_t* data, const uint32_t* offsets, const uint32_t* lengths, uint32_t count) = 0;
  // Publishes what was sent and rings the daemon if it sleeps. Returns false when the daemon is gone.
  virtual bool flush() = 0;
  // The first half of flush(): a daemon that is awake finds the frames.
  virtual void publish() = 0;
  // Free transmit slots right now.
  virtual uint32_t room() = 0;
  // Copies waiting frames out: at most `max` and `size` bytes; returns how many. Offsets (multiples of 64) and lengths as in
  // send(). A frame that does not fit into `size` at all stays: give it kLiveFrameBytesMax rounded up to 64 at least.
  virtual uint32_t receive(uint8_t* data, size_t size, uint32_t* offsets, uint32_t* lengths, uint32_t max) = 0;
  // Frames that wait.
  virtual uint32_t pending() = 0;
  enum class Wake : uint8_t { kReady, kTimeout, kReconnected, kGone };
  // Sleeps until there is something to receive (for_room: until the frame that the last send() had no room for fits), at most
  // timeout_ms (-1 = for ever). When the daemon went away it comes back here, with fresh rings; kGone: it did not within
  // reconnect_ms, or it refused.
  virtual Wake wait(bool for_room, int timeout_ms) = 0;
  // For programs with an event loop of their own: arm(), watch doorbell() and connection() for reading, then disarm() and
  // wait(for_room, 0), which also empties the doorbell. True: ready already, there is nothing to wait for. Both descriptors are
  // -1 while the daemon is gone (then call wait(for_room, 0) now and then) and change when it is back.
  virtual bool arm(bool for_room) = 0;
  virtual void disarm() = 0;
  // True when every frame that was flushed has been taken by the switch.
  virtual bool sent_all() = 0;

  // The rings themselves, for programs (and tests) that work in place as with netmap.
  virtual netmap::If* interface() = 0;
  virtual netmap::Ring* tx_ring() = 0;
  virtual netmap::Ring* rx_ring() = 0;
  virtual netmap::RingSync* tx_sync() = 0;
  virtual netmap::RingSync* rx_sync() = 0;
  virtual uint8_t* memory() = 0;
  virtual size_t memory_bytes() const = 0;
  virtual int doorbell() const = 0;
  virtual int connection() const = 0;  // -1 also for a port of this process
  virtual const std::string& name() const = 0;
  // Times that wait() found a daemon again, and the frames that were still in the rings each time: sent but not taken by the
  // daemon that died, or delivered but not yet received. They are lost, as when a link goes down.
  virtual uint32_t reconnects() const = 0;
  virtual uint64_t lost_on_reconnect() const = 0;
  // Times the daemon reset a ring of this port after rubbish in it.
  virtual uint32_t ring_resets() const = 0;
};

}  // namespace paste
