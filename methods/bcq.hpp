#pragma once

#include "methods/method.hpp"

namespace lathe {

/// Method "bcq": binary coding, each weight a sum of num_bits fp16 scales with signs of its own.
///   num_bits        1 .. 4 (default 3)
///   group_size      weights that share scales (default 128)
///   offset          true or false (default): an fp16 offset for each group
///   solver          greedy: plane after plane
///                   refined: one round of least squares and nearest levels on top
///                   alternating: 15 rounds, started from greedy and from rounded codes
///                   gptq: alternating for each group in turn, with error feedback between columns
///                   admm (default): from the better of the two on, ADMM onto the levels, then
///                   coordinate descent over codes, scales and offsets in the whole Gram matrix
///   dampening_frac  gptq, admm: share of the mean diagonal added to the Gram matrix that error
///                   feedback and ADMM work with (default 0.01)
///
/// All fits weigh each input by its power. Rows do not meet. For each row a solver keeps the best
/// of what it found and what those before it in this list, from `alternating` on, found. So none is
/// worse than the one it starts from. A table of embeddings has no Gram matrix: gptq and admm are
/// refused there, the others weigh all columns alike.
[[nodiscard]] MethodRow bcq_method();

}  // namespace lathe
