// Why the operating system refused a device, in words that say what to do.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"

namespace paste {

// The launcher beside this program (or this program, when it is the launcher): what `setcap` must be given.
std::string launcher_path();

// PRIVILEGE: `what` needs the capability `capability` ("CAP_NET_ADMIN"), which this process lacks; names the command that grants it.
Status lacks_capability(const std::string& what, const char* capability);

// "Device or resource busy (EBUSY)" without the message's usual guesswork: strerror, and the number.
std::string errno_text(int error);

}  // namespace paste
