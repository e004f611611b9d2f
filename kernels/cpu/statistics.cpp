#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cpu/blas.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/vector_clones.hpp"

namespace lathe::kernels {
namespace {

/// Edge of a tile of the Gram matrix [d, d]: large enough that packing the operands is a small part
/// of a product, small enough that a matrix has tiles for many threads. Depends on d only.
std::size_t gram_tile(std::size_t d) {
    const std::size_t quarter = (d / 4 + 15) / 16 * 16;
    return std::clamp<std::size_t>(quarter, 96, 512);
}

constexpr std::size_t max_fp32_tokens = 2048;
constexpr std::size_t statistics_tile = 256;  // columns

struct Tile {
    std::size_t row = 0;
    std::size_t col = 0;
    std::size_t edge = 0;
};

/// Tiles on and above the diagonal, the full ones first, since they take twice as long.
std::vector<Tile> upper_tiles(std::size_t d) {
    const std::size_t edge = gram_tile(d);
    std::vector<Tile> tiles;
    for (std::size_t row = 0; row < d; row += edge) {
        for (std::size_t col = row + edge; col < d; col += edge) {
            tiles.push_back({row, col, edge});
        }
    }
    for (std::size_t row = 0; row < d; row += edge) {
        tiles.push_back({row, row, edge});
    }
    return tiles;
}

void add_tile(MatrixView<const float> x, Tile tile, MatrixView<double> gram) {
    const std::size_t rows = std::min(tile.edge, x.cols - tile.row);
    const std::size_t cols = std::min(tile.edge, x.cols - tile.col);
    const bool on_diagonal = tile.row == tile.col;
    const auto memory = std::make_unique_for_overwrite<float[]>(rows * cols);
    const MatrixView<float> product(memory.get(), rows, cols);

    for (std::size_t t = 0; t < x.rows; t += max_fp32_tokens) {
        const auto part = x.row_range(t, std::min(max_fp32_tokens, x.rows - t));
        const auto left = part.col_range(tile.row, rows);
        const auto right = part.col_range(tile.col, cols);
        if (on_diagonal) {
            blas::syrk_of_columns(blas::Triangle::upper, 1.0F, left, 0.0F, product);
        } else {
            blas::gemm(blas::Transpose::yes, blas::Transpose::no, 1.0F, left, right, 0.0F, product);
        }
        for (std::size_t i = 0; i < rows; ++i) {
            const float* from = product.row(i);
            double* to = gram.row(tile.row + i) + tile.col;
            for (std::size_t j = on_diagonal ? i : 0; j < cols; ++j) {
                to[j] += static_cast<double>(from[j]);
            }
        }
    }
}

}  // namespace

void CpuBackend::do_accumulate_gram(MatrixView<const float> x, MatrixView<double> gram) const {
    if (x.rows == 0) {
        return;
    }
    const std::vector<Tile> tiles = upper_tiles(x.cols);
    pool_.for_each(tiles.size(), [&](std::size_t i) { add_tile(x, tiles[i], gram); });
}

namespace {

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
