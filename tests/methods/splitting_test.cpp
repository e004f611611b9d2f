#include "methods/splitting.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "tests/methods/method_fixture.hpp"

namespace lathe {
namespace {

using kernels::Backend;

class OneBackend {
public:
    explicit OneBackend(kernels::BackendKind kind)
        : pool_(2), backend_(kernels::make_backend(kind, pool_)) {}
    [[nodiscard]] const Backend& get() const { return *backend_; }

private:
    ThreadPool pool_;
    std::unique_ptr<Backend> backend_;
};

/// A layer whose inputs were seen on few tokens, so that most eigenvalues are 0, with two channels
/// a thousand times the others.
LinearUnit hard_layer(std::size_t rows, std::size_t d, std::size_t n_tokens) {
    LinearUnit unit(d, {});
    std::vector<float> inputs =
        test_data::correlated_inputs(test_data::Family::low_rank, n_tokens, d, 31);
    for (std::size_t t = 0; t < n_tokens; ++t) {
        inputs[t * d + 5] *= 1000.0F;
        inputs[t * d + d / 2] *= 1000.0F;
    }
    unit.gram = LinearUnit::gram_of(inputs, d);
    unit.weights = {test_data::layer_weights(rows, d, 32)};
    return unit;
}

/// How far inverse @ (A + rho diag(A)) is from 1: the root mean square over rows of the norm of a
/// row, in columns of equal size. In fp64.
double residual(SplittingSystem& system, double rho, const Backend& backend) {
    const std::size_t d = system.d();
    const std::vector<float> a = backend.to_host(system.matrix());
    const std::vector<float> inverse = backend.to_host(system.inverse(rho));
    const auto root = [&](std::size_t j) { return std::sqrt(double{system.diagonal()[j]}); };
    double sum = 0.0;
    for (std::size_t i = 0; i < d; ++i) {
        std::vector<double> row(d, 0.0);
        for (std::size_t k = 0; k < d; ++k) {
            const double factor = double{inverse[i * d + k]} * root(i);
            for (std::size_t j = 0; j < d; ++j) {
                row[j] += factor * double{a[k * d + j]} * (j == k ? 1.0 + rho : 1.0) / root(j);
            }
        }
        row[i] -= 1.0;
        for (const double value : row) {
            sum += value * value;
        }
    }
    return std::sqrt(sum / static_cast<double>(d));
}

TEST(SplittingSystem, InvertsWhatItSays) {
    const SomeBackend backend(2);
    const LinearUnit unit(70, {1});
    SplittingSystem system({unit.gram.data(), 70, 70}, 0.01, backend.get());
    EXPECT_LT(residual(system, 0.1, backend.get()), 1e-4);
    EXPECT_LT(residual(system, 1e3, backend.get()), 1e-6);
}

// Condition numbers, with unit diagonal, of about 10^3 and, where fp64 takes over, 10^7. fp32 would
// leave a residual of 0.1 and more there.
TEST(SplittingSystem, TakesFp64WhereFp32WouldNotDo) {
    const SomeBackend backend(2);
    const std::size_t d = 400;
    const LinearUnit unit = hard_layer(1, d, 20);
    SplittingSystem system({unit.gram.data(), d, d}, 0.0, backend.get());
    EXPECT_LT(residual(system, 0.1, backend.get()), 1e-3);
    EXPECT_LT(residual(system, 2e-5, backend.get()), 2e-2);
}

// The reference backend inverts in fp64 whatever the penalty.
TEST(SplittingSystem, SolutionsAreAsGoodAsWithInversesInFp64) {
    const LinearUnit unit = hard_layer(64, 192, 90);
    const OneBackend narrow(kernels::BackendKind::cpu);
    const OneBackend wide(kernels::BackendKind::reference);
    const auto expect_equal = [&](const std::string& method, const auto& keys) {
        const MethodRow& row = find_method(method, "");
        const auto settings = row.expand(entry(method, keys));
        const auto found = row.solve(settings, unit.tensors(), unit.statistics(), narrow.get());
        const auto expected = row.solve(settings, unit.tensors(), unit.statistics(), wide.get());
        for (std::size_t i = 0; i < settings.size(); ++i) {
            // NaN fails too.
            EXPECT_LT(found[i].error, 1.03 * expected[i].error) << to_string(settings[i]);
        }
    };
    using Keys = std::vector<std::pair<std::string, std::vector<std::string>>>;
    // 1:4 keeps 48 values of a row, fewer than there are tokens to fit.
    expect_equal("nm", Keys{{"pattern", {"1:4"}},
                            {"num_bits", {"none", "4"}},
                            {"group_size", {"64"}},
                            {"dampening_frac", {"0.0001", "0.01"}},
                            {"solver", {"admm", "admm_fixed"}}});
    expect_equal("integer", Keys{{"num_bits", {"2", "3", "4"}},
                                 {"group_size", {"64"}},
                                 {"dampening_frac", {"0.01"}},
                                 {"solver", {"admm"}}});
}

}  // namespace
}  // namespace lathe
