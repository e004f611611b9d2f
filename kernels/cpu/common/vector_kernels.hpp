#pragma once

#include <span>
#include <string_view>

#include "kernels/cpu/variants/vector_kernels.hpp"

namespace lathe::kernels {

/// The variants of this build that this processor can run, best last; "generic" is always there.
std::span<const VectorKernels* const> runnable_vector_kernels();

/// The one in use in this process: the best of them, unless another was asked for.
const VectorKernels& vector_kernels();

/// Asks for a variant by its name, or, by "auto", for the best. Not while kernels run: they would
/// get operands packed for another.
/// @throws UsageError  if this processor cannot run it, naming those it can
void use_vector_kernels(std::string_view name);

}  // namespace lathe::kernels
