#include <algorithm>
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/random.hpp"
#include "tests/kernels/kernel_fixture.hpp"

namespace lathe::kernels {
namespace {

/// A backend with a pool of its own.
class TestBackend {
public:
    TestBackend(BackendKind kind, std::size_t n_threads)
        : pool_(n_threads), backend_(make_backend(kind, pool_)) {}
    const Backend* operator->() const { return backend_.get(); }

private:
    ThreadPool pool_;
    std::unique_ptr<Backend> backend_;
};

std::vector<double> random_doubles(std::size_t n, std::uint64_t seed) {
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i) {
        values[i] = 2.0 * random_unit(seed, i) - 1.0;
    }
    return values;
}

/// x^T x of random x [d + 3, d], whose column j is scaled by 10^(-5 j / d).
std::vector<double> random_gram(std::size_t d, std::uint64_t seed) {
    const std::size_t n = d + 3;
    std::vector<double> x = random_doubles(n * d, seed);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] *= std::pow(10.0, -5.0 * static_cast<double>(i % d) / static_cast<double>(d));
    }
    std::vector<double> gram(d * d, 0.0);
    for (std::size_t t = 0; t < n; ++t) {
        for (std::size_t i = 0; i < d; ++i) {
            for (std::size_t j = 0; j < d; ++j) {
                gram[i * d + j] += x[t * d + i] * x[t * d + j];
            }
        }
    }
    return gram;
}

struct Answer {
    std::vector<double> values;
    std::vector<double> vectors;
};

Answer solve(BackendKind kind, const std::vector<double>& matrix, std::size_t d,
             std::size_t n_threads = 2) {
    const TestBackend backend(kind, n_threads);
    Answer answer{std::vector<double>(d), std::vector<double>(d * d)};
    const SymmetricEigenproblem problem{
        {matrix.data(), d, d}, answer.values, {answer.vectors.data(), d, d}};
    backend->symmetric_eigen(std::span(&problem, 1));
    return answer;
}

class Rotation : public ::testing::TestWithParam<BackendKind> {};

// By hand: [[2, 1], [1, 2]] has eigenvalues 3 along (1, 1) and 1 along (1, -1).
TEST_P(Rotation, SolvesTwoByTwoByHand) {
    const double unused = std::numeric_limits<double>::quiet_NaN();  // below the diagonal
    const Answer answer = solve(GetParam(), {2.0, 1.0, unused, 2.0}, 2);
    const double r = std::sqrt(0.5);
    EXPECT_THAT(answer.values, ::testing::Pointwise(::testing::DoubleNear(1e-15), {3.0, 1.0}));
    EXPECT_THAT(answer.vectors, ::testing::Pointwise(::testing::DoubleNear(1e-15), {r, r, r, -r}));
}

TEST_P(Rotation, NothingAndOneElement) {
    EXPECT_TRUE(solve(GetParam(), {}, 0).values.empty());
    const Answer one = solve(GetParam(), {-4.0}, 1);
    EXPECT_EQ(one.values, std::vector<double>{-4.0});
    EXPECT_EQ(one.vectors, std::vector<double>{1.0});
}

// The bounds are those of the method notes: orthogonality and trace to 1e-10; a matrix is the sum
// of its eigenvalues' projectors.
TEST_P(Rotation, EigenvectorsAreOrthonormalAndRebuildTheMatrix) {
    for (const std::size_t d : {2, 3, 17, 64, 65, 150}) {
        const std::vector<double> gram = random_gram(d, d);
        const Answer answer = solve(GetParam(), gram, d);
        double trace = 0.0;
        double sum = 0.0;
        for (std::size_t i = 0; i < d; ++i) {
            trace += gram[i * d + i];
            sum += answer.values[i];
            EXPECT_TRUE(i == 0 || answer.values[i] <= answer.values[i - 1]) << d;
            for (std::size_t j = 0; j < d; ++j) {
                double product = 0.0;
                double rebuilt = 0.0;
                for (std::size_t k = 0; k < d; ++k) {
                    product += answer.vectors[i * d + k] * answer.vectors[j * d + k];
                    rebuilt +=
                        answer.values[k] * answer.vectors[k * d + i] * answer.vectors[k * d + j];
                }
                EXPECT_NEAR(product, i == j ? 1.0 : 0.0, 1e-10);
                EXPECT_NEAR(rebuilt, gram[i * d + j], 1e-10 * answer.values[0]);
            }
        }
        EXPECT_NEAR(sum, trace, 1e-10 * trace);
        EXPECT_GE(answer.values.back(), -1e-9 * answer.values[0]);
    }
}

