#include <limits>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "tests/kernels/kernel_fixture.hpp"

namespace lathe::kernels {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float infinity = std::numeric_limits<float>::infinity();

/// y = x @ w^T + bias on a backend.
Matrix<float> linear(const Backend& backend, const Matrix<float>& x, const Matrix<float>& w,
                     const std::vector<float>& bias) {
    Matrix<float> y(x.rows, w.rows, 7.0F);  // 7: the kernel must overwrite
    backend.linear(x.view(), w.view(), bias, y.view());
    return y;
}

/// The same in bfloat16.
Matrix<float> linear_bf16(const Backend& backend, const Matrix<float>& x, const Matrix<float>& w,
                          const std::vector<float>& bias) {
    Matrix<float> y(x.rows, w.rows, 7.0F);
    backend.linear_bf16(x.view(), w.view(), bias, y.view());
    return y;
}

class Forward : public OnEachBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Forward, ::testing::ValuesIn(available_backends()),
                         backend_test_name);

TEST_P(Forward, EmbedCopiesAndAddsRows) {
    const Matrix<float> table(3, 2, std::vector<float>{1, 2, 3, 4, 5, 6});
    const std::uint32_t ids[] = {2, 0, 2};
    Matrix<float> y(3, 2);
    backend->embed(ids, table.view(), y.view());
    EXPECT_THAT(y.values, ElementsAre(5, 6, 1, 2, 5, 6));

    backend->add_embedding(ids, table.view(), y.view());
    EXPECT_THAT(y.values, ElementsAre(10, 12, 2, 4, 10, 12));

    const std::uint32_t beyond[] = {0, 3, 1};
    EXPECT_THAT(message_of<DataError>([&] { backend->embed(beyond, table.view(), y.view()); }),
                HasSubstr("embed: id 1 is 3, expected less than 3"));
    EXPECT_THAT(
        message_of<DataError>([&] { backend->add_embedding(beyond, table.view(), y.view()); }),
        HasSubstr("add_embedding: id 1 is 3, expected less than 3"));
    EXPECT_THAT(y.values, ElementsAre(10, 12, 2, 4, 10, 12)) << "nothing is added then";
}

TEST_P(Forward, LinearByHand) {
    const Matrix<float> x(2, 3, std::vector<float>{1, 2, 3, -1, 0, 1});
    const Matrix<float> w(2, 3, std::vector<float>{1, 0, 2, 0, -1, 1});
    EXPECT_THAT(linear(*backend, x, w, {}).values, ElementsAre(7, 1, 1, 1));
    EXPECT_THAT(linear(*backend, x, w, {10, 20}).values, ElementsAre(17, 21, 11, 21));
}

// bfloat16 has 8 bits: neighbours of 1 are 1 - 2^-8 and 1 + 2^-7; halfway goes to the even one.
TEST_P(Forward, LinearBf16ByHand) {
    const Matrix<float> x(1, 3, std::vector<float>{1.0F + 0x1p-8F, 1.0F + 0x1.8p-7F, -256.5F});
    const Matrix<float> w(2, 3, std::vector<float>{1, 0, 0, 0, 1, 1.0F + 0x1p-9F});
    EXPECT_THAT(linear_bf16(*backend, x, w, {}).values, ElementsAre(1.0F, 1.0F + 0x1p-6F - 256.0F));
    EXPECT_THAT(linear_bf16(*backend, x, w, {10, 20}).values,
                ElementsAre(11.0F, 21.0F + 0x1p-6F - 256.0F));
    EXPECT_THAT(linear_bf16(*backend, Matrix<float>(1, 0), Matrix<float>(2, 0), {1, 2}).values,
                ElementsAre(1, 2));
    const Matrix<float> nan(1, 1, std::numeric_limits<float>::quiet_NaN());
    EXPECT_FALSE(
        backend->all_finite(linear_bf16(*backend, nan, Matrix<float>(1, 1, 1.0F), {}).view()));
}

