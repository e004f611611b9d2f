#pragma once

#include <cstddef>

#include "kernels/contract/backend.hpp"
#include "lib/encoding/encoded_tensor.hpp"

namespace lathe {

/// Seconds that y = x @ w^T with x [tokens, cols] takes on this backend, w being run as `eval` and
/// `generate` run it: packed, or as fp32 values where it cannot be. The least of several rounds.
/// `copies` of the weight take turns, so that each is as cold in the caches as a weight of a model.
[[nodiscard]] double time_product(const EncodedTensor& weight, std::size_t tokens,
                                  std::size_t copies, const kernels::Backend& backend);

}  // namespace lathe
