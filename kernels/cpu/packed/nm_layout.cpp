#include "kernels/cpu/packed/nm_layout.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "lib/core/half.hpp"

namespace lathe::kernels {
namespace {

constexpr std::size_t strip = lookup_strip_rows;
constexpr std::size_t octet = kept_octet;
/// Of a plane in an octet.
constexpr std::size_t plane_bytes = octet * strip / 8;
/// Places of 8 bits name one of this many columns.
constexpr std::size_t widest_section = 256;
/// Without scales, sums of at most this many columns are added up: errors grow with the length of a
/// sum.
constexpr std::size_t usual_piece = 1024;

template <class T>
T read_as(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}
template <class T>
void write_as(std::byte* at, T value) {
    std::memcpy(at, &value, sizeof value);
}

/// Values from windows of `width` columns, if an octet's come from whole windows.
bool fit_windows(const NmPattern& pattern, std::size_t width, KeptLayout& layout) {
    if (width % pattern.m != 0 || octet % (width / pattern.m * pattern.n) != 0) {
        return false;
    }
    const std::size_t per_window = width / pattern.m * pattern.n;
    for (std::size_t i = 0; i < octet; ++i) {
        layout.windows[i] = static_cast<std::uint16_t>(i / per_window * width);
    }
    layout.section_cols = octet / per_window * width;
    layout.section_octets = 1;
    layout.section_values = octet;
    return true;
}

}  // namespace

KeptLayout kept_layout(const NmMatrix& matrix, std::size_t piece_cols) {
    KeptLayout layout{.has_offset = matrix.has_offsets};
    if (matrix.binary) {
        constexpr KeptValues kinds[] = {KeptValues::planes1, KeptValues::planes2,
                                        KeptValues::planes3, KeptValues::planes4};
        layout.values = kinds[matrix.num_bits - 1];
    } else if (matrix.num_bits > 0) {
        layout.values = matrix.num_bits <= 4 ? KeptValues::bits4 : KeptValues::bits8;
    } else if (matrix.value_type == DType::f16 || matrix.value_type == DType::bf16) {
        layout.values = matrix.value_type == DType::f16 ? KeptValues::f16 : KeptValues::bf16;
    } else {
        layout.values = KeptValues::f32;
    }
    if (fit_windows(matrix.pattern, 4, layout)) {
        layout.places = KeptPlaces::bits2;
    } else if (fit_windows(matrix.pattern, 16, layout)) {
        layout.places = KeptPlaces::bits4;
    } else {
        // Groups of m whose values fill whole octets, if there are as many.
        std::size_t n_groups = widest_section / matrix.pattern.m;
        n_groups = n_groups >= octet ? n_groups / octet * octet : n_groups;
        n_groups = std::clamp<std::size_t>(piece_cols / matrix.pattern.m, 1, n_groups);
        layout.places = KeptPlaces::bits8;
        layout.section_cols = n_groups * matrix.pattern.m;
        layout.section_values = n_groups * matrix.pattern.n;
        layout.section_octets = (layout.section_values + octet - 1) / octet;
    }
    return layout;
}

std::size_t kept_piece_cols(const NmMatrix& matrix) {
    if (matrix.num_bits > 0) {
        return std::min(matrix.group_size, std::max<std::size_t>(matrix.cols, 1));
    }
    const std::size_t section = kept_layout(matrix, matrix.cols).section_cols;
    const std::size_t piece = std::max<std::size_t>(1, usual_piece / section) * section;
    return std::min(piece, std::max<std::size_t>(matrix.cols, 1));
}

void write_kept_place(const KeptLayout& layout, std::byte* octet_begin, std::size_t i,
                      std::size_t r, std::size_t place) {
    switch (layout.places) {
        case KeptPlaces::bits2: {
            std::byte* at = octet_begin + 2 * r;
            write_as(at, static_cast<std::uint16_t>(read_as<std::uint16_t>(at) | place << 2 * i));
            break;
        }
        case KeptPlaces::bits4: {
            std::byte* at = octet_begin + 4 * r;
            write_as(at, static_cast<std::uint32_t>(read_as<std::uint32_t>(at) | place << 4 * i));
            break;
        }
        case KeptPlaces::bits8:
            octet_begin[strip * i + r] = static_cast<std::byte>(place);
            break;
    }
}

std::size_t read_kept_place(const KeptLayout& layout, const std::byte* octet_begin, std::size_t i,
                            std::size_t r) {
    switch (layout.places) {
        case KeptPlaces::bits2:
            return read_as<std::uint16_t>(octet_begin + 2 * r) >> 2 * i & 3U;
        case KeptPlaces::bits4:
            return read_as<std::uint32_t>(octet_begin + 4 * r) >> 4 * i & 15U;
        case KeptPlaces::bits8:
            return std::to_integer<std::size_t>(octet_begin[strip * i + r]);
    }
    return 0;
}

void write_kept_value(const KeptLayout& layout, std::byte* values, std::size_t i, std::size_t r,
                      float value) {
    const std::size_t place = strip * i + r;
    switch (layout.values) {
        case KeptValues::f32:
            write_as(values + 4 * place, value);
            break;
        case KeptValues::f16:
            write_as(values + 2 * place, float_to_half(value));
            break;
        case KeptValues::bf16:
            write_as(values + 2 * place, float_to_bfloat16(value));
            break;
        case KeptValues::bits8:
            write_as(values + place, static_cast<std::int8_t>(value));
            break;
        case KeptValues::bits4: {
            std::byte* at = values + 4 * r;
            const auto four = static_cast<std::uint32_t>(static_cast<std::int32_t>(value)) & 15U;
            write_as(at, read_as<std::uint32_t>(at) | four << 4 * i);
            break;
        }
        default: {
            const std::size_t n_planes = planes_of(layout.values);
            const auto code = static_cast<unsigned>(value);
            for (std::size_t p = 0; p < n_planes; ++p) {
                std::byte* at = values + 2 * (i * n_planes + p);
                const unsigned bit = (code >> p & 1U) << r;
                write_as(at, static_cast<std::uint16_t>(read_as<std::uint16_t>(at) | bit));
            }
        }
    }
}

float read_kept_value(const KeptLayout& layout, const std::byte* values, std::size_t i,
                      std::size_t r) {
    const std::size_t place = strip * i + r;
    switch (layout.values) {
        case KeptValues::f32:
            return read_as<float>(values + 4 * place);
        case KeptValues::f16:
            return half_to_float(read_as<std::uint16_t>(values + 2 * place));
        case KeptValues::bf16:
            return bfloat16_to_float(read_as<std::uint16_t>(values + 2 * place));
        case KeptValues::bits8:
            return static_cast<float>(read_as<std::int8_t>(values + place));
        case KeptValues::bits4: {
            const auto word = read_as<std::uint32_t>(values + 4 * r);
            return static_cast<float>(std::bit_cast<std::int32_t>(word << (28 - 4 * i)) >> 28);
        }
        default: {
            const std::size_t n_planes = planes_of(layout.values);
            unsigned code = 0;
            for (std::size_t p = 0; p < n_planes; ++p) {
                const auto bits = read_as<std::uint16_t>(values + 2 * (i * n_planes + p));
                code |= (bits >> r & 1U) << p;
            }
            return static_cast<float>(code);
        }
    }
}

}  // namespace lathe::kernels
