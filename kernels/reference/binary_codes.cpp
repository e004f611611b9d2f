#include "kernels/layouts/binary_codes.hpp"

#include <algorithm>
#include <vector>

#include "kernels/reference/reference_backend.hpp"

namespace lathe::kernels {
namespace {

/// A group of one row as fit_binary_codes() sees it.
class GroupFit {
public:
    GroupFit(const float* w, const float* importance, std::size_t n,
             const BinaryCodeSettings& settings)
        : w_(w), importance_(importance), n_(n), settings_(settings), codes_(n) {}

    void start_greedy() {
        std::vector<double> rest(w_, w_ + n_);
        terms_ = {};
        const unsigned q = settings_.num_bits;
        if (settings_.offset) {
            terms_[q] = weighted_mean(rest);
            for (double& value : rest) {
                value -= terms_[q];
            }
        }
        std::fill(codes_.begin(), codes_.end(), std::uint8_t{0});
        for (unsigned p = 0; p < q; ++p) {
            std::vector<double> magnitude(n_);
            for (std::size_t j = 0; j < n_; ++j) {
                magnitude[j] = std::abs(rest[j]);
            }
            terms_[p] = weighted_mean(magnitude);
            for (std::size_t j = 0; j < n_; ++j) {
                const bool plus = rest[j] >= 0.0;
                codes_[j] = static_cast<std::uint8_t>(codes_[j] | (plus ? 1U << p : 0U));
                rest[j] -= plus ? terms_[p] : -terms_[p];
            }
        }
    }

    /// Levels lie evenly from the smallest to the largest element, or without an offset from minus
    /// to plus the largest magnitude.
    void start_uniform() {
        const unsigned q = settings_.num_bits;
        const auto [low, high] = std::minmax_element(w_, w_ + n_);
        const double top = settings_.offset ? *high : std::max(std::abs(*low), std::abs(*high));
        const double bottom = settings_.offset ? *low : -top;
        const double step = (top - bottom) / ((1U << q) - 1U);
        terms_ = {};
        for (unsigned p = 0; p < q; ++p) {
            terms_[p] = 0.5 * step * (1U << p);
        }
        terms_[q] = 0.5 * (top + bottom);
        take_nearest();
    }

    void run_rounds() {
        for (std::size_t round = 0; round < settings_.n_rounds; ++round) {
            const std::vector<std::uint8_t> before = codes_;
            fit_terms();
            take_nearest();
            if (codes_ == before) {
                break;
            }
        }
    }

    /// Rounds the terms to fp16. Returns the error.
    double finish() {
        for (double& term : terms_) {
            term = storable_term(term);
        }
        take_nearest();
        const Levels now = levels();
        double error = 0.0;
        for (std::size_t j = 0; j < n_; ++j) {
            const double difference = double{w_[j]} - double{now.value[now.nearest(w_[j])]};
            error += importance_[j] * difference * difference;
        }
        return error;
    }

    void store(float* scales, float* offset, std::uint8_t* codes) const {
        for (unsigned p = 0; p < settings_.num_bits; ++p) {
            scales[p] = static_cast<float>(terms_[p]);
        }
        *offset = settings_.offset ? static_cast<float>(terms_[settings_.num_bits]) : 0.0F;
        std::copy(codes_.begin(), codes_.end(), codes);
    }

private:
    [[nodiscard]] double weighted_mean(const std::vector<double>& values) const {
        double sum = 0.0;
        double weights = 0.0;
        for (std::size_t j = 0; j < n_; ++j) {
            sum += importance_[j] * values[j];
            weights += importance_[j];
        }
        return weights > 0.0 ? sum / weights : 0.0;
    }

    [[nodiscard]] Levels levels() const {
        std::array<float, most_unknowns> terms{};
        std::copy(terms_.begin(), terms_.end(), terms.begin());
        return {terms.data(), settings_.offset ? terms[settings_.num_bits] : 0.0F,
                settings_.num_bits};
    }

    void take_nearest() {
        const Levels now = levels();
        for (std::size_t j = 0; j < n_; ++j) {
            codes_[j] = now.code[now.nearest(w_[j])];
        }
    }

