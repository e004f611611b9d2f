#include "kernels/contract/gradients.hpp"

#include <cmath>
#include <numeric>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "tests/kernels/kernel_fixture.hpp"
#include "tests/support/activated.hpp"

// Every derivative against central differences of the operation's definition, written here once
// more in fp64; the backends against one another at sizes that do not divide.

namespace lathe::kernels {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Values = std::vector<double>;

Values doubles(const Matrix<float>& x) {
    return {x.values.begin(), x.values.end()};
}

/// Central differences of sum(weight * f(x)) by each element of x. With a step of 1e-5 what is cut
/// off is about 1e-10 and what rounding leaves about 1e-11.
Values differences(const std::function<Values(const Values&)>& f, Values x, const Values& weight) {
    constexpr double step = 1e-5;
    const auto loss = [&] {
        const Values y = f(x);
        return std::inner_product(y.begin(), y.end(), weight.begin(), 0.0);
    };
    Values gradient;
    for (double& value : x) {
        const double middle = value;
        value = middle + step;
        const double above = loss();
        value = middle - step;
        gradient.push_back((above - loss()) / (2.0 * step));
        value = middle;
    }
    return gradient;
}

double relative_l2(const std::vector<float>& found, const Values& expected) {
    double difference = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        difference += (found[i] - expected[i]) * (found[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    return std::sqrt(difference / norm);
}

constexpr BackendKind host_backends[] = {BackendKind::reference, BackendKind::cpu};

class GradientsOf : public ::testing::TestWithParam<BackendKind> {
protected:
    ThreadPool pool{2};
    std::unique_ptr<const Gradients> gradients = make_gradients(GetParam(), pool);

    void expect_close(const Matrix<float>& found, const Values& expected) const {
        ASSERT_EQ(found.values.size(), expected.size());
        // One rounding to fp32; or sums of a few terms in it.
        EXPECT_LT(relative_l2(found.values, expected),
                  GetParam() == BackendKind::reference ? 1e-7 : 1e-6);
    }
};

INSTANTIATE_TEST_SUITE_P(Backends, GradientsOf, ::testing::ValuesIn(host_backends),
                         backend_test_name);

TEST_P(GradientsOf, Linear) {
    const Matrix<float> dy(2, 3, std::vector<float>{1, 2, 3, 4, 5, 6});
    const Matrix<float> w(3, 2, std::vector<float>{1, 0, 0, 1, 1, 1});
    Matrix<float> dx(2, 2, 7.0F);
    gradients->linear(dy.view(), w.view(), false, dx.view());
    EXPECT_THAT(dx.values, ElementsAre(4, 5, 10, 11));
    gradients->linear(dy.view(), w.view(), true, dx.view());
    EXPECT_THAT(dx.values, ElementsAre(8, 10, 20, 22));
}

TEST_P(GradientsOf, Norms) {
    constexpr std::size_t n = 5;
    const Matrix<float> x = random_matrix(3, n, 1);
    const Matrix<float> weight = random_matrix(1, n, 2);
    const Matrix<float> dy = random_matrix(3, n, 3);
    const float epsilon = 0.01F;
    for (const bool centred : {false, true}) {
        const auto norm = [&](const Values& from) {
            Values y(from.size());
            for (std::size_t t = 0; t < 3; ++t) {
                const double* row = from.data() + t * n;
                const double mean = centred ? std::accumulate(row, row + n, 0.0) / n : 0.0;
                double squares = 0.0;
                for (std::size_t j = 0; j < n; ++j) {
                    squares += (row[j] - mean) * (row[j] - mean) / n;
                }
                for (std::size_t j = 0; j < n; ++j) {
                    y[t * n + j] = (row[j] - mean) / std::sqrt(squares + double{epsilon}) *
                                   double{weight.values[j]};
                }
            }
            return y;
        };
        const auto compute = [&](const Matrix<float>& from, MatrixView<float> to) {
            if (centred) {
                gradients->layer_norm(x.view(), weight.values, epsilon, from.view(), to);
            } else {
                gradients->rms_norm(x.view(), weight.values, epsilon, from.view(), to);
            }
        };
        Matrix<float> dx(3, n);
        compute(dy, dx.view());
        expect_close(dx, differences(norm, doubles(x), doubles(dy)));
        Matrix<float> in_place = dy;
        compute(in_place, in_place.view());
        EXPECT_EQ(in_place.values, dx.values);
    }
}

TEST_P(GradientsOf, RotaryPositions) {
    // Forwards and backwards is the identity where cos^2 + sin^2 = 1; the rest of a head stays.
    ThreadPool own(1);
    const auto backend = make_backend(GetParam(), own);
    const Matrix<float> cos(3, 1, std::vector<float>{1.0F, 0.6F, 0.0F});
    const Matrix<float> sin(3, 1, std::vector<float>{0.0F, 0.8F, 1.0F});
    const std::vector<std::uint32_t> positions{2, 1, 0, 1};
    const Matrix<float> x = random_matrix(4, 6, 1);
    Matrix<float> y = x;
    backend->rope(y.view(), 3, cos.view(), sin.view(), positions);
    EXPECT_GT(largest_row_difference(y, x), 0.1);
    gradients->rope(y.view(), 3, cos.view(), sin.view(), positions);
    EXPECT_LT(largest_row_difference(y, x), 1e-6);
}

/// Attention's definition: y of all heads from [q, k, v] one after another.
Values attend(const Values& qkv, const AttentionShape& s, std::size_t length) {
    const std::size_t q_width = s.n_heads * s.head_dim;
    const std::size_t k_width = s.n_kv_heads * s.head_dim;
    const double* k = qkv.data() + length * q_width;
    const double* v = k + length * k_width;
    Values y(length * q_width);
    std::size_t first = 0;
    for (const std::uint32_t n : s.lengths) {
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t h = 0; h < s.n_heads; ++h) {
                const std::size_t kv = h / (s.n_heads / s.n_kv_heads) * s.head_dim;
                const std::size_t q_at = (first + i) * q_width + h * s.head_dim;
                double total = 0.0;
                for (std::size_t j = 0; j < n; ++j) {
                    if ((s.causal && j > i) ||
                        (s.window > 0 && j + s.window < (s.causal ? i + 1 : std::size_t{n}))) {
                        continue;
                    }
                    double score = 0.0;
                    for (std::size_t d = 0; d < s.head_dim; ++d) {
                        score += qkv[q_at + d] * k[(first + j) * k_width + kv + d];
                    }
                    score *= double{s.scale};
                    if (!s.alibi_slopes.empty()) {
                        score += double{s.alibi_slopes[h]} *
                                 (static_cast<double>(j) - static_cast<double>(i));
                    }
                    const double p = std::exp(score);
                    total += p;
                    for (std::size_t d = 0; d < s.head_dim; ++d) {
                        y[q_at + d] += p * v[(first + j) * k_width + kv + d];
                    }
                }
                for (std::size_t d = 0; d < s.head_dim; ++d) {
                    y[q_at + d] /= total;
                }
            }
        }
        first += n;
    }
    return y;
}

struct AttentionCase {
    std::vector<std::uint32_t> lengths;
    AttentionShape shape;
    Matrix<float> q;
    Matrix<float> k;
    Matrix<float> v;
    Matrix<float> dy;

