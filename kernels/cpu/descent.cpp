#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/cpu/blas.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/vector_clones.hpp"
#include "kernels/integer_grid.hpp"

// Rows do not meet, so each tile of rows is descended by one thread. Within a block of columns a
// row keeps the block's part of its gradient up to date by itself; what the block's changes do to
// the other columns is one matrix product for the whole tile.

namespace lathe::kernels {
namespace {

constexpr std::size_t rows_per_tile = 128;
constexpr std::size_t usual_block = 128;

/// Nearest whole number, ties to even, for |value| < 2^22.
LATHE_ALWAYS_INLINE float nearest_whole(float value) {
    constexpr float no_fraction = 0x1.8p23F;
    return (value + no_fraction) - no_fraction;
}

/// A block of columns as one row sees it; n columns.
struct BlockRow {
    const float* gram = nullptr;         ///< [n, n]
    const float* inverse = nullptr;      ///< [n] 1 / gram_jj, 0 for a column that stays
    const std::uint8_t* keep = nullptr;  ///< [n], or none
    float* values = nullptr;             ///< [n]
    std::uint8_t* codes = nullptr;       ///< [n]
    float* gradient = nullptr;           ///< [n]
    float* change = nullptr;             ///< [n] of the values since the block was begun
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

/// The best code for each of columns [begin, end), which share a grid. True if one changed.
LATHE_VECTOR_CLONES
bool descend_codes(const BlockRow& row, std::size_t begin, std::size_t end, float scale, float zero,
                   CodeRange codes) {
    const float lowest = codes.lowest - zero;
    const float highest = codes.highest - zero;
    const float per_scale = 1.0F / scale;
    bool changed = false;
    for (std::size_t j = begin; j < end; ++j) {
        if (row.inverse[j] == 0.0F || (row.keep != nullptr && row.keep[j] == 0)) {
            continue;
        }
        float steps = (row.values[j] - row.gradient[j] * row.inverse[j]) * per_scale;
        steps = steps > lowest ? steps : lowest;
        steps = nearest_whole(steps < highest ? steps : highest);
        const float value = scale * steps;
        if (value != row.values[j]) {
            changed = true;
            row.codes[j] = static_cast<std::uint8_t>(static_cast<int>(steps + zero));
            set_value(row, j, value);
        }
    }
    return changed;
}

/// The best scale for columns [begin, end), or the one they have if that is no improvement.
LATHE_VECTOR_CLONES
float best_scale(const BlockRow& row, std::size_t begin, std::size_t end, float scale, float zero) {
    float steps[widest_refitted_group];
    const std::size_t n = end - begin;
    float slope = 0.0F;
    for (std::size_t i = 0; i < n; ++i) {
        steps[i] = static_cast<float>(row.codes[begin + i]) - zero;
        slope += steps[i] * row.gradient[begin + i];
    }
    float product[widest_refitted_group] = {};
    for (std::size_t i = 0; i < n; ++i) {
        if (steps[i] == 0.0F) {
            continue;
        }
        const float* gram = row.gram + (begin + i) * row.n + begin;
        for (std::size_t k = 0; k < n; ++k) {
            product[k] += steps[i] * gram[k];
        }
    }
    float curvature = 0.0F;
    for (std::size_t k = 0; k < n; ++k) {
        curvature += product[k] * steps[k];
    }
    if (!(curvature > 0.0F)) {
        return scale;
    }
    const float found = storable_scale(scale - slope / curvature);
    const float change = found - scale;
    return 2.0F * change * slope + change * change * curvature < 0.0F ? found : scale;
}

LATHE_VECTOR_CLONES
void rescale(const BlockRow& row, std::size_t begin, std::size_t end, float scale, float zero) {
    for (std::size_t j = begin; j < end; ++j) {
        const float value = scale * (static_cast<float>(row.codes[j]) - zero);
        if (value != row.values[j]) {
            set_value(row, j, value);
        }
    }
}

/// What all tiles read.
struct Descent {
    MatrixView<const float> w;
    MatrixView<const float> gram;
    IntegerGridSettings settings;
    MatrixView<const std::uint8_t> keep;
    std::size_t n_passes = 0;

    [[nodiscard]] bool refits_scales() const {
        return settings.group_size <= widest_refitted_group;
    }
    /// Whole groups, about 128 columns of them; of wide groups, whose scale stays, 128 columns.
    [[nodiscard]] std::size_t block_width() const {
        return refits_scales() ? std::max<std::size_t>(1, usual_block / settings.group_size) *
                                     settings.group_size
                               : usual_block;
    }
};

/// A tile of rows, with its gradient (V - W) A.
class TileDescent {
public:
    TileDescent(const Descent& descent, std::size_t first_row, MatrixView<float> scales,
                MatrixView<const float> zeros, MatrixView<std::uint8_t> codes,
                MatrixView<float> values)
        : descent_(descent),
          first_row_(first_row),
          scales_(scales),
          zeros_(zeros),
          codes_(codes),
          values_(values),
          width_(std::min(descent.block_width(), values.cols)),
          gradient_(std::make_unique_for_overwrite<float[]>(values.rows * values.cols)),
          block_gram_(width_ * width_),
          inverse_(width_),
          local_gradient_(width_),
          changes_(values.rows * width_) {}

