#include "kernels/cpu/solvers/binary_fit.hpp"

#include <algorithm>

#include "kernels/cpu/common/vector_clones.hpp"

namespace lathe::kernels {
namespace {

/// places[j] = how many of the n_middles lie below w[j].
LATHE_VECTOR_CLONES
void count_below(const float* w, std::size_t n, const float* middles, std::size_t n_middles,
                 std::int32_t* places) {
    for (std::size_t j = 0; j < n; ++j) {
        places[j] = 0;
    }
    for (std::size_t k = 0; k < n_middles; ++k) {
        const float middle = middles[k];
        for (std::size_t j = 0; j < n; ++j) {
            places[j] += w[j] > middle ? 1 : 0;
        }
    }
}

LATHE_VECTOR_CLONES
void select_levels(const float* w, std::size_t n, const float* middles, const float* level_values,
                   std::size_t n_levels, float* values) {
    for (std::size_t j = 0; j < n; ++j) {
        const float element = w[j];
        float value = level_values[0];
        for (std::size_t k = 1; k < n_levels; ++k) {
            value = element > middles[k - 1] ? level_values[k] : value;
        }
        values[j] = value;
    }
}

}  // namespace

void find_places(const float* w, std::size_t n, const Levels& levels, std::int32_t* places) {
    count_below(w, n, levels.middle.data(), levels.n - 1, places);
}

void round_to_levels(const float* w, std::size_t n, const Levels& levels, float* values) {
    select_levels(w, n, levels.middle.data(), levels.value.data(), levels.n, values);
}

void BinaryFit::run(const float* w, const float* importance, std::size_t n, float* scales,
                    float* offset, std::uint8_t* codes) {
    w_ = w;
    importance_ = importance;
    n_ = n;
    places_.resize(n);
    codes_.resize(n);

    Terms best = greedy_start();
    const double error = improve(best, true);
    if (settings_.n_rounds > 1) {
        first_ = codes_;
        Terms other = uniform_start();
        if (improve(other, false) < error) {
            best = other;
        } else {
            codes_.swap(first_);
        }
    }
    std::transform(best.begin(), best.begin() + settings_.num_bits, scales,
                   [](double term) { return static_cast<float>(term); });
    *offset = settings_.offset ? static_cast<float>(best[settings_.num_bits]) : 0.0F;
    std::copy(codes_.begin(), codes_.end(), codes);
}

BinaryFit::Terms BinaryFit::greedy_start() {
    const unsigned q = settings_.num_bits;
    Terms terms{};
    double weights = 0.0;
    double sum = 0.0;
    for (std::size_t j = 0; j < n_; ++j) {
        weights += double{importance_[j]};
        sum += double{importance_[j]} * double{w_[j]};
    }
    const double per_weight = weights > 0.0 ? 1.0 / weights : 0.0;
    terms[q] = settings_.offset ? sum * per_weight : 0.0;
    rest_.resize(n_);
    for (std::size_t j = 0; j < n_; ++j) {
        rest_[j] = double{w_[j]} - terms[q];
        codes_[j] = 0;
    }
    for (unsigned p = 0; p < q; ++p) {
        double magnitude = 0.0;
        for (std::size_t j = 0; j < n_; ++j) {
            magnitude += double{importance_[j]} * std::abs(rest_[j]);
        }
        terms[p] = magnitude * per_weight;
        for (std::size_t j = 0; j < n_; ++j) {
            const bool plus = rest_[j] >= 0.0;
            codes_[j] = static_cast<std::uint8_t>(codes_[j] | (plus ? 1U << p : 0U));
            rest_[j] -= plus ? terms[p] : -terms[p];
        }
    }
    return terms;
}

BinaryFit::Terms BinaryFit::uniform_start() {
    const unsigned q = settings_.num_bits;
    const auto [low, high] = std::minmax_element(w_, w_ + n_);
    const double top =
        settings_.offset ? double{*high} : double{std::max(std::abs(*low), std::abs(*high))};
    const double bottom = settings_.offset ? double{*low} : -top;
    const double step = (top - bottom) / ((1U << q) - 1U);
    Terms terms{};
    for (unsigned p = 0; p < q; ++p) {
        terms[p] = 0.5 * step * (1U << p);
    }
    terms[q] = 0.5 * (top + bottom);
    return terms;
}

double BinaryFit::improve(Terms& terms, bool has_codes) {
    if (!has_codes) {
        take_nearest(levels_of(terms));
    }
    for (std::size_t round = 0; round < settings_.n_rounds; ++round) {
        before_ = codes_;
        terms = least_squares();
        take_nearest(levels_of(terms));
        if (codes_ == before_) {
            break;
        }
    }
    for (double& term : terms) {
        term = double{storable_term(term)};
    }
    const Levels levels = levels_of(terms);
    take_nearest(levels);
    double error = 0.0;
    for (std::size_t j = 0; j < n_; ++j) {
        const double difference =
            double{w_[j]} - double{levels.value[static_cast<std::size_t>(places_[j])]};
        error += double{importance_[j]} * difference * difference;
    }
    return error;
}

BinaryFit::Terms BinaryFit::least_squares() {
    std::array<double, most_levels> weights{};
    std::array<double, most_levels> sums{};
    for (std::size_t j = 0; j < n_; ++j) {
        const double weight = double{importance_[j]};
        weights[codes_[j]] += weight;
        sums[codes_[j]] += weight * double{w_[j]};
    }
    const unsigned q = settings_.num_bits;
    NormalEquations equations(settings_);
    for (unsigned c = 0; c < 1U << q; ++c) {
        for (std::size_t i = 0; i < equations.n; ++i) {
            equations.right[i] += sign_of(c, i, q) * sums[c];
            for (std::size_t k = 0; k < equations.n; ++k) {
                equations.matrix[i][k] += sign_of(c, i, q) * sign_of(c, k, q) * weights[c];
            }
        }
    }
    return equations.solve();
}

void BinaryFit::take_nearest(const Levels& levels) {
    find_places(w_, n_, levels, places_.data());
    for (std::size_t j = 0; j < n_; ++j) {
        codes_[j] = levels.code[static_cast<std::size_t>(places_[j])];
    }
}

Levels BinaryFit::levels_of(const Terms& terms) const {
    std::array<float, most_unknowns> narrow{};
    std::transform(terms.begin(), terms.end(), narrow.begin(),
                   [](double term) { return static_cast<float>(term); });
    return {narrow.data(), settings_.offset ? narrow[settings_.num_bits] : 0.0F,
            settings_.num_bits};
}

}  // namespace lathe::kernels
