// A filter's tests of whole frames, as JavaScript hands them over (logger/filter/frame-test.ts).
#pragma once

#include <napi.h>

#include <vector>

#include "core/frame/frame_tests.h"

namespace paste {

// `value` is absent (no tests) or an array of them. kUsage for what cannot be run.
Status frame_tests_option(const Napi::Value& value, std::vector<FrameTest>* tests);

}  // namespace paste