TEST_P(Forward, LinearOfNothingIsTheBias) {
    const Matrix<float> x(2, 0);
    const Matrix<float> w(3, 0);
    EXPECT_THAT(linear(*backend, x, w, {1, 2, 3}).values, ElementsAre(1, 2, 3, 1, 2, 3));
    EXPECT_THAT(linear(*backend, x, w, {}).values, ElementsAre(0, 0, 0, 0, 0, 0));
    EXPECT_THAT(linear(*backend, Matrix<float>(9, 0), w, {1, 2, 3}).values,
                ::testing::Contains(2).Times(9));
}

TEST_P(Forward, RmsNormByHandInPlace) {
    // mean of squares (9 + 16) / 2 = 12.5, with 3.5 its root is 4
    Matrix<float> x(1, 2, std::vector<float>{3, 4});
    const float weight[] = {2, 1};
    backend->rms_norm(x.view(), weight, 3.5F, x.view());
    EXPECT_THAT(x.values, ElementsAre(1.5F, 1.0F));
}

TEST_P(Forward, RmsNormOfEachHead) {
    // Two tokens of two heads of two; roots as above: 4 for (3, 4), 2 for (1, 0) with 3.5 + 0.5.
    Matrix<float> x(2, 4, std::vector<float>{3, 4, 1, 0, 0, 1, 4, 3});
    const MatrixView<float> heads(x.values.data(), 4, 2);
    const float weight[] = {2, 1};
    backend->rms_norm(heads, weight, 3.5F, heads);
    EXPECT_THAT(x.values, ElementsAre(1.5F, 1, 1, 0, 0, 0.5F, 2, 0.75F));
}

TEST_P(Forward, LayerNormByHandInPlace) {
    // mean 5, deviations -2, 2, variance 4; with 5 its root is 3
    Matrix<float> x(1, 2, std::vector<float>{3, 7});
    const float weight[] = {3, 6};
    const float bias[] = {10, 20};
    Matrix<float> y(1, 2);
    backend->layer_norm(x.view(), weight, {}, 5.0F, y.view());
    EXPECT_THAT(y.values, ElementsAre(-2, 4));
    backend->layer_norm(x.view(), weight, bias, 5.0F, x.view());
    EXPECT_THAT(x.values, ElementsAre(8, 24));
}

TEST_P(Forward, LayerNormOfEqualElementsIsTheBias) {
    Matrix<float> x(1, 3, 1e6F);
    const float weight[] = {1, 1, 1};
    const float bias[] = {1, 2, 3};
    backend->layer_norm(x.view(), weight, bias, 1e-5F, x.view());
    EXPECT_THAT(x.values, ElementsAre(1, 2, 3));
}

TEST_P(Forward, RopeTurnsAQuarterAndLeavesTheRest) {
    // Two heads of 5, of which the first 4 turn: pairs (0, 2) and (1, 3). Position 1 is a quarter
    // turn for the first pair and none for the second.
    Matrix<float> x(1, 10, std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    const Matrix<float> cos(2, 2, std::vector<float>{1, 1, 0, 1});
    const Matrix<float> sin(2, 2, std::vector<float>{0, 0, 1, 0});
    const std::uint32_t positions[] = {1};
    backend->rope(x.view(), 5, cos.view(), sin.view(), positions);
    EXPECT_THAT(x.values, ElementsAre(-3, 2, 1, 4, 5, -8, 7, 6, 9, 10));

    const std::uint32_t beyond[] = {2};
    EXPECT_THAT(
        message_of<DataError>([&] { backend->rope(x.view(), 5, cos.view(), sin.view(), beyond); }),
        HasSubstr("rope: position 0 is 2, expected less than 2"));
}

TEST_P(Forward, AddAndAllFinite) {
    const Matrix<float> x(1, 3, std::vector<float>{1, 2, 3});
    Matrix<float> y(1, 3, std::vector<float>{10, 20, 30});
    backend->add(x.view(), y.view());
    EXPECT_THAT(y.values, ElementsAre(11, 22, 33));

    EXPECT_TRUE(backend->all_finite(y.view()));
    EXPECT_TRUE(backend->all_finite(Matrix<float>(0, 5).view()));
    for (const float bad : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
        for (const std::size_t place : {0U, 40U, 77U}) {
            Matrix<float> z(3, 26, std::numeric_limits<float>::max());
            ASSERT_TRUE(backend->all_finite(z.view()));
            z.values[place] = bad;
            EXPECT_FALSE(backend->all_finite(z.view())) << bad << " at " << place;
        }
    }
}

TEST_P(Forward, NotANumberIsNotHidden) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    Matrix<float> x = random_matrix(20, 40, 1);
    x.values[3] = nan;
    const Matrix<float> w = random_matrix(30, 40, 2);
    EXPECT_FALSE(backend->all_finite(linear(*backend, x, w, {}).view()));
    Matrix<float> y(20, 40, 1.0F);
    const std::vector<float> weight(40, 1.0F);
    backend->layer_norm(x.view(), weight, {}, 1e-6F, y.view());
    EXPECT_TRUE(std::isnan(y.values[0]));
    EXPECT_FALSE(std::isnan(y.values[40]));
    backend->rms_norm(x.view(), weight, 1e-6F, y.view());
    EXPECT_TRUE(std::isnan(y.values[0]));
}

