// Persistence by the processor's own instructions: for memory that is mapped and byte-addressable.
#pragma once

#include <memory>

#include "core/base/cpu.h"
#include "core/pmem/domain.h"

namespace paste {

// The best domain for a mapped medium on a processor with these features. On kMemory (tmpfs, hugetlbfs) the lines are written
// back as on NVMM although the death of a process would not need it: DRAM stands for NVMM there, so that what is measured
// is what NVMM costs; the name says so. Fails (kStore) on fs-DAX or device-DAX with a processor that cannot write lines back from
// user space (arm64 without dc cvap).
Status make_cpu_domain(Medium medium, const CpuFeatures& cpu, std::unique_ptr<Domain>* domain);

}  // namespace paste
