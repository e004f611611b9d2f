#pragma once

#include "methods/method.hpp"

namespace lathe {

/// Method "bct": blocks of whole numbers that share a shift (encoding "block_shift"), for tensors
/// of every kind. Source: blockwise compression of transformers without retraining,
/// arXiv:2304.01483.
///
/// Keys:
///   num_bits        2..8, default 4
///   block_size      elements along a row that share a scale, 16..1024, default 64
///   scale           shift8 (default), shift6 or float16
///   choose_scale    true (default): the scale of least squared error, weighted with the squares of
///                   the inputs, out of the one that reaches a block's largest value and smaller
///                   ones; false: that one, the paper's rule. For solver rtn
///   solver          admm (default): GPTQ, then ADMM and coordinate descent on the grid; gptq; rtn:
///                   rounding to nearest. A power of two is a coarse scale: what feedback of errors
///                   gains here is more than with scales of fp16
///   dampening_frac  0.01: share of the mean diagonal added to the Gram matrix
[[nodiscard]] MethodRow bct_method();

}  // namespace lathe
