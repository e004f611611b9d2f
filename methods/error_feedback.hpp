#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/core/matrix_view.hpp"

namespace lathe::kernels {
class Backend;
}

namespace lathe {

/// How GPTQ goes over the columns, and so what factor of the Gram matrix it works with.
struct ErrorFeedback {
    double damping = 0.01;  ///< share of the mean diagonal added to the Gram matrix
    bool by_power = false;  ///< columns by decreasing diagonal, ties by index; else left to right

    bool operator==(const ErrorFeedback&) const = default;
};

/// "0.01", "0.01_by_power": one text for one feedback, fit for the name of a file.
[[nodiscard]] std::string to_string(const ErrorFeedback& feedback);
/// Its inverse. @throws InternalError
[[nodiscard]] ErrorFeedback error_feedback_from_string(const std::string& text);

/// The columns in the order that the feedback has them; empty: left to right.
[[nodiscard]] std::vector<std::uint32_t> column_order(MatrixView<const float> gram,
                                                      const ErrorFeedback& feedback);

/// Backend::inverse_factor() of a Gram matrix, both triangles, in column_order(). The factor may
/// take the matrix's place. gram, factor [d, d]
void make_inverse_factor(MatrixView<const float> gram, const ErrorFeedback& feedback,
                         const kernels::Backend& backend, MatrixView<float> factor);

}  // namespace lathe
