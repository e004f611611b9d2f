#include "lib/core/activation.hpp"

namespace lathe {

std::string_view name(Activation activation) noexcept {
    switch (activation) {
        case Activation::silu:
            return "silu";
        case Activation::gelu:
            return "gelu";
        case Activation::gelu_tanh:
            return "gelu_tanh";
        case Activation::relu:
            return "relu";
        case Activation::tanh:
            return "tanh";
    }
    return "unknown";
}

}  // namespace lathe
