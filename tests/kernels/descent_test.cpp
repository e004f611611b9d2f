#include <algorithm>
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
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A layer rounded to nearest, from where the descent starts.
struct Layer {
    std::size_t rows;
    std::size_t d;
    IntegerGridSettings grid;
    std::vector<float> w;
    std::vector<double> gram;
    std::vector<float> narrow_gram;
    Quantised start;

    Layer(std::size_t rows_, std::size_t d_, const IntegerGridSettings& grid_)
        : rows(rows_),
          d(d_),
          grid(grid_),
          w(test_data::layer_weights(rows, d, 31)),
          gram(test_data::gram_of(
              test_data::correlated_inputs(test_data::Family::autoregressive, 3 * d, d, 32), 3 * d,
              d)),
          narrow_gram(gram.begin(), gram.end()),
          start(Quantiser(BackendKind::reference, 1)
                    .round_to_nearest(w, diagonal_of(gram, d), grid)) {}

    [[nodiscard]] double error(const Quantised& q) const {
        return test_data::relative_error(w, q.values, gram, d);
    }
};

Quantised descend(const Quantiser& on, const Layer& layer, std::size_t n_passes,
                  const std::vector<std::uint8_t>& keep = {}) {
    Quantised q = layer.start;
    const std::size_t n_groups = group_count(layer.d, layer.grid.group_size);
    std::fill(q.values.begin(), q.values.end(), -7.0F);
    on.backend().descend_on_grid(
        {layer.w.data(), layer.rows, layer.d}, {layer.narrow_gram.data(), layer.d, layer.d},
        layer.grid, n_passes,
        keep.empty() ? MatrixView<const std::uint8_t>()
                     : MatrixView<const std::uint8_t>(keep.data(), layer.rows, layer.d),
        {q.scales.data(), layer.rows, n_groups}, {q.zeros.data(), layer.rows, n_groups},
        {q.codes.data(), layer.rows, layer.d}, {q.values.data(), layer.rows, layer.d});
    return q;
}

class Descent : public ::testing::TestWithParam<BackendKind> {};

TEST_P(Descent, ByHand) {
    // One row, A = [[1, 0.5], [0.5, 1]], W = (1.4, 0.4), V = (1, 0), grid of whole numbers.
    // Gradient (V - W) A = (-0.6, -0.6). Column 0: 1 + 0.6 = 1.6 becomes 2, gradient
    // (0.4, -0.1). Column 1: 0.1 stays 0. Scale: steps (2, 0), slope 0.8, curvature 4: 1 - 0.2.
    const Quantiser on(GetParam(), 1);
    const std::vector<float> w = {1.4F, 0.4F};
    const std::vector<float> gram = {1, 0.5F, 0.5F, 1};
    float scale = 1.0F;
    const float zero = 4.0F;
    std::vector<std::uint8_t> codes = {5, 4};
    std::vector<float> values(2);
    on.backend().descend_on_grid({w.data(), 1, 2}, {gram.data(), 2, 2}, {3, 64, true}, 1, {},
                                 {&scale, 1, 1}, {&zero, 1, 1}, {codes.data(), 1, 2},
                                 {values.data(), 1, 2});
    const float expected = half_to_float(float_to_half(0.8F));
    EXPECT_EQ(scale, expected);
    EXPECT_THAT(codes, ElementsAre(6, 4));
    EXPECT_THAT(values, ElementsAre(2 * expected, 0));
}

TEST_P(Descent, LowersTheErrorInEveryPassAndStaysOnTheGrid) {
    for (const bool symmetric : {true, false}) {
        const Layer layer(30, 150, {3, 64, symmetric});
        const Quantiser on(GetParam(), 2);
        double before = layer.error(layer.start);
        for (const std::size_t n_passes : {1, 2, 3}) {
            const Quantised q = descend(on, layer, n_passes);
            const double error = layer.error(q);
            EXPECT_LT(error, before);
            before = error;
            for (std::size_t i = 0; i < q.codes.size(); ++i) {
                const std::size_t g = i / layer.d * 3 + i % layer.d / 64;
                ASSERT_EQ(q.values[i], q.scales[g] * (static_cast<float>(q.codes[i]) - q.zeros[g]));
                ASSERT_LE(q.codes[i], 7);
                ASSERT_GE(q.codes[i], symmetric ? 1 : 0);
                ASSERT_EQ(half_to_float(float_to_half(q.scales[g])), q.scales[g]);
            }
        }
        EXPECT_LT(before, 0.75 * layer.error(layer.start));
    }
}

