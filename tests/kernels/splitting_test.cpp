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

// choose_pattern, project and splitting_step.

namespace lathe::kernels {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;

constexpr IntegerGridSettings bits3{3, 64, true};

/// A matrix, a grid for it, and the limits one may put on it.
struct Example {
    std::size_t rows;
    std::size_t cols;
    IntegerGridSettings grid;
    std::vector<float> w;
    std::vector<float> scales;
    std::vector<float> zeros;
    std::vector<float> importance;
    std::vector<std::uint8_t> mask;

    Example(std::size_t rows_, std::size_t cols_, const IntegerGridSettings& grid_)
        : rows(rows_), cols(cols_), grid(grid_), w(test_data::layer_weights(rows_, cols_, 5)) {
        test_data::NormalSource random(6);
        for (std::size_t j = 0; j < cols; ++j) {
            importance.push_back(static_cast<float>(random.uniform()));
        }
        for (std::size_t i = 0; i < rows * cols; ++i) {
            mask.push_back(random.uniform() < 0.5 ? 1 : 0);
        }
        scales.resize(rows * n_groups());
        zeros.resize(rows * n_groups());
        Quantiser(BackendKind::reference, 1)
            .backend()
            .fit_integer_grid({w.data(), rows, cols}, importance, grid,
                              {scales.data(), rows, n_groups()}, {zeros.data(), rows, n_groups()});
    }
    [[nodiscard]] std::size_t n_groups() const { return group_count(cols, grid.group_size); }
    [[nodiscard]] MatrixView<const float> weights() const { return {w.data(), rows, cols}; }

