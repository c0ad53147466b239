// The system calls that the broker may make.
#pragma once

namespace paste {

// From now on every other call fails with EPERM, in all threads that this one starts. False with errno where the kernel has no filters;
// nothing is filtered on processors that the list was not written for. Needs no_new_privs.
bool filter_broker_calls();

}  // namespace paste
