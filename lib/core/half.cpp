#include "lib/core/half.hpp"

#include <cmath>
#include <cstring>
#include <string>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

// Written on bits, in a form that compilers vectorise: no branch depends on the data.

float half_bits_to_float(std::uint16_t bits) noexcept {
    const std::uint32_t sign = (bits & 0x8000U) << 16;
    const std::uint32_t magnitude = bits & 0x7FFFU;
    // Shifted into place the exponent is off by 112; one multiplication mends normal numbers and
    // subnormals alike, and infinities and NaNs get their exponent filled afterwards.
    const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
    const std::uint32_t special = magnitude >= 0x7C00U ? 0x7F800000U : 0U;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | sign | special);
}

template <class T>
T read_at(const std::byte* p) noexcept {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

template <class T>
void write_at(std::byte* p, T value) noexcept {
    std::memcpy(p, &value, sizeof value);
}

[[noreturn]] void refuse(DType dtype) {
    throw DataError("element type " + std::string(name(dtype)) + " is not a floating type");
}

}  // namespace

float half_to_float(std::uint16_t bits) noexcept {
    return half_bits_to_float(bits);
}

std::uint16_t float_to_half(float value) noexcept {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (bits >> 16) & 0x8000U;
    const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
    if (magnitude > 0x7F800000U) {
        return static_cast<std::uint16_t>(sign | 0x7E00U);
    }
    if (magnitude >= 0x477FF000U) {
        return static_cast<std::uint16_t>(sign | 0x7C00U);
    }
    if (magnitude < 0x38800000U) {  // subnormal: let the adder round at 2^-24
        const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
        return static_cast<std::uint16_t>(
            sign | (std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(0.5F)));
    }
    const std::uint32_t rounded = magnitude - 0x38000000U + 0xFFFU + ((magnitude >> 13) & 1U);
    return static_cast<std::uint16_t>(sign | (rounded >> 13));
}

std::uint16_t float_to_bfloat16(float value) noexcept {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
        return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
    }
    return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

void to_float(const std::byte* source, DType dtype, std::span<float> values) {
    const std::size_t n = values.size();
    switch (dtype) {
        case DType::f64:
            for (std::size_t i = 0; i < n; ++i) {
                values[i] = static_cast<float>(read_at<double>(source + 8 * i));
            }
            return;
        case DType::f32:
            if (n > 0) {
                std::memcpy(values.data(), source, 4 * n);
            }
            return;
        case DType::f16:
            for (std::size_t i = 0; i < n; ++i) {
                values[i] = half_bits_to_float(read_at<std::uint16_t>(source + 2 * i));
            }
            return;
        case DType::bf16:
            for (std::size_t i = 0; i < n; ++i) {
                values[i] = bfloat16_to_float(read_at<std::uint16_t>(source + 2 * i));
            }
            return;
        default:
            refuse(dtype);
    }
}

void from_float(std::span<const float> values, DType dtype, std::byte* target) {
    const std::size_t n = values.size();
    switch (dtype) {
        case DType::f64:
            for (std::size_t i = 0; i < n; ++i) {
                write_at<double>(target + 8 * i, values[i]);
            }
            return;
        case DType::f32:
            if (n > 0) {
                std::memcpy(target, values.data(), 4 * n);
            }
            return;
        case DType::f16:
            for (std::size_t i = 0; i < n; ++i) {
                write_at(target + 2 * i, float_to_half(values[i]));
            }
            return;
        case DType::bf16:
            for (std::size_t i = 0; i < n; ++i) {
                write_at(target + 2 * i, float_to_bfloat16(values[i]));
            }
            return;
        default:
            refuse(dtype);
    }
}

}  // namespace lathe
