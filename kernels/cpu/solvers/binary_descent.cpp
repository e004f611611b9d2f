#include <algorithm>
#include <array>
#include <vector>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/solvers/descent_tile.hpp"
#include "kernels/layouts/binary_codes.hpp"

namespace lathe::kernels {
namespace {

/// The best level for each of columns [begin, end), which share levels and are kept (keep null: all
/// are). True if one changed; then places[j - begin] is the level's place, else -1.
LATHE_VECTOR_CLONES
bool descend_levels(const BlockRow& row, std::size_t begin, std::size_t end,
                    const std::uint8_t* keep, const float* middles, const float* level_values,
                    std::int32_t* places) {
    bool changed = false;
    for (std::size_t j = begin; j < end; ++j) {
        places[j - begin] = -1;
        if (row.inverse[j] == 0.0F || (keep != nullptr && keep[j - begin] == 0)) {
            continue;
        }
        const float target = row.values[j] - row.gradient[j] * row.inverse[j];
        std::int32_t place = 0;
        for (std::size_t k = 0; k < most_levels; ++k) {
            place += target > middles[k] ? 1 : 0;
        }
        const float value = level_values[place];
        if (value != row.values[j]) {
            changed = true;
            places[j - begin] = place;
            set_value(row, j, value);
        }
    }
    return changed;
}

/// product[k] = sum_j signs[j] * gram[j][k] over the group's block.
LATHE_VECTOR_CLONES
void multiply_block(const float* gram, std::size_t stride, std::size_t n, const float* signs,
                    float* product) {
    for (std::size_t k = 0; k < n; ++k) {
        product[k] = 0.0F;
    }
    for (std::size_t j = 0; j < n; ++j) {
        const float sign = signs[j];
        for (std::size_t k = 0; k < n; ++k) {
            product[k] += sign * gram[j * stride + k];
        }
    }
}

/// In 16 partial sums, so that it need not go one by one.
LATHE_VECTOR_CLONES
float dot(const float* a, const float* b, std::size_t n) {
    constexpr std::size_t n_parts = 16;
    float parts[n_parts] = {};
    std::size_t k = 0;
    for (; k + n_parts <= n; k += n_parts) {
        for (std::size_t i = 0; i < n_parts; ++i) {
            parts[i] += a[k + i] * b[k + i];
        }
    }
    for (std::size_t i = 0; k < n; ++k, ++i) {
        parts[i] += a[k] * b[k];
    }
    float sum = 0.0F;
    for (const float part : parts) {
        sum += part;
    }
    return sum;
}

LATHE_VECTOR_CLONES
void set_values(const BlockRow& row, std::size_t begin, std::size_t n, const float* values) {
    for (std::size_t j = 0; j < n; ++j) {
        if (values[j] != row.values[begin + j]) {
            set_value(row, begin + j, values[j]);
        }
    }
}

/// The binary codes of a tile. For one thread.
class TileCodes {
public:
    /// keep: of the tile's rows, or empty
    TileCodes(const BinaryCodeSettings& settings, MatrixView<const std::uint8_t> keep,
              const BinaryCodes& codes)
        : settings_(settings),
          keep_(keep),
          codes_(codes),
          places_(std::clamp<std::size_t>(settings.group_size, 128, widest_refitted_binary_group)),
          signs_(most_unknowns * places_.size(), 1.0F),
          product_(places_.size()),
          fitted_(places_.size()) {}

    void begin(std::size_t r, float* values) const {
        for (std::size_t g = 0; g < codes_.offsets.cols; ++g) {
            const std::size_t first = g * settings_.group_size;
            const std::size_t end = std::min(first + settings_.group_size, codes_.codes.cols);
            const auto of_code = values_of(r, g);
            for (std::size_t j = first; j < end; ++j) {
                values[j] = is_kept(r, j) ? of_code[codes_.codes(r, j)] : 0.0F;
            }
        }
    }

