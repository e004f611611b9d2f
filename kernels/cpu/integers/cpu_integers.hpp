#pragma once

#include "kernels/contract/integers.hpp"
#include "lib/core/parallel.hpp"

namespace lathe::kernels {

/// Products of bytes in tiles that the pool's threads share, and rows of all else.
class CpuIntegers final : public Integers {
public:
    explicit CpuIntegers(ThreadPool& pool) : pool_(pool) {}

private:
#define LATHE_KERNEL LATHE_BACKEND_KERNEL
#include "kernels/contract/integers.def"
#undef LATHE_KERNEL

    ThreadPool& pool_;
};

}  // namespace lathe::kernels