    /// With or without a grid, and a mask, a pattern or neither.
    [[nodiscard]] MatrixLimits limits(bool on_grid, bool masked, NmPattern pattern) const {
        MatrixLimits limits;
        if (on_grid) {
            limits.grid = &grid;
            limits.scales = {scales.data(), rows, n_groups()};
            limits.zeros = {zeros.data(), rows, n_groups()};
        }
        if (masked) {
            limits.keep = {mask.data(), rows, cols};
        }
        limits.pattern = pattern;
        limits.importance = importance;
        return limits;
    }
    [[nodiscard]] std::vector<MatrixLimits> all_limits() const {
        std::vector<MatrixLimits> all;
        for (const bool on_grid : {false, true}) {
            all.push_back(limits(on_grid, false, {}));
            all.push_back(limits(on_grid, true, {}));
            all.push_back(limits(on_grid, false, {2, 4}));
            all.push_back(limits(on_grid, false, {3, 7}));
        }
        return all;
    }
};

std::vector<float> projected(const Quantiser& on, const Example& e, const MatrixLimits& limits) {
    std::vector<float> values(e.w.size(), -7.0F);
    on.backend().project(e.weights(), limits, {values.data(), e.rows, e.cols});
    return values;
}

std::vector<std::uint8_t> chosen(const Quantiser& on, const std::vector<float>& w,
                                 const std::vector<float>& importance, NmPattern pattern) {
    std::vector<std::uint8_t> keep(w.size(), 9);
    const std::size_t cols = importance.size();
    on.backend().choose_pattern({w.data(), w.size() / cols, cols}, importance, pattern,
                                {keep.data(), w.size() / cols, cols});
    return keep;
}

class Splitting : public ::testing::TestWithParam<BackendKind> {};

TEST_P(Splitting, ChoosesTheLargestOfEachGroup) {
    const Quantiser on(GetParam(), 1);
    // 2:4; of the equal ones in the second group the first two; a short last group keeps two.
    EXPECT_THAT(chosen(on, {1, -3, 2, 0, /**/ 5, -5, 5, 5, /**/ 1, 0, 2}, std::vector<float>(11, 1),
                       {2, 4}),
                ElementsAre(0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1));
    // Importance 4 makes a 1 as good as a 2, and 5 better; a weight of importance 0 goes first.
    EXPECT_THAT(chosen(on, {1, 2, 1, 9}, {4, 1, 5, 0}, {2, 4}), ElementsAre(1, 0, 1, 0));
    EXPECT_THAT(chosen(on, {1, 2, 3, 4, 5}, {1, 1, 1, 1, 1}, {1, 2}), ElementsAre(0, 1, 0, 1, 1));
    EXPECT_THAT(chosen(on, {1, 2}, {1, 1}, {4, 4}), ElementsAre(1, 1));
}

TEST_P(Splitting, JointProjectionMatchesBruteForce) {
    // All 6 supports of a group of 4; on each the nearest grid points are best.
    const Example e(40, 96, {2, 32, false});
    const Quantiser on(GetParam(), 2);
    const std::vector<float> found = projected(on, e, e.limits(true, false, {2, 4}));
    const std::vector<float> rounded = projected(on, e, e.limits(true, false, {}));
    const auto distance = [&](std::size_t at, std::size_t j, float value) {
        return double{e.importance[j]} * std::pow(double{e.w[at]} - double{value}, 2);
    };
    std::size_t n_unlike_magnitude = 0;
    for (std::size_t at = 0; at < e.w.size(); at += 4) {
        double best = std::numeric_limits<double>::infinity();
        for (unsigned support = 0; support < 16; ++support) {
            double error = 0.0;
            unsigned n_kept = 0;
            for (std::size_t i = 0; i < 4; ++i) {
                const bool kept = (support >> i & 1U) != 0;
                n_kept += kept ? 1 : 0;
                error += distance(at + i, (at + i) % e.cols, kept ? rounded[at + i] : 0.0F);
            }
            best = n_kept <= 2 ? std::min(best, error) : best;
        }
        double error = 0.0;
        std::size_t n_nonzero = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            error += distance(at + i, (at + i) % e.cols, found[at + i]);
            n_nonzero += found[at + i] != 0.0F ? 1 : 0;
            ASSERT_TRUE(found[at + i] == 0.0F || found[at + i] == rounded[at + i]);
        }
        ASSERT_LE(n_nonzero, 2U);
        ASSERT_NEAR(error, best, 1e-6 * best) << "element " << at;
        const auto keep =
            chosen(on,
                   {e.w.begin() + static_cast<std::ptrdiff_t>(at),
                    e.w.begin() + static_cast<std::ptrdiff_t>(at) + 4},
                   {e.importance.begin() + static_cast<std::ptrdiff_t>(at % e.cols),
                    e.importance.begin() + static_cast<std::ptrdiff_t>(at % e.cols) + 4},
                   {2, 4});
        for (std::size_t i = 0; i < 4; ++i) {
            n_unlike_magnitude += found[at + i] != 0.0F && keep[i] == 0 ? 1 : 0;
        }
    }
    EXPECT_GT(n_unlike_magnitude, 0U);  // else choosing first and rounding then would do
}

TEST_P(Splitting, ProjectionMatchesReferenceAlsoInPlace) {
    const Example e(37, 150, bits3);
    for (const MatrixLimits& limits : e.all_limits()) {
        const auto expected = projected(Quantiser(BackendKind::reference, 1), e, limits);
        EXPECT_EQ(projected(Quantiser(GetParam(), 2), e, limits), expected);
        std::vector<float> w = e.w;
        Quantiser(GetParam(), 2)
            .backend()
            .project({w.data(), e.rows, e.cols}, limits, {w.data(), e.rows, e.cols});
        EXPECT_EQ(w, expected);
    }
}

