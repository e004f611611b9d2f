#pragma once

#include <cstdint>
#include <span>

#include "lib/core/matrix_view.hpp"

namespace lathe::kernels {

/// Backend::rope(), or with direction -1 the rotation backwards.
inline void rotate(MatrixView<float> x, std::size_t head_dim, MatrixView<const float> cos,
                   MatrixView<const float> sin, std::span<const std::uint32_t> positions,
                   double direction) {
    const std::size_t half = cos.cols;
    for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t first = 0; first < x.cols; first += head_dim) {
            for (std::size_t i = 0; i < half; ++i) {
                const double c = cos(positions[t], i);
                const double s = direction * sin(positions[t], i);
                const double a = x(t, first + i);
                const double b = x(t, first + half + i);
                x(t, first + i) = static_cast<float>(a * c - b * s);
                x(t, first + half + i) = static_cast<float>(b * c + a * s);
            }
        }
    }
}

}  // namespace lathe::kernels
