#pragma once

#include "methods/method.hpp"

namespace lathe {

/// Method "low_rank": the product of two narrow factors, left [out, r] @ right [r, in].
///   rank           r, at most the smaller side; 0 (default): by rank_fraction
///   rank_fraction  r as a share of the smaller side, rounded, at least 1 (default 0.25)
///   error          or the smallest rank that leaves out at most this share of the energy of the
///                  unit's outputs, one rank for all its tensors. In place of the two above; known
///                  when the unit is solved: UnitSolution::settled has it as `rank`
///   num_bits       of the factors' elements: 16 (default): fp16; 2 to 8: integer codes
///   group_size     of integer codes: weights that share a scale (default 64)
///
/// Of all products of that rank it is the nearest in the metric of the inputs' Gram matrix G: the
/// rows of the left factor are principal components of the outputs W G W^T, and the error is the
/// sum of the eigenvalues left out (Eckart and Young). Factors of codes are solved one after the
/// other with error feedback, the left one for what the right one became. Needs a Gram matrix, so
/// tables that are looked up are refused.
[[nodiscard]] MethodRow low_rank_method();

}  // namespace lathe
