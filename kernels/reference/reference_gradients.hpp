#pragma once

#include "kernels/contract/gradients.hpp"

namespace lathe::kernels {

/// The definition: one thread, plain loops, sums in fp64, written to be read.
class ReferenceGradients final : public Gradients {
private:
#define LATHE_KERNEL LATHE_BACKEND_KERNEL
#include "kernels/contract/gradients.def"
#undef LATHE_KERNEL
};

}  // namespace lathe::kernels
