#include <algorithm>

#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/cpu_backend.hpp"

// fp64 products in tiles of fixed size, one single-threaded BLAS call each.

namespace lathe::kernels {
namespace {

using blas::Transpose;

constexpr std::size_t tile_edge = 256;

std::size_t divide_up(std::size_t n, std::size_t by) {
    return (n + by - 1) / by;
}

/// Tile number `i` of an extent.
struct Range {
    std::size_t begin;
    std::size_t count;
    Range(std::size_t i, std::size_t extent)
        : begin(i * tile_edge), count(std::min(tile_edge, extent - i * tile_edge)) {}
};

Transpose flag(bool transpose) {
    return transpose ? Transpose::yes : Transpose::no;
}

}  // namespace

void CpuBackend::do_multiply(MatrixView<const double> a, bool transpose_a,
                             MatrixView<const double> b, bool transpose_b,
                             MatrixView<double> y) const {
    const std::size_t n_cols = divide_up(y.cols, tile_edge);
    pool_.for_each(divide_up(y.rows, tile_edge) * n_cols, [&](std::size_t number) {
        const Range rows(number / n_cols, y.rows);
        const Range cols(number % n_cols, y.cols);
        blas::gemm(
            flag(transpose_a), flag(transpose_b), 1.0,
            transpose_a ? a.col_range(rows.begin, rows.count) : a.row_range(rows.begin, rows.count),
            transpose_b ? b.row_range(cols.begin, cols.count) : b.col_range(cols.begin, cols.count),
            0.0, y.row_range(rows.begin, rows.count).col_range(cols.begin, cols.count));
    });
}

}  // namespace lathe::kernels
