#include <algorithm>
#include <cmath>

#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/cpu_backend.hpp"

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

}  // namespace

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

}  // namespace lathe::kernels
