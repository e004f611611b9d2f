#include <algorithm>
#include <vector>

#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/layouts/integer_grid.hpp"

// Rows do not meet, so a tile of rows is swept by one thread from the first column to the last.
// Within a block of columns a row passes its errors on by itself; what a block passes on to the
// columns behind it is one matrix product for the whole tile.

namespace lathe::kernels {
namespace {

constexpr std::size_t rows_per_tile = 128;
constexpr std::size_t usual_block = 128;

/// later -= error * factor, over n columns.
LATHE_VECTOR_CLONES
void pass_on(const float* factor, float error, std::size_t n, float* later) {
    for (std::size_t k = 0; k < n; ++k) {
        later[k] -= error * factor[k];
    }
}

/// What all tiles read.
struct SparseSweep {
    MatrixView<const float> factor;
    NmPattern pattern;
    const IntegerGridSettings* grid = nullptr;

    /// About 128 columns, whole groups of the pattern.
    [[nodiscard]] std::size_t block_width() const {
        const std::size_t m = std::max<std::size_t>(pattern.m, 1);
        return std::max<std::size_t>(1, usual_block / m) * m;
    }
};

class SparseTile {
public:
    SparseTile(const SparseSweep& sweep, MatrixView<float> w, MatrixView<std::uint8_t> keep,
               MatrixView<const float> scales, MatrixView<const float> zeros)
        : sweep_(sweep),
          w_(w),
          keep_(keep),
          scales_(scales),
          zeros_(zeros),
          errors_(w.rows * sweep.block_width()) {}

    void run() {
        const std::size_t width = sweep_.block_width();
        for (std::size_t begin = 0; begin < w_.cols; begin += width) {
            const std::size_t end = std::min(begin + width, w_.cols);
            for (std::size_t r = 0; r < w_.rows; ++r) {
                sweep_row(r, begin, end);
            }
            if (end < w_.cols) {
                blas::gemm(
                    blas::Transpose::no, blas::Transpose::no, -1.0F,
                    MatrixView<const float>(errors_.data(), w_.rows, end - begin),
                    sweep_.factor.row_range(begin, end - begin).col_range(end, w_.cols - end), 1.0F,
                    w_.col_range(end, w_.cols - end));
            }
        }
    }

private:
    void sweep_row(std::size_t r, std::size_t begin, std::size_t end) {
        float* w = w_.row(r);
        float* errors = &errors_[r * (end - begin)];
        for (std::size_t j = begin; j < end; ++j) {
            if (sweep_.pattern.m > 0 && j % sweep_.pattern.m == 0) {
                choose(w, j, std::min(j + sweep_.pattern.m, w_.cols), keep_.row(r));
            }
            const float value = keep_(r, j) == 0 ? 0.0F : rounded(w[j], r, j);
            const float error = (w[j] - value) / sweep_.factor(j, j);
            w[j] = value;
            errors[j - begin] = error;
            if (error != 0.0F) {
                pass_on(sweep_.factor.row(j) + j + 1, error, end - j - 1, w + j + 1);
            }
        }
    }

    [[nodiscard]] float rounded(float w, std::size_t r, std::size_t j) const {
        if (sweep_.grid == nullptr) {
            return w;
        }
        const std::size_t g = j / sweep_.grid->group_size;
        const CodeRange codes = code_range(*sweep_.grid);
        const float zero = zeros_(r, g);
        constexpr float no_fraction = 0x1.8p23F;  // rounds to nearest, ties to even
        const float steps =
            std::min(codes.highest - zero, std::max(codes.lowest - zero, w / scales_(r, g)));
        return scales_(r, g) * ((steps + no_fraction) - no_fraction);
    }

    /// keep of columns [begin, end): 1 at the n with the largest w^2 / factor_jj^2.
    void choose(const float* w, std::size_t begin, std::size_t end, std::uint8_t* keep) const {
        float scores[64] = {};
        std::vector<float> many;
        float* score = scores;
        if (end - begin > std::size(scores)) {
            many.resize(end - begin);
            score = many.data();
        }
        for (std::size_t j = begin; j < end; ++j) {
            const float ratio = w[j] / sweep_.factor(j, j);
            score[j - begin] = ratio * ratio;
        }
        const std::size_t size = end - begin;
        for (std::size_t j = 0; j < size; ++j) {
            std::size_t n_ahead = 0;
            for (std::size_t k = 0; k < size; ++k) {
                const bool ahead = score[k] > score[j] || (score[k] == score[j] && k < j);
                n_ahead += ahead ? 1 : 0;
            }
            keep[begin + j] = n_ahead < sweep_.pattern.n ? 1 : 0;
        }
    }

    const SparseSweep& sweep_;
    MatrixView<float> w_;
    MatrixView<std::uint8_t> keep_;
    MatrixView<const float> scales_;
    MatrixView<const float> zeros_;
    std::vector<float> errors_;  ///< [rows, columns of the block]
};

}  // namespace

void CpuBackend::do_sweep_sparse(MatrixView<float> w, MatrixView<const float> factor,
                                 NmPattern pattern, MatrixView<std::uint8_t> keep,
                                 const IntegerGridSettings* grid, MatrixView<const float> scales,
                                 MatrixView<const float> zeros) const {
    const SparseSweep sweep{factor, pattern, grid};
    pool_.for_each((w.rows + rows_per_tile - 1) / rows_per_tile, [&](std::size_t tile) {
        const std::size_t begin = tile * rows_per_tile;
        const std::size_t size = std::min(rows_per_tile, w.rows - begin);
        const auto part = [&](MatrixView<const float> grids) {
            return grid == nullptr ? grids : grids.row_range(begin, size);
        };
        SparseTile(sweep, w.row_range(begin, size), keep.row_range(begin, size), part(scales),
                   part(zeros))
            .run();
    });
}

}  // namespace lathe::kernels
