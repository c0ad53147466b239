// The one interface of every port kind: batches only. All calls but the constructor and the statistics are made by the
// port's owner thread; none allocates, locks, or blocks.
//
// The life of a copy: reserve() promises room for it, deliver() fills the oldest promises, in order. Between the two may lie
// the time that a disk needs to make a batch durable. A kind that transmits asynchronously (AF_XDP, netmap on a NIC)
// keeps the buffer's use until complete() sees it done.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/ports/frame.h"
#include "core/ports/vlan.h"
#include "core/store/layout.h"
#include "core/switch/outcome.h"

namespace paste {

// Written by the owner thread only, read by anyone (relaxed 8-byte loads): no lock, no atomic add.
struct PortCounters {
  uint64_t received_frames = 0, received_bytes = 0;
  uint64_t forwarded_frames = 0;                 // at least one copy delivered
  uint64_t dropped[kDrops] = {};
  uint64_t intended_copies = 0;                  // to this port
  uint64_t delivered_copies = 0, delivered_bytes = 0;
  uint64_t refused[kRefusals] = {};
  uint64_t copied_frames = 0, zero_copy_frames = 0;  // snapshots taken by copying / frames left where they arrived
  uint64_t in_place_copies = 0;                  // of the delivered: sent from where they were received, without a copy
  uint64_t rejected_learning = 0;                // source was multicast, or the table or this port's share was full
  uint64_t kicks_sent = 0, kicks_received = 0;   // doorbells
  uint64_t client_faults = 0;                    // ring resets after rubbish in shared memory
};

// What the device or the kernel dropped before the port could see it: outside the exact sums above.
struct DeviceCounters {
  uint64_t dropped = 0;                          // no room in a chunk, no memory
  uint64_t ring_full = 0;                        // the switch was slower than the device
  uint64_t no_buffer = 0;                        // no free buffer was posted
  uint64_t invalid_descriptors = 0;              // refused by the kernel, either direction: a fault of this program
};

class Port {
 public:
  virtual ~Port() = default;

  virtual layout::PortKind kind() const = 0;
  virtual const std::string& name() const = 0;      // with its switch, such as "vale0:a"
  virtual uint32_t frame_bytes_max() const = 0;     // longest frame it takes or gives
  virtual bool trusted() const { return false; }
  // Whether a device's DMA fills the buffers that frames are given in, so that the log does well to keep them where they lie. Bytes that
  // the processor has just copied cost less to pack (switch/DESIGN.md, "Mark or pack").
  virtual bool filled_by_device() const { return false; }
  // False for a pure source (pcap): never a destination, floods leave it out.
  virtual bool sink() const { return true; }

  // Appends received frames to the batch, at most `max` and as many as fit. Counts received_*, runts, oversize and bad
  // slots itself (those frames never enter the batch). Stamps frames with `clock` times (ClockReader), at least one reading per 1 us
  // of work. Returns the number appended.
  virtual uint32_t receive(Batch& batch, uint32_t max) = 0;
  // Takes the last `count` frames of the last receive() back into the port: they will be received again.
  virtual void unreceive(uint32_t count) = 0;
  // The frames of the last receive() are no longer needed: slots go back to the client, buffers to their pool.
  // `frames`: those of this port; called once per receive(), after delivery (or at once for ports that copied).
  virtual void release(const Batch& batch, std::span<const uint16_t> frames) = 0;

  // Promises room for the first n of `frames` (indexes into the batch, arrival order) and returns n.
  virtual uint32_t reserve(const Batch& batch, std::span<const uint16_t> frames) = 0;
  // Why the last reserve() promised less than was asked.
  virtual Refusal refusal() const { return Refusal::full; }
  // Fills the oldest promises with these frames (all promised before, in that order) and makes them visible. Returns how
  // many were really delivered: a client may have ruined a slot meanwhile; the rest is counted as refused by the port. The
  // first n of the frames are the delivered ones: a ruined slot ends the run, or is skipped over for another.
  virtual uint32_t deliver(const Batch& batch, std::span<const uint16_t> frames) = 0;
  // Gives the oldest promises back unfilled: these frames (all promised before, in that order) will not leave after all, because
  // the medium failed before their records were durable. Counts nothing.
  virtual void cancel(const Batch& batch, std::span<const uint16_t> frames) = 0;
  // Wakes the other side if it sleeps. At most one system call, never blocking. Called once after a round of deliveries.
  virtual void notify() = 0;
  // Collects finished transmissions (asynchronous kinds).
  virtual void complete() {}

  // Doorbell to wait on, or -1: the port has none and must be polled (pcap). Level: readable = look again.
  virtual int doorbell() const = 0;
  // About to sleep: asks the other side to ring. True when there is work after all, so do not sleep.
  virtual bool arm() = 0;
  // Awake again: no ringing needed.
  virtual void disarm() = 0;
  // poll() found the doorbell readable: takes what lies in it (bounded). Without this call the doorbell stays readable.
  virtual void rang() {}
  // False once the other side is gone or the source is at its end; the owner detaches it then.
  virtual bool alive() const = 0;
  virtual const char* state() const = 0;            // "up", "down", "end of file", "gone"...: for people
  // How this port really works, for people: "native, copy mode, UMEM in the store". Any thread; empty = nothing to tell.
  virtual std::string detail() const { return {}; }
  // Asks the device: a system call. Any thread but a forwarding one.
  virtual DeviceCounters device_counters() const { return {}; }
  // The interface behind it went up or down, as the operating system says. Any thread; must not block.
  virtual void link(bool up) { (void)up; }

  // The end of a port on a device, when no batch knows it any more. close(): nobody but the caller uses the port now; it gives its
  // descriptors back, so that no device writes into its buffers any more. May take milliseconds; never on a forwarding thread. Then
  // give_back(), by the owner thread: uses of the frame memory. Then it is destroyed, by whoever detached it.
  virtual void close() {}
  virtual void give_back() {}

  PortCounters counters;
  VlanConfig vlan;       // set before the port is attached
  uint32_t id = 0;       // unique in the store's life (or in the daemon's, without a store)
  uint16_t index = 0;    // in its thread's table

 protected:
  // The end of a deliver() that filled the first `count` of the promises: what a ruined slot left of them is given back, and counted.
  uint32_t delivered(const Batch& batch, std::span<const uint16_t> frames, uint32_t count, uint64_t bytes) {
    counters.delivered_copies += count;
    counters.delivered_bytes += bytes;
    if (count == frames.size()) return count;
    cancel(batch, frames.subspan(count));
    counters.refused[static_cast<size_t>(Refusal::bad_slot)] += frames.size() - count;
    return count;
  }
};

}  // namespace paste
