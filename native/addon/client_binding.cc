// The port client for JavaScript: thin calls on the rings, and a wait that uses the event loop instead of blocking it.
#include <napi.h>
#include <uv.h>

#include <algorithm>
#include <memory>

#include "addon/status_error.h"
#include "core/ports/client/client.h"
#include "core/ports/frame.h"

namespace {

using paste::PortClient;
using paste::throw_status;
using paste::throw_usage;

bool is_array(const Napi::Value& value, napi_typedarray_type type) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == type;
}

// Watches the client's two descriptors while a wait is pending. libuv wants its handles to outlive their closing, so they live
// here and this object deletes itself when both are closed.
class Watcher {
 public:
  static Watcher* make(Napi::Env env, void (*rang)(void*), void* context) {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return nullptr;
    return new Watcher(loop, rang, context);
  }
  // False when a descriptor cannot be watched.
  bool start(int doorbell, int connection) {
    const int fds[2] = {doorbell, connection};
    for (int i = 0; i < 2; i++) {
      if (fds[i] < 0) continue;
      if (uv_poll_init(loop_, &handles_[i], fds[i]) != 0) return false;
      handles_[i].data = this;
      open_++;
      if (uv_poll_start(&handles_[i], UV_READABLE | UV_DISCONNECT, on_event) != 0) return false;
    }
    return true;
  }
  // Nothing is reported any more; the descriptors may be closed when this returns.
  void dispose() {
    context_ = nullptr;
    if (open_ == 0) {
      delete this;
      return;
    }
    for (uv_poll_t& handle : handles_)
      if (handle.data) uv_close(reinterpret_cast<uv_handle_t*>(&handle), on_closed);
  }

 private:
  Watcher(uv_loop_t* loop, void (*rang)(void*), void* context) : loop_(loop), rang_(rang), context_(context) {}
  static void on_event(uv_poll_t* handle, int, int) {
    auto* self = static_cast<Watcher*>(handle->data);
    if (self->context_) self->rang_(self->context_);
  }
  static void on_closed(uv_handle_t* handle) {
    auto* self = static_cast<Watcher*>(handle->data);
    if (--self->open_ == 0) delete self;
  }

  uv_loop_t* loop_;
  void (*rang_)(void*);
  void* context_;
  uv_poll_t handles_[2] = {};
  int open_ = 0;
};

