#include <numeric>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "tests/kernels/kernel_fixture.hpp"

namespace lathe::kernels {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

AttentionShape shape_of(std::size_t n_sequences, std::size_t query_length, std::size_t key_length,
                        std::size_t n_heads, std::size_t n_kv_heads, std::size_t head_dim) {
    AttentionShape shape;
    shape.n_sequences = n_sequences;
    shape.query_length = query_length;
    shape.key_length = key_length;
    shape.n_heads = n_heads;
    shape.n_kv_heads = n_kv_heads;
    shape.head_dim = head_dim;
    shape.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    return shape;
}

/// Rows of the queries, or with `keys` of the keys.
std::size_t rows_of(const AttentionShape& s, bool keys) {
    if (!s.lengths.empty()) {
        return std::accumulate(s.lengths.begin(), s.lengths.end(), std::size_t{0});
    }
    return s.n_sequences * (keys ? s.key_length : s.query_length);
}

struct Inputs {
    Matrix<float> q;
    Matrix<float> k;
    Matrix<float> v;

    explicit Inputs(const AttentionShape& s, float deviation = 1.0F)
        : q(random_matrix(rows_of(s, false), s.n_heads * s.head_dim, 1, deviation)),
          k(random_matrix(rows_of(s, true), s.n_kv_heads * s.head_dim, 2, deviation)),
          v(random_matrix(rows_of(s, true), s.n_kv_heads * s.head_dim, 3)) {}

    [[nodiscard]] Matrix<float> attend(const Backend& backend, const AttentionShape& shape) const {
        Matrix<float> y(q.rows, q.cols, 7.0F);
        backend.attention(q.view(), k.view(), v.view(), shape, y.view());
        return y;
    }
};

void expect_parity(const AttentionShape& shape, float deviation = 1.0F) {
    const Inputs inputs(shape, deviation);
    const auto compute = [&](const Backend& backend) { return inputs.attend(backend, shape); };
    const Matrix<float> expected = on_backend(BackendKind::reference, 1, compute);
    for (const BackendKind kind : available_backends()) {
        EXPECT_LT(largest_row_difference(on_backend(kind, 2, compute), expected), 1e-5);
    }
}

class Attention : public OnEachBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Attention, ::testing::ValuesIn(available_backends()),
                         backend_test_name);

TEST_P(Attention, ByHand) {
    // One head of one element. Scores of query 2: 0, ln 2, ln 4 -> weights 1/7, 2/7, 4/7.
    const float ln2 = 0.69314718F;
    const Matrix<float> q(3, 1, std::vector<float>{0, 1, 1});
    const Matrix<float> k(3, 1, std::vector<float>{0, ln2, 2 * ln2});
    const Matrix<float> v(3, 1, std::vector<float>{7, 14, 21});
    Matrix<float> y(3, 1);
    AttentionShape shape = shape_of(1, 3, 3, 1, 1, 1);
    const auto attend = [&] { backend->attention(q.view(), k.view(), v.view(), shape, y.view()); };

    attend();
    EXPECT_NEAR(y.values[0], 7.0, 1e-5);                 // sees itself only
    EXPECT_NEAR(y.values[1], (7 + 2 * 14) / 3.0, 1e-5);  // weights 1/3, 2/3
    EXPECT_NEAR(y.values[2], 1 + 4 + 12, 1e-5);

    shape.window = 2;
    attend();
    EXPECT_NEAR(y.values[0], 7.0, 1e-5);
    EXPECT_NEAR(y.values[2], (14 + 2 * 21) / 3.0, 1e-5);  // without the first key

    shape.window = 0;
    shape.causal = false;
    attend();
    EXPECT_NEAR(y.values[0], 14.0, 1e-5);  // query 0: equal weights
}

