#pragma once

#include <vector>

#include "kernels/cpu/variants/vector_kernels.hpp"

namespace lathe::kernels {

/// The variants that this processor can run, "generic" first, and if the build has it the best one
/// in plain C, "avx512vbmi_emulated".
std::vector<const VectorKernels*> tested_variants();

}  // namespace lathe::kernels