struct LinearCase {
    std::size_t tokens;
    std::size_t inputs;
    std::size_t outputs;
};

class LinearParity : public ::testing::TestWithParam<LinearCase> {};
// Each side of what the cpu backend cuts at: 8 tokens; 14 and 6 rows, 32, 16 and 8 columns of a
// product; depth 384; tiles of 546 tokens and 128 or 256 features; 4 tiles that copy x themselves.
INSTANTIATE_TEST_SUITE_P(
    Shapes, LinearParity,
    ::testing::Values(LinearCase{1, 1, 1}, LinearCase{1, 700, 37}, LinearCase{2, 65, 9},
                      LinearCase{3, 17, 5}, LinearCase{5, 64, 33}, LinearCase{7, 31, 3},
                      LinearCase{8, 100, 50}, LinearCase{9, 1, 1}, LinearCase{9, 385, 129},
                      LinearCase{29, 384, 32}, LinearCase{14, 769, 70}, LinearCase{505, 40, 385},
                      LinearCase{20, 40, 700}, LinearCase{546, 400, 31}, LinearCase{547, 400, 31},
                      LinearCase{1100, 390, 257}, LinearCase{560, 20, 1100}));

TEST_P(LinearParity, AgreesWithReference) {
    const auto [tokens, inputs, outputs] = GetParam();
    const Matrix<float> x = random_matrix(tokens, inputs, 1);
    const Matrix<float> w = random_matrix(outputs, inputs, 2);
    for (const std::vector<float>& bias :
         {std::vector<float>{}, random_matrix(1, outputs, 3).values}) {
        for (const auto& product : {linear, linear_bf16}) {
            const auto compute = [&](const Backend& backend) {
                return product(backend, x, w, bias);
            };
            const Matrix<float> expected = on_backend(BackendKind::reference, 1, compute);
            for (const BackendKind kind : available_backends()) {
                EXPECT_LT(largest_row_difference(on_backend(kind, 2, compute), expected), 1e-5);
            }
        }
    }
}

TEST(LinearParity, WorksOnPartsOfWiderMatrices) {
    const Matrix<float> x = random_matrix(40, 90, 1);
    const Matrix<float> w = random_matrix(60, 90, 2);
    const auto compute = [&](const Backend& backend) {
        Matrix<float> y(40, 80, 7.0F);
        backend.linear(x.view().col_range(5, 70), w.view().col_range(11, 70), {},
                       y.view().col_range(13, 60));
        return y;
    };
    const Matrix<float> expected = on_backend(BackendKind::reference, 1, compute);
    for (const BackendKind kind : available_backends()) {
        const Matrix<float> y = on_backend(kind, 2, compute);
        EXPECT_LT(largest_row_difference(y, expected), 1e-5);
        for (std::size_t t = 0; t < y.rows; ++t) {
            EXPECT_EQ(y.values[t * 80 + 12], 7.0F) << "left of the result";
            EXPECT_EQ(y.values[t * 80 + 73], 7.0F) << "right of the result";
        }
    }
}

