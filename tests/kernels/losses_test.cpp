#include <limits>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "tests/kernels/kernel_fixture.hpp"

namespace lathe::kernels {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float infinity = std::numeric_limits<float>::infinity();

struct Divergence {
    std::vector<double> kl;
    std::vector<std::uint8_t> agree;

    bool operator==(const Divergence&) const = default;
};

Divergence divergence(const Backend& backend, const Matrix<float>& p, const Matrix<float>& q) {
    Divergence result{std::vector<double>(p.rows, 7.0), std::vector<std::uint8_t>(p.rows, 7)};
    backend.kl_divergence(p.view(), q.view(), result.kl, result.agree);
    return result;
}

std::vector<double> cross_entropy(const Backend& backend, const Matrix<float>& logits,
                                  const std::vector<std::uint32_t>& targets) {
    std::vector<double> losses(logits.rows, 7.0);
    backend.cross_entropy(logits.view(), targets, losses);
    return losses;
}

class Losses : public OnEachBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Losses, ::testing::ValuesIn(available_backends()),
                         backend_test_name);

TEST_P(Losses, CrossEntropyByHand) {
    const float ln3 = std::log(3.0F);
    const Matrix<float> logits(3, 2, std::vector<float>{0, ln3, 1000, 1000, -infinity, 5});
    const std::vector<double> losses = cross_entropy(*backend, logits, {0, 1, 1});
    EXPECT_NEAR(losses[0], std::log(4.0), 1e-7);  // probability 1/4
    EXPECT_NEAR(losses[1], std::log(2.0), 1e-12);
    EXPECT_EQ(losses[2], 0.0);  // all probability on the target
    EXPECT_EQ(cross_entropy(*backend, logits, {0, 0, 0})[2], infinity);
    EXPECT_THAT(message_of<DataError>([&] {
                    (void)cross_entropy(*backend, logits, {0, 2, 0});
                }),
                HasSubstr("cross_entropy: target 1 is 2, expected less than 2"));
}

TEST_P(Losses, DivergenceByHand) {
    // p = (1/4, 3/4), q = (1/2, 1/2): 1/4 ln 1/2 + 3/4 ln 3/2
    const float ln3 = std::log(3.0F);
    const Divergence result =
        divergence(*backend, {1, 2, std::vector<float>{0, ln3}}, {1, 2, std::vector<float>{1, 1}});
    EXPECT_NEAR(result.kl[0], 0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-7);
    EXPECT_THAT(result.agree, ElementsAre(0));  // of equal maxima the first counts
}

TEST_P(Losses, DivergenceOfEqualRowsIsExactlyZero) {
    const Matrix<float> p = random_matrix(50, 333, 1, 5.0F);
    const Divergence result = divergence(*backend, p, p);
    for (const double kl : result.kl) {
        EXPECT_EQ(kl, 0.0);
    }
    for (const auto agree : result.agree) {
        EXPECT_EQ(agree, 1);
    }
}

TEST_P(Losses, DivergenceIsNeverNegative) {
    const Matrix<float> p = random_matrix(200, 100, 1);
    Matrix<float> q = p;
    for (std::size_t i = 0; i < q.values.size(); ++i) {
        q.values[i] += static_cast<float>(i % 3) * 1e-7F;
    }
    for (const double kl : divergence(*backend, p, q).kl) {
        EXPECT_GE(kl, 0.0);
        EXPECT_LT(kl, 1e-12);
    }
}

TEST_P(Losses, ImpossibleTokens) {
    const Matrix<float> p(1, 3, std::vector<float>{0, -infinity, 0});
    const Matrix<float> q(1, 3, std::vector<float>{0, 0, -infinity});
    EXPECT_EQ(divergence(*backend, p, p).kl[0], 0.0);
    EXPECT_EQ(divergence(*backend, p, q).kl[0], infinity);
    const Matrix<float> all(1, 3, 0.0F);
    EXPECT_NEAR(divergence(*backend, p, all).kl[0], std::log(1.5), 1e-12);
}

TEST_P(Losses, RefuseWhatDoesNotFit) {
    const Matrix<float> p(2, 3);
    std::vector<double> kl(2);
    std::vector<std::uint8_t> agree(1);
    EXPECT_THAT(message_of<ShapeError>([&] { (void)divergence(*backend, p, Matrix<float>(2, 4)); }),
                HasSubstr("kl_divergence: p_logits is [2, 3] but q_logits is [2, 4]"));
    EXPECT_THAT(
        message_of<ShapeError>([&] { backend->kl_divergence(p.view(), p.view(), kl, agree); }),
        HasSubstr("the number of agree is 1 but rows of p_logits is 2"));
    EXPECT_THAT(message_of<ShapeError>([&] { (void)cross_entropy(*backend, p, {0}); }),
                HasSubstr("the number of targets is 1 but rows of logits is 2"));
}

TEST(LossParity, AgreesWithReference) {
    for (const std::size_t n : {1U, 3U, 8U, 17U, 1000U}) {
        const Matrix<float> p = random_matrix(40, n, 1, 6.0F);
        const Matrix<float> q = random_matrix(40, n, 2, 6.0F);
        std::vector<std::uint32_t> targets(40);
        for (std::size_t t = 0; t < 40; ++t) {
            targets[t] = static_cast<std::uint32_t>(t % n);
        }
        const auto kl = [&](const Backend& backend) { return divergence(backend, p, q); };
        const auto loss = [&](const Backend& b) { return cross_entropy(b, p, targets); };
        const Divergence expected_kl = on_backend(BackendKind::reference, 1, kl);
        const auto expected_loss = on_backend(BackendKind::reference, 1, loss);
        for (const BackendKind kind : available_backends()) {
            const Divergence found = on_backend(kind, 2, kl);
            const auto found_loss = on_backend(kind, 2, loss);
            EXPECT_EQ(found.agree, expected_kl.agree);
            for (std::size_t t = 0; t < 40; ++t) {
                EXPECT_NEAR(found.kl[t], expected_kl.kl[t], 1e-12 * (1 + expected_kl.kl[t]));
                EXPECT_NEAR(found_loss[t], expected_loss[t], 1e-6 * expected_loss[t] + 1e-13);
            }
        }
    }
}

TEST(LossThreads, DoNotShow) {
    const Matrix<float> p = random_matrix(100, 300, 1);
    const Matrix<float> q = random_matrix(100, 300, 2);
    expect_threads_do_not_show([&](const Backend& backend) { return divergence(backend, p, q); });
}

}  // namespace
}  // namespace lathe::kernels
