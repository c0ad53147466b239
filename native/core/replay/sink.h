// Where a replay sends: a port of a daemon, an interface of the kernel, or a device that the replay opens by itself. One thread, the
// pacer's; no call blocks but wait_for_room().
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/status.h"

namespace paste {

class ReplaySink {
 public:
  enum class Wait : uint8_t { kReady, kTimeout, kGone };

  virtual ~ReplaySink() = default;  // detaches
  virtual const std::string& name() const = 0;
  virtual uint32_t frame_bytes_max() const = 0;
  // Takes the first n of the frames and returns n; publish with flush(). Frame i: lengths[i] bytes at data + offsets[i], 64-byte aligned,
  // none empty or longer than frame_bytes_max(). Lines that frames end in are readable to their end.
  virtual uint32_t send(const uint8_t* data, const uint32_t* offsets, const uint32_t* lengths, uint32_t count) = 0;
  // Before flush(): gives the other side what send() took, as far as nobody need be woken for it. False: only flush() does.
  virtual bool publish() { return false; }
  // False: it is gone.
  virtual bool flush() = 0;
  // A frame will be there within microseconds: who sleeps on the other side is woken for it, once. For calling often.
  virtual void rouse() {}
  virtual Wait wait_for_room(int timeout_ms) = 0;
  // Gives back the places of frames that came for it: nobody reads them, and for the switch it must not be full. For calling often.
  virtual void discard() {}
  // Looks whether it is still there, for who sends nothing for a while.
  virtual bool alive() = 0;
  // The other side has taken everything.
  virtual bool sent_all() = 0;
  // Frames that it took and the other side refused: a device that is down, or says that they are too long.
  virtual uint64_t refused() const { return 0; }
};

struct SinkOptions {
  std::string socket;      // a daemon's ports.sock, for vale ports
  uint32_t slots = 1024;   // of vale ports' rings
};

// "vale0:a" attaches to the daemon; "tap:NAME", "xdp:IF[@Q]" and "netmap:IF" open the device here, with the options of
// switch/PORTS.md; a name without a colon is an interface of the kernel, written to through a packet socket.
Status open_replay_sink(const SinkOptions& options, const std::string& name, std::unique_ptr<ReplaySink>* sink);

// The parts of open_replay_sink(), one file each.
Status open_client_sink(const SinkOptions& options, const std::string& name, std::unique_ptr<ReplaySink>* sink);
Status open_interface_sink(const std::string& name, std::unique_ptr<ReplaySink>* sink);
Status open_device_sink(const std::string& spec, std::unique_ptr<ReplaySink>* sink);

}  // namespace paste
