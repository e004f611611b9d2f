#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "tests/kernels/compression_fixture.hpp"
#include "tests/support/correlated_data.hpp"

namespace lathe::kernels {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr IntegerGridSettings bits2{2, 64, true};
constexpr IntegerGridSettings bits3{3, 64, true};
constexpr IntegerGridSettings bits4{4, 64, true};

// ---- grids, by hand
// -------------------------------------------------------------------------------

TEST(FitGridReference, FindsTheGridTheWeightsLieOn) {
    const Quantiser on(BackendKind::reference, 1);
    const Quantised symmetric = on.round_to_nearest({3.5F, -1.5F, 0, 0.5F}, {1, 1, 1, 1}, bits4);
    EXPECT_THAT(symmetric.scales, ElementsAre(0.5F));
    EXPECT_THAT(symmetric.zeros, ElementsAre(8));
    EXPECT_THAT(symmetric.codes, ElementsAre(15, 5, 8, 9));
    EXPECT_THAT(symmetric.values, ElementsAre(3.5F, -1.5F, 0, 0.5F));

    const Quantised shifted = on.round_to_nearest({-1, 0, 2, 1}, {1, 1, 1, 1}, {2, 64, false});
    EXPECT_THAT(shifted.scales, ElementsAre(1));
    EXPECT_THAT(shifted.zeros, ElementsAre(1));
    EXPECT_THAT(shifted.codes, ElementsAre(0, 1, 3, 2));
}

TEST(FitGridReference, KeepsZeroInARangeOfPositiveWeights) {
    const Quantised q =
        Quantiser(BackendKind::reference, 1).round_to_nearest({2, 3}, {1, 1}, {2, 64, false});
    EXPECT_THAT(q.scales, ElementsAre(1));
    EXPECT_THAT(q.zeros, ElementsAre(0));
    EXPECT_THAT(q.codes, ElementsAre(2, 3));
}

TEST(FitGridReference, GivesUpAWeightThatDoesNotMatter) {
    // With 2 bits a value is -s, 0 or s. The 10 has no weight: its range shrinks to 0.30 of 10.
    const Quantised q =
        Quantiser(BackendKind::reference, 1).round_to_nearest({10, 3, -3, 3}, {0, 1, 1, 1}, bits2);
    EXPECT_THAT(q.scales, ElementsAre(3));
    EXPECT_THAT(q.values, ElementsAre(3, 3, -3, 3));
}

TEST(FitGridReference, OfEqualErrorsTakesTheLargestRange) {
    const Quantised q =
        Quantiser(BackendKind::reference, 1).round_to_nearest({7, 1}, {0, 0}, bits4);
    EXPECT_THAT(q.scales, ElementsAre(1));
}

TEST(FitGridReference, HasItsOwnGridForAShortLastGroup) {
    const Quantised q =
        Quantiser(BackendKind::reference, 1).round_to_nearest({7, 7, 14}, {1, 1, 1}, {4, 2, true});
    EXPECT_THAT(q.scales, ElementsAre(1, 2));
}

// ---- sweep, by hand
// -------------------------------------------------------------------------------

TEST(GptqReference, PassesTheErrorOfAColumnOn) {
    // Only the first weight matters to the grid: scale 1. Column 1 loses 0.4, which is 0.2 after
    // the division by U_11 = 2; U_12 = -4 adds 0.8 to column 2: 1.7, so 2 and not 1.
    const Quantised q =
        Quantiser(BackendKind::reference, 1)
            .gptq({3, 0.4F, 0.9F}, {1, 0, 0, 0, 2, -4, 0, 0, 1}, {1, 0, 0}, {}, bits3);
    EXPECT_THAT(q.values, ElementsAre(3, 0, 2));
    EXPECT_THAT(q.codes, ElementsAre(7, 4, 6));
}

TEST(GptqReference, GoesInTheGivenOrder) {
    // Column 2 first: 0.9 becomes 1, error -0.1; then column 1: 0.4 + 0.1 * 2 = 0.6 becomes 1.
    const Quantised q =
        Quantiser(BackendKind::reference, 1)
            .gptq({3, 0.4F, 0.9F}, {1, 2, 0, 0, 1, 0, 0, 0, 1}, {1, 0, 0}, {2, 1, 0}, bits3);
    EXPECT_THAT(q.values, ElementsAre(3, 1, 1));
}

TEST(GptqReference, FitsAGroupToTheWeightsAsTheyStandThen) {
    // Column 0 becomes 3 * 1 exactly when only column 0 is in its group; 0 errors, so U does not
    // matter. In the second case the error -1 of 2 -> 3 (2 bits, scale 3 by importance 0 elsewhere)
    // doubles the lone weight of the next group before its grid is fitted.
    const Quantised q =
        Quantiser(BackendKind::reference, 1)
            .gptq({3, 2, 1}, {1, 0, 0, 0, 1, 1, 0, 0, 1}, {1, 0, 1}, {}, {2, 2, true});
    EXPECT_THAT(q.scales, ElementsAre(3, 2));
    EXPECT_THAT(q.values, ElementsAre(3, 3, 2));
}

// ---- every backend
// --------------------------------------------------------------------------------

class Compression : public ::testing::TestWithParam<BackendKind> {};

TEST_P(Compression, RoundsTiesToEvenAndClamps) {
    const Quantiser on(GetParam(), 1);
    const std::vector<float> w = {0.5F, 1.5F, 2.5F, -0.5F, -1.5F, 100, -100, 1e30F};
    for (const auto& [symmetric, zero, codes] :
         {std::tuple{true, 8.0F, std::vector<std::uint8_t>{8, 10, 10, 8, 6, 15, 1, 15}},
          std::tuple{false, 3.0F, std::vector<std::uint8_t>{3, 5, 5, 3, 1, 15, 0, 15}}}) {
        const float scale = 1.0F;
        std::vector<std::uint8_t> found(w.size());
        std::vector<float> values(w.size());
        on.backend().round_to_grid({w.data(), 1, w.size()}, {4, 64, symmetric}, {&scale, 1, 1},
                                   {&zero, 1, 1}, {found.data(), 1, w.size()},
                                   {values.data(), 1, w.size()});
        EXPECT_EQ(found, codes);
        for (std::size_t j = 0; j < w.size(); ++j) {
            EXPECT_EQ(values[j], codes[j] - zero);
        }
    }
}

TEST_P(Compression, RoundsInPlaceExactlyAsReference) {
    constexpr std::size_t rows = 67;
    constexpr std::size_t cols = 150;
    const std::vector<float> w = test_data::layer_weights(rows, cols, 21);
    const std::vector<float> importance(cols, 1.0F);
    for (const unsigned num_bits : {2U, 5U, 8U}) {
        for (const bool symmetric : {true, false}) {
            const IntegerGridSettings settings{num_bits, 64, symmetric};
            const Quantised expected =
                Quantiser(BackendKind::reference, 1).round_to_nearest(w, importance, settings);
            std::vector<float> values = w;
            std::vector<std::uint8_t> codes(w.size());
            Quantiser(GetParam(), 2)
                .backend()
                .round_to_grid({values.data(), rows, cols}, settings,
                               {expected.scales.data(), rows, 3}, {expected.zeros.data(), rows, 3},
                               {codes.data(), rows, cols}, {values.data(), rows, cols});
            EXPECT_EQ(codes, expected.codes);
            EXPECT_EQ(values, expected.values);
        }
    }
}

/// sum_j importance_j (w_j - value_j)^2 of each row.
std::vector<double> weighted_errors(const std::vector<float>& w, const Quantised& q,
                                    const std::vector<float>& importance) {
    const std::size_t cols = importance.size();
    std::vector<double> errors(w.size() / cols, 0.0);
    for (std::size_t i = 0; i < w.size(); ++i) {
        errors[i / cols] += importance[i % cols] * std::pow(double{w[i]} - double{q.values[i]}, 2);
    }
    return errors;
}

TEST_P(Compression, GridsAreAsGoodAsTheReferences) {
    struct Case {
        std::size_t rows, cols, group_size;
    };
    for (const Case c : {Case{1, 1, 64}, Case{33, 130, 64}, Case{17, 96, 7}, Case{16, 200, 1000}}) {
        for (const unsigned num_bits : {2U, 3U, 4U, 8U}) {
            for (const unsigned kind : {0U, 1U, 2U, 3U, 7U}) {
                const bool symmetric = (kind & 1U) == 0;
                SCOPED_TRACE(std::to_string(c.cols) + " columns, " + std::to_string(num_bits) +
                             " bits, kind " + std::to_string(kind));
                const IntegerGridSettings settings{num_bits, c.group_size, symmetric,
                                                   (kind & 2U) != 0, (kind & 4U) != 0};
                const std::vector<float> w = test_data::layer_weights(c.rows, c.cols, 22);
                std::vector<float> importance = test_data::layer_weights(1, c.cols, 23);
                for (float& value : importance) {
                    value *= value;
                }
                const Quantised expected =
                    Quantiser(BackendKind::reference, 1).round_to_nearest(w, importance, settings);
                const Quantised found =
                    Quantiser(GetParam(), 2).round_to_nearest(w, importance, settings);
                const auto expected_errors = weighted_errors(w, expected, importance);
                const auto errors = weighted_errors(w, found, importance);
                for (std::size_t r = 0; r < c.rows; ++r) {
                    EXPECT_NEAR(errors[r], expected_errors[r], 1e-4 * expected_errors[r] + 1e-16);
                }
            }
        }
    }
}

TEST_P(Compression, PowersOfTwoReachTheLargestWeight) {
    const Quantiser on(GetParam(), 1);
    const auto scale_of = [&](float largest, float other) {
        const Quantised q = on.round_to_nearest({largest, other}, {1.0F, 1.0F},
                                                {.num_bits = 8,
                                                 .group_size = 64,
                                                 .symmetric = true,
                                                 .powers_of_two = true,
                                                 .whole_range = true});
        return q.scales[0];
    };
    EXPECT_EQ(scale_of(127.0F, 1.0F), 1.0F);
    EXPECT_EQ(scale_of(-127.4F, 1.0F), 1.0F);
    EXPECT_EQ(scale_of(128.0F, 1.0F), 2.0F);
    EXPECT_EQ(scale_of(0x1p-60F, 0.0F), 0x1p-66F);
    EXPECT_EQ(scale_of(0.0F, 0.0F), 0x1p-100F);
    EXPECT_EQ(scale_of(1e38F, 0.0F), 0x1p100F);
}

TEST_P(Compression, ScalesAreStorableWhateverTheWeights) {
    const Quantiser on(GetParam(), 1);
    for (const float magnitude : {0.0F, 1e-30F, 3e-7F, 2e-5F, 1e-3F, 1.0F, 1e3F, 1e6F, 1e30F}) {
        for (const bool symmetric : {true, false}) {
            SCOPED_TRACE(magnitude);
            const Quantised q = on.round_to_nearest(
                {magnitude, -0.61F * magnitude, 0.3F * magnitude}, {1, 2, 1}, {4, 64, symmetric});
            const float scale = q.scales[0];
            EXPECT_EQ(half_to_float(float_to_half(scale)), scale);
            EXPECT_GE(scale, 0x1p-24F);
            EXPECT_LE(scale, 65504.0F);
            EXPECT_EQ(q.zeros[0], std::nearbyint(q.zeros[0]));
            EXPECT_THAT(q.codes, Each(::testing::Le(15)));
        }
    }
}

/// The scale of a symmetric grid of 4 bits whose whole range would be `scale` a step.
float scale_near(float scale, const Quantiser& on, IntegerGridSettings settings) {
    settings.whole_range = true;
    return on.round_to_nearest({scale * 7.0F}, {1.0F}, settings).scales[0];
}

TEST_P(Compression, ScalesOfEightBitsAreNumbersOfBothTypesOfSixteen) {
    const Quantiser on(GetParam(), 1);
    const std::vector<float> w = test_data::layer_weights(40, 130, 24);
    const std::vector<float> ones(130, 1.0F);
    IntegerGridSettings settings{4, 64, true};
    settings.scale_bits = 8;
    const Quantised q = on.round_to_nearest(w, ones, settings);
    for (const float scale : q.scales) {
        EXPECT_EQ(half_to_float(float_to_half(scale)), scale);
        EXPECT_EQ(bfloat16_to_float(float_to_bfloat16(scale)), scale);
    }
    const Quantised all = on.round_to_nearest(w, ones, {4, 64, true});
    EXPECT_NE(all.scales, q.scales);
    const auto scale_of = [&](float scale) { return scale_near(scale, on, settings); };
    EXPECT_EQ(scale_of(0x1.01p0F), 0x1.00p0F);  // half way: to the even one
    EXPECT_EQ(scale_of(0x1.03p0F), 0x1.04p0F);
    EXPECT_EQ(scale_of(0x1.014p0F), 0x1.02p0F);
    EXPECT_EQ(scale_of(1e9F), 65280.0F);
    EXPECT_EQ(scale_of(0x1.FFp-16F), 0x1p-15F);  // 511 of the smallest, subnormal
    EXPECT_EQ(scale_of(0.0F), 0x1p-24F);
}

TEST_P(Compression, ScalesOfOneByte) {
    const Quantiser on(GetParam(), 1);
    IntegerGridSettings settings{4, 64, true};
    settings.float8_scales = true;
    const std::vector<float> w = test_data::layer_weights(40, 130, 24);
    const Quantised q = on.round_to_nearest(w, std::vector<float>(130, 1.0F), settings);
    for (const float scale : q.scales) {
        int exponent = 0;
        const float fraction = std::frexp(scale, &exponent);  // 0.5 to 1
        EXPECT_EQ(fraction * 32.0F, std::nearbyint(fraction * 32.0F)) << scale;
    }
    const auto scale_of = [&](float scale) { return scale_near(scale, on, settings); };
    EXPECT_EQ(scale_of(0x1.08p0F), 0x1.0p0F);  // half way: to the even one
    EXPECT_EQ(scale_of(0x1.18p0F), 0x1.2p0F);
    EXPECT_EQ(scale_of(0x1.19p0F), 0x1.2p0F);
    EXPECT_EQ(scale_of(0x1.FFp0F), 2.0F);
    EXPECT_EQ(scale_of(1e9F), 3.875F);
    EXPECT_EQ(scale_of(0x1.8p-16F), 0x1p-14F);
    EXPECT_EQ(scale_of(0.0F), 0x1p-14F);
}

/// A layer and what a sweep needs.
struct Layer {
    std::vector<float> w;
    std::vector<double> gram;
    std::vector<float> importance;
    std::vector<float> factor;

