#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/layouts/binary_codes.hpp"

namespace lathe::kernels::cuda {

/// The fit of a group's binary codes, by one thread, step for step as in kernels/reference: sums in
/// fp64 and in its order.
class GroupFit {
public:
    /// codes [n] is where the codes are worked on. keep [n] or null: all elements count.
    __device__ GroupFit(const float* w, const float* importance, const std::uint8_t* keep,
                        std::size_t n, const BinaryCodeSettings& settings, std::uint8_t* codes)
        : w_(w), importance_(importance), keep_(keep), n_(n), settings_(settings), codes_(codes) {}

    __device__ void start_greedy() {
        clear_terms();
        const unsigned q = settings_.num_bits;
        if (settings_.offset) {
            terms_[q] = weighted_mean([this](std::size_t j) { return double{w_[j]}; });
        }
        for (std::size_t j = 0; j < n_; ++j) {
            codes_[j] = 0;
        }
        for (unsigned p = 0; p < q; ++p) {
            const double scale =
                weighted_mean([this, p](std::size_t j) { return fabs(rest(j, p)); });
            for (std::size_t j = 0; j < n_; ++j) {
                const bool plus = rest(j, p) >= 0.0;
                codes_[j] = static_cast<std::uint8_t>(codes_[j] | (plus ? 1U << p : 0U));
            }
            terms_[p] = scale;
        }
    }

    __device__ void start_uniform() {
        const unsigned q = settings_.num_bits;
        float low = w_[0];
        float high = w_[0];
        for (std::size_t j = 1; j < n_; ++j) {
            low = w_[j] < low ? w_[j] : low;
            high = high < w_[j] ? w_[j] : high;
        }
        const float magnitude = fabsf(low) < fabsf(high) ? fabsf(high) : fabsf(low);
        const double top = settings_.offset ? high : magnitude;
        const double bottom = settings_.offset ? double{low} : -top;
        const double step = (top - bottom) / ((1U << q) - 1U);
        clear_terms();
        for (unsigned p = 0; p < q; ++p) {
            terms_[p] = 0.5 * step * (1U << p);
        }
        terms_[q] = 0.5 * (top + bottom);
        for (std::size_t j = 0; j < n_; ++j) {
            codes_[j] = 0;  // what take_nearest() compares with
        }
        take_nearest();
    }

    __device__ void run_rounds() {
        for (std::size_t round = 0; round < settings_.n_rounds; ++round) {
            fit_terms();
            if (!take_nearest()) {
                break;
            }
        }
    }

    /// Rounds the terms to fp16. Returns the error.
    __device__ double finish() {
        for (std::size_t i = 0; i < most_unknowns; ++i) {
            terms_[i] = storable_term(terms_[i]);
        }
        take_nearest();
        const Levels now = levels();
        double error = 0.0;
        for (std::size_t j = 0; j < n_; ++j) {
            const double difference = double{w_[j]} - double{now.value[now.nearest(w_[j])]};
            error += importance(j) * difference * difference;
        }
        return error;
    }

    __device__ void store_terms(float* scales, float* offset) const {
        for (unsigned p = 0; p < settings_.num_bits; ++p) {
            scales[p] = static_cast<float>(terms_[p]);
        }
        *offset = settings_.offset ? static_cast<float>(terms_[settings_.num_bits]) : 0.0F;
    }

private:
    __device__ double importance(std::size_t j) const {
        return keep_ == nullptr || keep_[j] != 0 ? double{importance_[j]} : 0.0;
    }
    __device__ void clear_terms() {
        for (std::size_t i = 0; i < most_unknowns; ++i) {
            terms_[i] = 0.0;
        }
    }

    /// What the offset and the first `n_planes` planes leave of element j.
    __device__ double rest(std::size_t j, unsigned n_planes) const {
        double value = w_[j];
        if (settings_.offset) {
            value -= terms_[settings_.num_bits];
        }
        for (unsigned p = 0; p < n_planes; ++p) {
            value -= (codes_[j] >> p & 1U) != 0 ? terms_[p] : -terms_[p];
        }
        return value;
    }

    template <class Value>
    __device__ double weighted_mean(const Value& value) const {
        double sum = 0.0;
        double weights = 0.0;
        for (std::size_t j = 0; j < n_; ++j) {
            sum += importance(j) * value(j);
            weights += importance(j);
        }
        return weights > 0.0 ? sum / weights : 0.0;
    }

    __device__ Levels levels() const {
        float terms[most_unknowns];
        for (std::size_t i = 0; i < most_unknowns; ++i) {
            terms[i] = static_cast<float>(terms_[i]);
        }
        return {terms, settings_.offset ? terms[settings_.num_bits] : 0.0F, settings_.num_bits};
    }

    /// Whether a code changed.
    __device__ bool take_nearest() {
        const Levels now = levels();
        bool changed = false;
        for (std::size_t j = 0; j < n_; ++j) {
            const std::uint8_t code = now.code[now.nearest(w_[j])];
            changed = changed || code != codes_[j];
            codes_[j] = code;
        }
        return changed;
    }

    __device__ void fit_terms() {
        NormalEquations equations(settings_);
        for (std::size_t j = 0; j < n_; ++j) {
            for (std::size_t i = 0; i < equations.n; ++i) {
                const double sign = importance(j) * sign_of(codes_[j], i, settings_.num_bits);
                equations.right[i] += sign * double{w_[j]};
                for (std::size_t k = 0; k < equations.n; ++k) {
                    equations.matrix[i][k] += sign * sign_of(codes_[j], k, settings_.num_bits);
                }
            }
        }
        const auto solution = equations.solve();
        for (std::size_t i = 0; i < most_unknowns; ++i) {
            terms_[i] = solution[i];
        }
    }

    const float* w_;
    const float* importance_;
    const std::uint8_t* keep_;
    std::size_t n_;
    BinaryCodeSettings settings_;
    std::uint8_t* codes_;
    double terms_[most_unknowns];  ///< the scales, then the offset
};

}  // namespace lathe::kernels::cuda