    bool descend(const BlockRow& row, std::size_t r, std::size_t g, std::size_t begin,
                 std::size_t end) {
        std::uint8_t* codes = codes_.codes.row(r) + row.first + begin;
        const std::size_t n = end - begin;
        const Levels levels(scales(r, g), codes_.offsets(r, g), settings_.num_bits);
        const std::uint8_t* keep = keep_.rows == 0 ? nullptr : keep_.row(r) + row.first + begin;
        const bool changed = descend_levels(row, begin, end, keep, levels.middle.data(),
                                            levels.value.data(), places_.data());
        for (std::size_t j = 0; changed && j < n; ++j) {
            if (places_[j] >= 0) {
                codes[j] = levels.code[static_cast<std::size_t>(places_[j])];
            }
        }
        if (settings_.group_size > widest_refitted_binary_group || !refit(row, r, g, begin, n)) {
            return changed;
        }
        const auto of_code = values_of(r, g);
        for (std::size_t j = 0; j < n; ++j) {
            fitted_[j] = keep == nullptr || keep[j] != 0 ? of_code[codes[j]] : 0.0F;
        }
        set_values(row, begin, n, fitted_.data());
        return true;
    }

private:
    [[nodiscard]] bool is_kept(std::size_t r, std::size_t j) const {
        return keep_.rows == 0 || keep_(r, j) != 0;
    }
    [[nodiscard]] float* scales(std::size_t r, std::size_t g) const {
        return codes_.scales.row(r) + g * settings_.num_bits;
    }
    [[nodiscard]] std::array<float, most_levels> values_of(std::size_t r, std::size_t g) const {
        const Levels levels(scales(r, g), codes_.offsets(r, g), settings_.num_bits);
        std::array<float, most_levels> of_code{};
        for (std::size_t k = 0; k < levels.n; ++k) {
            of_code[levels.code[k]] = levels.value[k];
        }
        return of_code;
    }

    /// The normal equations of a change of the group's terms.
    [[nodiscard]] NormalEquations equations(const BlockRow& row, std::size_t r, std::size_t begin,
                                            std::size_t n) {
        NormalEquations result(settings_);
        const std::uint8_t* codes = codes_.codes.row(r) + row.first + begin;
        for (std::size_t i = 0; i < result.n; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
                const auto sign = static_cast<float>(sign_of(codes[j], i, settings_.num_bits));
                signs_[i * n + j] = is_kept(r, row.first + begin + j) ? sign : 0.0F;
            }
        }
        for (std::size_t i = 0; i < result.n; ++i) {
            const float* sign = &signs_[i * n];
            result.right[i] = -double{dot(sign, row.gradient + begin, n)};
            multiply_block(row.gram + begin * row.n + begin, row.n, n, sign, product_.data());
            for (std::size_t k = 0; k < result.n; ++k) {
                result.matrix[i][k] = double{dot(product_.data(), &signs_[k * n], n)};
            }
        }
        return result;
    }

    /// Better terms for the group, if there are any.
    bool refit(const BlockRow& row, std::size_t r, std::size_t g, std::size_t begin,
               std::size_t n) {
        const NormalEquations normal = equations(row, r, begin, n);
        const auto step = normal.solve();
        std::array<float, most_unknowns> found{};
        std::array<double, most_unknowns> change{};
        for (std::size_t i = 0; i < normal.n; ++i) {
            const float term = i < settings_.num_bits ? scales(r, g)[i] : codes_.offsets(r, g);
            found[i] = storable_term(double{term} + step[i]);
            change[i] = double{found[i]} - double{term};
        }
        double gain = 0.0;
        for (std::size_t i = 0; i < normal.n; ++i) {
            gain += 2.0 * change[i] * normal.right[i];
            for (std::size_t k = 0; k < normal.n; ++k) {
                gain -= change[i] * normal.matrix[i][k] * change[k];
            }
        }
        if (!(gain > 0.0)) {
            return false;
        }
        std::copy_n(found.begin(), settings_.num_bits, scales(r, g));
        codes_.offsets(r, g) = settings_.offset ? found[settings_.num_bits] : 0.0F;
        return true;
    }

    const BinaryCodeSettings& settings_;
    MatrixView<const std::uint8_t> keep_;
    BinaryCodes codes_;
    std::vector<std::int32_t> places_;
    std::vector<float> signs_;  ///< [unknowns, columns of the group]
    std::vector<float> product_;
    std::vector<float> fitted_;
};

}  // namespace

void CpuBackend::do_descend_on_binary_codes(MatrixView<const float> w, MatrixView<const float> gram,
                                            const BinaryCodeSettings& settings,
                                            std::size_t n_passes,
                                            MatrixView<const std::uint8_t> keep,
                                            const BinaryCodes& codes,
                                            MatrixView<float> values) const {
    const DescentProblem problem{w, gram, n_passes, settings.group_size,
                                 settings.group_size <= widest_refitted_binary_group};
    constexpr std::size_t step = descent_rows_per_tile;
    pool_.for_each((w.rows + step - 1) / step, [&](std::size_t tile) {
        const std::size_t begin = tile * step;
        const std::size_t size = std::min(step, w.rows - begin);
        TileCodes own(settings, keep.rows == 0 ? keep : keep.row_range(begin, size),
                      {codes.scales.row_range(begin, size), codes.offsets.row_range(begin, size),
                       codes.codes.row_range(begin, size)});
        TileDescent(problem, begin, own, values.row_range(begin, size)).run();
    });
}

}  // namespace lathe::kernels
