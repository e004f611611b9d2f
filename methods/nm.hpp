#pragma once

#include "methods/method.hpp"

namespace lathe {

/// Method "nm": N:M sparsity, alone or together with integer grids or binary codes.
///   pattern         "N:M" (default "2:4"): of each M consecutive weights of a row N stay
///   num_bits        none (default): values that stay are floating numbers; else codes
///   codes           with num_bits: integer (default), on a symmetric grid, 2 .. 8 bits; or binary,
///                   sums of as many scales with signs of their own, 1 .. 4 bits
///   dtype           without codes: source (default), float16 or bfloat16
///   group_size      with codes: columns that share their scales, a multiple of M (default 64)
///   solver          admm (default), admm_fixed, sparsegpt, wanda, magnitude
///   dampening_frac  admm, sparsegpt: share of the mean diagonal added to the Gram matrix
///                   (default 0.01)
///
/// With codes the places are chosen first. Then grids are fitted to the values that stay, weighted
/// by the power of their input; magnitude and wanda round to nearest; sparsegpt makes up for
/// rounding errors in the values that follow (of integers: binary codes are fitted only); both admm
/// solvers continue from there with ADMM onto the grid and coordinate descent, the places fixed,
/// and keep the best of each row. Units without a Gram matrix take solver magnitude only. Settings
/// with the same pattern, solver and damping share one choice of places.
[[nodiscard]] MethodRow nm_method();

}  // namespace lathe