    Layer(std::size_t rows, std::size_t cols)
        : w(test_data::layer_weights(rows, cols, 31)),
          gram(test_data::gram_of(
              test_data::correlated_inputs(test_data::Family::autoregressive, 2 * cols, cols, 32),
              2 * cols, cols)),
          importance(diagonal_of(gram, cols)),
          factor(Quantiser(BackendKind::reference, 1).inverse_factor(gram, cols, 0.01)) {}

    [[nodiscard]] double error(const Quantised& q) const {
        return test_data::relative_error(w, q.values, gram, importance.size());
    }
};

TEST_P(Compression, GptqMatchesReference) {
    struct Case {
        std::size_t rows, cols, group_size;
    };
    // Groups inside a block of 128 columns, across its end, larger than it, and of one row.
    for (const Case c : {Case{1, 1, 64}, Case{133, 300, 64}, Case{20, 300, 96}, Case{20, 300, 200},
                         Case{20, 130, 1000}, Case{20, 260, 3}}) {
        for (const IntegerGridSettings settings : {IntegerGridSettings{3, c.group_size, true},
                                                   IntegerGridSettings{4, c.group_size, false}}) {
            SCOPED_TRACE(std::to_string(c.cols) + " columns in groups of " +
                         std::to_string(c.group_size));
            const Layer layer(c.rows, c.cols);
            std::vector<std::uint32_t> backwards(c.cols);
            std::iota(backwards.rbegin(), backwards.rend(), 0U);
            for (const auto& order : {std::vector<std::uint32_t>{}, backwards}) {
                const Quantised expected =
                    Quantiser(BackendKind::reference, 1)
                        .gptq(layer.w, layer.factor, layer.importance, order, settings);
                const Quantised found =
                    Quantiser(GetParam(), 2)
                        .gptq(layer.w, layer.factor, layer.importance, order, settings);
                // A near tie may fall the other way, and then the rest of its row differs.
                std::size_t differ = 0;
                for (std::size_t i = 0; i < found.codes.size(); ++i) {
                    differ += found.codes[i] != expected.codes[i] ? 1 : 0;
                }
                EXPECT_LE(differ, found.codes.size() / 20);
                EXPECT_NEAR(layer.error(found), layer.error(expected),
                            0.01 * layer.error(expected) + 1e-12);
            }
        }
    }
}

TEST_P(Compression, GptqValuesAreThoseOfItsCodes) {
    const Layer layer(20, 150);
    const IntegerGridSettings settings{4, 64, false};
    const Quantised q =
        Quantiser(GetParam(), 2).gptq(layer.w, layer.factor, layer.importance, {}, settings);
    for (std::size_t i = 0; i < q.codes.size(); ++i) {
        const std::size_t group = i / 150 * 3 + i % 150 / 64;
        ASSERT_EQ(q.values[i], q.scales[group] * (q.codes[i] - q.zeros[group]));
    }
}

TEST_P(Compression, GptqInTheNaturalOrderIsTheSameWithAndWithoutSayingSo) {
    // With one group a row the grid is fitted to the original weights either way.
    const Layer layer(20, 150);
    std::vector<std::uint32_t> order(150);
    std::iota(order.begin(), order.end(), 0U);
    const Quantiser on(GetParam(), 2);
    const IntegerGridSettings settings{4, 150, true};
    EXPECT_TRUE(on.gptq(layer.w, layer.factor, layer.importance, {}, settings) ==
                on.gptq(layer.w, layer.factor, layer.importance, order, settings));
}

TEST_P(Compression, GptqOfUncorrelatedInputsIsRoundingToNearest) {
    const std::vector<float> w = test_data::layer_weights(20, 150, 33);
    const std::vector<float> importance(150, 1.0F);
    std::vector<float> identity(150 * 150, 0.0F);
    for (std::size_t i = 0; i < 150; ++i) {
        identity[i * 151] = 1.0F;
    }
    const Quantiser on(GetParam(), 2);
    EXPECT_TRUE(on.gptq(w, identity, importance, {}, bits4) ==
                on.round_to_nearest(w, importance, bits4));
}

TEST_P(Compression, DoesNotDependOnTheNumberOfThreads) {
    const Layer layer(GetParam() == BackendKind::reference ? 20 : 300, 200);
    const Quantiser one(GetParam(), 1);
    for (const std::size_t n_threads : {2, 5}) {
        const Quantiser more(GetParam(), n_threads);
        EXPECT_TRUE(more.round_to_nearest(layer.w, layer.importance, bits4) ==
                    one.round_to_nearest(layer.w, layer.importance, bits4));
        EXPECT_TRUE(more.gptq(layer.w, layer.factor, layer.importance, {}, bits4) ==
                    one.gptq(layer.w, layer.factor, layer.importance, {}, bits4));
    }
}

TEST_P(Compression, AcceptsNoRows) {
    const Quantiser on(GetParam(), 2);
    EXPECT_TRUE(on.round_to_nearest({}, {1, 1}, bits4).codes.empty());
    EXPECT_TRUE(on.gptq({}, {1, 0, 0, 1}, {1, 1}, {}, bits4).codes.empty());
}

template <class Call>
void expect_refusal(const Call& call, const std::string& first, const std::string& second) {
    try {
        call();
        FAIL() << "expected: " << first;
    } catch (const InternalError& e) {
        EXPECT_THAT(e.what(), AllOf(HasSubstr(first), HasSubstr(second)));
    }
}

TEST_P(Compression, NamesWhatItRejects) {
    const Quantiser on(GetParam(), 1);
    const std::vector<float> w(6);
    std::vector<float> out(6);
    std::vector<std::uint8_t> codes(6);
    const MatrixView<const float> w23(w.data(), 2, 3);
    const MatrixView<float> grid21(out.data(), 2, 1);
    const MatrixView<float> grid22(out.data(), 2, 2);
    expect_refusal([&] { on.backend().fit_integer_grid(w23, w, bits4, grid21, grid21); },
                   "importance has 6", "w [2, 3]");
    expect_refusal(
        [&] {
            on.backend().fit_integer_grid(w23, {w.data(), 3}, bits4, grid22, grid21);
        },
        "scales [2, 2] must be [2, 1]", "w [2, 3] in groups of 64");
    expect_refusal(
        [&] {
            on.backend().round_to_grid(w23, bits4, grid21, grid21, {codes.data(), 3, 2},
                                       {out.data(), 2, 3});
        },
        "codes [3, 2]", "w [2, 3]");
    expect_refusal(
        [&] {
            (void)on.round_to_nearest({1, 2}, {1, 1}, {9, 64, true});
        },
        "num_bits is 9", "2 to 8");
    expect_refusal(
        [&] {
            (void)on.gptq({1, 2}, {1, 0, 0, 1}, {1, 1}, {0}, bits4);
        },
        "order has 1", "w [1, 2]");
    expect_refusal(
        [&] {
            (void)on.gptq({1, 2}, {1, 0, 0, 1}, {1, 1}, {1, 1}, bits4);
        },
        "not a permutation", "1 comes twice");
}

INSTANTIATE_TEST_SUITE_P(Backends, Compression, ::testing::ValuesIn(available_backends()),
                         BackendName());

}  // namespace
}  // namespace lathe::kernels
