#include <algorithm>
#include <cmath>
#include <cstdint>
#include <mutex>
#include <vector>

#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/layouts/largest_columns.hpp"

namespace lathe::kernels {
namespace {

constexpr std::size_t statistics_tile = 128;  // columns

/// Column by column: adds |x|, widens minimum and maximum. The arrays do not overlap.
LATHE_VECTOR_CLONES
void take_row(const float* __restrict row, std::size_t size, double* __restrict sum_abs,
              float* __restrict minimum, float* __restrict maximum) {
    for (std::size_t j = 0; j < size; ++j) {
        sum_abs[j] += static_cast<double>(std::abs(row[j]));
        minimum[j] = row[j] < minimum[j] ? row[j] : minimum[j];
        maximum[j] = row[j] > maximum[j] ? row[j] : maximum[j];
    }
}

LATHE_VECTOR_CLONES
void scale_row(const float* row, std::size_t size, float factor, float* scaled) {
    for (std::size_t j = 0; j < size; ++j) {
        scaled[j] = factor * row[j];
    }
}

}  // namespace

void CpuBackend::do_scale_rows(MatrixView<const float> x, std::span<const float> factors,
                               MatrixView<float> y) const {
    constexpr std::size_t tile_tokens = 64;
    pool_.for_each((x.rows + tile_tokens - 1) / tile_tokens, [&](std::size_t tile) {
        const std::size_t end = std::min((tile + 1) * tile_tokens, x.rows);
        for (std::size_t t = tile * tile_tokens; t < end; ++t) {
            scale_row(x.row(t), x.cols, factors[t], y.row(t));
        }
    });
}

void CpuBackend::do_accumulate_column_statistics(MatrixView<const float> x,
                                                 const ColumnStatistics& statistics) const {
    const std::size_t n_tiles = (x.cols + statistics_tile - 1) / statistics_tile;
    pool_.for_each(n_tiles, [&](std::size_t tile) {
        const std::size_t begin = tile * statistics_tile;
        const std::size_t size = std::min(statistics_tile, x.cols - begin);
        double* sum_abs = statistics.sum_abs.data() + begin;
        float* minimum = statistics.minimum.data() + begin;
        float* maximum = statistics.maximum.data() + begin;
        for (std::size_t t = 0; t < x.rows; ++t) {
            take_row(x.row(t) + begin, size, sum_abs, minimum, maximum);
        }
    });
}

void CpuBackend::do_count_largest(MatrixView<const float> x, std::span<const float> column_weights,
                                  std::size_t per_token, std::span<double> counts) const {
    constexpr std::size_t tile_tokens = 64;
    std::mutex adding;  // whole numbers: their sums do not depend on the order
    pool_.for_each((x.rows + tile_tokens - 1) / tile_tokens, [&](std::size_t tile) {
        LargestColumns largest(column_weights, per_token);
        std::vector<std::uint32_t> found(x.cols);
        const std::size_t end = std::min((tile + 1) * tile_tokens, x.rows);
        for (std::size_t t = tile * tile_tokens; t < end; ++t) {
            largest.find(x.row(t), [&](std::size_t column) { ++found[column]; });
        }
        const std::lock_guard guard(adding);
        for (std::size_t j = 0; j < x.cols; ++j) {
            counts[j] += found[j];
        }
    });
}

}  // namespace lathe::kernels
