#include <cmath>
#include <numeric>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "tests/kernels/compression_fixture.hpp"
#include "tests/support/correlated_data.hpp"

// sweep_sparse, conjugate_step and exchange_places.

namespace lathe::kernels {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

struct Sparse {
    std::vector<float> values;
    std::vector<std::uint8_t> keep;

    bool operator==(const Sparse&) const = default;
};

/// Grids for each group of 64 columns of each row.
struct Grids {
    IntegerGridSettings settings;
    std::vector<float> scales;
    std::vector<float> zeros;
};

Sparse sweep(const Quantiser& on, const std::vector<float>& w, const std::vector<float>& factor,
             std::size_t d, NmPattern pattern, const std::vector<std::uint8_t>& keep = {},
             const Grids* grids = nullptr) {
    Sparse result{w, keep};
    result.keep.resize(w.size(), 9);
    const std::size_t rows = w.size() / d;
    const std::size_t n_groups = grids == nullptr ? 0 : grids->scales.size() / rows;
    on.backend().sweep_sparse({result.values.data(), rows, d}, {factor.data(), d, d}, pattern,
                              {result.keep.data(), rows, d},
                              grids == nullptr ? nullptr : &grids->settings,
                              {grids == nullptr ? nullptr : grids->scales.data(), rows, n_groups},
                              {grids == nullptr ? nullptr : grids->zeros.data(), rows, n_groups});
    return result;
}

/// A layer with its factor.
struct Layer {
    std::size_t rows;
    std::size_t d;
    std::vector<float> w;
    std::vector<double> gram;
    std::vector<float> factor;

    Layer(std::size_t rows_, std::size_t d_)
        : rows(rows_),
          d(d_),
          w(test_data::layer_weights(rows, d, 41)),
          gram(test_data::gram_of(
              test_data::correlated_inputs(test_data::Family::autoregressive, 4 * d, d, 42), 4 * d,
              d)),
          factor(Quantiser(BackendKind::reference, 1).inverse_factor(gram, d, 0.01)) {}
};

class SparseKernels : public ::testing::TestWithParam<BackendKind> {};

TEST_P(SparseKernels, SweepByHand) {
    // 1:2. Scores w^2 / U_jj^2: (1 / 1)^2 = 1 against (3 / 2)^2: column 1 stays. Column 0 passes
    // 1 / 1 on: column 1 becomes 3 - 1 * 1 = 2, column 2 becomes 1 - 1 * 2 = -1, column 3 stays 4.
    // Then (-1)^2 against (4 / 8)^2: column 2 stays; column 3 has nowhere to pass its error on to.
    const std::vector<float> factor = {1, 1, 2, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 8};
    const Quantiser on(GetParam(), 1);
    const Sparse found = sweep(on, {1, 3, 1, 4}, factor, 4, {1, 2});
    EXPECT_THAT(found.keep, ElementsAre(0, 1, 1, 0));
    EXPECT_THAT(found.values, ElementsAre(0, 2, -1, 0));
    // With given places nothing is chosen, and kept values are rounded: 2.4 to 2, error 0.4 / 2.
    const Grids grid{{3, 64, true}, {1}, {4}};
    const Sparse rounded =
        sweep(on, {0, 2.4F, 1, 4}, {1, 0, 0, 0, 0, 2, 3, 0, 0, 0, 1, 0, 0, 0, 0, 1}, 4, {},
              {0, 1, 1, 0}, &grid);
    EXPECT_THAT(rounded.values, ElementsAre(0, 2, 0, 0));  // 1 - 0.2 * 3 = 0.4
}

TEST_P(SparseKernels, SweepMatchesReference) {
    const Layer layer(130, 300);  // more than a tile of rows, more than two blocks of columns
    for (const NmPattern pattern : {NmPattern{2, 4}, {4, 8}, {3, 7}, {1, 200}}) {
        const Sparse expected =
            sweep(Quantiser(BackendKind::reference, 1), layer.w, layer.factor, layer.d, pattern);
        const Sparse found =
            sweep(Quantiser(GetParam(), 2), layer.w, layer.factor, layer.d, pattern);
        // Sums differ in the last bits, so of nearly equal weights another may stay.
        std::size_t n_other = 0;
        for (std::size_t i = 0; i < found.keep.size(); ++i) {
            n_other += found.keep[i] != expected.keep[i] ? 1 : 0;
        }
        EXPECT_LE(n_other, found.keep.size() / 1000) << pattern.n << ":" << pattern.m;
        EXPECT_NEAR(test_data::relative_error(layer.w, found.values, layer.gram, layer.d),
                    test_data::relative_error(layer.w, expected.values, layer.gram, layer.d), 1e-3);
        for (std::size_t i = 0; i < found.keep.size(); ++i) {
            ASSERT_TRUE(found.keep[i] == 1 || found.values[i] == 0.0F);
        }
    }
}

TEST_P(SparseKernels, SweepOfEverythingOnAGridIsGptq) {
    const Layer layer(40, 150);
    const IntegerGridSettings settings{4, 64, true};
    const Quantiser on(GetParam(), 2);
    const std::vector<float> ones(layer.d, 1.0F);
    std::vector<std::uint32_t> order(layer.d);
    std::iota(order.begin(), order.end(), 0U);  // with an order grids are fitted beforehand
    const Quantised expected = on.gptq(layer.w, layer.factor, ones, order, settings);
    const Grids grids{settings, expected.scales, expected.zeros};
    const Sparse found = sweep(on, layer.w, layer.factor, layer.d, {},
                               std::vector<std::uint8_t>(layer.w.size(), 1), &grids);
    std::size_t n_other = 0;
    for (std::size_t i = 0; i < found.values.size(); ++i) {
        n_other += found.values[i] != expected.values[i] ? 1 : 0;
    }
    EXPECT_LE(n_other, found.values.size() / 1000);
}

/// State of conjugate gradients on a layer with every third weight dropped.
struct Gradients {
    std::vector<std::uint8_t> keep;
    std::vector<float> gram;
    std::vector<float> inverse;
    std::vector<float> values;
    std::vector<float> residual;
    std::vector<float> direction;

