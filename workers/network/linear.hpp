#pragma once

#include <span>

#include "kernels/contract/backend.hpp"
#include "workers/model/loaded_weight.hpp"

namespace lathe {

/// One of several linear layers of the same input: y [T, rows] = x @ weight^T + bias.
struct LinearLayer {
    Weight weight;
    std::span<const float> bias;  ///< [rows] or empty
    MatrixView<float> y;
};

/// Computes linear layers that read the same x [T, cols], each in the form its weight has: packed
/// weights share what they make of x, weights in pieces are the products of their pieces. `bf16`:
/// products with fp32 values by linear_bf16 of the backend. Sums over pieces are formed in their
/// order, so results do not depend on threads.
void multiply_all(const kernels::Backend& backend, bool bf16, MatrixView<const float> x,
                  std::span<const LinearLayer> layers);

}  // namespace lathe
