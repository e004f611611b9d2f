#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/contract/backend.hpp"
#include "kernels/layouts/rounded_to_half.hpp"

/// What every backend agrees on about binary codings (kernels/contract/backend.hpp says what they
/// are for).
namespace lathe::kernels {

inline constexpr std::size_t most_levels = 16;
/// Unknowns of a group: its scales, and its offset as the last.
inline constexpr std::size_t most_unknowns = 5;

/// descend_on_binary_codes() leaves the scales of wider groups alone: the cost of new ones grows
/// with the width of the group.
inline constexpr std::size_t widest_refitted_binary_group = 512;

/// The fp16 number nearest to a scale or an offset, within the range of fp16.
[[nodiscard]] LATHE_HOST_DEVICE inline float storable_term(double value) {
    const auto limited = static_cast<float>(std::clamp(value, -65504.0, 65504.0));
    return rounded_to_half(limited);
}

/// The value of a code of a CodedMatrix.
[[nodiscard]] LATHE_HOST_DEVICE inline float coded_value(unsigned code, const float* scales,
                                                         float offset, unsigned num_bits,
                                                         bool uniform) {
    if (uniform) {
        return scales[0] * (static_cast<float>(code) - offset);
    }
    float value = offset;
    for (unsigned p = 0; p < num_bits; ++p) {
        value += (code >> p & 1U) != 0 ? scales[p] : -scales[p];
    }
    return value;
}

/// The zero or offset of all groups of a matrix that does not have its own.
[[nodiscard]] inline float usual_offset(const CodedMatrix& matrix) {
    return matrix.uniform ? static_cast<float>(1U << (matrix.num_bits - 1U)) : 0.0F;
}

/// The values a group's codes stand for, ascending; the lower code first among equal ones.
struct Levels {
    std::size_t n = 0;
    std::array<float, most_levels> value{};
    std::array<std::uint8_t, most_levels> code{};
    /// Between value[k] and value[k + 1]; behind the last of them infinite.
    std::array<float, most_levels> middle{};

    LATHE_HOST_DEVICE Levels(const float* scales, float offset, unsigned num_bits)
        : n(std::size_t{1} << num_bits) {
        for (std::size_t c = 0; c < n; ++c) {
            const float own =
                coded_value(static_cast<unsigned>(c), scales, offset, num_bits, false);
            std::size_t place = c;
            for (; place > 0 && own < value[place - 1]; --place) {
                value[place] = value[place - 1];
                code[place] = code[place - 1];
            }
            value[place] = own;
            code[place] = static_cast<std::uint8_t>(c);
        }
        middle.fill(INFINITY);
        for (std::size_t k = 0; k + 1 < n; ++k) {
            middle[k] = 0.5F * (value[k] + value[k + 1]);
        }
    }

    /// The place of the level nearest to w, the lower of two equally near ones.
    [[nodiscard]] LATHE_HOST_DEVICE std::size_t nearest(float w) const {
        int place = 0;
        for (const float m : middle) {
            place += w > m ? 1 : 0;
        }
        return static_cast<std::size_t>(place);
    }
};

/// The normal equations of a group's scales and offset.
struct NormalEquations {
    std::size_t n;  ///< unknowns
    std::array<std::array<double, most_unknowns>, most_unknowns> matrix{};
    std::array<double, most_unknowns> right{};

    LATHE_HOST_DEVICE explicit NormalEquations(const BinaryCodeSettings& settings)
        : n(settings.num_bits + (settings.offset ? 1U : 0U)) {}

    /// The solution by elimination, with a ridge of 1e-9 of the mean diagonal: planes may be equal
    /// or opposite. All 0 if the matrix is 0.
    [[nodiscard]] LATHE_HOST_DEVICE std::array<double, most_unknowns> solve() const {
        auto a = matrix;
        auto x = right;
        double trace = 0.0;
        for (std::size_t i = 0; i < n; ++i) {
            trace += a[i][i];
        }
        if (!(trace > 0.0)) {
            return {};
        }
        for (std::size_t i = 0; i < n; ++i) {
            a[i][i] += 1e-9 * trace / static_cast<double>(n);
        }
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t k = i + 1; k < n; ++k) {
                const double factor = a[k][i] / a[i][i];
                for (std::size_t j = i; j < n; ++j) {
                    a[k][j] -= factor * a[i][j];
                }
                x[k] -= factor * x[i];
            }
        }
        for (std::size_t i = n; i-- > 0;) {
            for (std::size_t j = i + 1; j < n; ++j) {
                x[i] -= a[i][j] * x[j];
            }
            x[i] /= a[i][i];
        }
        return x;
    }
};

/// What unknown i of a group multiplies in an element with this code: a sign, or 1 for the offset.
[[nodiscard]] LATHE_HOST_DEVICE inline double sign_of(unsigned code, std::size_t i,
                                                      unsigned num_bits) {
    return i == num_bits || (code >> i & 1U) != 0 ? 1.0 : -1.0;
}

}  // namespace lathe::kernels
