// An audit for JavaScript: batches of a store's records go in, what differs comes out.
#include <napi.h>

#include <memory>
#include <vector>

#include "addon/port_options_binding.h"
#include "core/replay/audit.h"
#include "status_error.h"

namespace paste {
namespace {

using Napi::CallbackInfo;

// { macEntries, macEntriesPerPort, macAgeMs, ports: [{ name, options: NativePortOptions }] }
Status parse_options(const Napi::Value& value, ShadowOptions* options) {
  if (!value.IsObject()) return {Code::kInternal, "an audit's configuration is an object"};
  const auto given = value.As<Napi::Object>();
  options->mac_entries = given.Get("macEntries").ToNumber().Uint32Value();
  options->mac_entries_per_port = given.Get("macEntriesPerPort").ToNumber().Uint32Value();
  options->mac_age_ms = given.Get("macAgeMs").ToNumber().Uint32Value();
  if ((options->mac_entries & (options->mac_entries - 1)) != 0 || options->mac_entries < 16 || options->mac_entries > 1u << 20)
    return {Code::kUsage, "macEntries: " + std::to_string(options->mac_entries) + " is not a power of two between 16 and 1048576"};
  if (!given.Get("ports").IsArray()) return {Code::kInternal, "an audit's ports are an array"};
  const auto ports = given.Get("ports").As<Napi::Array>();
  for (uint32_t i = 0; i < ports.Length(); i++) {
    const auto port = Napi::Value(ports.Get(i)).As<Napi::Object>();
    const std::string name = port.Get("name").ToString();
    PortOptions parsed;
    if (Status status = parse_port_options(port.Get("options"), &parsed); !status.ok()) return status;
    if (Status status = check_port_options(name, parsed); !status.ok()) return status;
    options->ports[name] = std::move(parsed);
  }
  return {};
}

class AuditObject : public Napi::ObjectWrap<AuditObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Audit",
                       {InstanceMethod<&AuditObject::feed>("feed"), InstanceMethod<&AuditObject::rules>("rules"),
                        InstanceMethod<&AuditObject::missed>("missed"), InstanceMethod<&AuditObject::finish>("finish"),
                        InstanceMethod<&AuditObject::report>("report"), InstanceMethod<&AuditObject::findings>("findings")});
  }

  // new Audit(recorded, other | null, findingsMax)
  explicit AuditObject(const CallbackInfo& call) : Napi::ObjectWrap<AuditObject>(call) {
    ShadowOptions recorded;
    std::unique_ptr<ShadowOptions> other;
    Status status = parse_options(call[0], &recorded);
    if (status.ok() && call[1].IsObject()) {
      other = std::make_unique<ShadowOptions>();
      status = parse_options(call[1], other.get());
    }
    if (!status.ok()) {
      throw_status(call.Env(), status);
      return;
    }
    audit_ = std::make_unique<Audit>(std::move(recorded), std::move(other), call[2].ToNumber().Uint32Value());
  }

 private:
  // feed(index, bytes, first): a batch of a StoreReader with framesOnly false; gives the place of the rule set it stopped at, or the number
  // of records.
  Napi::Value feed(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    const auto index = call[0].As<Napi::Uint32Array>();
    auto buffer = call[1].As<Napi::ArrayBuffer>();
    const auto* bytes = static_cast<const uint8_t*>(buffer.Data());
    const size_t size = buffer.ByteLength();
    const auto count = static_cast<uint32_t>(index.ElementLength() / 3);
    headers_.resize(count);
    payloads_.resize(count);
    lengths_.resize(count);
    for (uint32_t i = 0; i < count; i++) {
      const uint64_t header = index[3 * i], offset = index[3 * i + 1], length = index[3 * i + 2];
      if (header % 8 != 0 || header + sizeof(layout::RecordHeader) > size || offset + length > size) {
        throw_status(env, Status(Code::kInternal, "the batch's columns do not fit each other"));
        return env.Undefined();
      }
      headers_[i] = reinterpret_cast<const layout::RecordHeader*>(bytes + header);
      payloads_[i] = bytes + offset;
      lengths_[i] = static_cast<uint32_t>(length);
    }
    uint32_t stopped = 0;
    const uint32_t first = call[2].ToNumber().Uint32Value();
    const Status status = audit_->feed(headers_.data(), payloads_.data(), lengths_.data(), first, count, &stopped);
    if (!status.ok()) throw_status(env, status);
    return Napi::Number::New(env, stopped);
  }

  Napi::Value rules(const CallbackInfo& call) {
    audit_->rules(call[0].ToBoolean(), call[1].ToBoolean());
    return call.Env().Undefined();
  }
  Napi::Value missed(const CallbackInfo& call) {
    audit_->missed();
    return call.Env().Undefined();
  }
  Napi::Value finish(const CallbackInfo& call) {
    audit_->finish();
    return call.Env().Undefined();
  }

  Napi::Value report(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    const AuditReport& report = audit_->report();
    Napi::Object object = Napi::Object::New(env);
    object.Set("frames", static_cast<double>(report.frames));
    object.Set("same", static_cast<double>(report.same));
    object.Set("differ", static_cast<double>(report.differ));
    Napi::Object doubts = Napi::Object::New(env);
    for (size_t i = 0; i < std::size(kDoubtNames); i++) doubts.Set(kDoubtNames[i], static_cast<double>(report.not_judged[i]));
    object.Set("notJudged", doubts);
    return object;
  }

  // Those since the last call.
  Napi::Value findings(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    const std::vector<Finding> findings = audit_->take_findings();
    Napi::Array array = Napi::Array::New(env, findings.size());
    for (uint32_t i = 0; i < findings.size(); i++) array.Set(i, finding_object(env, findings[i]));
    return array;
  }

  static Napi::Object finding_object(Napi::Env env, const Finding& finding) {
    const layout::RecordHeader& record = finding.record;
    Napi::Object object = Napi::Object::New(env);
    object.Set("sequence", Napi::BigInt::New(env, record.sequence));
    object.Set("timeNs", Napi::BigInt::New(env, record.time_ns));
    object.Set("ingress", record.ingress);
    object.Set("outcome", record.outcome);
    object.Set("flooded", (record.flags & layout::kFlooded) != 0);
    object.Set("egress", record.egress);
    object.Set("copies", record.copies_reserved + record.copies_refused);
    object.Set("ports", finding.was_ports);
    Napi::Object would = Napi::Object::New(env);
    would.Set("outcome", finding.would.drop);
    would.Set("flooded", finding.would.flooded);
    would.Set("copies", finding.would.copies);
    would.Set("ports", finding.would_ports);
    object.Set("would", would);
    return object;
  }

  std::unique_ptr<Audit> audit_;
  std::vector<const layout::RecordHeader*> headers_;
  std::vector<const uint8_t*> payloads_;
  std::vector<uint32_t> lengths_;
};

}  // namespace
}  // namespace paste

void init_audit(Napi::Env env, Napi::Object exports) { exports.Set("Audit", paste::AuditObject::define(env)); }