TEST(RowParity, RmsNormAgreesWithReference) {
    for (const std::size_t cols : {1U, 7U, 16U, 33U, 130U, 1000U}) {
        const Matrix<float> x = random_matrix(70, cols, 1, 4.0F);
        const auto norm = [&](const Backend& backend) {
            Matrix<float> y(70, cols);
            backend.rms_norm(x.view(), random_matrix(1, cols, 3).values, 1e-5F, y.view());
            return y;
        };
        for (const BackendKind kind : available_backends()) {
            EXPECT_LT(largest_difference(on_backend(kind, 2, norm),
                                         on_backend(BackendKind::reference, 1, norm)),
                      1e-6);
        }
    }
}

TEST(RowParity, LayerNormAgreesWithReference) {
    for (const std::size_t cols : {1U, 7U, 16U, 33U, 130U, 1000U}) {
        Matrix<float> x = random_matrix(70, cols, 1, 4.0F);
        for (float& value : x.values) {
            value += 1000.0F;  // a mean that would eat the digits of sums in fp32
        }
        const Matrix<float> weight = random_matrix(1, cols, 2);
        const auto norm = [&](const Backend& backend, std::span<const float> bias) {
            Matrix<float> y(70, cols);
            backend.layer_norm(x.view(), weight.values, bias, 1e-5F, y.view());
            return y;
        };
        const std::vector<float> bias = random_matrix(1, cols, 3).values;
        const auto plain = [&](const Backend& backend) { return norm(backend, {}); };
        const auto biased = [&](const Backend& backend) { return norm(backend, bias); };
        const Matrix<float> expected_plain = on_backend(BackendKind::reference, 1, plain);
        const Matrix<float> expected_biased = on_backend(BackendKind::reference, 1, biased);
        for (const BackendKind kind : available_backends()) {
            EXPECT_LT(largest_difference(on_backend(kind, 2, plain), expected_plain), 1e-6);
            const Matrix<float> y = on_backend(kind, 2, biased);
            for (std::size_t i = 0; i < y.values.size(); ++i) {
                const double size = std::abs(expected_plain.values[i]) + std::abs(bias[i % cols]);
                ASSERT_LE(std::abs(y.values[i] - expected_biased.values[i]), 1e-6 * size);
            }
        }
    }
}

TEST(RowParity, RopeAgreesWithReference) {
    const Matrix<float> angles = random_matrix(50, 19, 1);
    Matrix<float> cos(50, 19);
    Matrix<float> sin(50, 19);
    for (std::size_t i = 0; i < cos.values.size(); ++i) {
        cos.values[i] = std::cos(angles.values[i]);
        sin.values[i] = std::sin(angles.values[i]);
    }
    std::vector<std::uint32_t> positions(30);
    for (std::size_t t = 0; t < positions.size(); ++t) {
        positions[t] = (t * 7) % 50;
    }
    const auto compute = [&](const Backend& backend) {
        Matrix<float> x = random_matrix(30, 3 * 40, 2);
        backend.rope(x.view(), 40, cos.view(), sin.view(), positions);
        return x;
    };
    const Matrix<float> expected = on_backend(BackendKind::reference, 1, compute);
    for (const BackendKind kind : available_backends()) {
        EXPECT_LT(largest_row_difference(on_backend(kind, 2, compute), expected), 1e-6);
    }
}

TEST(ThreadsDoNotShow, InLinear) {
    for (const std::size_t tokens : {3U, 100U, 1100U}) {
        const Matrix<float> x = random_matrix(tokens, 48, 1);
        const Matrix<float> w = random_matrix(900, 48, 2);
        expect_threads_do_not_show(
            [&](const Backend& backend) { return linear(backend, x, w, {}).values; });
        expect_threads_do_not_show(
            [&](const Backend& backend) { return linear_bf16(backend, x, w, {}).values; });
    }
}

