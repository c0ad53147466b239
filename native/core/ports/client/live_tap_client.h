// The reader of a live tap: copies out what the daemon has written since the last look, and counts what it missed. Reads only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/ports/vale/live_tap.h"

namespace paste {

struct LiveTapOptions {
  std::string socket;           // path of the daemon's ports.sock
  std::string port;             // its name, or live_tap::kAnyPort
  live_tap::TapWish wish = {};
  std::vector<uint8_t> filter = {};  // a program, as live_tap.h says; empty: every frame
};

// Records with their bytes: record i's at bytes + offsets[i]. In the order of their times.
struct TappedFrames {
  std::vector<live_tap::Record> records;
  std::vector<uint32_t> offsets;
  std::vector<uint8_t> bytes;
};

class LiveTapClient {
 public:
  static Status open(const LiveTapOptions& options, std::unique_ptr<LiveTapClient>* client);
  ~LiveTapClient();             // and with the connection the tap goes
  LiveTapClient(const LiveTapClient&) = delete;
  LiveTapClient& operator=(const LiveTapClient&) = delete;

  // Appends what is there, about `frames_max` and `bytes_max` at most (each thread's ring gives at least one). False: there was nothing.
  bool read(TappedFrames* frames, uint32_t frames_max, uint32_t bytes_max);
  // Frames that the daemon had written over before they were read, up to the last that was read of each thread.
  uint64_t missed() const;
  // Frames that lie unread, or were written over since.
  uint64_t unread() const;
  // False when the daemon closed the connection or is gone.
  bool stands();
  // What the daemon's ports are called, by id; those that went are kept, up to live_tap::kNames of them.
  const std::map<uint32_t, std::string>& names();
  uint64_t names_version() const { return names_read_; }

 private:
  struct Ring {
    const live_tap::RingHead* head;
    const uint8_t* bytes;
    uint64_t at = 0;            // position of the next record
    uint64_t number = 0;        // it should have
    uint64_t missed = 0;
  };

  LiveTapClient() = default;
  Status map(int fd, uint64_t size_bytes);
  bool read_one(Ring& ring, uint64_t written, TappedFrames* frames);
  bool overrun(const Ring& ring) const;
  void catch_up(Ring& ring) const;

  int connection_ = -1;
  bool stands_ = true;
  const uint8_t* memory_ = nullptr;
  uint64_t size_bytes_ = 0;
  uint32_t ring_bytes_ = 0;
  std::vector<Ring> rings_;
  std::map<uint32_t, std::string> names_;
  uint64_t names_read_ = 0;
};

}  // namespace paste
