#include "launcher/options.h"

#include <cstdint>
#include <cstring>

namespace paste {
namespace {

// A whole number of at most 32 bits, and not the one that means "as it is".
bool parse_id(const std::string& text, uint32_t* id) {
  if (text.empty() || text.size() > 10 || text.find_first_not_of("0123456789") != std::string::npos) return false;
  uint64_t value = 0;
  for (const char c : text) value = value * 10 + static_cast<uint64_t>(c - '0');
  *id = static_cast<uint32_t>(value);
  return value < UINT32_MAX;
}

Status parse_option(const std::string& option, const std::string& value, LaunchOptions* options) {
  if (option == "--allow") {
    options->allow.push_back(value);
    return {};
  }
  if (option == "--group") {
    gid_t group = 0;
    if (!parse_id(value, &group)) return {Code::kUsage, "--group " + value + ": a group's number is needed"};
    options->groups.push_back(group);
    return {};
  }
  const size_t colon = value.find(':');
  if (colon == std::string::npos || !parse_id(value.substr(0, colon), &options->user) ||
      !parse_id(value.substr(colon + 1), &options->group))
    return {Code::kUsage, "--user " + value + ": UID:GID is needed, in numbers"};
  options->change_user = true;
  return {};
}

}  // namespace

Status parse_options(int count, char** words, LaunchOptions* options) {
  int at = 1;
  for (; at < count && std::strcmp(words[at], "--") != 0; at += 2) {
    const std::string option = words[at];
    if (option != "--allow" && option != "--user" && option != "--group")
      return {Code::kUsage, option + ": unknown; [--allow GLOB]... [--user UID:GID] [--group GID]... -- PROGRAM ARGS..."};
    if (at + 1 >= count || std::strcmp(words[at + 1], "--") == 0) return {Code::kUsage, option + ": its value is missing"};
    if (Status status = parse_option(option, words[at + 1], options); !status.ok()) return status;
  }
  for (at++; at < count; at++) options->program.push_back(words[at]);
  if (options->program.empty())
    return {Code::kUsage, "what to run is missing: `paste-switch-launcher [OPTIONS] -- PROGRAM ARGS...`"};
  if (options->program[0][0] != '/') return {Code::kUsage, std::string(options->program[0]) + ": the program's whole path is needed"};
  options->program.push_back(nullptr);
  if (options->allow.empty()) options->allow.push_back("*");
  return {};
}

}  // namespace paste
