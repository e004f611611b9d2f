#include <algorithm>

#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/cpu_backend.hpp"

namespace lathe::kernels {
namespace {

constexpr std::size_t rows_per_tile = 16;
constexpr double tiny = 1e-30;  // keeps 0 / 0 of a finished row at 0

/// One row. Sums are kept in eight parts, the same ones whatever the instruction set.
struct Row {
    const std::uint8_t* keep;
    const float* inverse_diagonal;
    const float* product;
    float* values;
    float* residual;
    float* direction;
    std::size_t cols;
};

constexpr std::size_t n_parts = 8;

LATHE_ALWAYS_INLINE double total(const double* parts) {
    double sum = 0.0;
    for (std::size_t l = 0; l < n_parts; ++l) {
        sum += parts[l];
    }
    return sum;
}

/// sum_j residual_j^2 / A_jj
LATHE_VECTOR_CLONES
double residual_norm(const Row& row) {
    double parts[n_parts] = {};
    for (std::size_t begin = 0; begin < row.cols; begin += n_parts) {
        const std::size_t n = std::min(n_parts, row.cols - begin);
        for (std::size_t l = 0; l < n; ++l) {
            const double rest = row.residual[begin + l];
            parts[l] += rest * rest * static_cast<double>(row.inverse_diagonal[begin + l]);
        }
    }
    return total(parts);
}

/// sum_j direction_j product_j; the direction is 0 where nothing is kept.
LATHE_VECTOR_CLONES
double curvature_of(const Row& row) {
    double parts[n_parts] = {};
    for (std::size_t begin = 0; begin < row.cols; begin += n_parts) {
        const std::size_t n = std::min(n_parts, row.cols - begin);
        for (std::size_t l = 0; l < n; ++l) {
            parts[l] += static_cast<double>(row.direction[begin + l]) *
                        static_cast<double>(row.product[begin + l]);
        }
    }
    return total(parts);
}

LATHE_VECTOR_CLONES
void advance(const Row& row, float step) {
    for (std::size_t j = 0; j < row.cols; ++j) {
        const float allowed = row.keep[j] != 0 ? step : 0.0F;
        row.values[j] += allowed * row.direction[j];
        row.residual[j] -= allowed * row.product[j];
    }
}

LATHE_VECTOR_CLONES
void turn_direction(const Row& row, float turn) {
    for (std::size_t j = 0; j < row.cols; ++j) {
        row.direction[j] = row.residual[j] * row.inverse_diagonal[j] + turn * row.direction[j];
    }
}

}  // namespace

void CpuBackend::do_conjugate_step(MatrixView<const std::uint8_t> keep,
                                   std::span<const float> inverse_diagonal,
                                   MatrixView<const float> product, MatrixView<float> values,
                                   MatrixView<float> residual, MatrixView<float> direction) const {
    pool_.for_each((values.rows + rows_per_tile - 1) / rows_per_tile, [&](std::size_t tile) {
        const std::size_t end = std::min((tile + 1) * rows_per_tile, values.rows);
        for (std::size_t r = tile * rows_per_tile; r < end; ++r) {
            const Row row{keep.row(r),     inverse_diagonal.data(), product.row(r), values.row(r),
                          residual.row(r), direction.row(r),        values.cols};
            const double before = residual_norm(row);
            advance(row, static_cast<float>(before / std::max(curvature_of(row), tiny)));
            const double after = residual_norm(row);
            turn_direction(row, static_cast<float>(after / std::max(before, tiny)));
        }
    });
}

}  // namespace lathe::kernels
