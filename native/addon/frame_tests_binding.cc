#include "frame_tests_binding.h"

#include <algorithm>
#include <string>

namespace paste {
namespace {

std::span<const uint8_t> bytes_of(const Napi::Object& test, const char* name) {
  const Napi::Value value = test.Get(name);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) return {};
  const auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

uint32_t number_of(const Napi::Object& test, const char* name) {
  const Napi::Value value = test.Get(name);
  return value.IsNumber() ? value.As<Napi::Number>().Uint32Value() : 0;
}

FrameTest::Direction direction_of(const Napi::Object& test) {
  const std::string direction = test.Get("direction").ToString();
  if (direction == "src") return FrameTest::Direction::kSource;
  if (direction == "dst") return FrameTest::Direction::kDestination;
  return direction == "src and dst" ? FrameTest::Direction::kBoth : FrameTest::Direction::kEither;
}

Status host_of(const Napi::Object& object, FrameTest* test) {
  const auto address = bytes_of(object, "address"), mask = bytes_of(object, "mask");
  if ((address.size() != 4 && address.size() != 16) || mask.size() != address.size())
    return Status(Code::kUsage, "a host test needs an address and a mask, both of 4 or 16 bytes");
  test->address_bytes = static_cast<uint8_t>(address.size());
  std::copy(address.begin(), address.end(), test->address.begin());
  std::copy(mask.begin(), mask.end(), test->mask.begin());
  return {};
}

// { of: "host", direction, address, mask } | { of: "port", direction, first, last, protocol? } | { of: "protocol", number } |
// { of: "bytes", bytes } | { of: "regex", program, literal }
Status one_test(const Napi::Object& object, FrameTest* test) {
  const std::string of = object.Get("of").ToString();
  test->direction = direction_of(object);
  if (of == "host") {
    test->of = FrameTest::Of::kHost;
    return host_of(object, test);
  }
  if (of == "port" || of == "protocol") {
    const bool port = of == "port";
    test->of = port ? FrameTest::Of::kPort : FrameTest::Of::kProtocol;
    test->first = static_cast<uint16_t>(number_of(object, port ? "first" : "number"));
    test->last = static_cast<uint16_t>(number_of(object, port ? "last" : "number"));
    test->protocol = static_cast<uint8_t>(number_of(object, "protocol"));
    return {};
  }
  if (of == "bytes") {
    const auto bytes = bytes_of(object, "bytes");
    test->of = FrameTest::Of::kBytes;
    test->bytes.assign(bytes.begin(), bytes.end());
    return {};
  }
  if (of != "regex") return Status(Code::kUsage, "\"" + of + "\" is no test of a frame");
  const auto literal = bytes_of(object, "literal");
  test->of = FrameTest::Of::kRegex;
  test->bytes.assign(literal.begin(), literal.end());
  return RegexProgram::load(bytes_of(object, "program"), &test->regex);
}

}  // namespace

Status frame_tests_option(const Napi::Value& value, std::vector<FrameTest>* tests) {
  tests->clear();
  if (!value.IsArray()) return {};
  const auto given = value.As<Napi::Array>();
  if (given.Length() > kFrameTestsMax)
    return Status(Code::kUsage, "a filter tests whole frames for at most " + std::to_string(kFrameTestsMax) + " things");
  for (uint32_t i = 0; i < given.Length(); ++i) {
    FrameTest test;
    const Napi::Value each = given[i];
    if (!each.IsObject()) return Status(Code::kUsage, "a test of a frame must be an object");
    if (Status status = one_test(each.As<Napi::Object>(), &test); !status.ok()) return status;
    tests->push_back(std::move(test));
  }
  return {};
}

}  // namespace paste