    AttentionCase(std::vector<std::uint32_t> of, std::size_t heads, std::size_t kv_heads,
                  std::size_t head_dim)
        : lengths(std::move(of)),
          q(random_matrix(rows(), heads * head_dim, 1)),
          k(random_matrix(rows(), kv_heads * head_dim, 2)),
          v(random_matrix(rows(), kv_heads * head_dim, 3)),
          dy(random_matrix(rows(), heads * head_dim, 4)) {
        shape.lengths = lengths;
        shape.n_sequences = lengths.size();
        shape.n_heads = heads;
        shape.n_kv_heads = kv_heads;
        shape.head_dim = head_dim;
        shape.scale = 0.6F;
    }
    [[nodiscard]] std::size_t rows() const {
        return std::accumulate(lengths.begin(), lengths.end(), std::size_t{0});
    }
    /// dq, dk, dv one after another, as one column.
    [[nodiscard]] Matrix<float> run(const Gradients& gradients) const {
        Matrix<float> dq(q.rows, q.cols, 7.0F);
        Matrix<float> dk(k.rows, k.cols, 7.0F);
        Matrix<float> dv(k.rows, k.cols, 7.0F);
        gradients.attention(q.view(), k.view(), v.view(), shape, dy.view(), dq.view(), dk.view(),
                            dv.view());
        std::vector<float> all = dq.values;
        all.insert(all.end(), dk.values.begin(), dk.values.end());
        all.insert(all.end(), dv.values.begin(), dv.values.end());
        const std::size_t n = all.size();
        return {n, 1, std::move(all)};
    }
};

TEST_P(GradientsOf, Attention) {
    const std::vector<float> slopes{0.5F, -0.25F, 0.1F, 0.0F};
    AttentionCase at({3, 0, 1, 6}, 4, 2, 3);
    for (const bool causal : {true, false}) {
        for (const std::size_t window : {0U, 2U}) {
            for (const bool sloped : {false, true}) {
                at.shape.causal = causal;
                at.shape.window = window;
                at.shape.alibi_slopes =
                    sloped ? std::span<const float>(slopes) : std::span<const float>();
                Values qkv = doubles(at.q);
                for (const Matrix<float>* part : {&at.k, &at.v}) {
                    qkv.insert(qkv.end(), part->values.begin(), part->values.end());
                }
                const Matrix<float> found = at.run(*gradients);
                expect_close(found, differences(
                                        [&](const Values& from) {
                                            return attend(from, at.shape, at.rows());
                                        },
                                        qkv, doubles(at.dy)));
            }
        }
    }
}

TEST_P(GradientsOf, Activations) {
    const Matrix<float> x = random_matrix(4, 9, 1, 2.0F);
    const Matrix<float> up = random_matrix(4, 9, 2);
    const Matrix<float> dy = random_matrix(4, 9, 3);
    for (const Activation kind : {Activation::silu, Activation::gelu, Activation::gelu_tanh,
                                  Activation::relu, Activation::tanh}) {
        const auto f = [&](const Values& from) {
            Values y;
            for (const double value : from) {
                y.push_back(test_data::activated(kind, value));
            }
            return y;
        };
        Matrix<float> dx(4, 9);
        gradients->activate(kind, x.view(), dy.view(), dx.view());
        expect_close(dx, differences(f, doubles(x), doubles(dy)));

        const Values value = f(doubles(x));
        Values by_up;
        Values weight;
        for (std::size_t i = 0; i < value.size(); ++i) {
            by_up.push_back(value[i] * double{dy.values[i]});
            weight.push_back(double{up.values[i]} * double{dy.values[i]});
        }
        Matrix<float> d_gate = x;  // in place
        Matrix<float> d_up = up;
        gradients->activate_multiply(kind, d_gate.view(), d_up.view(), dy.view(), d_gate.view(),
                                     d_up.view());
        expect_close(d_gate, differences(f, doubles(x), weight));
        expect_close(d_up, by_up);
    }
}

TEST_P(GradientsOf, ActivationsFarOut) {
    const Matrix<float> x(1, 3, std::vector<float>{-200.0F, 0.0F, 200.0F});
    const Matrix<float> dy(1, 3, 1.0F);
    for (const Activation kind :
         {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu}) {
        Matrix<float> dx(1, 3);
        gradients->activate(kind, x.view(), dy.view(), dx.view());
        EXPECT_THAT(dx.values, ElementsAre(0.0F, kind == Activation::relu ? 0.0F : 0.5F, 1.0F));
    }
}

TEST_P(GradientsOf, CrossEntropy) {
    const Matrix<float> logits = random_matrix(3, 7, 1);
    const std::vector<std::uint32_t> targets{6, 0, 3};
    const auto losses = [&](const Values& from) {
        Values y;
        for (std::size_t t = 0; t < 3; ++t) {
            double sum = 0.0;
            for (std::size_t j = 0; j < 7; ++j) {
                sum += std::exp(from[t * 7 + j]);
            }
            y.push_back(std::log(sum) - from[t * 7 + targets[t]]);
        }
        return y;
    };
    Matrix<float> d_logits = logits;  // in place
    gradients->cross_entropy(d_logits.view(), targets, d_logits.view());
    expect_close(d_logits, differences(losses, doubles(logits), {1.0, 1.0, 1.0}));
    const std::vector<std::uint32_t> outside{0, 7, 0};
    EXPECT_THAT(message_of<DataError>(
                    [&] { gradients->cross_entropy(logits.view(), outside, d_logits.view()); }),
                HasSubstr("target 1 is 7"));
}

TEST_P(GradientsOf, SampleByHand) {
    // Probabilities 1/8, 1/2, 1/8, 1/4; a huge level must not matter.
    const float ln2 = std::log(2.0F);
    const Matrix<float> logits(
        5, 4, std::vector<float>{0, 2 * ln2, 0, ln2,     0, 2 * ln2, 0, ln2,     0, 2 * ln2,
                                 0, ln2,     0, 2 * ln2, 0, ln2,     0, 2 * ln2, 0, ln2});
    std::vector<std::uint32_t> targets(5);
    gradients->sample(logits.view(), std::vector<double>{0.0, 0.12, 0.13, 0.74, 0.999999999},
                      targets);
    EXPECT_THAT(targets, ElementsAre(0, 0, 1, 2, 3));
    const Matrix<float> sure(1, 3, std::vector<float>{-1e4F, 1e4F, -1e4F});
    std::vector<std::uint32_t> one(1);
    gradients->sample(sure.view(), std::vector<double>{0.5}, one);
    EXPECT_THAT(one, ElementsAre(1));
}

TEST_P(GradientsOf, SumsOfSquaresAreAddedUp) {
    const Matrix<float> x(2, 3, std::vector<float>{1, 2, 3, -1, 0, 4});
    std::vector<double> sums{10, 0, 0};
    gradients->add_squares(x.view(), sums);
    EXPECT_THAT(sums, ElementsAre(12, 4, 25));
}

TEST_P(GradientsOf, SquaresOfARowAreAddedUp) {
    Matrix<float> x(2, 19, 0.0F);  // not a multiple of any vector's length
    for (std::size_t j = 0; j < 19; ++j) {
        x.values[j] = static_cast<float>(j);
        x.values[19 + j] = -1.0F;
    }
    std::vector<double> sums{10, 0};
    gradients->add_row_squares(x.view(), sums);
    EXPECT_THAT(sums, ElementsAre(10 + 18 * 19 * 37 / 6, 19));
    std::vector<double> one(1);
    EXPECT_THAT(message_of<ShapeError>([&] { gradients->add_row_squares(x.view(), one); }),
                HasSubstr("sums is 1 but rows of x is 2"));
}

TEST_P(GradientsOf, RefusesWhatDoesNotFit) {
    const Matrix<float> a(4, 6);
    Matrix<float> b(4, 6);
    EXPECT_THAT(
        message_of<ShapeError>([&] { gradients->linear(a.view(), a.view(), false, b.view()); }),
        HasSubstr("columns of dy is 6 but rows of w is 4"));
    EXPECT_THAT(message_of<ShapeError>([&] {
                    gradients->rms_norm(a.view(), std::vector<float>(5), 0.0F, a.view(), b.view());
                }),
                HasSubstr("weight is 5 but columns of x is 6"));
    std::vector<double> sums(5);
    EXPECT_THAT(message_of<ShapeError>([&] { gradients->add_squares(a.view(), sums); }),
                HasSubstr("sums is 5 but columns of x is 6"));
    AttentionCase at({3}, 3, 1, 2);
    at.shape.n_kv_heads = 2;
    EXPECT_THAT(message_of<ShapeError>([&] { (void)at.run(*gradients); }),
                HasSubstr("n_kv_heads 2 does not divide n_heads 3"));
    Matrix<float> empty(0, 6);
    gradients->activate(Activation::silu, empty.view(), empty.view(), empty.view());
}

TEST(Gradients, AreNotThereForCuda) {
    ThreadPool pool(1);
    EXPECT_THAT(message_of<UsageError>([&] { (void)make_gradients(BackendKind::cuda, pool); }),
                HasSubstr("cuda has no backward pass"));
}

Matrix<float> computed(BackendKind kind, std::size_t threads,
                       const std::function<Matrix<float>(const Gradients&)>& compute) {
    ThreadPool pool(threads);
    return compute(*make_gradients(kind, pool));
}

/// cpu against reference, and whatever the number of threads.
void expect_parity(const std::function<Matrix<float>(const Gradients&)>& compute) {
    const Matrix<float> expected = computed(BackendKind::reference, 1, compute);
    const Matrix<float> found = computed(BackendKind::cpu, 1, compute);
    EXPECT_LT(relative_l2(found.values, doubles(expected)), 1e-5);
    for (const std::size_t threads : {2U, 3U}) {
        EXPECT_EQ(computed(BackendKind::cpu, threads, compute).values, found.values);
    }
}

TEST(GradientParity, LinearAcrossTiles) {
    const Matrix<float> dy = random_matrix(517, 70, 1);
    const Matrix<float> w = random_matrix(70, 300, 2);
    expect_parity([&](const Gradients& gradients) {
        Matrix<float> dx = random_matrix(517, 300, 3);
        gradients.linear(dy.view(), w.view(), true, dx.view());
        return dx;
    });
}

TEST(GradientParity, AttentionAcrossBlocksOfQueries) {
    const std::vector<float> slopes{0.03F, 0.001F, 0.01F};
    AttentionCase at({300, 1, 129}, 3, 1, 20);
    for (const bool causal : {true, false}) {
        for (const std::size_t window : {0U, 50U}) {
            at.shape.causal = causal;
            at.shape.window = window;
            at.shape.alibi_slopes =
                window > 0 ? std::span<const float>(slopes) : std::span<const float>();
            expect_parity([&](const Gradients& gradients) { return at.run(gradients); });
        }
    }
}

TEST(GradientParity, WideRows) {
    const Matrix<float> x = random_matrix(9, 70001, 1);
    const Matrix<float> dy = random_matrix(9, 70001, 2);
    const Matrix<float> weight = random_matrix(1, 70001, 3);
    const std::vector<std::uint32_t> targets{0, 70000, 5, 6, 7, 8, 9, 10, 11};
    expect_parity([&](const Gradients& gradients) {
        Matrix<float> dx(9, 70001);
        gradients.layer_norm(x.view(), weight.values, 1e-5F, dy.view(), dx.view());
        return dx;
    });
    expect_parity([&](const Gradients& gradients) {
        Matrix<float> d_gate(9, 70001);
        Matrix<float> d_up(9, 70001);
        gradients.activate_multiply(Activation::gelu, x.view(), dy.view(), dy.view(), d_gate.view(),
                                    d_up.view());
        return d_gate;
    });
    expect_parity([&](const Gradients& gradients) {
        Matrix<float> d_logits(9, 70001);
        gradients.cross_entropy(x.view(), targets, d_logits.view());
        return d_logits;
    });
}

}  // namespace
}  // namespace lathe::kernels