TEST_P(Splitting, StepByHand) {
    // Grid ..., -1, 0, 1, ...: P(1.25) = 1, U = 0.25; T' = 0.5 + 0.25 = 0.75, P = 1, dual -0.25,
    // halved: T = 0.875; x = 10 + 3 * (1 - (-0.125)).
    const Quantiser on(GetParam(), 1);
    const float one = 1.0F;
    const float zero = 8.0F;
    const IntegerGridSettings bits4{4, 64, true};
    MatrixLimits limits;
    limits.grid = &bits4;
    limits.scales = {&one, 1, 1};
    limits.zeros = {&zero, 1, 1};
    float x = 0.5F;
    float state = 1.25F;
    const float target = 10.0F;
    const float penalty = 3.0F;
    on.backend().splitting_step({&x, 1, 1}, {&state, 1, 1}, {&target, 1, 1}, {&penalty, 1}, 0.5F,
                                limits);
    EXPECT_THAT(state, FloatEq(0.875F));
    EXPECT_THAT(x, FloatEq(13.375F));
}

struct StepResult {
    std::vector<float> x;
    std::vector<float> state;

    bool operator==(const StepResult&) const = default;
};

StepResult step(const Quantiser& on, const Example& e, const MatrixLimits& limits) {
    StepResult result{test_data::layer_weights(e.rows, e.cols, 7), e.w};
    const std::vector<float> target = test_data::layer_weights(e.rows, e.cols, 8);
    on.backend().splitting_step({result.x.data(), e.rows, e.cols},
                                {result.state.data(), e.rows, e.cols},
                                {target.data(), e.rows, e.cols}, e.importance, 0.75F, limits);
    return result;
}

void expect_close(const std::vector<float>& found, const std::vector<float>& expected,
                  std::size_t cols) {
    for (std::size_t begin = 0; begin < found.size(); begin += cols) {
        double difference = 0.0;
        double norm = 0.0;
        for (std::size_t i = begin; i < begin + cols; ++i) {
            difference += std::pow(double{found[i]} - double{expected[i]}, 2);
            norm += std::pow(double{expected[i]}, 2);
        }
        ASSERT_LE(std::sqrt(difference), 1e-6 * std::sqrt(norm)) << "row " << begin / cols;
    }
}

TEST_P(Splitting, StepMatchesReference) {
    const Example e(37, 150, bits3);
    for (const MatrixLimits& limits : e.all_limits()) {
        const StepResult expected = step(Quantiser(BackendKind::reference, 1), e, limits);
        const StepResult found = step(Quantiser(GetParam(), 2), e, limits);
        expect_close(found.x, expected.x, e.cols);
        expect_close(found.state, expected.state, e.cols);
    }
}

TEST_P(Splitting, DoesNotDependOnTheNumberOfThreads) {
    const Example e(100, 70, bits3);
    for (const MatrixLimits& limits : e.all_limits()) {
        const StepResult one = step(Quantiser(GetParam(), 1), e, limits);
        for (const std::size_t n_threads : {2, 5}) {
            EXPECT_TRUE(step(Quantiser(GetParam(), n_threads), e, limits) == one);
        }
    }
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

TEST_P(Splitting, NamesWhatItRejects) {
    const Quantiser on(GetParam(), 1);
    const Example e(2, 8, bits3);
    expect_refusal(
        [&] {
            (void)chosen(on, e.w, e.importance, {3, 2});
        },
        "choose_pattern: pattern is 3:2", "1 <= N <= M");
    expect_refusal(
        [&] {
            (void)projected(on, e, e.limits(false, true, {2, 4}));
        },
        "project", "both keep and a pattern");
    MatrixLimits limits = e.limits(true, false, {2, 4});
    limits.importance = limits.importance.first(3);
    expect_refusal([&] { (void)projected(on, e, limits); }, "importance has 3", "w [2, 8]");
    limits = e.limits(true, true, {});
    limits.keep = {e.mask.data(), 1, 8};
    expect_refusal([&] { (void)step(on, e, limits); }, "splitting_step: keep [1, 8]", "w [2, 8]");
}

INSTANTIATE_TEST_SUITE_P(Backends, Splitting, ::testing::ValuesIn(available_backends()),
                         BackendName());

}  // namespace
}  // namespace lathe::kernels