    explicit Gradients(const Layer& layer)
        : gram(layer.gram.begin(), layer.gram.end()), values(layer.w), direction(layer.w.size()) {
        std::vector<float> lost(layer.w.size(), 0.0F);
        for (std::size_t i = 0; i < values.size(); ++i) {
            keep.push_back(i % 3 != 1 ? 1 : 0);
            if (keep[i] == 0) {
                lost[i] = values[i];
                values[i] = 0.0F;
            }
        }
        for (std::size_t j = 0; j < layer.d; ++j) {
            inverse.push_back(1.0F / gram[j * layer.d + j]);
        }
        residual = times_gram(lost, layer);
        for (std::size_t i = 0; i < values.size(); ++i) {
            residual[i] = keep[i] != 0 ? residual[i] : 0.0F;
            direction[i] = residual[i] * inverse[i % layer.d];
        }
    }
    [[nodiscard]] std::vector<float> times_gram(const std::vector<float>& x,
                                                const Layer& layer) const {
        std::vector<float> product(x.size());
        for (std::size_t r = 0; r < layer.rows; ++r) {
            for (std::size_t k = 0; k < layer.d; ++k) {
                double sum = 0.0;
                for (std::size_t j = 0; j < layer.d; ++j) {
                    sum += double{x[r * layer.d + j]} * double{gram[j * layer.d + k]};
                }
                product[r * layer.d + k] = static_cast<float>(sum);
            }
        }
        return product;
    }
    void step(const Quantiser& on, const Layer& layer) {
        const std::vector<float> product = times_gram(direction, layer);
        on.backend().conjugate_step(
            {keep.data(), layer.rows, layer.d}, inverse, {product.data(), layer.rows, layer.d},
            {values.data(), layer.rows, layer.d}, {residual.data(), layer.rows, layer.d},
            {direction.data(), layer.rows, layer.d});
    }
};

TEST_P(SparseKernels, ConjugateStepSolvesTwoColumnsInTwoSteps) {
    // A = [[2, 1, 0], [1, 2, 1], [0, 1, 2]], column 1 is dropped from W = (1, 2, 3): what stays is
    // diagonal, so the best values are W_0 + 2 * 1/2 and W_2 + 2 * 1/2.
    const std::vector<std::uint8_t> keep = {1, 0, 1};
    const std::vector<float> inverse = {0.5F, 0.5F, 0.5F};
    std::vector<float> values = {1, 0, 3};
    std::vector<float> residual = {2, 0, 2};
    std::vector<float> direction = {1, 0, 1};
    const std::vector<float> product = {2, 2, 2};
    const Quantiser on(GetParam(), 1);
    const auto step = [&](const std::vector<float>& p) {
        on.backend().conjugate_step({keep.data(), 1, 3}, inverse, {p.data(), 1, 3},
                                    {values.data(), 1, 3}, {residual.data(), 1, 3},
                                    {direction.data(), 1, 3});
    };
    step(product);
    EXPECT_THAT(values, ElementsAre(2, 0, 4));
    EXPECT_THAT(residual, ElementsAre(0, 0, 0));
    step({0, 0, 0});  // a finished row stays, without 0 / 0
    EXPECT_THAT(values, ElementsAre(2, 0, 4));
}

TEST_P(SparseKernels, ConjugateStepMatchesReferenceAndLowersTheError) {
    const Layer layer(21, 75);
    Gradients expected(layer);
    Gradients found(layer);
    const Quantiser reference(BackendKind::reference, 1);
    const Quantiser on(GetParam(), 2);
    double before = test_data::relative_error(layer.w, found.values, layer.gram, layer.d);
    for (std::size_t i = 0; i < 3; ++i) {
        expected.step(reference, layer);
        found.step(on, layer);
        const double error = test_data::relative_error(layer.w, found.values, layer.gram, layer.d);
        EXPECT_LT(error, before);
        before = error;
    }
    for (std::size_t i = 0; i < found.values.size(); ++i) {
        ASSERT_NEAR(found.values[i], expected.values[i], 1e-4);
        ASSERT_TRUE(found.keep[i] == 1 || found.values[i] == 0.0F);
    }
}

TEST_P(SparseKernels, ExchangeByHand) {
    // 1:2, A = I but for A_01 = A_10 = 0.5, W = (2, 3). V = (3.5, 0), the best value for column 0,
    // has gradient (V - W) A = (1.5 - 1.5, 0.75 - 3) and error 1.5^2 - 2 * 1.5 * 3 * 0.5 + 9
    // = 6.75; V = (0, 4) has 4 - 2 * 2 * 0.5 * 1 + 1 = 3: the exchange is made. The second row has
    // it already, and the third column stands alone in its group.
    const std::vector<float> gram = {1, 0.5F, 0, 0.5F, 1, 0, 0, 0, 1};
    std::vector<std::uint8_t> keep = {1, 0, 1, 0, 1, 1};
    std::vector<float> values = {3.5F, 0, 7, 0, 4, 7};
    std::vector<float> gradient = {0, -2.25F, 0, -1.5F, 0, 0};
    const Quantiser on(GetParam(), 1);
    on.backend().exchange_places({gram.data(), 3, 3}, {1, 2}, 3, {keep.data(), 2, 3},
                                 {values.data(), 2, 3}, {gradient.data(), 2, 3});
    EXPECT_THAT(keep, ElementsAre(0, 1, 1, 0, 1, 1));
    EXPECT_THAT(values, ElementsAre(0, 4, 7, 0, 4, 7));
    EXPECT_THAT(gradient, ElementsAre(-1.5F, 0, 0, -1.5F, 0, 0));
}

TEST_P(SparseKernels, ExchangeBringsNoDeadColumnBack) {
    const std::vector<float> gram = {1, 0, 0, 0};
    std::vector<std::uint8_t> keep = {1, 0};
    std::vector<float> values = {1, 0};
    std::vector<float> gradient = {-1, 0};
    Quantiser(GetParam(), 1)
        .backend()
        .exchange_places({gram.data(), 2, 2}, {1, 2}, 3, {keep.data(), 1, 2}, {values.data(), 1, 2},
                         {gradient.data(), 1, 2});
    EXPECT_THAT(keep, ElementsAre(1, 0));
    EXPECT_THAT(values, ElementsAre(1, 0));
}

/// The largest weights of each group of 4, and what exchanges make of them.
struct Exchanged {
    std::vector<std::uint8_t> keep;
    std::vector<float> values;
    std::vector<float> gradient;

