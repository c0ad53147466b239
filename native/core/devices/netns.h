// Doing something in another network namespace: in a thread of its own, so that no other thread ever leaves its namespace.
#pragma once

#include <functional>
#include <string>

#include "core/base/status.h"

namespace paste {

// Runs `work` in the namespace `netns`: a name below /run/netns, a path, or empty for the caller's own (then in this thread).
// Failures of its own: USAGE (no name), PORT (no such namespace), PRIVILEGE (CAP_SYS_ADMIN, CAP_SYS_PTRACE), RESOURCE.
Status in_netns(const std::string& netns, const std::function<Status()>& work);

}  // namespace paste
