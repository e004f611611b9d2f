#include "kernels/cpu/statistics/cholesky_tile.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/common/blas.hpp"
#include "lib/core/errors.hpp"

namespace lathe::kernels::cholesky_tile {

std::size_t factor(MatrixView<double> tile) {
    const std::size_t bad = blas::cholesky(blas::Triangle::upper, tile);
    if (bad > 0) {
        return bad;
    }
    // A NaN makes its way to the diagonal.
    for (std::size_t i = 0; i < tile.rows; ++i) {
        if (!std::isfinite(tile(i, i)) || tile(i, i) <= 0.0) {
            return i + 1;
        }
    }
    return 0;
}

MatrixView<double> inverse_of(MatrixView<const double> tile, std::vector<double>& memory) {
    memory.assign(tile.rows * tile.rows, 0.0);
    const MatrixView<double> inverse(memory.data(), tile.rows, tile.rows);
    for (std::size_t i = 0; i < tile.rows; ++i) {
        std::copy_n(tile.row(i) + i, tile.rows - i, inverse.row(i) + i);
    }
    if (blas::invert_triangular(blas::Triangle::upper, inverse) != 0) {
        throw InternalError("zero on the diagonal of a Cholesky factor");
    }
    return inverse;
}

}  // namespace lathe::kernels::cholesky_tile
