#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/parallel.hpp"
#include "tests/support/correlated_data.hpp"

namespace lathe::kernels {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float untouched = -77.0F;

/// Of `start` [d, d] the upper triangle.
std::vector<float> gram(BackendKind kind, const std::vector<float>& x, std::size_t d,
                        std::size_t n_threads, std::vector<float> start) {
    ThreadPool pool(n_threads);
    make_backend(kind, pool)
        ->accumulate_gram({x.data(), x.size() / d, d},
                          UpperTriangle<float>(MatrixView<float>(start.data(), d, d)));
    return start;
}

struct Columns {
    std::vector<double> sum_abs;
    std::vector<float> minimum;
    std::vector<float> maximum;

    explicit Columns(std::size_t d)
        : sum_abs(d, 0.0),
          minimum(d, std::numeric_limits<float>::infinity()),
          maximum(d, -std::numeric_limits<float>::infinity()) {}
    ColumnStatistics view() { return {sum_abs, minimum, maximum}; }
    bool operator==(const Columns&) const = default;
};

Columns column_statistics(BackendKind kind, const std::vector<float>& x, std::size_t d,
                          std::size_t n_threads) {
    ThreadPool pool(n_threads);
    Columns columns(d);
    make_backend(kind, pool)
        ->accumulate_column_statistics({x.data(), x.size() / d, d}, columns.view());
    return columns;
}

// ---- by hand ------------------------------------------------------------------------------------

TEST(AccumulateGramReference, AddsTheUpperTriangleOnly) {
    // x^T x = [[1+9, 2+12], [., 4+16]]
    EXPECT_THAT(gram(BackendKind::reference, {1, 2, 3, 4}, 2, 1, {100, 0, untouched, 0}),
                ElementsAre(110, 14, untouched, 20));
}

TEST(ColumnStatisticsReference, AddsMagnitudesAndWidensTheRange) {
    ThreadPool pool(1);
    const auto backend = make_backend(BackendKind::reference, pool);
    const std::vector<float> x = {1, -2, -3, -4};
    Columns columns(2);
    columns.maximum = {0.5F, 7.0F};
    backend->accumulate_column_statistics({x.data(), 2, 2}, columns.view());
    EXPECT_THAT(columns.sum_abs, ElementsAre(4, 6));
    EXPECT_THAT(columns.minimum, ElementsAre(-3, -4));
    EXPECT_THAT(columns.maximum, ElementsAre(1, 7));
}

TEST(CountLargestReference, CountsWhatIsLargestByWeightedMagnitude) {
    ThreadPool pool(1);
    const auto backend = make_backend(BackendKind::reference, pool);
    // Weighted: [2, 3, 1], [4, 0, 4] (equal: the lower index), [0, 0, 5].
    const std::vector<float> x = {-2, 1, 1, 4, 0, -4, 0, 0, 5};
    std::vector<double> counts = {10, 0, 0};
    backend->count_largest({x.data(), 3, 3}, std::vector<float>{1, 3, 1}, 1, counts);
    EXPECT_THAT(counts, ElementsAre(11, 1, 1));
    backend->count_largest({x.data(), 3, 3}, std::vector<float>{1, 3, 1}, 2, counts);
    EXPECT_THAT(counts, ElementsAre(14, 2, 3));
}

// ---- every backend ------------------------------------------------------------------------------

class Statistics : public ::testing::TestWithParam<BackendKind> {};

TEST_P(Statistics, GramMatchesReference) {
    struct Case {
        std::size_t n_tokens;
        std::size_t d;
    };
    // One element, one tile, tiles and tokens that do not divide (2048 tokens are one fp32 sum; the
    // cpu backend takes 512 of them in a step, and columns by 32, 16 or 8).
    for (const Case c :
         {Case{1, 1}, Case{5, 3}, Case{70, 129}, Case{520, 33}, Case{2051, 40}, Case{33, 1100}}) {
        SCOPED_TRACE(std::to_string(c.n_tokens) + " tokens, d = " + std::to_string(c.d));
        const std::vector<float> x =
            test_data::correlated_inputs(test_data::Family::low_rank, c.n_tokens, c.d, 3);
        const std::vector<float> start(c.d * c.d, untouched);
        const std::vector<float> expected = gram(BackendKind::reference, x, c.d, 1, start);
        const std::vector<float> found = gram(GetParam(), x, c.d, 2, start);
        double worst = 0.0;
        for (std::size_t i = 0; i < c.d; ++i) {
            for (std::size_t j = 0; j < c.d; ++j) {
                const double scale = std::sqrt(double{expected[i * c.d + i] - untouched} *
                                               double{expected[j * c.d + j] - untouched});
                const double difference =
                    std::abs(double{found[i * c.d + j]} - double{expected[i * c.d + j]});
                if (j < i) {
                    ASSERT_EQ(found[i * c.d + j], untouched);
                }
                worst = std::max(worst, difference / scale);
            }
        }
        EXPECT_LT(worst, 1e-5);
    }
}

// Sums in fp32 of many chunks: what rounds off stays far below what rounding in a chunk does.
TEST_P(Statistics, GramOfManyChunksStaysNearFp64) {
    constexpr std::size_t d = 24;
    constexpr std::size_t n_tokens = 512;
    constexpr std::size_t n_chunks = 128;
    std::vector<float> sums(triangle_size(d));
    std::vector<double> exact(d * d);
    ThreadPool pool(1);
    const auto backend = make_backend(GetParam(), pool);
    const auto reference = make_backend(BackendKind::reference, pool);
    for (std::size_t chunk = 0; chunk < n_chunks; ++chunk) {
        const std::vector<float> x = test_data::correlated_inputs(
            test_data::Family::autoregressive, n_tokens, d, static_cast<unsigned>(100 + chunk));
        const MatrixView<const float> view(x.data(), n_tokens, d);
        backend->accumulate_gram(view, {sums.data(), d});
        reference->accumulate_stream_gram(view, {exact.data(), d, d});
    }
    const UpperTriangle<const float> found(sums.data(), d);
    for (std::size_t i = 0; i < d; ++i) {
        for (std::size_t j = i; j < d; ++j) {
            const double scale = std::sqrt(exact[i * d + i] * exact[j * d + j]);
            ASSERT_NEAR(found(i, j), exact[i * d + j], 1e-6 * scale) << i << ", " << j;
        }
    }
}

TEST_P(Statistics, GramOfNoTokensAddsNothing) {
    EXPECT_THAT(gram(GetParam(), {}, 2, 1, {1, 2, 3, 4}), ElementsAre(1, 2, 3, 4));
}

TEST_P(Statistics, GramOfNoColumnsIsNothing) {
    ThreadPool pool(1);
    make_backend(GetParam(), pool)->accumulate_gram({nullptr, 3, 0}, {nullptr, 0});
}

TEST_P(Statistics, PackedGramIsTheSameBitForBit) {
    constexpr std::size_t d = 333;
    const std::vector<float> x =
        test_data::correlated_inputs(test_data::Family::autoregressive, 70, d, 8);
    const std::vector<float> whole = gram(GetParam(), x, d, 2, std::vector<float>(d * d));
    std::vector<float> packed(triangle_size(d));
    ThreadPool pool(2);
    make_backend(GetParam(), pool)->accumulate_gram({x.data(), 70, d}, {packed.data(), d});
    std::size_t next = 0;
    for (std::size_t i = 0; i < d; ++i) {
        for (std::size_t j = i; j < d; ++j) {
            ASSERT_EQ(packed[next++], whole[i * d + j]) << i << ", " << j;
        }
    }
}

TEST_P(Statistics, GramReadsAViewWithAStride) {
    ThreadPool pool(2);
    const std::vector<float> x = {1, 2, 99, 3, 4, 99};
    std::vector<float> g = {0, 0, untouched, 0, 0, untouched};
    make_backend(GetParam(), pool)
        ->accumulate_gram({x.data(), 2, 2, 3},
                          UpperTriangle<float>(MatrixView<float>(g.data(), 2, 2, 3)));
    EXPECT_THAT(g, ElementsAre(10, 14, untouched, 0, 20, untouched));
}

TEST_P(Statistics, ColumnStatisticsMatchReferenceExactly) {
    for (const std::size_t d : {1, 7, 256, 777}) {
        const std::vector<float> x =
            test_data::correlated_inputs(test_data::Family::autoregressive, 65, d, 4);
        EXPECT_TRUE(column_statistics(GetParam(), x, d, 2) ==
                    column_statistics(BackendKind::reference, x, d, 1))
            << "d = " << d;
    }
}

TEST_P(Statistics, RowsAreScaled) {
    ThreadPool pool(2);
    const auto backend = make_backend(GetParam(), pool);
    for (const std::size_t rows : {std::size_t{1}, std::size_t{130}}) {  // tiles of 64
        const std::vector<float> x =
            test_data::correlated_inputs(test_data::Family::low_rank, rows, 19, 3);
        std::vector<float> factors(rows);
        std::vector<float> expected = x;
        for (std::size_t t = 0; t < rows; ++t) {
            factors[t] = static_cast<float>(t % 7) / 3.0F;
            for (std::size_t j = 0; j < 19; ++j) {
                expected[t * 19 + j] *= factors[t];
            }
        }
        std::vector<float> found(x.size(), untouched);
        backend->scale_rows({x.data(), rows, 19}, factors, {found.data(), rows, 19});
        EXPECT_EQ(found, expected);
        found = x;
        backend->scale_rows({found.data(), rows, 19}, factors, {found.data(), rows, 19});
        EXPECT_EQ(found, expected);
    }
}

TEST_P(Statistics, LargestAreCountedLikeByTheReference) {
    struct Case {
        std::size_t n_tokens;
        std::size_t d;
        std::size_t per_token;
    };
    for (const Case c :
         {Case{3, 1, 1}, Case{5, 7, 0}, Case{65, 40, 2}, Case{200, 333, 17}, Case{9, 20, 20}}) {
        SCOPED_TRACE(std::to_string(c.n_tokens) + " tokens, d = " + std::to_string(c.d));
        std::vector<float> x =
            test_data::correlated_inputs(test_data::Family::autoregressive, c.n_tokens, c.d, 6);
        for (std::size_t i = 0; i < x.size(); i += 2) {  // many that are equal
            x[i] = std::round(x[i]);
        }
        x[x.size() / 2] = std::numeric_limits<float>::quiet_NaN();
        std::vector<float> weights(c.d);
        for (std::size_t j = 0; j < c.d; ++j) {
            weights[j] = static_cast<float>(j % 3);
        }
        const auto counted = [&](BackendKind kind, std::size_t n_threads) {
            ThreadPool pool(n_threads);
            std::vector<double> counts(c.d, 1.0);
            make_backend(kind, pool)
                ->count_largest({x.data(), c.n_tokens, c.d}, weights, c.per_token, counts);
            return counts;
        };
        const std::vector<double> expected = counted(BackendKind::reference, 1);
        EXPECT_EQ(std::accumulate(expected.begin(), expected.end(), 0.0),
                  static_cast<double>(c.d + c.n_tokens * c.per_token));
        for (const std::size_t n_threads : {1, 2, 5}) {
            EXPECT_EQ(counted(GetParam(), n_threads), expected) << n_threads << " threads";
        }
    }
}

TEST_P(Statistics, DoNotDependOnTheNumberOfThreads) {
    constexpr std::size_t d = 1030;
    const std::vector<float> x =
        test_data::correlated_inputs(test_data::Family::autoregressive, 100, d, 5);
    const std::vector<float> start(d * d, 0.0F);
    const std::vector<float> one = gram(GetParam(), x, d, 1, start);
    const Columns one_columns = column_statistics(GetParam(), x, d, 1);
    for (const std::size_t n_threads : {2, 3, 7}) {
        EXPECT_TRUE(gram(GetParam(), x, d, n_threads, start) == one) << n_threads;
        EXPECT_TRUE(column_statistics(GetParam(), x, d, n_threads) == one_columns) << n_threads;
    }
}

TEST_P(Statistics, NameTheShapesTheyReject) {
    ThreadPool pool(1);
    const auto backend = make_backend(GetParam(), pool);
    const std::vector<float> x(6);
    std::vector<float> g(3);
    try {
        backend->accumulate_gram({x.data(), 2, 3}, {g.data(), 2});
        FAIL() << "2 x 2 is not the Gram matrix of three columns";
    } catch (const ShapeError& e) {
        EXPECT_THAT(e.what(), ::testing::AllOf(HasSubstr("gram [2, 2]"), HasSubstr("x [2, 3]")));
    }
    Columns columns(2);
    try {
        backend->accumulate_column_statistics({x.data(), 2, 3}, columns.view());
        FAIL() << "two entries for three columns";
    } catch (const ShapeError& e) {
        EXPECT_THAT(e.what(), ::testing::AllOf(HasSubstr("sum_abs has 2"), HasSubstr("[2, 3]")));
    }
    std::vector<double> counts(3);
    try {
        backend->count_largest({x.data(), 2, 3}, std::vector<float>(3), 4, counts);
        FAIL() << "four of three columns";
    } catch (const ShapeError& e) {
        EXPECT_THAT(e.what(),
                    ::testing::AllOf(HasSubstr("per_token is 4"), HasSubstr("3 columns")));
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, Statistics, ::testing::ValuesIn(available_backends()),
                         [](const auto& test) {
                             ThreadPool pool(1);
                             return std::string(make_backend(test.param, pool)->name());
                         });

}  // namespace
}  // namespace lathe::kernels
