#include <algorithm>
#include <memory>

#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/cpu_backend.hpp"

namespace lathe::kernels {
namespace {

constexpr std::size_t rows_per_tile = 128;
constexpr std::size_t cols_per_block = 256;

/// sum_j x_j y_j in fp64, in an order that does not depend on where the rows lie.
LATHE_VECTOR_CLONES
double dot(const float* x, const float* y, std::size_t n) {
    constexpr std::size_t width = 16;
    double sums[width] = {};
    std::size_t j = 0;
    for (; j + width <= n; j += width) {
        for (std::size_t l = 0; l < width; ++l) {
            sums[l] += static_cast<double>(x[j + l]) * static_cast<double>(y[j + l]);
        }
    }
    double sum = 0.0;
    for (const double part : sums) {
        sum += part;
    }
    for (; j < n; ++j) {
        sum += static_cast<double>(x[j]) * static_cast<double>(y[j]);
    }
    return sum;
}

/// The Gram matrix is symmetric, so of each block row only the part from the diagonal on is
/// multiplied; what lies right of the diagonal block counts twice.
void add_tile_errors(MatrixView<const float> delta, MatrixView<const float> gram, double* errors) {
    const std::size_t d = delta.cols;
    const auto memory = std::make_unique_for_overwrite<float[]>(delta.rows * d);
    for (std::size_t begin = 0; begin < d; begin += cols_per_block) {
        const std::size_t size = std::min(cols_per_block, d - begin);
        const MatrixView<float> product(memory.get(), delta.rows, d - begin);
        blas::gemm(blas::Transpose::no, blas::Transpose::no, 1.0F, delta.col_range(begin, size),
                   gram.row_range(begin, size).col_range(begin, d - begin), 0.0F, product);
        for (std::size_t r = 0; r < delta.rows; ++r) {
            const float* from = delta.row(r) + begin;
            errors[r] += dot(product.row(r), from, size) +
                         2.0 * dot(product.row(r) + size, from + size, d - begin - size);
        }
    }
}

}  // namespace

void CpuBackend::do_row_errors(MatrixView<const float> delta, MatrixView<const float> gram,
                               std::span<double> errors) const {
    std::fill(errors.begin(), errors.end(), 0.0);
    pool_.for_each((delta.rows + rows_per_tile - 1) / rows_per_tile, [&](std::size_t tile) {
        const std::size_t begin = tile * rows_per_tile;
        const std::size_t size = std::min(rows_per_tile, delta.rows - begin);
        add_tile_errors(delta.row_range(begin, size), gram, errors.data() + begin);
    });
}

}  // namespace lathe::kernels
