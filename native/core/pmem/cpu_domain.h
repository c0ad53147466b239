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
//
// Measured on a Zen 4 VM, tmpfs of 64 MiB, ns per record of a 64-byte header and a frame, records behind each other:
//
//   frame bytes                    64     256     512    1280    1514
//   stream, fence each             99     105     111     139     154
//   stream, fence per 32            8      16      27      56      65
//   store + clwb, fence each      168     178     186     241     274
//   store + clwb, fence per 32     12      24      44     115     153
//   store alone (not persistent)    6      25      50     118     134
//
// So records are streamed, and one fence serves a batch. Width of the stream (SSE2, AVX, AVX-512) and kind of write-back make
// no difference here; clwb leaves the lines readable where clflush and clflushopt evict them.
Status make_cpu_domain(Medium medium, const CpuFeatures& cpu, std::unique_ptr<Domain>* domain);

}  // namespace paste
