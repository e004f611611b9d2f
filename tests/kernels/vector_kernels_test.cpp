#include "kernels/cpu/common/vector_kernels.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "tests/kernels/kernel_fixture.hpp"
#include "tests/kernels/tested_variants.hpp"

// The backends of a build use the best instruction set only; these run every variant that the
// processor has.

namespace lathe::kernels {
namespace {

class VectorVariant : public ::testing::TestWithParam<const VectorKernels*> {
protected:
    const VectorKernels& kernels = *GetParam();
};
INSTANTIATE_TEST_SUITE_P(Variants, VectorVariant, ::testing::ValuesIn(tested_variants()),
                         [](const auto& variant) { return std::string(variant.param->name); });

TEST(VectorKernels, AnyThatTheProcessorHasCanBeAskedFor) {
    for (const VectorKernels* table : runnable_vector_kernels()) {
        use_vector_kernels(table->name);
        EXPECT_EQ(&vector_kernels(), table);
    }
    EXPECT_THAT(message_of<UsageError>([] { use_vector_kernels("avx9"); }),
                ::testing::HasSubstr("no instruction set avx9; it has: generic"));
    use_vector_kernels("auto");
    EXPECT_EQ(&vector_kernels(), runnable_vector_kernels().back());
}

TEST_P(VectorVariant, PacksAndMultiplies) {
    for (const std::size_t depth : {1U, 16U, 37U, 384U}) {
        const std::size_t n_cols = kernels.panel_width - 1;
        const Matrix<float> w = random_matrix(n_cols, depth, 1);
        std::vector<float> panel(depth * kernels.panel_width, 7.0F);
        kernels.pack_transposed(w.values.data(), depth, n_cols, depth, panel.data());
        for (std::size_t k = 0; k < depth; ++k) {
            for (std::size_t j = 0; j < n_cols; ++j) {
                ASSERT_EQ(panel[k * kernels.panel_width + j], w.values[j * depth + k]);
            }
            ASSERT_EQ(panel[k * kernels.panel_width + n_cols], 0.0F);
        }
        for (std::size_t n_rows = 1; n_rows <= kernels.panel_height; ++n_rows) {
            const Matrix<float> a = random_matrix(n_rows, packed_stride, 2);
            Matrix<float> c(n_rows, kernels.panel_width, 1.0F);
            kernels.multiply(n_rows, depth, a.values.data(), panel.data(), c.values.data(), c.cols,
                             true, nullptr, 0);
            for (std::size_t i = 0; i < n_rows; ++i) {
                for (std::size_t j = 0; j < n_cols; ++j) {
                    double sum = 1.0;
                    for (std::size_t k = 0; k < depth; ++k) {
                        sum += static_cast<double>(a.values[i * packed_stride + k]) *
                               w.values[j * depth + k];
                    }
                    ASSERT_NEAR(c.values[i * c.cols + j], sum, 1e-4);
                }
            }
        }
    }
}

// The order of the sums is part of the contract, so that no processor shows in a result.
TEST_P(VectorVariant, MultipliesPairsOfBfloat16) {
    const std::size_t n_words = 37;
    const std::size_t n_rows = kernels.panel_height;
    const std::size_t width = kernels.panel_width;
    const Matrix<float> x = random_matrix(n_rows, 2 * n_words - 1, 1);
    const Matrix<float> w = random_matrix(width, 2 * n_words - 1, 2);
    Matrix<float> a(n_rows, packed_stride);
    Matrix<float> words(width, n_words);
    for (std::size_t i = 0; i < n_rows; ++i) {
        kernels.round_to_pairs(x.values.data() + i * x.cols, x.cols, a.values.data() + i * a.cols);
    }
    for (std::size_t j = 0; j < width; ++j) {
        kernels.round_to_pairs(w.values.data() + j * w.cols, w.cols,
                               words.values.data() + j * n_words);
    }
    std::vector<float> panel(n_words * width);
    kernels.pack_transposed(words.values.data(), n_words, width, n_words, panel.data());
    Matrix<float> c(n_rows, width);
    kernels.multiply_pairs(n_rows, n_words, a.values.data(), panel.data(), c.values.data(), width,
                           false, nullptr, 0);
    const auto rounded = [](const Matrix<float>& matrix, std::size_t row, std::size_t col) {
        const bool there = col < matrix.cols;
        return there ? bfloat16_to_float(float_to_bfloat16(matrix.values[row * matrix.cols + col]))
                     : 0.0F;
    };
    for (std::size_t i = 0; i < n_rows; ++i) {
        for (std::size_t j = 0; j < width; ++j) {
            float sum = 0.0F;
            for (std::size_t k = 0; k < n_words; ++k) {
                sum += rounded(x, i, 2 * k + 1) * rounded(w, j, 2 * k + 1);
                sum += rounded(x, i, 2 * k) * rounded(w, j, 2 * k);
            }
            ASSERT_EQ(c.values[i * width + j], sum) << i << ' ' << j;
        }
    }
}

TEST_P(VectorVariant, MultipliesPanels) {
    const std::size_t width = kernels.panel_width;
    const std::size_t strip = kernels.strip_width;
    ASSERT_EQ(width % strip, 0U);
    for (const std::size_t depth : {1U, 7U, 512U}) {
        const Matrix<float> left = random_matrix(depth, width, 1);
        const Matrix<float> right = random_matrix(depth, width, 2);
        for (std::size_t first = 0; first < width; first += strip) {
            for (const bool accumulate : {false, true}) {
                for (const bool second_half : {false, true}) {
                    Matrix<float> c(strip, width + 3, 5.0F);
                    kernels.multiply_panels(depth, left.values.data() + first, right.values.data(),
                                            c.values.data(), c.cols, accumulate, second_half);
                    for (std::size_t i = 0; i < strip; ++i) {
                        for (std::size_t j = 0; j < c.cols; ++j) {
                            const bool touched = j < width && (!second_half || j >= width / 2);
                            double sum = accumulate || !touched ? 5.0 : 0.0;
                            for (std::size_t k = 0; touched && k < depth; ++k) {
                                sum += static_cast<double>(left.values[k * width + first + i]) *
                                       right.values[k * width + j];
                            }
                            ASSERT_NEAR(c.values[i * c.cols + j], sum, touched ? 1e-4 : 0.0);
                        }
                    }
                }
            }
        }
    }
}

TEST_P(VectorVariant, MultipliesFewTokens) {
    const Matrix<float> w = random_matrix(11, 75, 1);
    for (std::size_t n_tokens = 1; n_tokens <= 8; ++n_tokens) {
        const Matrix<float> x = random_matrix(n_tokens, 75, 2);
        Matrix<float> y(n_tokens, 11);
        kernels.multiply_few(x.values.data(), 75, n_tokens, w.values.data(), 75, 11, 75,
                             y.values.data(), 11);
        for (std::size_t t = 0; t < n_tokens; ++t) {
            for (std::size_t j = 0; j < 11; ++j) {
                double sum = 0.0;
                for (std::size_t k = 0; k < 75; ++k) {
                    sum += static_cast<double>(x.values[t * 75 + k]) * w.values[j * 75 + k];
                }
                ASSERT_NEAR(y.values[t * 11 + j], sum, 1e-4);
            }
        }
    }
}

TEST_P(VectorVariant, ExponentialsAreAccurate) {
    // softmax_step leaves exp(score - largest); the largest, 0, is in the first place.
    const std::size_t n = 64 * 1024;
    std::vector<float> scores(n);
    for (std::size_t j = 0; j < n; ++j) {
        scores[j] = -87.0F * static_cast<float>(j) / n;
    }
    const std::vector<float> x = scores;
    float maximum = -INFINITY;
    float sum = 0.0F;
    EXPECT_EQ(kernels.softmax_step(scores.data(), n, 0, n, &maximum, &sum), 0.0F);
    EXPECT_EQ(maximum, 0.0F);
    for (std::size_t j = 0; j < n; ++j) {
        const double expected = std::exp(static_cast<double>(x[j]));
        ASSERT_LT(std::abs(scores[j] - expected) / expected, 3e-7) << "exp(" << x[j] << ")";
    }
    for (const float value : {0.0F, -0.3F, -1.0F, -17.5F, -300.0F, -700.0F}) {
        const double expected = std::exp(static_cast<double>(value));
        ASSERT_LT(std::abs(kernels.sum_exp(&value, 0.0, 1) - expected) / expected, 1e-14);
    }
}

TEST_P(VectorVariant, SoftmaxMasksAndContinues) {
    const std::size_t n = kernels.panel_width;
    std::vector<float> scores(n, 1.0F);
    float maximum = 3.0F;
    float sum = 2.0F;
    EXPECT_EQ(kernels.softmax_step(scores.data(), n, 0, 0, &maximum, &sum), 1.0F);
    EXPECT_EQ(std::count(scores.begin(), scores.end(), 0.0F), static_cast<long>(n));
    EXPECT_EQ(sum, 2.0F);

    std::fill(scores.begin(), scores.end(), 4.0F);
    const float factor = kernels.softmax_step(scores.data(), n, 1, 3, &maximum, &sum);
    EXPECT_NEAR(factor, std::exp(-1.0), 1e-7);
    EXPECT_EQ(maximum, 4.0F);
    EXPECT_NEAR(sum, 2.0 * std::exp(-1.0) + 2.0, 1e-6);
    EXPECT_EQ(scores[0], 0.0F);
    EXPECT_EQ(scores[1], 1.0F);
    EXPECT_EQ(scores[3], 0.0F);
}

TEST_P(VectorVariant, ActivationsAgreeWithTheDefinition) {
    const auto expect = [](const ActivationKernels& activation, const auto& definition) {
        // Whole registers and a rest; the tails, where exponentials need more than fp32 knows.
        std::vector<float> x;
        for (float value = -100.0F; value < 20.0F; value += 0.0137F) {
            x.push_back(value);
        }
        std::vector<float> y(x.size());
        std::vector<float> product(x.size());
        activation.apply(x.data(), x.size(), y.data());
        activation.multiply(x.data(), x.data(), x.size(), product.data());
        for (std::size_t j = 0; j < x.size(); ++j) {
            const double expected = definition(static_cast<double>(x[j]));
            const double limit = std::max(std::abs(expected) * 1e-6, 1e-35);
            ASSERT_NEAR(y[j], expected, limit) << x[j];
            ASSERT_NEAR(product[j], expected * x[j], limit * std::abs(x[j])) << x[j];
        }
    };
    expect(*kernels.silu, [](double x) { return x / (1.0 + std::exp(-x)); });
    expect(*kernels.gelu, [](double x) { return x * std::erfc(-x / std::sqrt(2.0)) / 2.0; });
    expect(*kernels.gelu_tanh, [](double x) {
        const double u = std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x);
        return x / (1.0 + std::exp(-2.0 * u));
    });
    expect(*kernels.relu, [](double x) { return std::max(x, 0.0); });
    expect(*kernels.tanh, [](double x) { return std::tanh(x); });
}

TEST_P(VectorVariant, NormalisesLayers) {
    for (const std::size_t n : {1U, 5U, 64U, 77U}) {
        const Matrix<float> x = random_matrix(1, n, 1, 10.0F);
        const Matrix<float> weight = random_matrix(1, n, 2);
        std::vector<float> y(n);
        kernels.layer_norm(x.values.data(), weight.values.data(), x.values.data(), 0.5F, n,
                           y.data());
        double mean = 0.0;
        for (const float value : x.values) {
            mean += value / static_cast<double>(n);
        }
        double variance = 0.0;
        for (const float value : x.values) {
            variance += (value - mean) * (value - mean) / static_cast<double>(n);
        }
        for (std::size_t j = 0; j < n; ++j) {
            const double scaled =
                (x.values[j] - mean) / std::sqrt(variance + 0.5) * weight.values[j];
            ASSERT_NEAR(y[j], scaled + x.values[j],
                        1e-6 * (std::abs(scaled) + std::abs(x.values[j])));
        }
    }
}

TEST_P(VectorVariant, AddsRamps) {
    std::vector<float> scores(77, 1.0F);
    kernels.add_ramp(scores.data(), 0.5F, -40.0F, scores.size());
    for (std::size_t j = 0; j < scores.size(); ++j) {
        ASSERT_EQ(scores[j], 1.0F + 0.5F * (static_cast<float>(j) - 40.0F));
    }
}

TEST_P(VectorVariant, RowOperationsAgreeWithTheDefinition) {
    const std::size_t n = 77;
    const Matrix<float> x = random_matrix(1, n, 1, 10.0F);
    std::vector<float> y(n);
    EXPECT_EQ(kernels.maximum(x.values.data(), n),
              *std::max_element(x.values.begin(), x.values.end()));
    EXPECT_TRUE(kernels.all_finite(x.values.data(), n));
    std::vector<float> p(x.rows, 0.5F);
    kernels.weighted_sum(p.data(), x.values.data(), n, 1, n, y.data());
    for (std::size_t j = 0; j < n; ++j) {
        ASSERT_EQ(y[j], 0.5F * x.values[j]);
    }
}

}  // namespace
}  // namespace lathe::kernels
