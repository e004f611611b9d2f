#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "tests/kernels/compression_fixture.hpp"
#include "tests/support/correlated_data.hpp"

// penalised_inverse.

namespace lathe::kernels {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::FloatNear;
using ::testing::HasSubstr;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// A Gram matrix in fp32 and penalties that are `rho` times its diagonal.
struct Example {
    std::size_t d;
    std::vector<float> a;
    std::vector<float> penalty;

    Example(std::size_t d_, std::size_t n_tokens, float rho) : d(d_) {
        const std::vector<double> gram = test_data::gram_of(
            test_data::correlated_inputs(test_data::Family::low_rank, n_tokens, d, 21), n_tokens,
            d);
        a.assign(gram.begin(), gram.end());
        for (std::size_t i = 0; i < d; ++i) {
            penalty.push_back(rho * a[i * d + i]);
        }
    }

    /// |x - y| over |y|, where an error of row i and column j counts times sqrt(a_ii a_jj): that
    /// of the inverses of the matrix with unit diagonal.
    [[nodiscard]] double distance(const std::vector<float>& x, const std::vector<float>& y) const {
        double difference = 0.0;
        double norm = 0.0;
        for (std::size_t i = 0; i < d; ++i) {
            for (std::size_t j = 0; j < d; ++j) {
                const double scale = double{a[i * d + i]} * double{a[j * d + j]};
                const std::size_t at = i * d + j;
                difference += scale * std::pow(double{x[at]} - double{y[at]}, 2);
                norm += scale * std::pow(double{y[at]}, 2);
            }
        }
        return std::sqrt(difference / norm);
    }
};

/// What the header promises, with some room: at most 1.2 of the 4 were found.
double rounding(std::size_t d, double smallest_eigenvalue) {
    return 4.0 * std::sqrt(static_cast<double>(d)) * 0x1p-24 / smallest_eigenvalue;
}

// ---- by hand ------------------------------------------------------------------------------------

TEST(PenalisedInverseReference, OfATwoByTwoMatrix) {
    // [[4, 2], [2, 3]]^-1 = [[3, -2], [-2, 4]] / 8
    const Quantiser on(BackendKind::reference, 1);
    EXPECT_THAT(on.penalised_inverse({3, 2, nan, 2.5F}, {1, 0.5F}),
                ElementsAre(FloatEq(0.375F), FloatEq(-0.25F), FloatEq(-0.25F), FloatEq(0.5F)));
}

TEST(PenalisedInverseReference, TimesTheMatrixIsOne) {
    const Example e(60, 200, 0.1F);
    const std::vector<float> inverse =
        Quantiser(BackendKind::reference, 1).penalised_inverse(e.a, e.penalty);
    for (std::size_t i = 0; i < e.d; ++i) {
        for (std::size_t j = 0; j < e.d; ++j) {
            double sum = i == j ? -1.0 : 0.0;
            for (std::size_t k = 0; k < e.d; ++k) {
                const double added = k == j ? double{e.penalty[j]} : 0.0;
                sum += double{inverse[i * e.d + k]} * (double{e.a[k * e.d + j]} + added);
            }
            // In columns of one size: outlier channels are ten times and more the others.
            const double scale = std::sqrt(e.a[i * e.d + i] / e.a[j * e.d + j]);
            ASSERT_LT(std::abs(sum) * scale, 1e-4) << i << ", " << j;
        }
    }
}

// ---- every backend ------------------------------------------------------------------------------

class Inverse : public ::testing::TestWithParam<BackendKind> {};

TEST_P(Inverse, MatchesReferenceAtAnySize) {
    // One block, its edge, several and one of a single column, where blocks are of 256.
    for (const std::size_t d : {1, 7, 256, 257, 555, 800}) {
        SCOPED_TRACE("d = " + std::to_string(d));
        const Example e(d, 3 * d, 0.3F);
        const auto expected =
            Quantiser(BackendKind::reference, 1).penalised_inverse(e.a, e.penalty);
        const auto found = Quantiser(GetParam(), 2).penalised_inverse(e.a, e.penalty);
        EXPECT_LT(e.distance(found, expected), rounding(d, 0.3));
        for (std::size_t i = 0; i < d; ++i) {
            for (std::size_t j = 0; j < i; ++j) {
                ASSERT_EQ(found[i * d + j], found[j * d + i]);
            }
        }
    }
}

// 30 tokens for 600 inputs: but for the penalty 570 eigenvalues are 0, those of unit diagonal sum
// up to 600, and the condition number is 2e4, 2e5 and 2e6 or more.
TEST_P(Inverse, OfAMatrixOfLowRankIsAsGoodAsItsPenaltyAllows) {
    for (const float rho : {1e-2F, 1e-3F, 1e-4F}) {
        SCOPED_TRACE("rho = " + std::to_string(rho));
        const Example e(600, 30, rho);
        const auto expected =
            Quantiser(BackendKind::reference, 1).penalised_inverse(e.a, e.penalty);
        const auto found = Quantiser(GetParam(), 2).penalised_inverse(e.a, e.penalty);
        EXPECT_LT(e.distance(found, expected), rounding(600, double{rho}));
    }
}

TEST_P(Inverse, ReadsAndWritesPartsOfLargerMatrices) {
    constexpr std::size_t d = 300;
    const Example e(d, 400, 0.1F);
    std::vector<float> wide(d * (d + 5), nan);
    for (std::size_t i = 0; i < d; ++i) {
        std::copy_n(e.a.data() + i * d + i, d - i, wide.data() + i * (d + 5) + i);
    }
    std::vector<float> inverse(d * (d + 3), -5.0F);
    const Quantiser on(GetParam(), 2);
    on.backend().penalised_inverse({wide.data(), d, d, d + 5}, e.penalty,
                                   {inverse.data(), d, d, d + 3});
    const std::vector<float> expected = on.penalised_inverse(e.a, e.penalty);
    for (std::size_t i = 0; i < d; ++i) {
        const float* row = inverse.data() + i * (d + 3);
        ASSERT_TRUE(std::equal(row, row + d, expected.data() + i * d)) << "row " << i;
        ASSERT_THAT(std::vector<float>(row + d, row + d + 3), Each(-5.0F));
    }
}

TEST_P(Inverse, OfNothingIsNothing) {
    EXPECT_TRUE(Quantiser(GetParam(), 1).penalised_inverse({}, {}).empty());
}

TEST_P(Inverse, RefusesAMatrixThatIsNotPositiveDefinite) {
    const Quantiser on(GetParam(), 2);
    for (const std::vector<float>& a :
         {std::vector<float>{1, 2, 2, 1}, {1, nan, nan, 1}, {1, 0, 0, nan}, {1, 0, 0, -3}}) {
        try {
            (void)on.penalised_inverse(a, {0.5F, 0.5F});
            FAIL() << "not positive definite: " << a[1] << " " << a[3];
        } catch (const DataError& e) {
            EXPECT_THAT(e.what(),
                        AllOf(HasSubstr("[2, 2]"), HasSubstr("not positive definite (column 1)")));
        }
    }
    Example e(300, 900, 0.1F);
    e.a[280 * 300 + 280] = -1.0F;  // in the second block
    try {
        (void)on.penalised_inverse(e.a, e.penalty);
        FAIL();
    } catch (const DataError& error) {
        EXPECT_THAT(error.what(), HasSubstr("column 280"));
    }
}

TEST_P(Inverse, DoesNotDependOnTheNumberOfThreads) {
    // The reference has one thread whatever it is offered; a small matrix is enough for it.
    const Example e(GetParam() == BackendKind::reference ? 64 : 800, 100, 0.1F);
    const auto one = Quantiser(GetParam(), 1).penalised_inverse(e.a, e.penalty);
    for (const std::size_t n_threads : {2, 5}) {
        EXPECT_TRUE(Quantiser(GetParam(), n_threads).penalised_inverse(e.a, e.penalty) == one);
    }
}

TEST_P(Inverse, NamesTheShapesItRejects) {
    const Quantiser on(GetParam(), 1);
    std::vector<float> a(6);
    std::vector<float> inverse(4);
    const auto refusal = [&](MatrixView<const float> from, std::size_t n, MatrixView<float> to) {
        try {
            on.backend().penalised_inverse(from, std::vector<float>(n), to);
        } catch (const ShapeError& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    EXPECT_THAT(refusal({a.data(), 2, 3}, 3, {inverse.data(), 2, 2}),
                AllOf(HasSubstr("penalised_inverse"), HasSubstr("a [2, 3]")));
    EXPECT_THAT(refusal({a.data(), 1, 1}, 1, {inverse.data(), 2, 2}),
                AllOf(HasSubstr("inverse [2, 2]"), HasSubstr("a [1, 1]")));
    EXPECT_THAT(refusal({a.data(), 2, 2}, 1, {inverse.data(), 2, 2}),
                AllOf(HasSubstr("penalty has 1"), HasSubstr("a [2, 2]")));
}

INSTANTIATE_TEST_SUITE_P(Backends, Inverse, ::testing::ValuesIn(available_backends()),
                         BackendName());

}  // namespace
}  // namespace lathe::kernels
