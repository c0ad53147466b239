// The launcher's command line.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "core/base/status.h"

namespace paste {

struct LaunchOptions {
  std::vector<std::string> allow;   // none given: "*"
  bool change_user = false;
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups;        // --user's further groups, and those of --group
  std::vector<char*> program;       // ends in null
};

// [--allow GLOB]... [--user UID:GID] [--group GID]... -- PROGRAM ARGS...
Status parse_options(int count, char** words, LaunchOptions* options);

}  // namespace paste