TEST(ThreadsDoNotShow, InRowsOfOneToken) {
    // A token's result does not depend on which other tokens of a large call surround it.
    const Matrix<float> x = random_matrix(600, 800, 1);
    const Matrix<float> w = random_matrix(70, 800, 2);
    ThreadPool pool(2);
    const auto backend = make_backend(BackendKind::cpu, pool);
    const Matrix<float> all = linear(*backend, x, w, {});
    const Matrix<float> few =
        linear(*backend, Matrix<float>(9, 800, {x.values.end() - 9 * 800, x.values.end()}), w, {});
    EXPECT_TRUE(std::equal(few.values.begin(), few.values.end(), all.values.end() - 9 * 70));
}

TEST(ThreadsDoNotShow, InRowOperations) {
    const Matrix<float> x = random_matrix(300, 500, 1);
    expect_threads_do_not_show([&](const Backend& backend) {
        Matrix<float> y(300, 500);
        backend.rms_norm(x.view(), random_matrix(1, 500, 3).values, 1e-5F, y.view());
        backend.layer_norm(y.view(), random_matrix(1, 500, 4).values, {}, 1e-5F, y.view());
        backend.add(x.view(), y.view());
        return y.values;
    });
}

TEST(Refusals, NameBothExtents) {
    ThreadPool pool(1);
    const auto backend = make_backend(BackendKind::cpu, pool);
    Matrix<float> a(2, 3);
    Matrix<float> b(4, 5);
    Matrix<float> y(2, 4);
    const auto refusal = [&](const auto& call) { return message_of<ShapeError>(call); };
    EXPECT_THAT(refusal([&] { backend->linear(a.view(), b.view(), {}, y.view()); }),
                HasSubstr("linear: x [2, 3] @ w [4, 5]^T does not give y [2, 4]"));
    EXPECT_THAT(refusal([&] {
                    backend->linear(a.view(), Matrix<float>(4, 3).view(), std::vector<float>(3),
                                    y.view());
                }),
                HasSubstr("linear: bias is 3 but rows of w is 4"));
    EXPECT_THAT(refusal([&] { backend->linear_bf16(a.view(), b.view(), {}, y.view()); }),
                HasSubstr("linear_bf16: x [2, 3] @ w [4, 5]^T does not give y [2, 4]"));
    EXPECT_THAT(
        refusal([&] { backend->linear(a.view(), Matrix<float>(3, 3).view(), {}, a.view()); }),
        HasSubstr("linear: y is x"));
    EXPECT_THAT(refusal([&] { backend->rms_norm(a.view(), std::vector<float>(2), 0, a.view()); }),
                HasSubstr("rms_norm: weight is 2 but columns of x is 3"));
    EXPECT_THAT(refusal([&] { backend->add(a.view(), b.view()); }),
                HasSubstr("add: x is [2, 3] but y is [4, 5]"));
    const std::vector<float> two(2);
    const std::vector<float> three(3);
    EXPECT_THAT(refusal([&] { backend->layer_norm(a.view(), three, {}, 0, b.view()); }),
                HasSubstr("layer_norm: x is [2, 3] but y is [4, 5]"));
    EXPECT_THAT(refusal([&] { backend->layer_norm(a.view(), two, {}, 0, a.view()); }),
                HasSubstr("layer_norm: weight is 2 but columns of x is 3"));
    EXPECT_THAT(refusal([&] { backend->layer_norm(a.view(), three, two, 0, a.view()); }),
                HasSubstr("layer_norm: bias is 2 but columns of x is 3"));
    const std::uint32_t ids[] = {0, 0, 0};
    EXPECT_THAT(refusal([&] { backend->embed(ids, b.view(), a.view()); }),
                HasSubstr("embed: the number of ids is 3 but rows of y is 2"));
    EXPECT_THAT(refusal([&] { backend->add_embedding(ids, a.view(), a.view()); }),
                HasSubstr("add_embedding: the number of ids is 3 but rows of y is 2"));
    EXPECT_THAT(refusal([&] {
                    backend->add_embedding({ids, 2}, b.view(), a.view());
                }),
                HasSubstr("add_embedding: columns of table is 5 but columns of y is 3"));
    EXPECT_THAT(refusal([&] { backend->rope(a.view(), 2, {}, {}, {}); }),
                HasSubstr("rope: head_dim 2 does not divide columns of x 3"));
}

}  // namespace
}  // namespace lathe::kernels
