// What queries compute over frames, for JavaScript: Community IDs, the order of several sources, and aggregates over stores and captures off
// the main thread.
#include <napi.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "addon/job.h"
#include "addon/values.h"
#include "capture_columns.h"
#include "core/export/time_merge.h"
#include "core/query/tally.h"
#include "core/store/community_id.h"
#include "reader_binding.h"
#include "status_error.h"

namespace paste {
namespace {

using Napi::CallbackInfo;

// "1:" and Base64 (RFC 4648) of the digest's 20 bytes.
std::string community_text(const uint32_t (&digest)[5]) {
  static constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint8_t bytes[21] = {};  // one more, so that the last group is whole
  for (uint32_t i = 0; i < 20; ++i) bytes[i] = static_cast<uint8_t>(digest[i / 4] >> (24 - i % 4 * 8));
  std::string text = "1:";
  for (uint32_t i = 0; i < 21; i += 3) {
    const uint32_t group = uint32_t{bytes[i]} << 16 | uint32_t{bytes[i + 1]} << 8 | bytes[i + 2];
    for (int shift = 18; shift >= 0; shift -= 6) text += kLetters[group >> shift & 63];
  }
  text.back() = '=';
  return text;
}

// communityId(frame): text, or undefined where the frame has none.
Napi::Value community_id_of(const CallbackInfo& call) {
  if (!call[0].IsTypedArray()) return call.Env().Undefined();
  const auto frame = call[0].As<Napi::Uint8Array>();
  uint32_t digest[5];
  if (!community_id(frame.Data(), static_cast<uint32_t>(frame.ByteLength()), digest)) return call.Env().Undefined();
  return Napi::String::New(call.Env(), community_text(digest));
}

// mergeTimes(columns: BigUint64Array[], newestFirst): Uint32Array of pairs, source and count (core/export/time_merge.h).
Napi::Value merge_times_of(const CallbackInfo& call) {
  std::vector<TimeColumn> columns;
  const auto given = call[0].IsArray() ? call[0].As<Napi::Array>() : Napi::Array::New(call.Env());
  for (uint32_t i = 0; i < given.Length(); ++i) {
    const Napi::Value each = given[i];
    if (!each.IsTypedArray() || each.As<Napi::TypedArray>().TypedArrayType() != napi_biguint64_array) {
      throw_status(call.Env(), Status(Code::kInternal, "mergeTimes: columns of times are needed"));
      return call.Env().Undefined();
    }
    const auto times = each.As<Napi::BigUint64Array>();
    columns.push_back({times.Data(), times.ElementLength()});
  }
  const std::vector<TimeRun> runs = merge_times(columns, call[1].ToBoolean().Value());
  auto pairs = Napi::Uint32Array::New(call.Env(), 2 * runs.size());
  for (size_t i = 0; i < runs.size(); ++i) {
    pairs[2 * i] = runs[i].source;
    pairs[2 * i + 1] = runs[i].count;
  }
  return pairs;
}

// What a worker uses must outlive the JavaScript object.
struct OpenTally {
  std::unique_ptr<Tally> tally;
  const FlowTally* flows = nullptr;  // one of them, or neither: only the sums
  const TopTally* top = nullptr;
  std::vector<uint32_t> order;
  bool busy = false;
};

constexpr uint32_t kBatchRecords = 8192;
constexpr uint32_t kBatchBytes = 1u << 20;

TallyFrame tally_frame(const layout::RecordHeader& header, const uint8_t* bytes, uint32_t length) {
  return {bytes,         length,        header.wire_length, header.time_ns, header.sequence, header.ingress,
          header.egress, header.rule,   header.outcome,     (header.flags & layout::kFlooded) != 0};
}

// Reads about so many frames of a store and adds them; whether there is more.
bool add_piece(OpenTally& open, OpenReader& source, uint64_t frames) {
  ReadBatch batch;
  bool more = true;
  for (uint64_t done = 0; more && done < frames;) {
    batch.clear();
    more = source.reader->next(&batch, kBatchRecords, kBatchBytes) == Reader::More::kYes;
    for (const ReadRecord& record : batch.records)
      open.tally->add(tally_frame(batch.header(record), batch.payload(record), record.length));
    done += batch.records.empty() ? kBatchRecords : batch.records.size();  // a piece that held nothing counts, too
  }
  return more;
}

class QueryTallyObject : public Napi::ObjectWrap<QueryTallyObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "QueryTally",
                       {InstanceMethod<&QueryTallyObject::add_store>("addStore"),
                        InstanceMethod<&QueryTallyObject::add_capture>("addCapture"),
                        InstanceMethod<&QueryTallyObject::sums>("sums"), InstanceMethod<&QueryTallyObject::sort>("sort"),
                        InstanceMethod<&QueryTallyObject::rows>("rows")});
  }

  // new QueryTally("count" | "flows" | a field of --top, rowsMax)
  explicit QueryTallyObject(const CallbackInfo& call) : Napi::ObjectWrap<QueryTallyObject>(call) {
    auto open = std::make_shared<OpenTally>();
    const std::string what = call[0].IsString() ? call[0].As<Napi::String>().Utf8Value() : "";
    const uint32_t rows_max = call[1].IsNumber() ? call[1].As<Napi::Number>().Uint32Value() : 0;
    TopField field;
    if (what == "count") {
      open->tally = std::make_unique<CountTally>();
    } else if (what == "flows") {
      auto flows = std::make_unique<FlowTally>(rows_max);
      open->flows = flows.get();
      open->tally = std::move(flows);
    } else if (top_field(what, &field)) {
      auto top = std::make_unique<TopTally>(field, rows_max);
      open->top = top.get();
      open->tally = std::move(top);
    } else {
      throw_status(call.Env(), Status(Code::kUsage, "QueryTally: there is no \"" + what + "\""));
      return;
    }
    open_ = std::move(open);
  }

 private:
  std::shared_ptr<OpenTally> idle(Napi::Env env) const {
    if (open_ && !open_->busy) return open_;
    throw_status(env, Status(Code::kInternal, "the tally is busy with another call"));
    return nullptr;
  }

  // addStore(reader, frames): a promise of whether there is more.
  Napi::Value add_store(const CallbackInfo& call) {
    auto open = idle(call.Env());
    auto source = open ? reader_of(call.Env(), call[0]) : nullptr;
    if (!source) return call.Env().Undefined();
    const int64_t frames = call[1].IsNumber() ? call[1].As<Napi::Number>().Int64Value() : 1;
    open->busy = source->busy = true;
    auto more = std::make_shared<bool>(false);
    return start_job(
        call.Env(),
        [open, source, more, most = static_cast<uint64_t>(std::max<int64_t>(frames, 1))] {
          *more = add_piece(*open, *source, most);
          return source->reader->status();
        },
        [more](Napi::Env env) -> Napi::Value { return Napi::Boolean::New(env, *more); },
        [open, source] { open->busy = source->busy = false; });
  }

  // addCapture(batch, selected | null, numbers): `numbers` gives each interface an id above 0.
  Napi::Value add_capture(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    auto open = idle(env);
    if (!open) return env.Undefined();
    Columns columns;
    const bool has_selection = call[1].IsTypedArray();
    if (!call[0].IsObject() || !columns.read(call[0].As<Napi::Object>()) || !call[2].IsTypedArray() ||
        (has_selection && call[1].As<Napi::TypedArray>().ByteLength() < columns.count)) {
      throw_status(env, Status(Code::kInternal, "QueryTally: a batch with its columns is needed"));
      return env.Undefined();
    }
    const auto numbers = call[2].As<Napi::Uint32Array>();
    const uint8_t* selected = has_selection ? call[1].As<Napi::Uint8Array>().Data() : nullptr;
    for (size_t i = 0; i < columns.count; ++i) {
      if (selected && selected[i] == 0) continue;
      const uint32_t port = columns.interfaces[i] < numbers.ElementLength() ? numbers[columns.interfaces[i]] : 0;
      open->tally->add({columns.data + columns.offsets[i], columns.captured[i], columns.wire[i], columns.times[i], 0, port, 0, 0, 0, false});
    }
    return env.Undefined();
  }

  static Napi::Object sum_object(Napi::Env env, const TallySum& sum) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("packets", number(env, sum.packets));
    object.Set("bytes", number(env, sum.bytes));
    return object;
  }

  // sums(): { all, without, leftOut, rows }.
  Napi::Value sums(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    auto open = idle(env);
    if (!open) return env.Undefined();
    Napi::Object object = Napi::Object::New(env);
    object.Set("all", sum_object(env, open->tally->all));
    object.Set("without", sum_object(env, open->tally->without));
    object.Set("leftOut", sum_object(env, open->tally->left_out));
    object.Set("rows", number(env, open->tally->row_count()));
    return object;
  }

  // sort(0 first | 1 last | 2 packets | 3 bytes): for rows() from now on.
  Napi::Value sort(const CallbackInfo& call) {
    auto open = idle(call.Env());
    if (open) open->order = open->tally->order(static_cast<RowOrder>(call[0].As<Napi::Number>().Uint32Value() & 3));
    return call.Env().Undefined();
  }

  // rows(from, count): the rows from there on in the order of sort().
  Napi::Value rows(const CallbackInfo& call) {
    const Napi::Env env = call.Env();
    auto open = idle(env);
    if (!open) return env.Undefined();
    const size_t from = call[0].As<Napi::Number>().Uint32Value(), count = call[1].As<Napi::Number>().Uint32Value();
    Napi::Array array = Napi::Array::New(env);
    for (size_t i = from; i < open->order.size() && i - from < count; ++i) {
      const uint32_t row = open->order[i];
      array.Set(static_cast<uint32_t>(i - from), open->flows ? flow_object(env, open->flows->row(row)) : top_object(env, open->top->row(row)));
    }
    return array;
  }

  static Napi::Value bytes_value(Napi::Env env, const uint8_t* bytes, size_t length) {
    return Napi::Buffer<uint8_t>::Copy(env, bytes, length);
  }

  static Napi::Object flow_object(Napi::Env env, const FlowRow& row) {
    Napi::Object object = Napi::Object::New(env);
    uint8_t tuple[FlowTuple::kBytesMax];
    std::copy_n(row.key, sizeof tuple, tuple);
    const uint32_t length = tuple[0];
    tuple[0] = 0;
    uint32_t digest[5];
    community_digest(tuple, length, digest);
    object.Set("tuple", bytes_value(env, tuple, length));
    object.Set("communityId", community_text(digest));
    object.Set("swapped", Napi::Boolean::New(env, row.swapped));
    object.Set("firstNs", bigint(env, row.first_ns));
    object.Set("lastNs", bigint(env, row.last_ns));
    object.Set("firstSequence", bigint(env, row.first_sequence));
    object.Set("packets", number(env, row.packets[0]));
    object.Set("packetsBack", number(env, row.packets[1]));
    object.Set("bytes", number(env, row.bytes[0]));
    object.Set("bytesBack", number(env, row.bytes[1]));
    object.Set("tcpFlags", number(env, row.tcp_flags[0]));
    object.Set("tcpFlagsBack", number(env, row.tcp_flags[1]));
    return object;
  }

  static Napi::Object top_object(Napi::Env env, const TopRow& row) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("value", bytes_value(env, row.key, 16));
    object.Set("kind", number(env, row.key[16]));
    object.Set("firstNs", bigint(env, row.first_ns));
    object.Set("lastNs", bigint(env, row.last_ns));
    object.Set("packets", number(env, row.sum.packets));
    object.Set("bytes", number(env, row.sum.bytes));
    return object;
  }

  std::shared_ptr<OpenTally> open_;
};

}  // namespace
}  // namespace paste

void init_query(Napi::Env env, Napi::Object exports) {
  exports.Set("communityId", Napi::Function::New(env, paste::community_id_of, "communityId"));
  exports.Set("mergeTimes", Napi::Function::New(env, paste::merge_times_of, "mergeTimes"));
  exports.Set("QueryTally", paste::QueryTallyObject::define(env));
}
