#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/parallel.hpp"

namespace lathe::kernels {

/// Grids, codes and values of one quantised matrix.
struct Quantised {
    std::vector<float> scales;
    std::vector<float> zeros;
    std::vector<std::uint8_t> codes;
    std::vector<float> values;

    bool operator==(const Quantised&) const = default;
};

/// A backend with its threads, and calls that own their results. Matrices are [rows, cols] packed.
class Quantiser {
public:
    Quantiser(BackendKind kind, std::size_t n_threads)
        : pool_(n_threads), backend_(make_backend(kind, pool_)) {}

    [[nodiscard]] const Backend& backend() const { return *backend_; }

    [[nodiscard]] std::vector<float> inverse_factor(const std::vector<double>& gram, std::size_t d,
                                                    double damping) const {
        return inverse_factor(std::vector<float>(gram.begin(), gram.end()), d,
                              {.damping = damping, .penalty = {}, .order = {}});
    }
    [[nodiscard]] std::vector<float> inverse_factor(const std::vector<float>& gram, std::size_t d,
                                                    const FactorSettings& settings) const {
        std::vector<float> factor(d * d, 7.0F);  // 7: the kernel must overwrite
        backend_->inverse_factor({gram.data(), d, d}, settings, {factor.data(), d, d});
        return factor;
    }

    [[nodiscard]] std::vector<float> penalised_inverse(const std::vector<float>& a,
                                                       const std::vector<float>& penalty) const {
        const std::size_t d = penalty.size();
        std::vector<float> inverse(d * d, 7.0F);
        backend_->penalised_inverse({a.data(), d, d}, penalty, {inverse.data(), d, d});
        return inverse;
    }

    /// Grids fitted to the weights, then rounding to nearest.
    [[nodiscard]] Quantised round_to_nearest(const std::vector<float>& w,
                                             const std::vector<float>& importance,
                                             const IntegerGridSettings& settings) const {
        const std::size_t cols = importance.size();
        const std::size_t rows = w.size() / cols;
        const std::size_t n_groups = group_count(cols, settings.group_size);
        Quantised q = empty(rows, cols, n_groups);
        const MatrixView<float> scales(q.scales.data(), rows, n_groups);
        const MatrixView<float> zeros(q.zeros.data(), rows, n_groups);
        backend_->fit_integer_grid({w.data(), rows, cols}, importance, settings, scales, zeros);
        backend_->round_to_grid({w.data(), rows, cols}, settings, scales, zeros,
                                {q.codes.data(), rows, cols}, {q.values.data(), rows, cols});
        return q;
    }

    [[nodiscard]] Quantised gptq(const std::vector<float>& w, const std::vector<float>& factor,
                                 const std::vector<float>& importance,
                                 const std::vector<std::uint32_t>& order,
                                 const IntegerGridSettings& settings) const {
        const std::size_t cols = importance.size();
        const std::size_t rows = w.size() / cols;
        const std::size_t n_groups = group_count(cols, settings.group_size);
        Quantised q = empty(rows, cols, n_groups);
        q.values = w;
        backend_->gptq({q.values.data(), rows, cols}, {factor.data(), cols, cols}, importance,
                       order, settings, {q.scales.data(), rows, n_groups},
                       {q.zeros.data(), rows, n_groups}, {q.codes.data(), rows, cols});
        return q;
    }

private:
    static Quantised empty(std::size_t rows, std::size_t cols, std::size_t n_groups) {
        return {
            std::vector<float>(rows * n_groups, -1.0F), std::vector<float>(rows * n_groups, -1.0F),
            std::vector<std::uint8_t>(rows * cols, 255), std::vector<float>(rows * cols, -1.0F)};
    }

    ThreadPool pool_;
    std::unique_ptr<Backend> backend_;
};

[[nodiscard]] inline std::vector<float> diagonal_of(const std::vector<double>& gram,
                                                    std::size_t d) {
    std::vector<float> diagonal(d);
    for (std::size_t i = 0; i < d; ++i) {
        diagonal[i] = static_cast<float>(gram[i * d + i]);
    }
    return diagonal;
}

struct BackendName {
    std::string operator()(const ::testing::TestParamInfo<BackendKind>& test) const {
        ThreadPool pool(1);
        return std::string(make_backend(test.param, pool)->name());
    }
};

}  // namespace lathe::kernels