TEST_P(Attention, HeadsShareAKeyValueHead) {
    // Four heads, two key-value heads of one key: each head returns its value head.
    const Matrix<float> q(1, 4, 1.0F);
    const Matrix<float> k(1, 2, 1.0F);
    const Matrix<float> v(1, 2, std::vector<float>{5, 6});
    Matrix<float> y(1, 4);
    backend->attention(q.view(), k.view(), v.view(), shape_of(1, 1, 1, 4, 2, 1), y.view());
    EXPECT_THAT(y.values, ElementsAre(5, 5, 6, 6));
}

TEST_P(Attention, HugeScoresDoNotOverflow) {
    const Matrix<float> q(2, 1, 1000.0F);
    const Matrix<float> k(2, 1, std::vector<float>{1000, -1000});
    const Matrix<float> v(2, 1, std::vector<float>{3, 4});
    Matrix<float> y(2, 1);
    AttentionShape shape = shape_of(1, 2, 2, 1, 1, 1);
    shape.causal = false;
    backend->attention(q.view(), k.view(), v.view(), shape, y.view());
    EXPECT_THAT(y.values, ElementsAre(3, 3));
}

TEST_P(Attention, SlopesByHand) {
    // All scores 0, slope ln 2: a key counts half as much for each place it lies further back.
    const Matrix<float> zero(3, 1);
    const Matrix<float> v(3, 1, std::vector<float>{7, 14, 21});
    const float slopes[] = {0.69314718F};
    Matrix<float> y(3, 1);
    AttentionShape shape = shape_of(1, 3, 3, 1, 1, 1);
    shape.alibi_slopes = slopes;
    const auto attend = [&] {
        backend->attention(zero.view(), zero.view(), v.view(), shape, y.view());
    };
    attend();
    EXPECT_NEAR(y.values[0], 7.0, 1e-5);
    EXPECT_NEAR(y.values[1], (7 + 2 * 14) / 3.0, 1e-5);
    EXPECT_NEAR(y.values[2], (7 + 2 * 14 + 4 * 21) / 7.0, 1e-5);
    shape.causal = false;  // later keys gain
    attend();
    EXPECT_NEAR(y.values[0], (7 + 2 * 14 + 4 * 21) / 7.0, 1e-5);
}

TEST_P(Attention, LengthsKeepSequencesApart) {
    // Equal scores: each row is the mean of the values of its own sequence so far.
    const Matrix<float> zero(4, 1);
    const Matrix<float> v(4, 1, std::vector<float>{2, 6, 30, 10});
    const std::uint32_t lengths[] = {0, 2, 0, 1, 1};
    Matrix<float> y(4, 1);
    AttentionShape shape = shape_of(5, 100, 50, 1, 1, 1);  // query and key length do not count
    shape.lengths = lengths;
    backend->attention(zero.view(), zero.view(), v.view(), shape, y.view());
    EXPECT_THAT(y.values, ElementsAre(2, 4, 30, 10));
    shape.causal = false;
    backend->attention(zero.view(), zero.view(), v.view(), shape, y.view());
    EXPECT_THAT(y.values, ElementsAre(4, 4, 30, 10));
}

TEST_P(Attention, RefusesWhatDoesNotFit) {
    const Matrix<float> q(4, 6);
    Matrix<float> y(4, 6);
    const auto refusal = [&](const AttentionShape& shape) {
        return message_of<ShapeError>(
            [&] { backend->attention(q.view(), q.view(), q.view(), shape, y.view()); });
    };
    EXPECT_THAT(refusal(shape_of(1, 4, 4, 3, 2, 2)),
                HasSubstr("n_kv_heads 2 does not divide n_heads 3"));
    EXPECT_THAT(refusal(shape_of(1, 4, 3, 3, 3, 2)),
                HasSubstr("query_length 4 is more than key_length 3"));
    EXPECT_THAT(refusal(shape_of(2, 4, 4, 3, 3, 2)),
                HasSubstr("rows of q is 4 but n_sequences * query_length is 8"));
    EXPECT_THAT(refusal(shape_of(1, 4, 4, 3, 3, 4)),
                HasSubstr("columns of q is 6 but n_heads * head_dim is 12"));
    EXPECT_THAT(refusal(shape_of(1, 4, 5, 3, 3, 2)),
                HasSubstr("rows of k is 4 but n_sequences * key_length is 5"));

    AttentionShape shape = shape_of(2, 0, 0, 3, 3, 2);
    const std::uint32_t lengths[] = {3, 1, 1};
    shape.lengths = lengths;
    EXPECT_THAT(refusal(shape), HasSubstr("the number of lengths is 3 but n_sequences is 2"));
    shape.n_sequences = 3;
    EXPECT_THAT(refusal(shape), HasSubstr("rows of q is 4 but the sum of lengths is 5"));
    shape.lengths = {lengths, 2};
    shape.n_sequences = 2;
    const float slopes[] = {1, 2};
    shape.alibi_slopes = slopes;
    EXPECT_THAT(refusal(shape), HasSubstr("the number of alibi_slopes is 2 but n_heads is 3"));
}

