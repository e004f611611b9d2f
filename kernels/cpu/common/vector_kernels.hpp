#pragma once

#include <span>

#include "kernels/cpu/variants/vector_kernels.hpp"

namespace lathe::kernels {

/// The variants of this build that this processor can run, best last; "generic" is always there.
std::span<const VectorKernels* const> runnable_vector_kernels();

/// The best of them.
const VectorKernels& vector_kernels();

}  // namespace lathe::kernels
