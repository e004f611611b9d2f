#pragma once

#include "kernels/contract/gradients.hpp"
#include "lib/core/parallel.hpp"

namespace lathe::kernels {

/// Tiles of BLAS products and rows that the pool's threads share, in fp32 but for sums along a row.
class CpuGradients final : public Gradients {
public:
    explicit CpuGradients(ThreadPool& pool);

private:
#define LATHE_KERNEL LATHE_BACKEND_KERNEL
#include "kernels/contract/gradients.def"
#undef LATHE_KERNEL

    ThreadPool& pool_;
};

}  // namespace lathe::kernels
