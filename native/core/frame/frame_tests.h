// Words of a filter that ask about the whole frame, tunnels and fragments included: `any host`, `any port`, `any proto`, `payload`.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/frame/dissect.h"
#include "core/search/find_bytes.h"
#include "core/search/regex.h"

namespace paste {

inline constexpr uint32_t kFrameTestsMax = 256;

struct FrameTest {
  enum class Of : uint8_t { kHost, kPort, kProtocol, kBytes, kRegex };
  enum class Direction : uint8_t { kEither, kSource, kDestination, kBoth };
  Of of = Of::kHost;
  Direction direction = Direction::kEither;
  uint8_t address_bytes = 0;                   // kHost: 4 or 16
  std::array<uint8_t, 16> address{}, mask{};   // kHost: address & mask is compared
  uint16_t first = 0, last = 0;                // kPort, kProtocol: first to last
  uint8_t protocol = 0;                        // kPort: of this transport, 0 = of any
  std::string bytes;                           // kBytes: what occurs in the payload; kRegex: what a match holds, perhaps nothing
  std::shared_ptr<const RegexProgram> regex;   // kRegex: what occurs in the payload
};

// The tests of one reading. A later fragment has the ports of its datagram's first fragment if that came earlier in the same
// lane, at most kFragmentWindow_ns before, and within the reading; only first fragments that a port test is about are kept, so a
// reading that jumps to these and one that sees every frame know the same.
class FrameTests {
 public:
  // Frames in [from_ns, to_ns) are within the reading.
  void start(std::vector<FrameTest> tests, uint64_t from_ns, uint64_t to_ns);
  size_t count() const { return tests_.size(); }
  // The frame that holds() tells of from now on; its bytes stay while it is asked.
  void set(const uint8_t* frame, uint32_t length, uint64_t time_ns, uint32_t lane);
  bool holds(size_t test);

 private:
  enum Known : uint8_t { kUnknown, kNo, kYes };
  struct Test {
    FrameTest test;
    std::unique_ptr<FindBytes> bytes;
    std::unique_ptr<RegexSearch> regex;
    Known known = kUnknown;
  };
  // A first fragment; the table keeps the latest of those that share a place.
  struct Fragment {
    bool used = false;
    uint8_t protocol, address_bytes;
    uint8_t addresses[32];
    uint32_t id;
    uint16_t port_source, port_destination;
    uint64_t time_ns;
  };
  struct Ports {
    uint16_t source, destination;
    bool has_source, has_destination;
  };

  const Dissection& dissection();
  uint32_t payload();
  bool has_host(const FrameTest& test);
  bool has_port(const FrameTest& test);
  bool has_protocol(const FrameTest& test);
  bool ports_of(const NetworkLayer& layer, Ports* ports);
  bool plainly_whole() const;
  void keep_first_fragments();
  Fragment* place_of(const NetworkLayer& layer, Fragment* key);

  std::vector<Test> tests_;
  bool follows_fragments_ = false;
  uint64_t from_ns_ = 0, to_ns_ = ~0ull;
  std::vector<std::vector<Fragment>> fragments_;  // by lane

  const uint8_t* frame_ = nullptr;
  uint32_t length_ = 0;
  uint64_t time_ns_ = 0;
  uint32_t lane_ = 0;
  bool dissected_ = false;
  Dissection dissection_;
};

}  // namespace paste
