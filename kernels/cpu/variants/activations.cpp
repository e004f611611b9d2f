#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/simd.hpp"

// In all of these nothing can overflow: exponentials are taken of numbers below 0. NaN stays NaN.

namespace lathe::kernels::LATHE_ISA {
namespace {

Floats magnitude(Floats x) {
    return x < 0.0F ? -x : x;
}

struct Silu {
    static Floats of(Floats x) {
        // With z = exp(-|x|): x / (1 + z), or x z / (1 + z) below 0.
        const Floats z = exp_of(x > 0.0F ? -x : x);
        return (x > 0.0F ? x : x * z) / (z + 1.0F);
    }
};

struct Gelu {
    /// The share of x that gelu takes away above 0 and leaves below 0: erfc(|x| / sqrt(2)) / 2 =
    /// t p(2 t - 1) exp(-x^2 / 2) with t = 1 / (1 + 0.3 |x| / sqrt(2)). The polynomial is a minimax
    /// fit for |x| <= 13.4 with a relative error of 2e-8; beyond, the exponential is 0.
    static Floats of(Floats x) {
        const Floats size = magnitude(x);
        const Floats t = 1.0F / (size * (0.3F * 0.70710678118654752F) + 1.0F);
        const Floats s = 2.0F * t - 1.0F;
        Floats p = s * -2.5280086324e-4F - 1.2749962142e-4F;
        p = p * s + 2.1919732157e-3F;
        p = p * s + 1.0209898833e-2F;
        p = p * s + 2.8477502175e-2F;
        p = p * s + 5.9358383012e-2F;
        p = p * s + 9.9390765557e-2F;
        p = p * s + 1.3826180917e-1F;
        p = p * s + 1.6248995880e-1F;
        // Beyond 14 the exponential is 0 anyway.
        const Floats limited = size > 14.0F ? broadcast(14.0F) : size;
        const Floats head = half_the_digits(limited);
        const Floats rest = (head - limited) * (head + limited) * 0.5F;  // of -x^2 / 2
        const Floats share = t * p * exp_of(head * head * -0.5F, rest);
        return x * (x > 0.0F ? 1.0F - share : share);
    }
};

struct GeluTanh {
    /// x / (1 + exp(-2 u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), arranged as in Silu.
    static Floats of(Floats x) {
        const Wide wide = widen(magnitude(x));
        const Floats z = exp_of(Wide{minus_twice_u(wide.low), minus_twice_u(wide.high)});
        return (x > 0.0F ? x : x * z) / (z + 1.0F);
    }

private:
    static Doubles minus_twice_u(Doubles x) {
        constexpr double twice_root = 1.5957691216057307118;  // 2 sqrt(2 / pi)
        return x * (x * x * (-0.044715 * twice_root) - twice_root);
    }
};

struct Relu {
    static Floats of(Floats x) { return x < 0.0F ? Floats{} : x; }
};

struct Tanh {
    /// (1 - z) / (1 + z) with z = exp(-2 |x|), which has no digits left near 0; there the odd
    /// polynomial of the Cephes library.
    static Floats of(Floats x) {
        const Floats size = magnitude(x);
        const Floats z = exp_of(size * -2.0F);
        const Floats far = (1.0F - z) / (z + 1.0F);
        const Floats s = x * x;
        Floats p = s * -5.70498872745e-3F + 2.06390887954e-2F;
        p = p * s - 5.37397155531e-2F;
        p = p * s + 1.33314422036e-1F;
        p = p * s - 3.33332819422e-1F;
        const Floats near = p * s * x + x;
        return size < 0.625F ? near : (x < 0.0F ? -far : far);
    }
};

template <class Function>
void apply(const float* x, std::size_t n, float* y) {
    std::size_t j = 0;
    for (; j + lanes <= n; j += lanes) {
        store(y + j, Function::of(load(x + j)));
    }
    if (const std::size_t rest = n - j; rest > 0) {
        store_some(y + j, rest, Function::of(load_some(x + j, rest, 0.0F)));
    }
}

template <class Function>
void multiply(const float* gate, const float* up, std::size_t n, float* y) {
    std::size_t j = 0;
    for (; j + lanes <= n; j += lanes) {
        store(y + j, Function::of(load(gate + j)) * load(up + j));
    }
    if (const std::size_t rest = n - j; rest > 0) {
        store_some(y + j, rest,
                   Function::of(load_some(gate + j, rest, 0.0F)) * load_some(up + j, rest, 0.0F));
    }
}

}  // namespace

const ActivationKernels silu{apply<Silu>, multiply<Silu>};
const ActivationKernels gelu{apply<Gelu>, multiply<Gelu>};
const ActivationKernels gelu_tanh{apply<GeluTanh>, multiply<GeluTanh>};
const ActivationKernels relu{apply<Relu>, multiply<Relu>};
const ActivationKernels tanh{apply<Tanh>, multiply<Tanh>};

}  // namespace lathe::kernels::LATHE_ISA
