// A client of ports.sock that says what it likes and does to its descriptors what no library would.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "core/base/descriptor_packet.h"
#include "core/ports/vale/ports_protocol.h"
#include "test/binding.h"

namespace paste::test {
namespace {

using Info = Napi::CallbackInfo;
using Bytes = Napi::Uint8Array;

struct Raw {
  int connection = -1;
  int fds[2] = {-1, -1};  // memory, doorbell
  ~Raw() {
    for (const int fd : {connection, fds[0], fds[1]})
      if (fd >= 0) close(fd);
  }
};

// A descriptor to offer as memory: what it is, by name, and its size.
int make_offer(const std::string& kind, uint64_t bytes) {
  int fd = -1;
  if (kind == "sealed" || kind == "unsealed" || kind == "write-sealed")
    fd = memfd_create("offer", MFD_ALLOW_SEALING);
  else if (kind == "file")
    fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  else if (kind == "pipe") {
    int ends[2];
    if (pipe(ends) == 0) close(ends[1]), fd = ends[0];
  }
  if (fd < 0 || kind == "pipe") return fd;
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) return fd;
  if (kind == "sealed") fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  if (kind == "write-sealed") fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return fd;
}

// The next packet, or null when the daemon hung up; throws when it said nothing for five seconds.
Napi::Value hear(Napi::Env env, Raw& raw) {
  pollfd watched = {raw.connection, POLLIN, 0};
  if (poll(&watched, 1, 5000) <= 0) {
    Napi::Error::New(env, "the daemon neither answers nor hangs up").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  uint8_t bytes[1024];
  int fds[2];
  size_t count = 0;
  const ssize_t got = receive_packet<2>(raw.connection, bytes, sizeof bytes, fds, &count);
  if (got <= 0) return env.Null();
  if (count > 0) std::memcpy(raw.fds + (2 - count), fds, count * sizeof(int));
  return Napi::Buffer<uint8_t>::Copy(env, bytes, static_cast<size_t>(got));
}

void add_calls(Napi::Env env, Napi::Object object, const std::shared_ptr<Raw>& raw) {
  // say(bytes, offerKind or descriptor?, offerBytes?): false when it could not be sent.
  add_function(env, object, "say", [raw](const Info& info) -> Napi::Value {
    const int offer = info[1].IsString()   ? make_offer(info[1].As<Napi::String>(), to_u64(info[2]))
                      : info[1].IsNumber() ? fcntl(info[1].ToNumber().Int32Value(), F_DUPFD_CLOEXEC, 0)
                                           : -1;
    const auto bytes = info[0].As<Bytes>();
    const bool said = send_packet<1>(raw->connection, bytes.Data(), bytes.ByteLength(), &offer, offer >= 0 ? 1 : 0);
    if (offer >= 0) close(offer);
    return Napi::Boolean::New(info.Env(), said);
  });
  add_function(env, object, "hear", [raw](const Info& info) -> Napi::Value { return hear(info.Env(), *raw); });
  // Each returns 0 or errno.
  add_function(env, object, "truncate", [raw](const Info& info) -> Napi::Value {
    return Napi::Number::New(info.Env(), ftruncate(raw->fds[0], static_cast<off_t>(to_u64(info[0]))) == 0 ? 0 : errno);
  });
  add_function(env, object, "addSeals", [raw](const Info& info) -> Napi::Value {
    return Napi::Number::New(info.Env(), fcntl(raw->fds[0], F_ADD_SEALS, F_SEAL_WRITE) == 0 ? 0 : errno);
  });
  add_function(env, object, "punchHole", [raw](const Info& info) -> Napi::Value {
    const off_t size = lseek(raw->fds[0], 0, SEEK_END);
    return Napi::Number::New(
        info.Env(), fallocate(raw->fds[0], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size) == 0 ? 0 : errno);
  });
  add_function(env, object, "mapWritable", [raw](const Info& info) -> Napi::Value {
    void* mapped = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, raw->fds[0], 0);
    const int error = mapped == MAP_FAILED ? errno : 0;
    if (error == 0) munmap(mapped, 4096);
    return Napi::Number::New(info.Env(), error);
  });
  // The one descriptor of the last answer is memory, no doorbell; opened again for writing, as far as that goes.
  add_function(env, object, "isMemory", [raw](const Info&) {
    std::swap(raw->fds[0], raw->fds[1]);
    const int writable = open(("/proc/self/fd/" + std::to_string(raw->fds[0])).c_str(), O_RDWR | O_CLOEXEC);
    if (writable < 0) return;
    close(raw->fds[0]);
    raw->fds[0] = writable;
  });
  // Writes into the doorbell until it takes no more; the bytes that went in.
  add_function(env, object, "fillDoorbell", [raw](const Info& info) -> Napi::Value {
    static const char kRubbish[4096] = {};
    double sum = 0;
    for (ssize_t got; (got = send(raw->fds[1], kRubbish, sizeof kRubbish, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0;) sum += got;
    return Napi::Number::New(info.Env(), sum);
  });
  // The memory's descriptor: node:fs reads and writes it.
  add_function(env, object, "memoryFd", [raw](const Info& info) -> Napi::Value { return Napi::Number::New(info.Env(), raw->fds[0]); });
  add_function(env, object, "kick", [raw](const Info&) { (void)!send(raw->fds[1], "k", 1, MSG_DONTWAIT | MSG_NOSIGNAL); });
  // Bytes that lie in the doorbell, taken out.
  add_function(env, object, "kicks", [raw](const Info& info) -> Napi::Value {
    char bytes[256];
    return Napi::Number::New(info.Env(), static_cast<double>(recv(raw->fds[1], bytes, sizeof bytes, MSG_DONTWAIT)));
  });
  add_function(env, object, "shutDoorbell", [raw](const Info& info) { shutdown(raw->fds[1], info[0].ToNumber().Int32Value()); });
  add_function(env, object, "closeDoorbell", [raw](const Info&) {
    close(raw->fds[1]);
    raw->fds[1] = -1;
  });
  add_function(env, object, "closeMemory", [raw](const Info&) {
    close(raw->fds[0]);
    raw->fds[0] = -1;
  });
  add_function(env, object, "close", [raw](const Info&) {
    close(raw->connection);
    raw->connection = -1;
  });
}

// connectRaw(path): an object with say, hear and the tricks; null when nobody accepts.
Napi::Value connect_raw(const Info& info) {
  const auto raw = std::make_shared<Raw>();
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = info[0].As<Napi::String>();
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  raw->connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (connect(raw->connection, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return info.Env().Null();
  Napi::Object object = Napi::Object::New(info.Env());
  add_calls(info.Env(), object, raw);
  return object;
}

}  // namespace

void add_hostile_client(Napi::Env env, Napi::Object exports) { add_function(env, exports, "connectRaw", connect_raw); }

}  // namespace paste::test
