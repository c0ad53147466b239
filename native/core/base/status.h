// What can happen is returned as a Status that must be looked at; what cannot happen is checked, always on, and aborts.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

namespace paste {

// Kinds of failure, in the words of `errorCodes` in logger/errors.ts: the binding maps each to one of those.
enum class Code : unsigned char {
  kOk,
  kUsage,      // USAGE: an argument is wrong
  kStore,      // STORE: foreign, damaged, newer, busy, too small
  kPort,       // PORT: a port cannot be opened, named or used
  kCapture,    // CAPTURE: a capture file is damaged
  kPrivilege,  // PRIVILEGE: the operating system refused
  kResource,   // RESOURCE: no space, memory or descriptors
  kInternal,   // INTERNAL: a fault of this program
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  // One line: what was wrong, where, what to do. Empty when ok.
  const std::string& message() const { return message_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "paste-switch: broken promise: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace paste

#define PASTE_CHECK(condition) \
  (__builtin_expect(!(condition), 0) ? ::paste::check_failed(#condition, __FILE__, __LINE__) : (void)0)
