#pragma once

#include <cmath>
#include <numbers>

#include "lib/core/activation.hpp"

namespace lathe::kernels {

/// An activation at x: f(x) and f'(x).
template <class T>
struct ActivationPoint {
    T value;
    T slope;
};

/// In the arithmetic of T. f'(0) of relu is 0; not-a-number stays.
template <class T>
ActivationPoint<T> activation_point(Activation kind, T x) {
    constexpr T one = 1;
    switch (kind) {
        case Activation::silu: {
            const T s = one / (one + std::exp(-x));
            return {x * s, s * (one + x * (one - s))};
        }
        case Activation::gelu: {
            const T share = std::erfc(-x / std::numbers::sqrt2_v<T>) / 2;
            const T density =
                std::exp(-x * x / 2) * std::numbers::inv_sqrtpi_v<T> / std::numbers::sqrt2_v<T>;
            return {x * share, share + x * density};
        }
        case Activation::gelu_tanh: {
            // y = x s with s = 1 / (1 + exp(-2 u)), so y' = s + x s (1 - s) 2 u'.
            const T root = std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;
            const T cubic = static_cast<T>(0.044715);
            const T s = one / (one + std::exp(-2 * root * (x + cubic * x * x * x)));
            return {x * s, s + x * s * (one - s) * 2 * root * (one + 3 * cubic * x * x)};
        }
        case Activation::relu:
            return {x < 0 ? T{0} : x, x > 0 ? one : (x <= 0 ? T{0} : x)};
        case Activation::tanh:
            break;
    }
    const T y = std::tanh(x);
    return {y, one - y * y};
}

}  // namespace lathe::kernels
