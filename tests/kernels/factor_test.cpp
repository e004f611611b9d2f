#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "tests/kernels/compression_fixture.hpp"
#include "tests/support/correlated_data.hpp"

// inverse_factor and row_errors: what is done with a Gram matrix before and after the sweep.

namespace lathe::kernels {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

std::vector<double> errors(const Quantiser& on, const std::vector<float>& delta,
                           const std::vector<float>& gram, std::size_t d) {
    std::vector<double> result(delta.size() / d, -1.0);
    on.backend().row_errors({delta.data(), delta.size() / d, d}, {gram.data(), d, d}, result);
    return result;
}

// ---- by hand ------------------------------------------------------------------------------------

TEST(InverseFactorReference, OfATwoByTwoMatrix) {
    // [[4, 2], [2, 3]]^-1 = [[3, -2], [-2, 4]] / 8 = U^T U with U below.
    const Quantiser on(BackendKind::reference, 1);
    EXPECT_THAT(on.inverse_factor({4, 2, 2, 3}, 2, 0.0),
                ElementsAre(FloatNear(std::sqrt(3.0F / 8), 1e-6F),
                            FloatNear(-0.25F / std::sqrt(3.0F / 8), 1e-6F), 0.0F,
                            FloatNear(std::sqrt(1.0F / 3), 1e-6F)));
}

TEST(InverseFactorReference, CountsADeadInputAsOneAndDampsByTheMeanAsGiven) {
    // The mean of diag(0, 2) is 1, so damping 0.5 makes it diag(1.5, 2.5).
    const Quantiser on(BackendKind::reference, 1);
    EXPECT_THAT(on.inverse_factor({0, 0, 0, 2}, 2, 0.5),
                ElementsAre(FloatNear(1 / std::sqrt(1.5F), 1e-6F), 0.0F, 0.0F,
                            FloatNear(1 / std::sqrt(2.5F), 1e-6F)));
}

// Columns 1, 0 of [[1, 2], [2, 9]], with 3 added to column 0's diagonal: [[9, 2], [2, 4]], whose
// inverse [[4, -2], [-2, 9]] / 32 is U^T U.
TEST(InverseFactorReference, AddsPenaltiesAndTakesColumnsInOrder) {
    const Quantiser on(BackendKind::reference, 1);
    const std::vector<float> penalty{3, 0};
    const std::vector<std::uint32_t> order{1, 0};
    EXPECT_THAT(on.inverse_factor(std::vector<float>{1, 2, 2, 9}, 2,
                                  {.damping = 0.0, .penalty = penalty, .order = order}),
                ElementsAre(FloatNear(std::sqrt(1.0F / 8), 1e-6F),
                            FloatNear(-0.0625F / std::sqrt(1.0F / 8), 1e-6F), 0.0F,
                            FloatNear(0.5F, 1e-6F)));
}

TEST(RowErrorsReference, AreQuadraticForms) {
    const Quantiser on(BackendKind::reference, 1);
    EXPECT_THAT(errors(on, {1, 2, /**/ 0, 1}, {2, 1, 1, 3}, 2), ElementsAre(2 + 2 * 2 + 12, 3));
}

// ---- every backend
// --------------------------------------------------------------------------------

class Factor : public ::testing::TestWithParam<BackendKind> {};

TEST_P(Factor, TimesItsTransposeInvertsTheDampedMatrix) {
    const Quantiser on(GetParam(), 2);
    for (const std::size_t d : {1, 5, 130, 300}) {
        SCOPED_TRACE("d = " + std::to_string(d));
        const auto inputs =
            test_data::correlated_inputs(test_data::Family::autoregressive, 4 * d, d, 11);
        const std::vector<double> exact = test_data::gram_of(inputs, 4 * d, d);
        const std::vector<float> gram(exact.begin(), exact.end());
        const std::vector<float> u =
            on.inverse_factor(gram, d, {.damping = 0.01, .penalty = {}, .order = {}});
        double trace = 0.0;
        for (std::size_t i = 0; i < d; ++i) {
            trace += gram[i * d + i];
        }
        // U A U^T = I, since A^-1 = U^T U.
        std::vector<double> ua(d * d, 0.0);
        for (std::size_t i = 0; i < d; ++i) {
            for (std::size_t k = 0; k < d; ++k) {
                if (k < i) {
                    ASSERT_EQ(u[i * d + k], 0.0F);
                }
                for (std::size_t j = 0; j < d; ++j) {
                    const double damped = double{gram[k * d + j]} +
                                          (k == j ? 0.01 * trace / static_cast<double>(d) : 0.0);
                    ua[i * d + j] += u[i * d + k] * damped;
                }
            }
        }
        double worst = 0.0;
        for (std::size_t i = 0; i < d; ++i) {
            for (std::size_t j = 0; j < d; ++j) {
                double product = i == j ? -1.0 : 0.0;
                for (std::size_t k = 0; k < d; ++k) {
                    product += ua[i * d + k] * u[j * d + k];
                }
                worst = std::max(worst, std::abs(product));
            }
        }
        EXPECT_LT(worst, 1e-4);
    }
}

TEST_P(Factor, MatchesReference) {
    constexpr std::size_t d = 555;  // more than two tiles of 256
    const auto inputs = test_data::correlated_inputs(test_data::Family::low_rank, 600, d, 12);
    std::vector<double> gram = test_data::gram_of(inputs, 600, d);
    for (std::size_t i = 0; i < d; ++i) {
        gram[i * d + 300] = gram[300 * d + i] = 0.0;
    }  // dead
    const std::vector<float> expected =
        Quantiser(BackendKind::reference, 1).inverse_factor(gram, d, 0.01);
    const std::vector<float> found = Quantiser(GetParam(), 2).inverse_factor(gram, d, 0.01);
    double difference = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < d * d; ++i) {
        difference += std::pow(double{found[i]} - double{expected[i]}, 2);
        norm += std::pow(double{expected[i]}, 2);
    }
    EXPECT_LT(std::sqrt(difference / norm), 1e-6);
}

