#include <algorithm>
#include <vector>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/solvers/grid_lanes.hpp"

namespace lathe::kernels {
namespace {

constexpr std::size_t rows_per_tile = 64;

/// Grids of up to 16 rows, group after group, through a transposed copy of the group.
void fit_row_block(MatrixView<const float> w, std::span<const float> importance,
                   const IntegerGridSettings& settings, MatrixView<float> scales,
                   MatrixView<float> zeros) {
    std::vector<float> columns(std::min(settings.group_size, w.cols) * n_lanes, 0.0F);
    float lane_scales[n_lanes];
    float lane_zeros[n_lanes];
    for (std::size_t g = 0; g < scales.cols; ++g) {
        const std::size_t begin = g * settings.group_size;
        const std::size_t size = std::min(settings.group_size, w.cols - begin);
        for (std::size_t l = 0; l < w.rows; ++l) {
            const float* row = w.row(l) + begin;
            for (std::size_t j = 0; j < size; ++j) {
                columns[j * n_lanes + l] = row[j];
            }
        }
        fit_lanes(columns.data(), n_lanes, importance.data() + begin, size, settings, lane_scales,
                  lane_zeros);
        for (std::size_t l = 0; l < w.rows; ++l) {
            scales(l, g) = lane_scales[l];
            zeros(l, g) = lane_zeros[l];
        }
    }
}

std::size_t n_row_tiles(std::size_t rows) {
    return (rows + rows_per_tile - 1) / rows_per_tile;
}

}  // namespace

void CpuBackend::do_fit_integer_grid(MatrixView<const float> w, std::span<const float> importance,
                                     const IntegerGridSettings& settings, MatrixView<float> scales,
                                     MatrixView<float> zeros) const {
    pool_.for_each((w.rows + n_lanes - 1) / n_lanes, [&](std::size_t block) {
        const std::size_t begin = block * n_lanes;
        const std::size_t size = std::min(n_lanes, w.rows - begin);
        fit_row_block(w.row_range(begin, size), importance, settings, scales.row_range(begin, size),
                      zeros.row_range(begin, size));
    });
}

void CpuBackend::do_round_to_grid(MatrixView<const float> w, const IntegerGridSettings& settings,
                                  MatrixView<const float> scales, MatrixView<const float> zeros,
                                  MatrixView<std::uint8_t> codes, MatrixView<float> values) const {
    pool_.for_each(n_row_tiles(w.rows), [&](std::size_t tile) {
        const std::size_t end = std::min((tile + 1) * rows_per_tile, w.rows);
        for (std::size_t r = tile * rows_per_tile; r < end; ++r) {
            for (std::size_t g = 0; g < scales.cols; ++g) {
                const std::size_t begin = g * settings.group_size;
                const std::size_t size = std::min(settings.group_size, w.cols - begin);
                round_group(w.row(r) + begin, size, settings, scales(r, g), zeros(r, g),
                            codes.row(r) + begin, values.row(r) + begin);
            }
        }
    });
}

}  // namespace lathe::kernels
