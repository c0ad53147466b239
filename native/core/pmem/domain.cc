#include "core/pmem/domain.h"

namespace paste {

const char* medium_name(Medium medium) {
  switch (medium) {
    case Medium::kDaxFile: return "dax-file";
    case Medium::kDeviceDax: return "device-dax";
    case Medium::kMemory: return "memory";
    case Medium::kDisk: return "disk";
    case Medium::kSimulated: return "simulated";
  }
  return "unknown";
}

const char* medium_survives(Medium medium) {
  switch (medium) {
    case Medium::kDaxFile:
    case Medium::kDeviceDax:
      return "survives the death of the process, a crash of the system and loss of power";
    case Medium::kMemory: return "survives the death of the process; lost with the system";
    case Medium::kDisk:
      return "survives the death of the process, a crash of the system and loss of power, as far as the disk keeps what it "
             "reports as synced";
    case Medium::kSimulated: return "survives what the test lets it survive";
  }
  return "unknown";
}

}  // namespace paste
