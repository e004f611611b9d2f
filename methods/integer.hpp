#pragma once

#include "methods/method.hpp"

namespace lathe {

/// Method "integer": integer grids with an fp16 scale (and a zero, unless symmetric) for each group
/// of weights along a row.
///   num_bits        2 .. 8 (default 4)
///   group_size      weights that share a scale (default 64)
///   symmetric       true (default) or false
///   solver          gptq (default) or rtn: rounding to nearest
///   actorder        gptq only: columns by decreasing power of their input (default false)
///   dampening_frac  gptq only: share of the mean diagonal added to the Gram matrix (default 0.01)
///   block_size      128, nothing else: it does not change the result
///
/// Grids minimise the rounding error weighted by the power of each input. Weights of dead inputs
/// (always zero) become zero. Rows do not meet, so gptq takes for each row the better of error
/// feedback and rounding to nearest, and is never worse than rtn. A table of embeddings has no Gram
/// matrix: solver gptq is refused there, rtn weighs all columns alike.
[[nodiscard]] MethodRow integer_method();

}  // namespace lathe
