#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/layouts/binary_codes.hpp"
#include "kernels/layouts/integer_grid.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace lathe::kernels {
namespace {

struct Rounded {
    float code = 0.0F;
    float value = 0.0F;
};

Rounded rounded(float w, float scale, float zero, const CodeRange& codes) {
    const float lowest = codes.lowest - zero;
    const float highest = codes.highest - zero;
    const float steps = std::min(highest, std::max(lowest, std::nearbyint(w / scale)));
    return {steps + zero, scale * steps};
}

/// keep = 1 at the n largest of each m scores, the first of equals.
void keep_largest(const std::vector<float>& scores, NmPattern pattern, std::uint8_t* keep) {
    for (std::size_t begin = 0; begin < scores.size(); begin += pattern.m) {
        const std::size_t end = std::min(begin + pattern.m, scores.size());
        for (std::size_t j = begin; j < end; ++j) {
            std::size_t n_ahead = 0;
            for (std::size_t k = begin; k < end; ++k) {
                n_ahead += scores[k] > scores[j] || (scores[k] == scores[j] && k < j) ? 1 : 0;
            }
            keep[j] = n_ahead < pattern.n ? 1 : 0;
        }
    }
}

/// P(w) of a row.
std::vector<float> projected(const float* w, std::size_t cols, std::size_t row,
                             const MatrixLimits& limits) {
    std::vector<float> values(w, w + cols);
    if (limits.grid != nullptr) {
        const CodeRange codes = code_range(*limits.grid);
        for (std::size_t j = 0; j < cols; ++j) {
            const std::size_t g = j / limits.grid->group_size;
            values[j] = rounded(w[j], limits.scales(row, g), limits.zeros(row, g), codes).value;
        }
    }
    for (std::size_t j = 0; limits.binary != nullptr && j < cols; ++j) {
        const std::size_t g = j / limits.binary->group_size;
        const unsigned q = limits.binary->num_bits;
        const Levels levels(limits.scales.row(row) + g * q, limits.zeros(row, g), q);
        values[j] = levels.value[levels.nearest(w[j])];
    }
    if (limits.pattern.m > 0) {
        std::vector<float> gains(cols);
        for (std::size_t j = 0; j < cols; ++j) {
            const float lost = w[j] - values[j];
            gains[j] = limits.importance[j] * (w[j] * w[j] - lost * lost);
        }
        std::vector<std::uint8_t> keep(cols);
        keep_largest(gains, limits.pattern, keep.data());
        for (std::size_t j = 0; j < cols; ++j) {
            values[j] = keep[j] != 0 ? values[j] : 0.0F;
        }
    }
    for (std::size_t j = 0; limits.keep.rows > 0 && j < cols; ++j) {
        values[j] = limits.keep(row, j) != 0 ? values[j] : 0.0F;
    }
    return values;
}

/// One row of a coordinate descent: its codes, and the gradient (V - W) A, kept up to date.
class RowDescent {
public:
    RowDescent(const float* w, MatrixView<const float> gram, const float* values)
        : gram_(gram), gradient_(gram.cols, 0.0) {
        for (std::size_t j = 0; j < gram.cols; ++j) {
            add(j, static_cast<double>(values[j]) - static_cast<double>(w[j]));
        }
    }
    /// Value j changes by `change`.
    void add(std::size_t j, double change) {
        for (std::size_t k = 0; k < gradient_.size(); ++k) {
            gradient_[k] += change * static_cast<double>(gram_(j, k));
        }
    }
    /// The best value for column j with the others as they are.
    [[nodiscard]] double best_value(std::size_t j, float value) const {
        return static_cast<double>(value) - gradient_[j] / static_cast<double>(gram_(j, j));
    }
    [[nodiscard]] double gradient(std::size_t j) const { return gradient_[j]; }

private:
    MatrixView<const float> gram_;
    std::vector<double> gradient_;
};

/// The scale of the group whose values are scale * steps[j] that minimises the error, if it is
/// smaller there; else `scale`.
float best_scale(float scale, const IntegerGridSettings& settings, const std::vector<float>& steps,
                 std::size_t begin, MatrixView<const float> gram, const RowDescent& row) {
    double slope = 0.0;
    double curvature = 0.0;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        slope += static_cast<double>(steps[i]) * row.gradient(begin + i);
        for (std::size_t k = 0; k < steps.size(); ++k) {
            curvature += static_cast<double>(steps[i]) * static_cast<double>(steps[k]) *
                         static_cast<double>(gram(begin + i, begin + k));
        }
    }
    if (!(curvature > 0.0)) {
        return scale;
    }
    const float found = storable_scale(
        static_cast<float>(static_cast<double>(scale) - slope / curvature), settings);
    const double change = static_cast<double>(found) - static_cast<double>(scale);
    return 2.0 * change * slope + change * change * curvature < 0.0 ? found : scale;
}

}  // namespace