TEST_P(Descent, MatchesReference) {
    // Groups smaller than a block of 128, larger, and larger than those whose scale is refitted.
    for (const auto& [d, group_size] :
         {std::pair<std::size_t, std::size_t>{300, 48}, {300, 200}, {600, 600}, {5, 64}}) {
        for (const bool powers : {false, true}) {
            const Layer layer(19, d, {3, group_size, true, powers});
            const Quantised expected = descend(Quantiser(BackendKind::reference, 1), layer, 2);
            const Quantised found = descend(Quantiser(GetParam(), 2), layer, 2);
            EXPECT_TRUE(found.codes == expected.codes) << d << ", groups of " << group_size;
            EXPECT_TRUE(found.scales == expected.scales) << d << ", groups of " << group_size;
            // A power of two may be the best as it is.
            EXPECT_TRUE(powers || (group_size > 512) == (found.scales == layer.start.scales));
            EXPECT_LT(layer.error(found), layer.error(layer.start));
            for (const float scale : found.scales) {
                EXPECT_TRUE(!powers || std::exp2(std::round(std::log2(scale))) == scale) << scale;
            }
        }
    }
}

TEST_P(Descent, LeavesDroppedWeightsAndDeadInputsAlone) {
    Layer layer(20, 70, {4, 32, true});
    for (std::size_t i = 0; i < layer.d; ++i) {
        layer.narrow_gram[i * layer.d + 9] = layer.narrow_gram[9 * layer.d + i] = 0.0F;
    }
    std::vector<std::uint8_t> keep(layer.w.size());
    for (std::size_t i = 0; i < keep.size(); ++i) {
        keep[i] = i % 3 != 0 ? 1 : 0;
        if (keep[i] == 0) {
            layer.start.codes[i] = 8;
        }
    }
    const Quantised q = descend(Quantiser(GetParam(), 2), layer, 2, keep);
    for (std::size_t i = 0; i < keep.size(); ++i) {
        if (keep[i] == 0 || i % layer.d == 9) {
            ASSERT_EQ(q.codes[i], layer.start.codes[i]);
        }
    }
    EXPECT_FALSE(q.codes == layer.start.codes);
}

TEST_P(Descent, DoesNotDependOnTheNumberOfThreads) {
    const Layer layer(GetParam() == BackendKind::reference ? 20 : 300, 150, {2, 64, true});
    const Quantised one = descend(Quantiser(GetParam(), 1), layer, 2);
    for (const std::size_t n_threads : {2, 5}) {
        EXPECT_TRUE(descend(Quantiser(GetParam(), n_threads), layer, 2) == one);
    }
}

TEST_P(Descent, NamesWhatItRejects) {
    const Layer layer(2, 8, {3, 8, true});
    try {
        (void)descend(Quantiser(GetParam(), 1), layer, 1, std::vector<std::uint8_t>(16));
        Quantised q = layer.start;
        Quantiser(GetParam(), 1)
            .backend()
            .descend_on_grid({layer.w.data(), 2, 8}, {layer.narrow_gram.data(), 4, 8}, layer.grid,
                             1, {}, {q.scales.data(), 2, 1}, {q.zeros.data(), 2, 1},
                             {q.codes.data(), 2, 8}, {q.values.data(), 2, 8});
        FAIL();
    } catch (const ShapeError& e) {
        EXPECT_THAT(e.what(), AllOf(HasSubstr("descend_on_grid: gram [4, 8] must be [8, 8]"),
                                    HasSubstr("w [2, 8]")));
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, Descent, ::testing::ValuesIn(available_backends()),
                         BackendName());

}  // namespace
}  // namespace lathe::kernels