    Exchanged(const Quantiser& on, const Layer& layer, std::size_t n_passes)
        : keep(layer.w.size()), values(layer.w.size()), gradient(layer.w.size()) {
        const std::vector<float> gram(layer.gram.begin(), layer.gram.end());
        const std::vector<float> equal(layer.d, 1.0F);
        on.backend().choose_pattern({layer.w.data(), layer.rows, layer.d}, equal, {2, 4},
                                    {keep.data(), layer.rows, layer.d});
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = keep[i] != 0 ? layer.w[i] : 0.0F;
        }
        for (std::size_t r = 0; r < layer.rows; ++r) {
            for (std::size_t k = 0; k < layer.d; ++k) {
                double sum = 0.0;
                for (std::size_t j = 0; j < layer.d; ++j) {
                    const std::size_t i = r * layer.d + j;
                    sum += (double{values[i]} - double{layer.w[i]}) * layer.gram[j * layer.d + k];
                }
                gradient[r * layer.d + k] = static_cast<float>(sum);
            }
        }
        on.backend().exchange_places(
            {gram.data(), layer.d, layer.d}, {2, 4}, n_passes, {keep.data(), layer.rows, layer.d},
            {values.data(), layer.rows, layer.d}, {gradient.data(), layer.rows, layer.d});
    }
};

