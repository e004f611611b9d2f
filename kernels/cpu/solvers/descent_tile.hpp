#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/common/vector_clones.hpp"
#include "lib/core/matrix_view.hpp"

// Coordinate descent on tr((V - W) A (V - W)^T). Rows do not meet, so each tile of rows is
// descended by one thread. Within a block of columns a row keeps the block's part of its gradient
// up to date by itself; what the block's changes do to the other columns is one matrix product for
// the whole tile.

namespace lathe::kernels {

inline constexpr std::size_t descent_rows_per_tile = 128;

/// A block of columns as one row sees it; n columns.
struct BlockRow {
    const float* gram = nullptr;     ///< [n, n]
    const float* inverse = nullptr;  ///< [n] 1 / gram_jj, 0 for a column that stays
    float* values = nullptr;         ///< [n]
    float* gradient = nullptr;       ///< [n]
    float* change = nullptr;         ///< [n] of the values since the block was begun
    std::size_t first = 0;           ///< the block's first column in the matrix
    std::size_t n = 0;
};

/// Value j becomes `value`.
LATHE_ALWAYS_INLINE void set_value(const BlockRow& row, std::size_t j, float value) {
    const float change = value - row.values[j];
    row.values[j] = value;
    row.change[j] += change;
    const float* gram = row.gram + j * row.n;
    for (std::size_t k = 0; k < row.n; ++k) {
        row.gradient[k] += change * gram[k];
    }
}

/// What all tiles read.
struct DescentProblem {
    MatrixView<const float> w;     ///< [rows, cols]
    MatrixView<const float> gram;  ///< A
    std::size_t n_passes = 0;
    std::size_t group_size = 1;
    /// Blocks are whole groups, about 128 columns of them, so that a group can be seen as one; else
    /// 128 columns.
    bool whole_groups = true;

    [[nodiscard]] std::size_t block_width() const {
        constexpr std::size_t usual = 128;
        return whole_groups ? std::max<std::size_t>(1, usual / group_size) * group_size : usual;
    }
};

/// A tile of rows, with its gradient (V - W) A. `Codes` knows what the values of a row may be:
///   void begin(r, values)                      writes the values of row r of the tile
///   bool descend(row, r, g, begin, end)        improves columns [begin, end) of the block, which
///                                              belong to group g; true if something changed
template <class Codes>
class TileDescent {
public:
    /// `values` [tile's rows, cols]: where the values of the tile go, which begins at first_row.
    TileDescent(const DescentProblem& problem, std::size_t first_row, Codes& codes,
                MatrixView<float> values)
        : problem_(problem),
          first_row_(first_row),
          codes_(codes),
          values_(values),
          width_(std::min(problem.block_width(), values.cols)),
          gradient_(std::make_unique_for_overwrite<float[]>(values.rows * values.cols)),
          block_gram_(width_ * width_),
          inverse_(width_),
          local_gradient_(width_),
          changes_(values.rows * width_) {}

    void run() {
        start();
        for (std::size_t pass = 0; pass < problem_.n_passes; ++pass) {
            bool changed = false;
            for (std::size_t begin = 0; begin < values_.cols; begin += width_) {
                const std::size_t end = std::min(begin + width_, values_.cols);
                if (!descend_block(begin, end)) {
                    continue;
                }
                changed = true;
                // Nothing left of the block is looked at again in the last pass.
                update(begin, end, pass + 1 == problem_.n_passes ? end : 0);
            }
            if (!changed) {
                return;
            }
        }
    }

private:
    void start() {
        const std::size_t cols = values_.cols;
        const auto memory = std::make_unique_for_overwrite<float[]>(values_.rows * cols);
        const MatrixView<float> delta(memory.get(), values_.rows, cols);
        for (std::size_t r = 0; r < values_.rows; ++r) {
            const float* w = problem_.w.row(first_row_ + r);
            codes_.begin(r, values_.row(r));
            for (std::size_t j = 0; j < cols; ++j) {
                delta(r, j) = values_(r, j) - w[j];
            }
        }
        blas::gemm(blas::Transpose::no, blas::Transpose::no, 1.0F, delta, problem_.gram, 0.0F,
                   gradient());
    }

    [[nodiscard]] MatrixView<float> gradient() const {
        return {gradient_.get(), values_.rows, values_.cols};
    }

    void load_block(std::size_t begin, std::size_t end) {
        const std::size_t n = end - begin;
        for (std::size_t i = 0; i < n; ++i) {
            std::copy_n(problem_.gram.row(begin + i) + begin, n, &block_gram_[i * n]);
            const float diagonal = problem_.gram(begin + i, begin + i);
            inverse_[i] = diagonal == 0.0F ? 0.0F : 1.0F / diagonal;
        }
    }

    /// True if any row of the tile changed.
    bool descend_block(std::size_t begin, std::size_t end) {
        const std::size_t n = end - begin;
        load_block(begin, end);
        std::fill_n(changes_.begin(), values_.rows * n, 0.0F);
        bool changed = false;
        for (std::size_t r = 0; r < values_.rows; ++r) {
            std::copy_n(gradient().row(r) + begin, n, local_gradient_.begin());
            const BlockRow row{block_gram_.data(),
                               inverse_.data(),
                               values_.row(r) + begin,
                               local_gradient_.data(),
                               &changes_[r * n],
                               begin,
                               n};
            changed = descend_row(row, r, begin, end) || changed;
        }
        return changed;
    }

    bool descend_row(const BlockRow& row, std::size_t r, std::size_t begin, std::size_t end) {
        bool changed = false;
        for (std::size_t j = begin; j < end;) {
            const std::size_t g = j / problem_.group_size;
            const std::size_t run_end = std::min((g + 1) * problem_.group_size, end);
            changed = codes_.descend(row, r, g, j - begin, run_end - begin) || changed;
            j = run_end;
        }
        return changed;
    }

    /// gradient[from..] += changes @ gram[block, from..]
    void update(std::size_t begin, std::size_t end, std::size_t from) {
        const std::size_t left = values_.cols - from;
        if (left == 0) {
            return;
        }
        blas::gemm(blas::Transpose::no, blas::Transpose::no, 1.0F,
                   MatrixView<const float>(changes_.data(), values_.rows, end - begin),
                   problem_.gram.row_range(begin, end - begin).col_range(from, left), 1.0F,
                   gradient().col_range(from, left));
    }

    const DescentProblem& problem_;
    std::size_t first_row_;
    Codes& codes_;
    MatrixView<float> values_;
    std::size_t width_;
    std::unique_ptr<float[]> gradient_;  ///< [rows, cols]
    std::vector<float> block_gram_;      ///< [n, n] of the block at hand
    std::vector<float> inverse_;         ///< [n]
    std::vector<float> local_gradient_;  ///< [n] of the row at hand
    std::vector<float> changes_;         ///< [rows, n]
};

}  // namespace lathe::kernels
