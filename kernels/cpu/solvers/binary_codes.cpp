#include <algorithm>
#include <vector>

#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/solvers/binary_fit.hpp"

// Rows do not meet, so each tile of rows is one thread's from the first column to the last. Within
// a group a row passes its errors on by itself; what a group passes on to the columns behind it is
// one matrix product for the whole tile.

namespace lathe::kernels {
namespace {

constexpr std::size_t rows_per_tile = 64;

/// Columns [0, n) of a row take the nearest of some levels; each passes its error on to those
/// behind it. u: row i of the group's block of the factor at u[i * stride]; errors [n] out.
LATHE_VECTOR_CLONES
void sweep_group(float* w, std::size_t n, const float* u, std::size_t stride, const float* middles,
                 const float* level_values, std::int32_t* places, float* errors) {
    for (std::size_t i = 0; i < n; ++i) {
        const float* row = u + i * stride;
        std::int32_t place = 0;
        for (std::size_t k = 0; k < most_levels; ++k) {
            place += w[i] > middles[k] ? 1 : 0;
        }
        const float value = level_values[place];
        const float error = (w[i] - value) / row[i];
        w[i] = value;
        places[i] = place;
        errors[i] = error;
        for (std::size_t k = i + 1; k < n; ++k) {
            w[k] -= error * row[k];
        }
    }
}

class TileSweep {
public:
    TileSweep(MatrixView<float> w, MatrixView<const float> factor,
              std::span<const float> importance, const BinaryCodeSettings& settings,
              const BinaryCodes& codes)
        : w_(w),
          factor_(factor),
          importance_(importance),
          settings_(settings),
          codes_(codes),
          width_(std::min(settings.group_size, w.cols)),
          errors_(w.rows * width_),
          places_(width_),
          fit_(settings) {}

    void run() {
        for (std::size_t g = 0; g < codes_.offsets.cols; ++g) {
            const std::size_t begin = g * settings_.group_size;
            const std::size_t n = std::min(settings_.group_size, w_.cols - begin);
            for (std::size_t r = 0; r < w_.rows; ++r) {
                sweep_row(r, g, begin, n);
            }
            update_later(begin, n);
        }
    }

private:
    void sweep_row(std::size_t r, std::size_t g, std::size_t begin, std::size_t n) {
        float* scales = codes_.scales.row(r) + g * settings_.num_bits;
        float* w = w_.row(r) + begin;
        std::uint8_t* codes = codes_.codes.row(r) + begin;
        fit_.run(w, importance_.data() + begin, n, scales, &codes_.offsets(r, g), codes);
        const Levels levels(scales, codes_.offsets(r, g), settings_.num_bits);
        sweep_group(w, n, factor_.row(begin) + begin, factor_.stride, levels.middle.data(),
                    levels.value.data(), places_.data(), &errors_[r * n]);
        for (std::size_t j = 0; j < n; ++j) {
            codes[j] = levels.code[static_cast<std::size_t>(places_[j])];
        }
    }

    /// w[:, end..] -= errors @ U[group, end..]
    void update_later(std::size_t begin, std::size_t n) {
        const std::size_t end = begin + n;
        if (end == w_.cols) {
            return;
        }
        blas::gemm(blas::Transpose::no, blas::Transpose::no, -1.0F,
                   MatrixView<const float>(errors_.data(), w_.rows, n),
                   factor_.row_range(begin, n).col_range(end, w_.cols - end), 1.0F,
                   w_.col_range(end, w_.cols - end));
    }

    MatrixView<float> w_;
    MatrixView<const float> factor_;
    std::span<const float> importance_;
    const BinaryCodeSettings& settings_;
    const BinaryCodes& codes_;
    std::size_t width_;
    std::vector<float> errors_;  ///< [rows, columns of the group]
    std::vector<std::int32_t> places_;
    BinaryFit fit_;
};

BinaryCodes rows_of(const BinaryCodes& codes, std::size_t begin, std::size_t n) {
    return {codes.scales.row_range(begin, n), codes.offsets.row_range(begin, n),
            codes.codes.row_range(begin, n)};
}

}  // namespace

void CpuBackend::do_fit_binary_codes(MatrixView<const float> w, std::span<const float> importance,
                                     const BinaryCodeSettings& settings,
                                     MatrixView<const std::uint8_t> keep,
                                     const BinaryCodes& codes) const {
    pool_.for_each((w.rows + rows_per_tile - 1) / rows_per_tile, [&](std::size_t tile) {
        BinaryFit fit(settings);
        std::vector<float> weights(importance.begin(), importance.end());
        const std::size_t end = std::min(w.rows, (tile + 1) * rows_per_tile);
        for (std::size_t r = tile * rows_per_tile; r < end; ++r) {
            for (std::size_t j = 0; j < keep.cols; ++j) {
                weights[j] = keep(r, j) != 0 ? importance[j] : 0.0F;
            }
            for (std::size_t g = 0; g < codes.offsets.cols; ++g) {
                const std::size_t begin = g * settings.group_size;
                fit.run(w.row(r) + begin, weights.data() + begin,
                        std::min(settings.group_size, w.cols - begin),
                        codes.scales.row(r) + g * settings.num_bits, &codes.offsets(r, g),
                        codes.codes.row(r) + begin);
            }
        }
    });
}

void CpuBackend::do_round_to_levels(MatrixView<const float> w, const BinaryCodeSettings& settings,
                                    const BinaryCodes& codes, MatrixView<float> values) const {
    pool_.for_each((w.rows + rows_per_tile - 1) / rows_per_tile, [&](std::size_t tile) {
        std::vector<std::int32_t> places(std::min(settings.group_size, w.cols));
        const std::size_t end = std::min(w.rows, (tile + 1) * rows_per_tile);
        for (std::size_t r = tile * rows_per_tile; r < end; ++r) {
            for (std::size_t g = 0; g < codes.offsets.cols; ++g) {
                const std::size_t begin = g * settings.group_size;
                const std::size_t n = std::min(settings.group_size, w.cols - begin);
                const Levels levels(codes.scales.row(r) + g * settings.num_bits,
                                    codes.offsets(r, g), settings.num_bits);
                find_places(w.row(r) + begin, n, levels, places.data());
                for (std::size_t j = 0; j < n; ++j) {
                    const auto place = static_cast<std::size_t>(places[j]);
                    codes.codes(r, begin + j) = levels.code[place];
                    values(r, begin + j) = levels.value[place];
                }
            }
        }
    });
}

void CpuBackend::do_sweep_binary_codes(MatrixView<float> w, MatrixView<const float> factor,
                                       std::span<const float> importance,
                                       const BinaryCodeSettings& settings,
                                       const BinaryCodes& codes) const {
    pool_.for_each((w.rows + rows_per_tile - 1) / rows_per_tile, [&](std::size_t tile) {
        const std::size_t begin = tile * rows_per_tile;
        const std::size_t n = std::min(rows_per_tile, w.rows - begin);
        TileSweep(w.row_range(begin, n), factor, importance, settings, rows_of(codes, begin, n))
            .run();
    });
}

}  // namespace lathe::kernels