TEST_P(Rotation, LargestElementOfEachVectorIsPositive) {
    const std::size_t d = 12;
    const Answer answer = solve(GetParam(), random_gram(d, 5), d);
    for (std::size_t k = 0; k < d; ++k) {
        double largest = 0.0;
        for (std::size_t j = 0; j < d; ++j) {
            const double value = answer.vectors[k * d + j];
            largest = std::abs(value) > std::abs(largest) ? value : largest;
        }
        EXPECT_GT(largest, 0.0) << k;
    }
}

// Distinct eigenvalues: with their signs settled the vectors are unique up to rounding.
TEST_P(Rotation, EigenvectorsAgreeWithTheReference) {
    const std::size_t d = 40;
    const std::vector<double> gram = random_gram(d, 9);
    const Answer found = solve(GetParam(), gram, d);
    const Answer expected = solve(BackendKind::reference, gram, d);
    for (std::size_t i = 0; i < d; ++i) {
        EXPECT_NEAR(found.values[i], expected.values[i], 1e-13 * expected.values[0]);
    }
    // The gap between neighbouring eigenvalues is above 1e-3 of the largest for the first few.
    for (std::size_t i = 0; i < 4 * d; ++i) {
        EXPECT_NEAR(found.vectors[i], expected.vectors[i], 1e-9);
    }
}

TEST_P(Rotation, EigenvectorsDoNotDependOnThreads) {
    const std::size_t d = 150;  // more than one tile
    const std::vector<double> gram = random_gram(d, 3);
    EXPECT_EQ(solve(GetParam(), gram, d, 1).vectors, solve(GetParam(), gram, d, 4).vectors);
}

TEST_P(Rotation, RefusesWhatIsNotFinite) {
    const double bad = std::numeric_limits<double>::infinity();
    EXPECT_THAT(
        [&] {
            (void)solve(GetParam(), {1.0, bad, bad, 1.0}, 2);
        },
        ::testing::ThrowsMessage<DataError>(
            ::testing::HasSubstr("element (0, 1) of a matrix [2, 2] is not finite")));
}

TEST_P(Rotation, MultipliesInAllFourWays) {
    const TestBackend backend(GetParam(), 3);
    const TestBackend reference(BackendKind::reference, 1);
    const std::size_t m = 270;  // more than one tile
    const std::size_t k = 5;
    const std::size_t n = 3;
    const std::vector<double> a = random_doubles(m * k, 1);
    const std::vector<double> b = random_doubles(k * n, 2);
    for (const bool ta : {false, true}) {
        for (const bool tb : {false, true}) {
            const MatrixView<const double> left(a.data(), ta ? k : m, ta ? m : k);
            const MatrixView<const double> right(b.data(), tb ? n : k, tb ? k : n);
            std::vector<double> found(m * n, 7.0);
            std::vector<double> expected(m * n);
            backend->multiply(left, ta, right, tb, {found.data(), m, n});
            reference->multiply(left, ta, right, tb, {expected.data(), m, n});
            EXPECT_THAT(found, ::testing::Pointwise(::testing::DoubleNear(1e-14), expected));
        }
    }
}

// By hand: [1 2; 3 4] times [5 6; 7 8].
TEST(RotationReference, MultipliesByHand) {
    const TestBackend backend(BackendKind::reference, 1);
    const std::vector<double> a{1, 2, 3, 4};
    const std::vector<double> b{5, 6, 7, 8};
    std::vector<double> y(4);
    backend->multiply({a.data(), 2, 2}, false, {b.data(), 2, 2}, false, {y.data(), 2, 2});
    EXPECT_EQ(y, (std::vector<double>{19, 22, 43, 50}));
    backend->multiply({a.data(), 2, 2}, true, {b.data(), 2, 2}, true, {y.data(), 2, 2});
    EXPECT_EQ(y, (std::vector<double>{23, 31, 34, 46}));
}