TEST(AttentionParity, Prefill) {
    for (const std::size_t length : {4U, 13U, 15U, 113U, 257U, 300U}) {
        expect_parity(shape_of(2, length, length, 4, 2, 16));
    }
}

TEST(AttentionParity, HeadDimensionsThatDoNotDivide) {
    for (const std::size_t head_dim : {1U, 5U, 33U, 80U, 128U, 400U}) {
        expect_parity(shape_of(1, 40, 40, 3, 1, head_dim));
    }
}

TEST(AttentionParity, GenerationWithACache) {
    for (const std::size_t queries : {1U, 2U, 3U, 4U, 5U}) {
        expect_parity(shape_of(2, queries, 291, 9, 1, 20));
        expect_parity(shape_of(2, queries, 37, 4, 4, 64));
    }
}

TEST(AttentionParity, WindowsAndFullSight) {
    for (const std::size_t queries : {2U, 600U}) {
        for (const std::size_t window : {1U, 3U, 100U, 256U, 700U}) {
            AttentionShape shape = shape_of(1, queries, 600, 2, 1, 8);
            shape.window = window;
            expect_parity(shape);
        }
        AttentionShape shape = shape_of(2, queries, 600, 2, 1, 8);
        shape.causal = false;
        expect_parity(shape);
    }
}

TEST(AttentionParity, SequencesOfDifferentLengths) {
    const std::uint32_t lengths[] = {5, 300, 0, 1, 113, 3, 14, 257};
    AttentionShape shape = shape_of(8, 0, 0, 4, 2, 16);
    shape.lengths = lengths;
    for (const bool causal : {true, false}) {
        shape.causal = causal;
        for (const std::size_t window : {0U, 7U, 260U}) {
            shape.window = window;
            expect_parity(shape);
        }
    }
}

TEST(AttentionParity, LengthsGiveTheSameBitsAsEachSequenceAlone) {
    const std::uint32_t lengths[] = {40, 2, 130};
    AttentionShape shape = shape_of(3, 0, 0, 2, 1, 24);
    shape.lengths = lengths;
    const Inputs all(shape);
    const auto attend = [](const Inputs& inputs, const AttentionShape& of) {
        return on_backend(BackendKind::cpu, 2,
                          [&](const Backend& backend) { return inputs.attend(backend, of); });
    };
    const Matrix<float> together = attend(all, shape);
    std::size_t first = 0;
    for (const std::size_t length : lengths) {
        Inputs alone(shape_of(1, length, length, 2, 1, 24));
        const auto cut = [&](const Matrix<float>& from, Matrix<float>& to) {
            std::copy_n(from.values.begin() + static_cast<long>(first * from.cols),
                        to.values.size(), to.values.begin());
        };
        cut(all.q, alone.q);
        cut(all.k, alone.k);
        cut(all.v, alone.v);
        Matrix<float> expected(length, 48);
        cut(together, expected);
        EXPECT_EQ(attend(alone, shape_of(1, length, length, 2, 1, 24)).values, expected.values);
        first += length;
    }
}

