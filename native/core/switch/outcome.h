// Every outcome of a frame is one entry of one list: name, sentence, counter. Texts, counters and the control protocol's
// names all come from here.
//
// The three sums that always hold (contract, point 4):
//   ingress: received = forwarded (at least one copy delivered) + dropped, by Drop
//   egress:  copies intended = delivered + refused, by Refusal
//   log:     selected = logged + not logged, by NotLogged
#pragma once

#include <cstddef>
#include <cstdint>

namespace paste {

#define PASTE_DROPS(X)                                                                                   \
  X(runt, "shorter than an Ethernet header (14 bytes)")                                                  \
  X(oversize, "longer than the ingress port accepts")                                                    \
  X(bad_slot, "the client's slot named a buffer, an offset or a length outside its own region")          \
  X(broken_chain, "a frame of several slots was longer than its ring or changed while it was read")      \
  X(no_destination, "no other port of its switch, or of its VLAN, takes frames")                         \
  X(hairpin, "the destination is behind the port the frame came from")                                   \
  X(destination_full, "every destination's ring was full")                                               \
  X(destination_gone, "every destination was detached before delivery")                                  \
  X(destination_oversize, "longer than any destination port accepts")                                    \
  X(destination_bad_slot, "every destination's client had ruined its receive slots")                     \
  X(crossing_full, "the ring to the destination's forwarding thread was full")                           \
  X(not_durable, "the medium failed before the frame's record was durable, and the rule was strict")       \
  X(vlan_ingress, "its VLAN is not allowed on the port it came from")                                    \
  X(vlan_egress, "its VLAN is not allowed on the port its destination is behind")                        \
  X(mirror_port, "it came from a mirror port, which only listens")                                       \
  X(destination_down, "every destination's interface was down")                                          \
  X(bad_offload, "its virtio-net header asks for what its bytes do not allow")

#define PASTE_REFUSALS(X)                                                                                \
  X(full, "the port's receive ring was full")                                                            \
  X(gone, "the port was detached before delivery")                                                       \
  X(oversize, "longer than the port accepts")                                                            \
  X(bad_slot, "the client's receive slot named a buffer outside its own region")                         \
  X(crossing_full, "the ring to the port's forwarding thread was full")                                  \
  X(not_durable, "the medium failed before the frame's record was durable, and the rule was strict")       \
  X(down, "the port's interface was down")

#define PASTE_NOT_LOGGED(X)                                                                              \
  X(no_store, "the daemon runs without a store")                                                         \
  X(store_full, "no free block: the policy is `stop`, or the oldest block was still in use")             \
  X(block_timeout, "no free block within blockTimeoutMs")                                                \
  X(sync_failed, "the medium failed: nothing is acknowledged any more")                                  \
  X(sampled_out, "the rule keeps one frame in N")

#define PASTE_LIST(name, sentence) name,
enum class Drop : uint8_t { PASTE_DROPS(PASTE_LIST) kCount };
enum class Refusal : uint8_t { PASTE_REFUSALS(PASTE_LIST) kCount };
enum class NotLogged : uint8_t { PASTE_NOT_LOGGED(PASTE_LIST) kCount };
#undef PASTE_LIST

inline constexpr size_t kDrops = static_cast<size_t>(Drop::kCount);
inline constexpr size_t kRefusals = static_cast<size_t>(Refusal::kCount);
inline constexpr size_t kNotLogged = static_cast<size_t>(NotLogged::kCount);

struct OutcomeText {
  const char* name;
  const char* sentence;
};

#define PASTE_LIST(name, sentence) {#name, sentence},
inline constexpr OutcomeText kDropTexts[] = {PASTE_DROPS(PASTE_LIST)};
inline constexpr OutcomeText kRefusalTexts[] = {PASTE_REFUSALS(PASTE_LIST)};
inline constexpr OutcomeText kNotLoggedTexts[] = {PASTE_NOT_LOGGED(PASTE_LIST)};
#undef PASTE_LIST

}  // namespace paste