    void run() {
        start();
        for (std::size_t pass = 0; pass < descent_.n_passes; ++pass) {
            bool changed = false;
            for (std::size_t begin = 0; begin < values_.cols; begin += width_) {
                const std::size_t end = std::min(begin + width_, values_.cols);
                if (!descend_block(begin, end)) {
                    continue;
                }
                changed = true;
                // Nothing left of the block is looked at again in the last pass.
                update(begin, end, pass + 1 == descent_.n_passes ? end : 0);
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
            const float* w = descent_.w.row(first_row_ + r);
            for (std::size_t j = 0; j < cols; ++j) {
                const std::size_t g = j / descent_.settings.group_size;
                values_(r, j) = scales_(r, g) * (static_cast<float>(codes_(r, j)) - zeros_(r, g));
                delta(r, j) = values_(r, j) - w[j];
            }
        }
        blas::gemm(blas::Transpose::no, blas::Transpose::no, 1.0F, delta, descent_.gram, 0.0F,
                   gradient());
    }

    [[nodiscard]] MatrixView<float> gradient() const {
        return {gradient_.get(), values_.rows, values_.cols};
    }

    void load_block(std::size_t begin, std::size_t end) {
        const std::size_t n = end - begin;
        for (std::size_t i = 0; i < n; ++i) {
            std::copy_n(descent_.gram.row(begin + i) + begin, n, &block_gram_[i * n]);
            const float diagonal = descent_.gram(begin + i, begin + i);
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
            const bool sparse = descent_.keep.rows > 0;
            const BlockRow row{block_gram_.data(),
                               inverse_.data(),
                               sparse ? descent_.keep.row(first_row_ + r) + begin : nullptr,
                               values_.row(r) + begin,
                               codes_.row(r) + begin,
                               local_gradient_.data(),
                               &changes_[r * n],
                               n};
            changed = descend_row(row, r, begin, end) || changed;
        }
        return changed;
    }

    bool descend_row(const BlockRow& row, std::size_t r, std::size_t begin, std::size_t end) {
        const CodeRange codes = code_range(descent_.settings);
        const std::size_t group_size = descent_.settings.group_size;
        bool changed = false;
        for (std::size_t j = begin; j < end;) {
            const std::size_t g = j / group_size;
            const std::size_t run_end = std::min((g + 1) * group_size, end);
            float& scale = scales_(r, g);
            const float zero = zeros_(r, g);
            changed = descend_codes(row, j - begin, run_end - begin, scale, zero, codes) || changed;
            if (descent_.refits_scales()) {
                const float found = best_scale(row, j - begin, run_end - begin, scale, zero);
                if (found != scale) {
                    changed = true;
                    scale = found;
                    rescale(row, j - begin, run_end - begin, scale, zero);
                }
            }
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
                   descent_.gram.row_range(begin, end - begin).col_range(from, left), 1.0F,
                   gradient().col_range(from, left));
    }

    const Descent& descent_;
    std::size_t first_row_;
    MatrixView<float> scales_;
    MatrixView<const float> zeros_;
    MatrixView<std::uint8_t> codes_;
    MatrixView<float> values_;
    std::size_t width_;
    std::unique_ptr<float[]> gradient_;  ///< [rows, cols]
    std::vector<float> block_gram_;      ///< [n, n] of the block at hand
    std::vector<float> inverse_;         ///< [n]
    std::vector<float> local_gradient_;  ///< [n] of the row at hand
    std::vector<float> changes_;         ///< [rows, n]
};

}  // namespace

void CpuBackend::do_descend_on_grid(MatrixView<const float> w, MatrixView<const float> gram,
                                    const IntegerGridSettings& settings, std::size_t n_passes,
                                    MatrixView<const std::uint8_t> keep, MatrixView<float> scales,
                                    MatrixView<const float> zeros, MatrixView<std::uint8_t> codes,
                                    MatrixView<float> values) const {
    const Descent descent{w, gram, settings, keep, n_passes};
    pool_.for_each((w.rows + rows_per_tile - 1) / rows_per_tile, [&](std::size_t tile) {
        const std::size_t begin = tile * rows_per_tile;
        const std::size_t size = std::min(rows_per_tile, w.rows - begin);
        TileDescent(descent, begin, scales.row_range(begin, size), zeros.row_range(begin, size),
                    codes.row_range(begin, size), values.row_range(begin, size))
            .run();
    });
}

}  // namespace lathe::kernels