TEST(RotationReference, MultiplyRefusesWhatDoesNotFit) {
    const TestBackend backend(BackendKind::reference, 1);
    std::vector<double> x(6);
    EXPECT_THAT(
        [&] {
            backend->multiply({x.data(), 2, 3}, false, {x.data(), 2, 3}, false, {x.data(), 2, 2});
        },
        ::testing::ThrowsMessage<ShapeError>(
            ::testing::HasSubstr("a [2, 3] and b [2, 3] do not fit together")));
}

/// A stream of one strong direction, which lies across all elements, and others down to 1e-5 of
/// it: what the attention sinks of Llama models look like, and what sums in fp32 are worst at.
std::vector<float> uneven_stream(std::size_t n, std::size_t d) {
    std::vector<double> z = random_doubles(n * d, 6);
    std::vector<float> x(n * d);
    for (std::size_t t = 0; t < n; ++t) {
        double along = 0.0;
        for (std::size_t j = 0; j < d; ++j) {
            double& value = z[t * d + j];
            value = j == 0 ? 2.0 + value
                           : value * std::pow(10.0, -1.0 - 4.0 * static_cast<double>(j) /
                                                               static_cast<double>(d));
            along += value;
        }
        // Mirrored on the plane across e_0 and the vector of ones, so that e_0 goes to all
        // elements.
        const double root = std::sqrt(static_cast<double>(d));
        const double step = (along - root * z[t * d]) / (static_cast<double>(d) - root);
        for (std::size_t j = 0; j < d; ++j) {
            x[t * d + j] = static_cast<float>(z[t * d + j] - step * (j == 0 ? 1.0 - root : 1.0));
        }
    }
    return x;
}

std::vector<double> gram_of_stream(BackendKind kind, const std::vector<float>& x, std::size_t d,
                                   std::size_t n_threads) {
    const TestBackend backend(kind, n_threads);
    std::vector<double> gram(d * d, 0.0);
    backend->accumulate_stream_gram({x.data(), x.size() / d, d}, {gram.data(), d, d});
    return gram;
}

// The reference sums in fp64. A cut by rotations from either keeps the same energy (method notes,
// A4 and A13-4).
TEST_P(Rotation, GramOfAStreamGivesTheCutThatFp64Gives) {
    const std::size_t d = 96;
    const std::vector<float> x = uneven_stream(5000, d);
    const std::vector<double> exact = gram_of_stream(BackendKind::reference, x, d, 1);
    const std::vector<double> found = gram_of_stream(GetParam(), x, d, 2);
    double trace = 0.0;
    for (std::size_t i = 0; i < d; ++i) {
        trace += exact[i * d + i];
        for (std::size_t j = i; j < d; ++j) {
            const double scale = std::sqrt(exact[i * d + i] * exact[j * d + j]);
            ASSERT_NEAR(found[i * d + j], exact[i * d + j], 1e-6 * scale) << i << ' ' << j;
        }
    }
    const Answer best = solve(BackendKind::reference, exact, d);
    const Answer ours = solve(GetParam(), found, d);
    const auto energy = [&](const std::vector<double>& vectors, std::size_t width) {
        double sum = 0.0;
        for (std::size_t k = 0; k < width; ++k) {
            for (std::size_t i = 0; i < d; ++i) {
                for (std::size_t j = 0; j < d; ++j) {
                    sum += vectors[k * d + i] * vectors[k * d + j] *
                           exact[std::min(i, j) * d + std::max(i, j)];
                }
            }
        }
        return sum;
    };
    for (const std::size_t width : {d / 4, d / 2, 3 * d / 4}) {
        EXPECT_NEAR(energy(ours.vectors, width), energy(best.vectors, width), 1e-8 * trace)
            << width;
    }
}

TEST_P(Rotation, GramOfAStreamAgreesWithTheReferenceWhateverTheThreads) {
    for (const std::size_t d : {1, 5, 300}) {
        for (const std::size_t n : {0, 37, 600}) {
            const std::vector<double> exact = random_doubles(n * d, 4);
            const std::vector<float> x(exact.begin(), exact.end());
            const auto found = gram_of_stream(GetParam(), x, d, 1);
            EXPECT_THAT(found,
                        ::testing::Pointwise(::testing::DoubleNear(1e-6 * static_cast<double>(n)),
                                             gram_of_stream(BackendKind::reference, x, d, 1)));
            EXPECT_EQ(found, gram_of_stream(GetParam(), x, d, 3));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, Rotation, ::testing::ValuesIn(available_backends()),
                         backend_test_name);

}  // namespace
}  // namespace lathe::kernels