TEST_P(SparseKernels, ExchangeLowersTheErrorAsTheReferenceDoesAndKeepsThePattern) {
    const Layer layer(21, 75);  // the last group has 3 columns
    const Quantiser on(GetParam(), 2);
    double before = 1e9;
    for (const std::size_t n_passes : {0, 1, 2, 4}) {
        const Exchanged found(on, layer, n_passes);
        const Exchanged expected(Quantiser(BackendKind::reference, 1), layer, n_passes);
        const double error = test_data::relative_error(layer.w, found.values, layer.gram, layer.d);
        EXPECT_NEAR(error, test_data::relative_error(layer.w, expected.values, layer.gram, layer.d),
                    1e-3 * error);
        EXPECT_LE(error, before);
        before = error;
        for (std::size_t i = 0; i < layer.w.size(); ++i) {
            ASSERT_EQ(found.values[i] == 0.0F, found.keep[i] == 0);
        }
        for (std::size_t r = 0; r < layer.rows; ++r) {
            for (std::size_t j = 0; j + 4 <= layer.d; j += 4) {
                const auto group =
                    found.keep.begin() + static_cast<std::ptrdiff_t>(r * layer.d + j);
                ASSERT_EQ(std::accumulate(group, group + 4, 0), 2);
            }
        }
    }
    const Exchanged first(on, layer, 0);
    EXPECT_LT(before, 0.5 * test_data::relative_error(layer.w, first.values, layer.gram, layer.d));
}

TEST_P(SparseKernels, DoNotDependOnTheNumberOfThreads) {
    const Layer layer(GetParam() == BackendKind::reference ? 20 : 300, 140);
    const Sparse one = sweep(Quantiser(GetParam(), 1), layer.w, layer.factor, layer.d, {2, 4});
    Gradients first(layer);
    first.step(Quantiser(GetParam(), 1), layer);
    const std::vector<float> exchanged = Exchanged(Quantiser(GetParam(), 1), layer, 2).values;
    for (const std::size_t n_threads : {2, 5}) {
        EXPECT_TRUE(
            sweep(Quantiser(GetParam(), n_threads), layer.w, layer.factor, layer.d, {2, 4}) == one);
        Gradients more(layer);
        more.step(Quantiser(GetParam(), n_threads), layer);
        EXPECT_TRUE(more.values == first.values && more.direction == first.direction);
        EXPECT_TRUE(Exchanged(Quantiser(GetParam(), n_threads), layer, 2).values == exchanged);
    }
}

TEST_P(SparseKernels, NameWhatTheyReject) {
    const Quantiser on(GetParam(), 1);
    const Layer layer(2, 8);
    const auto refusal = [](const auto& call) -> std::string {
        try {
            call();
        } catch (const InternalError& e) {
            return e.what();
        }
        return "accepted";
    };
    EXPECT_THAT(refusal([&] {
                    (void)sweep(on, layer.w, layer.factor, 8, {5, 4});
                }),
                AllOf(HasSubstr("sweep_sparse: pattern is 5:4"), HasSubstr("1 <= N <= M")));
    const Grids grids{{4, 4, true}, {1, 1}, {8, 8}};
    EXPECT_THAT(refusal([&] {
                    (void)sweep(on, layer.w, layer.factor, 8, {}, std::vector<std::uint8_t>(16, 1),
                                &grids);
                }),
                AllOf(HasSubstr("scales [2, 1] must be [2, 2]"), HasSubstr("groups of 4")));
    Gradients g(layer);
    g.inverse.pop_back();
    EXPECT_THAT(refusal([&] { g.step(on, layer); }),
                AllOf(HasSubstr("inverse_diagonal has 7"), HasSubstr("values [2, 8]")));
}

INSTANTIATE_TEST_SUITE_P(Backends, SparseKernels, ::testing::ValuesIn(available_backends()),
                         BackendName());

}  // namespace
}  // namespace lathe::kernels
