#include "lib/core/activation.hpp"

#include <limits>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "tests/kernels/kernel_fixture.hpp"

namespace lathe::kernels {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Activation all_kinds[] = {Activation::silu, Activation::gelu, Activation::gelu_tanh,
                                    Activation::relu, Activation::tanh};

std::vector<float> activate(const Backend& backend, Activation kind, std::vector<float> x) {
    const MatrixView<float> view(x.data(), 1, x.size());
    backend.activate(kind, view, view);
    return x;
}

TEST(ActivationNames, AreThoseOfConfigurations) {
    std::vector<std::string> names;
    for (const Activation kind : all_kinds) {
        names.emplace_back(name(kind));
    }
    EXPECT_THAT(names, ElementsAre("silu", "gelu", "gelu_tanh", "relu", "tanh"));
}

class Activations : public OnEachBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Activations, ::testing::ValuesIn(available_backends()),
                         backend_test_name);

TEST_P(Activations, ByHand) {
    const auto expect = [&](Activation kind, const std::vector<float>& x,
                            const std::vector<double>& expected) {
        const std::vector<float> y = activate(*backend, kind, x);
        for (std::size_t i = 0; i < x.size(); ++i) {
            EXPECT_NEAR(y[i], expected[i], 1e-6 * std::abs(expected[i]))
                << name(kind) << "(" << x[i] << ")";
        }
    };
    // silu(ln 3) = ln 3 * 3/4, silu(-ln 3) = -ln 3 / 4
    const float ln3 = 1.0986123F;
    expect(Activation::silu, {0, ln3, -ln3, 100}, {0, 0.75 * ln3, -0.25 * ln3, 100});
    // x Phi(x) with Phi(1) = 0.841344746068543, Phi(-1) = 1 - Phi(1), Phi(-6)
    // = 9.86587645037698e-10 (Abramowitz and Stegun, table 26.1 and 26.2)
    expect(Activation::gelu, {0, 1, -1, -6, 20},
           {0, 0.841344746068543, -0.158655253931457, -6 * 9.86587645037698e-10, 20});
    // 2 u = 2 sqrt(2 / pi) 1.044715 = 1.667124082..., so x / (1 + exp(-+ 1.667124082))
    expect(Activation::gelu_tanh, {0, 1, -1, 20}, {0, 0.841191990608, -0.158808009392, 20});
    expect(Activation::relu, {0, 3, -3}, {0, 3, 0});
    // tanh(ln 3) = (9 - 1) / (9 + 1)
    expect(Activation::tanh, {0, ln3, -ln3, 1e-4F, 50}, {0, 0.8, -0.8, 1e-4, 1});
}

TEST_P(Activations, MultiplyByHandInPlace) {
    Matrix<float> gate(1, 3, std::vector<float>{2, -1, 0.5F});
    Matrix<float> up(1, 3, std::vector<float>{10, 20, 30});
    backend->activate_multiply(Activation::relu, gate.view(), up.view(), up.view());
    EXPECT_THAT(up.values, ElementsAre(20, 0, 15));
    backend->activate_multiply(Activation::relu, gate.view(), up.view(), gate.view());
    EXPECT_THAT(gate.values, ElementsAre(40, 0, 7.5F));
}

TEST_P(Activations, KeepWhatIsNotANumberAndDoNotOverflow) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    for (const Activation kind : all_kinds) {
        const std::vector<float> y = activate(*backend, kind, {nan, infinity, 3e38F, -3e38F});
        const float top = kind == Activation::tanh ? 1.0F : infinity;
        EXPECT_TRUE(std::isnan(y[0])) << name(kind);
        EXPECT_EQ(y[1], top) << name(kind);
        EXPECT_EQ(y[2], std::min(top, 3e38F)) << name(kind);
        EXPECT_EQ(y[3], kind == Activation::tanh ? -1.0F : 0.0F) << name(kind);
    }
}

TEST_P(Activations, RefuseOtherShapes) {
    Matrix<float> a(2, 3);
    Matrix<float> b(4, 5);
    EXPECT_THAT(
        message_of<ShapeError>([&] { backend->activate(Activation::relu, a.view(), b.view()); }),
        HasSubstr("activate: x is [2, 3] but y is [4, 5]"));
    EXPECT_THAT(message_of<ShapeError>([&] {
                    backend->activate_multiply(Activation::relu, a.view(), b.view(), a.view());
                }),
                HasSubstr("activate_multiply: gate is [2, 3] but up is [4, 5]"));
    EXPECT_THAT(message_of<ShapeError>([&] {
                    backend->activate_multiply(Activation::relu, a.view(), a.view(), b.view());
                }),
                HasSubstr("activate_multiply: gate is [2, 3] but y is [4, 5]"));
    Matrix<float> none(0, 3);
    backend->activate(Activation::gelu, none.view(), none.view());
}

TEST(ActivationParity, HoldsFromTheSmallestToTheLargest) {
    // Every magnitude of fp32 from 1e-12 to 1e4, both signs: the tails of gelu end near -13, of
    // silu near -90.
    std::vector<float> x;
    for (double magnitude = 1e-12; magnitude < 1e4; magnitude *= 1.0007) {
        x.push_back(static_cast<float>(magnitude));
        x.push_back(static_cast<float>(-magnitude));
    }
    Matrix<float> gate(1, x.size(), x);
    Matrix<float> up = random_matrix(1, x.size(), 1);
    for (const Activation kind : all_kinds) {
        const auto expect = [&](const char* what, double floor, const auto& compute) {
            const std::vector<float> expected = on_backend(BackendKind::reference, 1, compute);
            for (const BackendKind backend : available_backends()) {
                const std::vector<float> y = on_backend(backend, 2, compute);
                for (std::size_t i = 0; i < x.size(); ++i) {
                    const double limit = std::max(1e-6 * std::abs(double{expected[i]}), floor);
                    ASSERT_LE(std::abs(double{y[i]} - expected[i]), limit)
                        << what << " " << name(kind) << "(" << x[i] << ")";
                }
            }
        };
        expect("plain", 1e-35, [&](const Backend& backend) { return activate(backend, kind, x); });
        expect("multiplied", 5e-35, [&](const Backend& backend) {
            Matrix<float> y(1, x.size());
            backend.activate_multiply(kind, gate.view(), up.view(), y.view());
            return y.values;
        });
    }
}

TEST(ActivationThreads, DoNotShow) {
    const Matrix<float> x = random_matrix(300, 501, 1, 3.0F);
    for (const Activation kind : all_kinds) {
        expect_threads_do_not_show([&](const Backend& backend) {
            Matrix<float> y(300, 501);
            backend.activate(kind, x.view(), y.view());
            backend.activate_multiply(kind, y.view(), x.view(), y.view());
            return y.values;
        });
    }
}

}  // namespace
}  // namespace lathe::kernels
