#pragma once

#include "methods/method.hpp"

namespace lathe {

/// Method "integer": integer grids with an fp16 scale (and a zero, unless symmetric) for each group
/// of weights along a row.
///   num_bits        2 .. 8 (default 4)
///   group_size      weights that share a scale (default 64)
///   symmetric       true (default) or false
///   solver          admm (default), gptq, or rtn: rounding to nearest
///   actorder        not rtn: gptq takes columns by decreasing power of their input (default false)
///   dampening_frac  not rtn: share of the mean diagonal added to the Gram matrix (default 0.01)
///   block_size      128, nothing else: it does not change the result
///
/// Grids minimise the rounding error weighted by the power of each input. Weights of dead inputs
/// (always zero) become zero. Rows do not meet, so gptq takes for each row the better of error
/// feedback and rounding to nearest, and is never worse than rtn; admm starts from gptq's result,
/// continues with ADMM onto the grid and with coordinate descent over codes and scales, keeps the
/// best of each row, and is never worse than gptq. A table of embeddings has no Gram matrix:
/// solvers other than rtn are refused there, and rtn weighs all columns alike.
[[nodiscard]] MethodRow integer_method();

}  // namespace lathe