class NativePortClient : public Napi::ObjectWrap<NativePortClient> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativePortClient",
                       {
                           InstanceMethod<&NativePortClient::send>("send"),
                           InstanceMethod<&NativePortClient::flush>("flush"),
                           InstanceMethod<&NativePortClient::receive>("receive"),
                           InstanceMethod<&NativePortClient::try_wait>("tryWait"),
                           InstanceMethod<&NativePortClient::watch>("watch"),
                           InstanceMethod<&NativePortClient::unwatch>("unwatch"),
                           InstanceMethod<&NativePortClient::close>("close"),
                           InstanceMethod<&NativePortClient::state>("state"),
                       });
  }

  explicit NativePortClient(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativePortClient>(info) {
    const Napi::Env env = info.Env();
    if (!info[0].IsObject()) {
      throw_usage(env, "openPort: an object with the port's options is needed");
      return;
    }
    const auto object = info[0].As<Napi::Object>();
    paste::ClientOptions options;
    options.socket = object.Get("socket").ToString().Utf8Value();
    options.name = object.Get("name").ToString().Utf8Value();
    options.slots = object.Get("slots").ToNumber().Uint32Value();
    options.buffer_bytes = object.Get("bufferBytes").ToNumber().Uint32Value();
    options.exclusive = object.Get("exclusive").ToBoolean().Value();
    options.reconnect_ms = object.Get("reconnectMs").ToNumber().Int32Value();
    if (env.IsExceptionPending()) return;
    if (const paste::Status status = PortClient::open(options, &client_); !status.ok()) throw_status(env, status);
  }

  ~NativePortClient() override { stop_watching(); }

 private:
  // send(data, offsets, lengths, from, count): frames that went in. Checked here, once per batch, against the arrays' sizes.
  Napi::Value send(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!client_) return throw_usage(env, "the port client is closed");
    if (!is_array(info[0], napi_uint8_array) || !is_array(info[1], napi_uint32_array) || !is_array(info[2], napi_uint32_array))
      return throw_usage(env, "send: a Uint8Array and two Uint32Arrays (offsets, lengths) are needed");
    const auto data = info[0].As<Napi::Uint8Array>();
    const auto offsets = info[1].As<Napi::Uint32Array>();
    const auto lengths = info[2].As<Napi::Uint32Array>();
    const size_t from = info[3].ToNumber().Uint32Value(), count = info[4].ToNumber().Uint32Value();
    if (from + count > offsets.ElementLength() || from + count > lengths.ElementLength())
      return throw_usage(env, "send: offsets and lengths have fewer entries than frames");
    for (size_t i = from; i < from + count; i++) {
      if (lengths[i] > data.ByteLength() || offsets[i] > data.ByteLength() - lengths[i])
        return throw_usage(env, "send: a frame lies outside the data");
      if (lengths[i] > paste::kLiveFrameBytesMax) return throw_usage(env, "send: a frame is longer than 9216 bytes");
    }
    const uint32_t sent = client_->send(data.Data(), offsets.Data() + from, lengths.Data() + from, static_cast<uint32_t>(count));
    return Napi::Number::New(env, sent);
  }

  Napi::Value flush(const Napi::CallbackInfo& info) {
    if (!client_) return throw_usage(info.Env(), "the port client is closed");
    return Napi::Boolean::New(info.Env(), client_->flush());
  }

  // receive(data, offsets, lengths, max): frames that came out.
  Napi::Value receive(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!client_) return throw_usage(env, "the port client is closed");
    if (!is_array(info[0], napi_uint8_array) || !is_array(info[1], napi_uint32_array) || !is_array(info[2], napi_uint32_array))
      return throw_usage(env, "receive: a Uint8Array and two Uint32Arrays (offsets, lengths) are needed");
    auto data = info[0].As<Napi::Uint8Array>();
    auto offsets = info[1].As<Napi::Uint32Array>();
    auto lengths = info[2].As<Napi::Uint32Array>();
    const size_t max = std::min({static_cast<size_t>(info[3].ToNumber().Uint32Value()), offsets.ElementLength(),
                                 lengths.ElementLength()});
    return Napi::Number::New(env, client_->receive(data.Data(), data.ByteLength(), offsets.Data(), lengths.Data(),
                                                   static_cast<uint32_t>(max)));
  }

  // tryWait(forRoom): 0 ready, 1 not yet, 2 reconnected, 3 gone.
  Napi::Value try_wait(const Napi::CallbackInfo& info) {
    if (!client_) return throw_usage(info.Env(), "the port client is closed");
    return Napi::Number::New(info.Env(), static_cast<int>(client_->wait(info[0].ToBoolean().Value(), 0)));
  }

  // watch(forRoom, callback): arms the daemon's bell and calls back once when it is worth trying again. False: do not wait, try
  // at once. Null: the daemon is gone and there is nothing to watch, try now and then.
  Napi::Value watch(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!client_) return throw_usage(env, "the port client is closed");
    if (client_->doorbell() < 0) return env.Null();
    if (client_->arm(info[0].ToBoolean().Value())) {
      client_->disarm();
      return Napi::Boolean::New(env, false);
    }
    watcher_ = Watcher::make(env, &NativePortClient::on_rang, this);
    if (!watcher_ || !watcher_->start(client_->doorbell(), client_->connection())) {
      stop_watching();
      return throw_status(env, paste::Status(paste::Code::kResource, "the event loop cannot watch the port"));
    }
    callback_ = Napi::Persistent(info[1].As<Napi::Function>());
    return Napi::Boolean::New(env, true);
  }

  Napi::Value unwatch(const Napi::CallbackInfo& info) {
    stop_watching();
    return info.Env().Undefined();
  }

  static void on_rang(void* context) {
    auto* self = static_cast<NativePortClient*>(context);
    const Napi::Env env = self->Env();
    const Napi::HandleScope scope(env);
    const Napi::Function callback = self->callback_.Value();
    self->stop_watching();
    const Napi::AsyncContext async(env, "paste-switch port");
    callback.MakeCallback(env.Global(), {}, async);
  }

  void stop_watching() {
    if (watcher_) watcher_->dispose();
    watcher_ = nullptr;
    callback_.Reset();
    if (client_) client_->disarm();
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    stop_watching();
    client_.reset();
    return info.Env().Undefined();
  }

  Napi::Value state(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!client_) return throw_usage(env, "the port client is closed");
    Napi::Object state = Napi::Object::New(env);
    state.Set("room", client_->room());
    state.Set("pending", client_->pending());
    state.Set("sentAll", Napi::Boolean::New(env, client_->sent_all()));
    state.Set("reconnects", client_->reconnects());
    state.Set("lostOnReconnect", static_cast<double>(client_->lost_on_reconnect()));
    state.Set("ringResets", client_->ring_resets());
    return state;
  }

  std::unique_ptr<PortClient> client_;
  Watcher* watcher_ = nullptr;
  Napi::FunctionReference callback_;
};

}  // namespace

void init_client(Napi::Env env, Napi::Object exports) {
  exports.Set("NativePortClient", NativePortClient::define(env));
}
