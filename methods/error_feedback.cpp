#include "methods/error_feedback.hpp"

#include <algorithm>
#include <numeric>
#include <string_view>

#include <fmt/format.h>

#include "kernels/contract/backend.hpp"
#include "lib/core/errors.hpp"

namespace lathe {
namespace {

constexpr std::string_view by_power = "_by_power";

}  // namespace

std::string to_string(const ErrorFeedback& feedback) {
    return fmt::format("{}{}", feedback.damping, feedback.by_power ? by_power : "");
}

ErrorFeedback error_feedback_from_string(const std::string& text) {
    ErrorFeedback feedback;
    feedback.by_power = text.ends_with(by_power);
    try {
        feedback.damping = std::stod(text);
    } catch (const std::exception&) {
        throw InternalError("'" + text + "' is no error feedback");
    }
    if (to_string(feedback) != text) {
        throw InternalError("'" + text + "' is no error feedback");
    }
    return feedback;
}

std::vector<std::uint32_t> column_order(MatrixView<const float> gram,
                                        const ErrorFeedback& feedback) {
    if (!feedback.by_power) {
        return {};
    }
    std::vector<std::uint32_t> order(gram.rows);
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return gram(a, a) > gram(b, b); });
    return order;
}

void make_inverse_factor(MatrixView<const float> gram, const ErrorFeedback& feedback,
                         const kernels::Backend& backend, MatrixView<float> factor) {
    const std::vector<std::uint32_t> order = column_order(gram, feedback);
    backend.inverse_factor(gram, {.damping = feedback.damping, .penalty = {}, .order = order},
                           factor);
}

}  // namespace lathe
