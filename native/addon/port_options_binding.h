// PortOptions out of the object that native/engine.ts describes (NativePortOptions).
#pragma once

#include <napi.h>

#include "core/ports/port_options.h"

// Undefined: as always. Says what is not of the type it should be; whether the values make sense is check_port_options()'s question.
paste::Status parse_port_options(const Napi::Value& value, paste::PortOptions* options);