TEST_P(Factor, WithPenaltiesInAnyOrderMatchesReference) {
    constexpr std::size_t d = 300;
    const auto inputs = test_data::correlated_inputs(test_data::Family::low_rank, 200, d, 17);
    const std::vector<double> exact = test_data::gram_of(inputs, 200, d);
    const std::vector<float> gram(exact.begin(), exact.end());
    std::vector<float> penalty(d);
    std::vector<std::uint32_t> order(d);
    for (std::size_t j = 0; j < d; ++j) {
        penalty[j] = 0.1F * static_cast<float>(1 + j % 3);
        order[j] = static_cast<std::uint32_t>((j * 7) % d);  // 7 and 300 have no common divisor
    }
    const FactorSettings settings{.damping = 0.001, .penalty = penalty, .order = order};
    const auto expected = Quantiser(BackendKind::reference, 1).inverse_factor(gram, d, settings);
    const auto found = Quantiser(GetParam(), 2).inverse_factor(gram, d, settings);
    for (std::size_t i = 0; i < d * d; ++i) {
        ASSERT_NEAR(found[i], expected[i], 1e-5) << i;
    }
}

TEST_P(Factor, RefusesAMatrixThatIsNotPositiveDefinite) {
    const Quantiser on(GetParam(), 2);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const std::vector<double>& gram :
         {std::vector<double>{1, 2, 2, 1}, {1, nan, nan, 1}, {nan, 0, 0, 1}, {-1, 0, 0, 3}}) {
        try {
            (void)on.inverse_factor(gram, 2, 0.01);
            FAIL() << "not positive definite: " << gram[0] << " " << gram[1];
        } catch (const DataError& e) {
            EXPECT_THAT(e.what(), AllOf(HasSubstr("[2, 2]"), HasSubstr("not positive definite")));
        }
    }
}

TEST_P(Factor, RowErrorsMatchReference) {
    for (const std::size_t d : {1, 17, 300}) {
        constexpr std::size_t rows = 150;  // more than one tile
        SCOPED_TRACE("d = " + std::to_string(d));
        const auto inputs = test_data::correlated_inputs(test_data::Family::low_rank, 700, d, 13);
        const std::vector<double> wide = test_data::gram_of(inputs, 700, d);
        const std::vector<float> gram(wide.begin(), wide.end());
        const std::vector<float> delta = test_data::layer_weights(rows, d, 14);
        const auto expected = errors(Quantiser(BackendKind::reference, 1), delta, gram, d);
        const auto found = errors(Quantiser(GetParam(), 2), delta, gram, d);
        for (std::size_t r = 0; r < rows; ++r) {
            ASSERT_NEAR(found[r], expected[r], 1e-4 * expected[r]) << "row " << r;
        }
    }
}

TEST_P(Factor, DoesNotDependOnTheNumberOfThreads) {
    constexpr std::size_t d = 800;
    const auto inputs = test_data::correlated_inputs(test_data::Family::low_rank, 100, d, 15);
    const std::vector<double> gram = test_data::gram_of(inputs, 100, d);
    const std::vector<float> narrow(gram.begin(), gram.end());
    const std::vector<float> delta = test_data::layer_weights(300, d, 16);
    // The reference has one thread whatever it is offered; a small matrix is enough for it.
    const std::size_t size = GetParam() == BackendKind::reference ? 64 : d;
    std::vector<double> corner(size * size);
    for (std::size_t i = 0; i < size; ++i) {
        for (std::size_t j = 0; j < size; ++j) {
            corner[i * size + j] = gram[i * d + j];
        }
    }
    const Quantiser one(GetParam(), 1);
    for (const std::size_t n_threads : {2, 5}) {
        const Quantiser more(GetParam(), n_threads);
        EXPECT_TRUE(more.inverse_factor(corner, size, 0.1) ==
                    one.inverse_factor(corner, size, 0.1));
        EXPECT_TRUE(errors(more, delta, narrow, d) == errors(one, delta, narrow, d));
    }
}

TEST_P(Factor, NamesTheShapesItRejects) {
    const Quantiser on(GetParam(), 1);
    const std::vector<float> gram(6);
    std::vector<float> factor(4);
    EXPECT_THROW(on.backend().inverse_factor({gram.data(), 2, 3}, {}, {factor.data(), 2, 2}),
                 ShapeError);
    try {
        on.backend().inverse_factor({gram.data(), 1, 1}, {}, {factor.data(), 2, 2});
        FAIL();
    } catch (const ShapeError& e) {
        EXPECT_THAT(e.what(), AllOf(HasSubstr("factor [2, 2]"), HasSubstr("gram [1, 1]")));
    }
    try {
        std::vector<double> few(1);
        on.backend().row_errors({factor.data(), 2, 2}, {factor.data(), 2, 2}, few);
        FAIL();
    } catch (const ShapeError& e) {
        EXPECT_THAT(e.what(), AllOf(HasSubstr("errors has 1"), HasSubstr("delta [2, 2]")));
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, Factor, ::testing::ValuesIn(available_backends()),
                         BackendName());

}  // namespace
}  // namespace lathe::kernels