    void fit_terms() {
        NormalEquations equations(settings_);
        for (std::size_t j = 0; j < n_; ++j) {
            for (std::size_t i = 0; i < equations.n; ++i) {
                const double sign = importance_[j] * sign_of(codes_[j], i, settings_.num_bits);
                equations.right[i] += sign * w_[j];
                for (std::size_t k = 0; k < equations.n; ++k) {
                    equations.matrix[i][k] += sign * sign_of(codes_[j], k, settings_.num_bits);
                }
            }
        }
        terms_ = equations.solve();
    }

    const float* w_;
    const float* importance_;
    std::size_t n_;
    const BinaryCodeSettings& settings_;
    std::array<double, most_unknowns> terms_{};  ///< the scales, then the offset
    std::vector<std::uint8_t> codes_;
};

void fit_group(const float* w, const float* importance, std::size_t n,
               const BinaryCodeSettings& settings, float* scales, float* offset,
               std::uint8_t* codes) {
    GroupFit best(w, importance, n, settings);
    best.start_greedy();
    best.run_rounds();
    const double error = best.finish();
    best.store(scales, offset, codes);
    if (settings.n_rounds > 1) {
        GroupFit other(w, importance, n, settings);
        other.start_uniform();
        other.run_rounds();
        if (other.finish() < error) {
            other.store(scales, offset, codes);
        }
    }
}

}  // namespace

void ReferenceBackend::do_fit_binary_codes(MatrixView<const float> w,
                                           std::span<const float> importance,
                                           const BinaryCodeSettings& settings,
                                           MatrixView<const std::uint8_t> keep,
                                           const BinaryCodes& codes) const {
    std::vector<float> weights(importance.begin(), importance.end());
    for (std::size_t r = 0; r < w.rows; ++r) {
        for (std::size_t j = 0; j < keep.cols; ++j) {
            weights[j] = keep(r, j) != 0 ? importance[j] : 0.0F;
        }
        for (std::size_t g = 0; g < codes.offsets.cols; ++g) {
            const std::size_t begin = g * settings.group_size;
            const std::size_t size = std::min(settings.group_size, w.cols - begin);
            fit_group(w.row(r) + begin, weights.data() + begin, size, settings,
                      codes.scales.row(r) + g * settings.num_bits, &codes.offsets(r, g),
                      codes.codes.row(r) + begin);
        }
    }
}

void ReferenceBackend::do_round_to_levels(MatrixView<const float> w,
                                          const BinaryCodeSettings& settings,
                                          const BinaryCodes& codes,
                                          MatrixView<float> values) const {
    for (std::size_t r = 0; r < w.rows; ++r) {
        for (std::size_t j = 0; j < w.cols; ++j) {
            const std::size_t g = j / settings.group_size;
            const Levels levels(codes.scales.row(r) + g * settings.num_bits, codes.offsets(r, g),
                                settings.num_bits);
            const std::size_t place = levels.nearest(w(r, j));
            codes.codes(r, j) = levels.code[place];
            values(r, j) = levels.value[place];
        }
    }
}

void ReferenceBackend::do_sweep_binary_codes(MatrixView<float> w, MatrixView<const float> factor,
                                             std::span<const float> importance,
                                             const BinaryCodeSettings& settings,
                                             const BinaryCodes& codes) const {
    for (std::size_t r = 0; r < w.rows; ++r) {
        std::vector<double> row(w.row(r), w.row(r) + w.cols);
        for (std::size_t g = 0; g < codes.offsets.cols; ++g) {
            const std::size_t begin = g * settings.group_size;
            const std::size_t size = std::min(settings.group_size, w.cols - begin);
            const std::vector<float> now(row.begin() + static_cast<std::ptrdiff_t>(begin),
                                         row.begin() + static_cast<std::ptrdiff_t>(begin + size));
            float* scales = codes.scales.row(r) + g * settings.num_bits;
            fit_group(now.data(), importance.data() + begin, size, settings, scales,
                      &codes.offsets(r, g), codes.codes.row(r) + begin);
            const Levels levels(scales, codes.offsets(r, g), settings.num_bits);
            for (std::size_t j = begin; j < begin + size; ++j) {
                const std::size_t place = levels.nearest(static_cast<float>(row[j]));
                codes.codes(r, j) = levels.code[place];
                w(r, j) = levels.value[place];
                const double error = (row[j] - double{w(r, j)}) / double{factor(j, j)};
                for (std::size_t k = j + 1; k < w.cols; ++k) {
                    row[k] -= error * double{factor(j, k)};
                }
            }
        }
    }
}

}  // namespace lathe::kernels
