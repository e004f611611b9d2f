#pragma once

#include <cstddef>
#include <vector>

#include "lib/core/matrix_view.hpp"

// One tile on the diagonal of a blocked factorisation.

namespace lathe::kernels::cholesky_tile {

/// Upper V with V^T V = tile, in place; below the diagonal nothing is read or written.
/// @return  0, or the place (from 1) of a pivot that is not positive or not finite
[[nodiscard]] std::size_t factor(MatrixView<double> tile);

/// The inverse of the upper triangle of `tile`, zeros included, in `memory`. Multiplying by it is
/// several times faster than dividing by the triangle.
[[nodiscard]] MatrixView<double> inverse_of(MatrixView<const double> tile,
                                            std::vector<double>& memory);

}  // namespace lathe::kernels::cholesky_tile