TEST(AttentionParity, Slopes) {
    const float slopes[] = {0.5F, 0.03F, -0.2F, 0.0F};
    for (const std::size_t queries : {2U, 9U, 700U}) {
        AttentionShape shape = shape_of(1, queries, 700, 4, 2, 20);
        shape.alibi_slopes = slopes;
        for (const bool causal : {true, false}) {
            shape.causal = causal;
            for (const std::size_t window : {0U, 5U, 300U}) {
                shape.window = window;
                expect_parity(shape);
            }
        }
    }
    const std::uint32_t lengths[] = {3, 270, 17};
    AttentionShape shape = shape_of(3, 0, 0, 4, 1, 20);
    shape.alibi_slopes = slopes;
    shape.lengths = lengths;
    expect_parity(shape);
}

TEST(AttentionParity, SharpScores) {
    expect_parity(shape_of(1, 300, 300, 2, 2, 32), 4.0F);
}

TEST(AttentionParity, NotANumberIsNotHidden) {
    const AttentionShape shape = shape_of(1, 20, 20, 2, 1, 8);
    for (const BackendKind kind : available_backends()) {
        Inputs inputs(shape);
        inputs.k.values[5] = std::nanf("");
        const Matrix<float> y = on_backend(
            kind, 1, [&](const Backend& backend) { return inputs.attend(backend, shape); });
        for (const float value : y.values) {
            ASSERT_TRUE(std::isnan(value));
        }
    }
}

TEST(AttentionParity, WhatIsNotSeenDoesNotCount) {
    // Key 150 is not a number, value 151 neither, value 152 infinite. Queries up to 149 see none
    // of them, and those from 452 on no longer, with a window of 300.
    const float bad = std::nanf("");
    AttentionShape shape = shape_of(1, 500, 500, 2, 1, 8);
    shape.window = 300;
    const Inputs clean(shape);
    Inputs inputs(shape);
    inputs.k.values[150 * 8 + 3] = bad;
    inputs.v.values[151 * 8 + 4] = bad;
    inputs.v.values[152 * 8 + 5] = INFINITY;
    for (const BackendKind kind : available_backends()) {
        const auto attend = [&](const Inputs& of) {
            return on_backend(kind, 2,
                              [&](const Backend& backend) { return of.attend(backend, shape); });
        };
        const Matrix<float> expected = attend(clean);
        const Matrix<float> y = attend(inputs);
        for (std::size_t i = 0; i < y.values.size(); ++i) {
            const std::size_t query = i / 16;
            if (query < 150 || query > 451) {
                ASSERT_EQ(y.values[i], expected.values[i]) << "query " << query;
            } else if (query < 450) {
                ASSERT_TRUE(std::isnan(y.values[i])) << "query " << query;
            }
        }
        // Query 450 sees the values only, 451 the infinity only.
        EXPECT_TRUE(std::isnan(y.values[450 * 16 + 4]));
        EXPECT_EQ(y.values[451 * 16 + 4], expected.values[451 * 16 + 4]);
        EXPECT_EQ(y.values[451 * 16 + 5], INFINITY);
    }
}

TEST(AttentionThreads, DoNotShow) {
    for (const std::size_t queries : {1U, 200U}) {
        const AttentionShape shape = shape_of(3, queries, 200, 4, 2, 16);
        const Inputs inputs(shape);
        expect_threads_do_not_show(
            [&](const Backend& backend) { return inputs.attend(backend, shape).values; });
    }
    const std::uint32_t lengths[] = {3, 270, 0, 17};
    AttentionShape shape = shape_of(4, 0, 0, 4, 2, 16);
    shape.lengths = lengths;
    shape.causal = false;
    const Inputs inputs(shape);
    expect_threads_do_not_show(
        [&](const Backend& backend) { return inputs.attend(backend, shape).values; });
}

}  // namespace
}  // namespace lathe::kernels