void ReferenceBackend::do_choose_pattern(MatrixView<const float> w,
                                         std::span<const float> importance, NmPattern pattern,
                                         MatrixView<std::uint8_t> keep) const {
    std::vector<float> scores(w.cols);
    for (std::size_t r = 0; r < w.rows; ++r) {
        for (std::size_t j = 0; j < w.cols; ++j) {
            scores[j] = importance[j] * (w(r, j) * w(r, j));
        }
        keep_largest(scores, pattern, keep.row(r));
    }
}

void ReferenceBackend::do_project(MatrixView<const float> w, const MatrixLimits& limits,
                                  MatrixView<float> values) const {
    for (std::size_t r = 0; r < w.rows; ++r) {
        const std::vector<float> row = projected(w.row(r), w.cols, r, limits);
        std::copy(row.begin(), row.end(), values.row(r));
    }
}

void ReferenceBackend::do_splitting_step(MatrixView<float> x, MatrixView<float> state,
                                         MatrixView<const float> target,
                                         std::span<const float> penalty, float shrink,
                                         const MatrixLimits& limits) const {
    for (std::size_t r = 0; r < x.rows; ++r) {
        float* t = state.row(r);
        std::vector<float> p = projected(t, x.cols, r, limits);
        for (std::size_t j = 0; j < x.cols; ++j) {
            t[j] = x(r, j) + (t[j] - p[j]);
        }
        p = projected(t, x.cols, r, limits);
        for (std::size_t j = 0; j < x.cols; ++j) {
            const float dual = shrink * (t[j] - p[j]);
            t[j] = p[j] + dual;
            x(r, j) = target(r, j) + penalty[j] * (p[j] - dual);
        }
    }
}

void ReferenceBackend::do_descend_on_grid(MatrixView<const float> w, MatrixView<const float> gram,
                                          const IntegerGridSettings& settings, std::size_t n_passes,
                                          MatrixView<const std::uint8_t> keep,
                                          MatrixView<float> scales, MatrixView<const float> zeros,
                                          MatrixView<std::uint8_t> codes,
                                          MatrixView<float> values) const {
    const CodeRange range = code_range(settings);
    const bool refit = settings.group_size <= widest_refitted_group;
    for (std::size_t r = 0; r < w.rows; ++r) {
        float* v = values.row(r);
        for (std::size_t j = 0; j < w.cols; ++j) {
            const std::size_t g = j / settings.group_size;
            v[j] = scales(r, g) * (static_cast<float>(codes(r, j)) - zeros(r, g));
        }
        RowDescent row(w.row(r), gram, v);
        const auto set_value = [&](std::size_t j, float value) {
            row.add(j, static_cast<double>(value) - static_cast<double>(v[j]));
            v[j] = value;
        };
        bool changed = true;
        for (std::size_t pass = 0; pass < n_passes && changed; ++pass) {
            changed = false;
            for (std::size_t g = 0; g < scales.cols; ++g) {
                const std::size_t begin = g * settings.group_size;
                const std::size_t size = std::min(settings.group_size, w.cols - begin);
                std::vector<float> steps(size);
                for (std::size_t j = begin; j < begin + size; ++j) {
                    const bool stays = gram(j, j) == 0.0F || (keep.rows > 0 && keep(r, j) == 0);
                    if (!stays) {
                        const Rounded best = rounded(static_cast<float>(row.best_value(j, v[j])),
                                                     scales(r, g), zeros(r, g), range);
                        changed = changed || static_cast<std::uint8_t>(best.code) != codes(r, j);
                        codes(r, j) = static_cast<std::uint8_t>(best.code);
                        set_value(j, best.value);
                    }
                    steps[j - begin] = static_cast<float>(codes(r, j)) - zeros(r, g);
                }
                const float scale =
                    refit ? best_scale(scales(r, g), settings, steps, begin, gram, row)
                          : scales(r, g);
                if (scale != scales(r, g)) {
                    changed = true;
                    scales(r, g) = scale;
                    for (std::size_t i = 0; i < size; ++i) {
                        set_value(begin + i, scale * steps[i]);
                    }
                }
            }
        }
    }
}

}  // namespace lathe::kernels
