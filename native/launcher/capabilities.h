// Capabilities of this process, which has one thread.
#pragma once

#include <cstdint>

namespace paste {

inline constexpr uint64_t capability_bit(unsigned capability) { return uint64_t{1} << capability; }

// What is in the permitted set.
uint64_t permitted_capabilities();
// Permitted and effective become these (of what was permitted), inheritable and ambient empty. False with errno.
bool keep_capabilities(uint64_t permitted, uint64_t effective);
// Empties the bounding set where this process may (CAP_SETPCAP); no_new_privs makes up for it where it may not.
void clear_bounding_set();

}  // namespace paste
