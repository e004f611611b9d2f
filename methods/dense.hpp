#pragma once

#include "methods/method.hpp"

namespace lathe {

/// Method "dense": weights as they are, or rounded to 16 bits.
///   dtype  source (default) · float16 · bfloat16
/// `source` keeps the source's type (float64 becomes float32) and has no error. A 16-bit type is
/// refused where the source has 16 bits already: it would cost accuracy and save nothing. Weights
/// beyond the range of the type become its largest number.
[[nodiscard]] MethodRow dense_method();

/// The setting under which a tensor is its source's bytes.
[[nodiscard]] Setting source_setting();

}  // namespace lathe
