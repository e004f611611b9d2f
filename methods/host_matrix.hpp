#pragma once

#include <cstddef>
#include <vector>

#include "lib/core/matrix_view.hpp"
#include "lib/encoding/encoded_tensor.hpp"

namespace lathe {

/// A matrix and its memory on the host, zeros at first.
template <class T>
struct HostMatrix {
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::vector<T> values = std::vector<T>(rows * cols);

    [[nodiscard]] MatrixView<T> view() { return {values.data(), rows, cols}; }
    [[nodiscard]] MatrixView<const T> view() const { return {values.data(), rows, cols}; }
};

/// What an encoded matrix stands for.
[[nodiscard]] inline HostMatrix<float> decoded(const EncodedTensor& tensor) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    HostMatrix<float> values{rows, cols};
    decode(tensor, values.view());
    return values;
}

}  // namespace lathe
