// The chain over a capture file's records, computed again: for who verifies a manifest.
#include "chain_binding.h"

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "core/export/chain_check.h"
#include "status_error.h"

namespace paste {
namespace {

using Napi::CallbackInfo;

class ChainCheckObject : public Napi::ObjectWrap<ChainCheckObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "ChainCheck",
                       {InstanceMethod<&ChainCheckObject::feed>("feed"), InstanceMethod<&ChainCheckObject::finish>("finish")});
  }

  // new ChainCheck(before: Uint8Array of 32 bytes, stride, interfaces: { name, description, linkType }[])
  explicit ChainCheckObject(const CallbackInfo& call) : Napi::ObjectWrap<ChainCheckObject>(call) {
    if (!call[0].IsTypedArray() || call[0].As<Napi::Uint8Array>().ByteLength() != sizeof(Digest) || !call[1].IsNumber() || !call[2].IsArray()) {
      throw_status(call.Env(), Status(Code::kInternal, "ChainCheck: a digest, a stride and interfaces are needed"));
      return;
    }
    Digest before;
    memcpy(before.data(), call[0].As<Napi::Uint8Array>().Data(), before.size());
    std::vector<ChainCheck::Interface> interfaces;
    const auto given = call[2].As<Napi::Array>();
    for (uint32_t i = 0; i < given.Length(); ++i) {
      const auto each = Napi::Value(given[i]).As<Napi::Object>();
      interfaces.push_back({each.Get("name").ToString(), each.Get("description").ToString(), each.Get("linkType").ToNumber().Uint32Value()});
    }
    check_.emplace(before, static_cast<uint64_t>(call[1].As<Napi::Number>().Int64Value()), std::move(interfaces));
  }

 private:
  void feed(const CallbackInfo& call) {
    const auto bytes = call[0].As<Napi::Uint8Array>();
    if (const Status status = check_->feed(bytes.Data(), bytes.ByteLength()); !status.ok()) throw_status(call.Env(), status);
  }

  // finish(): the part, with { interfaces, disorder: { record, id, before } | null }
  Napi::Value finish(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    if (const Status status = check_->finish(); !status.ok()) {
      throw_status(env, status);
      return env.Undefined();
    }
    Napi::Object object = part_object(env, check_->part());
    object.Set("interfaces", Napi::Number::New(env, static_cast<double>(check_->interfaces().size())));
    object.Set("disorder", env.Null());
    if (const ChainCheck::Disorder& found = check_->disorder(); found.record != 0) {
      Napi::Object disorder = Napi::Object::New(env);
      disorder.Set("record", Napi::Number::New(env, static_cast<double>(found.record)));
      disorder.Set("id", Napi::BigInt::New(env, found.id));
      disorder.Set("before", Napi::BigInt::New(env, found.before));
      object.Set("disorder", disorder);
    }
    return object;
  }

  std::optional<ChainCheck> check_;
};

}  // namespace
}  // namespace paste

void init_chain(Napi::Env env, Napi::Object exports) { exports.Set("ChainCheck", paste::ChainCheckObject::define(env)); }
