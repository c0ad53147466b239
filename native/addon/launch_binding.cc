// Becoming another program, which Node has no call for, and what that program's file is allowed.
#include <fcntl.h>
#include <napi.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

namespace {

// hasFileCapabilities(path): whether setcap(8) gave it some.
Napi::Value has_file_capabilities(const Napi::CallbackInfo& info) {
  if (!info[0].IsString()) {
    Napi::Error::New(info.Env(), "INTERNAL: hasFileCapabilities: a path is needed").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  const std::string path = info[0].As<Napi::String>();
  return Napi::Boolean::New(info.Env(), getxattr(path.c_str(), "security.capability", nullptr, 0) > 0);
}

// Standard streams as a program finds them: Node made them close-on-exec and its pipes non-blocking.
void restore_streams() {
  for (int fd = 0; fd <= 2; fd++) {
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0) continue;
    fcntl(fd, F_SETFD, 0);
    if ((flags & O_NONBLOCK) != 0 && isatty(fd) == 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  }
}

// becomeProgram(path, [argument...]): execve(2) with this environment; the process id stays. Returns only by throwing.
Napi::Value become_program(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString() || !info[1].IsArray()) {
    Napi::Error::New(env, "INTERNAL: becomeProgram: a path and its arguments are needed").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const std::string path = info[0].As<Napi::String>();
  const auto list = info[1].As<Napi::Array>();
  std::vector<std::string> words = {path};
  for (uint32_t i = 0; i < list.Length(); i++) words.push_back(list.Get(i).ToString());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  restore_streams();
  // Node ignores it; programs expect it to work.
  signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
  execv(path.c_str(), arguments.data());
  Napi::Error::New(env, "RESOURCE: cannot run " + path + " (" + strerror(errno) + ")").ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace

void init_launch(Napi::Env env, Napi::Object exports) {
  exports.Set("hasFileCapabilities", Napi::Function::New(env, has_file_capabilities, "hasFileCapabilities"));
  exports.Set("becomeProgram", Napi::Function::New(env, become_program, "becomeProgram"));
}
