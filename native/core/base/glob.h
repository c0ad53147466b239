// Names with wildcards, as users write them for ports and rules.
#pragma once

#include <string>

namespace paste {

// `*` stands for any run of characters, `?` for one; everything else for itself.
bool glob_matches(const std::string& pattern, const std::string& name);

}  // namespace paste
