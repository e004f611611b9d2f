// In which order neurons are best removed: against least squares solved anew for each choice.
#include "workers/statistics/neuron_removal.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/parallel.hpp"

namespace lathe {
namespace {

/// Activations that have `factors` things in common and something of their own, as a Gram matrix,
/// and a matrix behind them.
struct Neurons {
    std::size_t n;
    std::size_t out;
    std::vector<float> gram = std::vector<float>(n * n);
    std::vector<float> down = std::vector<float>(out * n);

    static Neurons random(std::size_t n, std::size_t out, std::size_t factors, unsigned seed) {
        Neurons made{n, out};
        std::mt19937 engine(seed);
        std::normal_distribution<double> normal;
        std::vector<double> loadings(n * factors);
        std::ranges::generate(loadings, [&] { return normal(engine); });
        std::ranges::generate(made.down, [&] { return static_cast<float>(normal(engine)); });
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
                double sum = i == j ? 0.5 + 0.01 * static_cast<double>(i) : 0.0;
                for (std::size_t f = 0; f < factors; ++f) {
                    sum += loadings[i * factors + f] * loadings[j * factors + f];
                }
                made.gram[i * n + j] = static_cast<float>(sum);
            }
        }
        return made;
    }

    [[nodiscard]] NeuronOrder order(kernels::BackendKind kind) const {
        ThreadPool pool{1};
        const auto backend = kernels::make_backend(kind, pool);
        return removal_order({gram.data(), n, n}, {down.data(), out, n}, *backend);
    }
};

/// Solves a x = b, a symmetric positive definite [m, m], by elimination.
std::vector<double> solved(std::vector<double> a, std::vector<double> b) {
    const std::size_t m = b.size();
    for (std::size_t k = 0; k < m; ++k) {
        for (std::size_t i = k + 1; i < m; ++i) {
            const double f = a[i * m + k] / a[k * m + k];
            for (std::size_t j = k; j < m; ++j) {
                a[i * m + j] -= f * a[k * m + j];
            }
            b[i] -= f * b[k];
        }
    }
    for (std::size_t k = m; k-- > 0;) {
        for (std::size_t j = k + 1; j < m; ++j) {
            b[k] -= a[k * m + j] * b[j];
        }
        b[k] /= a[k * m + k];
    }
    return b;
}

/// What of the layer's output the neurons `left` cannot make, up to a constant: -b^T A^-1 b over
/// the rows of down, A being the damped Gram matrix among them, b what the row asks of them.
double error(const Neurons& neurons, const std::vector<std::size_t>& left) {
    const std::size_t n = neurons.n;
    double mean = 0;
    for (std::size_t i = 0; i < n; ++i) {
        mean += double{neurons.gram[i * n + i]} / static_cast<double>(n);
    }
    const auto damped = [&](std::size_t i, std::size_t j) {
        return double{neurons.gram[i * n + j]} + (i == j ? 0.01 * mean : 0.0);
    };
    std::vector<double> a;
    for (const std::size_t i : left) {
        for (const std::size_t j : left) {
            a.push_back(damped(i, j));
        }
    }
    double sum = 0;
    for (std::size_t r = 0; r < neurons.out; ++r) {
        std::vector<double> b;
        for (const std::size_t i : left) {
            double asked = 0;
            for (std::size_t j = 0; j < n; ++j) {
                asked += damped(i, j) * neurons.down[r * n + j];
            }
            b.push_back(asked);
        }
        const std::vector<double> x = solved(a, b);
        for (std::size_t k = 0; k < b.size(); ++k) {
            sum -= b[k] * x[k];
        }
    }
    return sum;
}

void expect_greedy(const Neurons& neurons, const NeuronOrder& order, std::size_t n_checked) {
    std::vector<std::size_t> left(neurons.n);
    for (std::size_t i = 0; i < neurons.n; ++i) {
        left[i] = i;
    }
    for (std::size_t step = 0; step < n_checked; ++step) {
        std::size_t best = 0;
        double least = INFINITY;
        for (const std::size_t candidate : left) {
            std::vector<std::size_t> others = left;
            std::erase(others, candidate);
            const double found = error(neurons, others);
            if (found < least) {
                least = found;
                best = candidate;
            }
        }
        ASSERT_EQ(order[neurons.n - 1 - step], best) << "removal " << step;
        std::erase(left, best);
    }
}

TEST(RemovalOrder, IsThatOfLeastSquaresSolvedAnewForEachChoice) {
    const Neurons few = Neurons::random(12, 5, 3, 1);
    for (const auto kind : {kernels::BackendKind::reference, kernels::BackendKind::cpu}) {
        expect_greedy(few, few.order(kind), 11);
    }
}

// More removals than are kept as factors.
TEST(RemovalOrder, StaysSoOverManyRemovals) {
    const Neurons many = Neurons::random(76, 3, 8, 2);
    expect_greedy(many, many.order(kernels::BackendKind::cpu), 75);
}

TEST(RemovalOrder, HasEveryNeuronOnce) {
    NeuronOrder order = Neurons::random(200, 7, 20, 3).order(kernels::BackendKind::cpu);
    std::ranges::sort(order);
    for (std::size_t i = 0; i < order.size(); ++i) {
        ASSERT_EQ(order[i], i);
    }
}

// Neurons 0 and 1 always say the same, loudly; 2 and 3 are quieter and say something else.
TEST(RemovalOrder, DoesWithoutTheLouderOfWhatIsSaidTwice) {
    const Neurons neurons{4, 1, {4, 4, 0, 0, 4, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2}, {1, 1, 1, 1}};
    const NeuronOrder order = neurons.order(kernels::BackendKind::reference);
    EXPECT_LT(order[0], 2U);
    EXPECT_EQ(order[1], 3U);
    EXPECT_EQ(order[2], 2U);
    EXPECT_LT(order[3], 2U);
}

TEST(RemovalOrder, BeginsWithNeuronsThatAreAlwaysZero) {
    const Neurons neurons{3, 1, {0.01F, 0, 0, 0, 0, 0, 0, 0, 0.02F}, {1, 100, 1}};
    const NeuronOrder order = neurons.order(kernels::BackendKind::reference);
    EXPECT_EQ(order, (NeuronOrder{2, 0, 1}));
}

}  // namespace
}  // namespace lathe
