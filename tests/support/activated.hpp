#pragma once

#include <algorithm>
#include <cmath>

#include "lib/core/activation.hpp"

namespace lathe::test_data {

/// An activation as textbooks define it, in fp64.
inline double activated(Activation kind, double x) {
    switch (kind) {
        case Activation::silu:
            return x / (1.0 + std::exp(-x));
        case Activation::gelu:
            return x * (1.0 + std::erf(x / std::sqrt(2.0))) / 2.0;
        case Activation::gelu_tanh:
            return x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x))) / 2.0;
        case Activation::relu:
            return std::max(x, 0.0);
        case Activation::tanh:
            return std::tanh(x);
    }
    return 0.0;
}

}  // namespace lathe::test_data
