#pragma once

#include <string_view>

namespace lathe {

/// Functions between the linear layers of a model.
enum class Activation {
    silu,       ///< x / (1 + exp(-x))
    gelu,       ///< x * (1 + erf(x / sqrt(2))) / 2
    gelu_tanh,  ///< x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2
    relu,       ///< max(x, 0)
    tanh,
};

/// "silu", "gelu", "gelu_tanh", "relu", "tanh".
[[nodiscard]] std::string_view name(Activation activation) noexcept;

}  // namespace lathe
