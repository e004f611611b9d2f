#include "workers/exports/gguf/blocks.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/integer_form.hpp"

namespace lathe::gguf {
namespace {

/// What one block is made of. value = scale * difference[j], and difference = code - zero.
struct Content {
    const std::int16_t* difference;
    std::uint8_t zero;
    std::uint16_t scale;  ///< fp16
};

void put_half(std::byte* at, std::uint16_t bits) {
    std::memcpy(at, &bits, sizeof(bits));
}

void add_bits(std::byte& byte, unsigned bits, std::size_t shift) {
    byte |= static_cast<std::byte>(bits << shift);
}

/// The number that a type stores for an element.
template <int offset>
unsigned shifted(const Content& content, std::size_t j) {
    return static_cast<unsigned>(content.difference[j] + offset);
}

unsigned code(const Content& content, std::size_t j) {
    return static_cast<unsigned>(content.difference[j] + content.zero);
}

// Of blocks of 32, byte j has element j in its low half and element j + 16 in its high one.
template <class Number>
void put_nibbles(Number&& number, std::byte* at) {
    for (std::size_t j = 0; j < 32; ++j) {
        add_bits(at[j % 16], number(j) & 15U, j / 16 * 4);
    }
}

/// The fifth bits of 32 numbers, then their nibbles.
template <class Number>
void put_five_bits(Number&& number, std::byte* at) {
    for (std::size_t j = 0; j < 32; ++j) {
        add_bits(at[j / 8], number(j) >> 4, j % 8);
    }
    put_nibbles(number, at + 4);
}

void pack_q4_0(const Content& content, std::byte* at) {
    put_half(at, content.scale);
    put_nibbles([&](std::size_t j) { return shifted<8>(content, j); }, at + 2);
}

void pack_q5_0(const Content& content, std::byte* at) {
    put_half(at, content.scale);
    put_five_bits([&](std::size_t j) { return shifted<16>(content, j); }, at + 2);
}

/// Scale and minimum, d * q + m with m = -scale * zero. A scale of one byte has 5 significant bits,
/// a zero at most 5: the product is exact, and at most 3.875 * 31.
void put_scale_and_minimum(const Content& content, std::byte* at) {
    put_half(at, content.scale);
    put_half(at + 2, float_to_half(-half_to_float(content.scale) * content.zero));
}

void pack_q4_1(const Content& content, std::byte* at) {
    put_scale_and_minimum(content, at);
    put_nibbles([&](std::size_t j) { return code(content, j); }, at + 4);
}

void pack_q5_1(const Content& content, std::byte* at) {
    put_scale_and_minimum(content, at);
    put_five_bits([&](std::size_t j) { return code(content, j); }, at + 4);
}

void pack_q8_0(const Content& content, std::byte* at) {
    put_half(at, content.scale);
    for (std::size_t j = 0; j < 32; ++j) {
        at[2 + j] = static_cast<std::byte>(static_cast<std::int8_t>(content.difference[j]));
    }
}

void pack_q1_0(const Content& content, std::byte* at) {
    put_half(at, content.scale);
    for (std::size_t j = 0; j < 128; ++j) {
        add_bits(at[2 + j / 8], content.difference[j] > 0 ? 1 : 0, j % 8);
    }
}

/// d * (q - 1) has levels -1, 0, 1, 2 where symmetric codes of 2 bits have -2, -1, 0, 1.
void pack_q2_0(const Content& content, std::byte* at) {
    constexpr std::uint16_t sign = 0x8000;
    put_half(at, content.scale ^ sign);
    for (std::size_t j = 0; j < 64; ++j) {
        add_bits(at[2 + j / 4], static_cast<unsigned>(1 - content.difference[j]), j % 4 * 2);
    }
}

// Super-blocks of 256. One scale and one zero for all of their parts: the parts' own scales are 1.

/// Two bits an element: of each half, byte i has elements i, i + 32, i + 64, i + 96.
template <class Number>
void put_pairs(Number&& number, std::byte* at) {
    for (std::size_t j = 0; j < 256; ++j) {
        add_bits(at[j / 128 * 32 + j % 32], number(j) & 3U, j % 128 / 32 * 2);
    }
}

void pack_q2_k(const Content& content, std::byte* at) {
    std::fill_n(at, 16, static_cast<std::byte>(1U | content.zero << 4U));
    put_pairs([&](std::size_t j) { return code(content, j); }, at + 16);
    put_half(at + 80, content.scale);
    put_half(at + 82, content.scale);
}

void pack_q3_k(const Content& content, std::byte* at) {
    const auto number = [&](std::size_t j) { return shifted<4>(content, j); };
    for (std::size_t j = 0; j < 256; ++j) {
        add_bits(at[j % 32], number(j) >> 2, j / 32);
    }
    put_pairs(number, at + 32);
    // Scales of 6 bits, 33 - 32 = 1: low halves 1, upper two bits 2.
    std::fill_n(at + 96, 8, std::byte{0x11});
    std::fill_n(at + 104, 4, std::byte{0xAA});
    put_half(at + 108, content.scale);
}

/// Eight scales of 1 and eight minima of `zero`, 6 bits each.
void put_scales_and_minima(std::uint8_t zero, std::byte* at) {
    std::fill_n(at, 4, std::byte{1});
    std::fill_n(at + 4, 4, static_cast<std::byte>((zero & 63U) | zero >> 4U << 6U));
    std::fill_n(at + 8, 4, static_cast<std::byte>(1U | (zero & 15U) << 4U));
}

/// Four runs of 32 bytes; run r has part 2r in low halves, part 2r + 1 in high ones.
void put_runs(const Content& content, std::byte* at) {
    for (std::size_t j = 0; j < 256; ++j) {
        add_bits(at[j / 64 * 32 + j % 32], code(content, j) & 15U, j % 64 / 32 * 4);
    }
}

void pack_q4_k(const Content& content, std::byte* at) {
    put_half(at, content.scale);
    put_half(at + 2, content.scale);
    put_scales_and_minima(content.zero, at + 4);
    put_runs(content, at + 16);
}

void pack_q5_k(const Content& content, std::byte* at) {
    put_half(at, content.scale);
    put_half(at + 2, content.scale);
    put_scales_and_minima(content.zero, at + 4);
    for (std::size_t j = 0; j < 256; ++j) {
        add_bits(at[16 + j % 32], code(content, j) >> 4, j / 32);
    }
    put_runs(content, at + 48);
}

void pack_q6_k(const Content& content, std::byte* at) {
    for (std::size_t j = 0; j < 256; ++j) {
        const unsigned number = shifted<32>(content, j);
        const std::size_t half = j / 128;
        const std::size_t in_half = j % 128;
        add_bits(at[half * 64 + in_half % 64], number & 15U, in_half / 64 * 4);
        add_bits(at[128 + half * 32 + j % 32], number >> 4, in_half / 32 * 2);
    }
    std::fill_n(at + 192, 16, std::byte{1});
    put_half(at + 208, content.scale);
}

struct Row {
    Type type;
    Block block;
    unsigned most_bits_symmetric;   ///< of codes it holds; 0: none
    unsigned most_bits_asymmetric;  ///< the same of codes with zeros
    unsigned most_bits_of_bytes;    ///< the same of codes with zeros and scales of one byte
    void (*pack)(const Content& content, std::byte* at);

    [[nodiscard]] unsigned most_bits(bool symmetric, bool scales_are_bytes) const {
        return symmetric          ? most_bits_symmetric
               : scales_are_bytes ? most_bits_of_bytes
                                  : most_bits_asymmetric;
    }
};

/// By falling thrift. Q1_0 is for signs alone.
constexpr std::array rows{
    Row{Type::q1_0, {128, 18}, 0, 0, 0, pack_q1_0},
    Row{Type::q2_0, {64, 18}, 2, 0, 0, pack_q2_0},
    Row{Type::q2_k, {256, 84}, 2, 2, 2, pack_q2_k},
    Row{Type::q3_k, {256, 110}, 3, 0, 0, pack_q3_k},
    Row{Type::q4_0, {32, 18}, 4, 3, 3, pack_q4_0},
    Row{Type::q4_k, {256, 144}, 0, 4, 4, pack_q4_k},
    Row{Type::q4_1, {32, 20}, 0, 0, 4, pack_q4_1},
    Row{Type::q5_0, {32, 22}, 5, 4, 4, pack_q5_0},
    Row{Type::q5_k, {256, 176}, 0, 5, 5, pack_q5_k},
    Row{Type::q5_1, {32, 24}, 0, 0, 5, pack_q5_1},
    Row{Type::q6_k, {256, 210}, 6, 0, 0, pack_q6_k},
    Row{Type::q8_0, {32, 34}, 8, 7, 7, pack_q8_0},
};

const Row& row_of(Type type) {
    const auto* const row = std::ranges::find(rows, type, &Row::type);
    if (row == rows.end()) {
        throw InternalError("GGUF type " + std::to_string(static_cast<unsigned>(type)) +
                            " has no blocks");
    }
    return *row;
}

bool is_of_signs(const EncodedTensor& tensor) {
    return tensor.encoding == "bcq" && tensor.settings.at("num_bits") == 1 &&
           tensor.settings.at("uniform") == 0 && tensor.settings.at("offset") == 0;
}

bool has_scales_of_bytes(const EncodedTensor& tensor) {
    return tensor.encoding == "integer" && integer_layout(tensor).float8_scales;
}

}  // namespace

Block block_of(Type type) {
    if (type == Type::f32) {
        return {1, 4};
    }
    return type == Type::f16 || type == Type::bf16 ? Block{1, 2} : row_of(type).block;
}

std::optional<Type> exact_type(const EncodedTensor& tensor) {
    const auto layout = integer_form(tensor);
    if (!layout) {
        return std::nullopt;
    }
    const std::size_t cols = matrix_extents(tensor.shape).second;
    const bool one_group = groups_per_row(cols, layout->group_size) == 1;
    for (const Row& row : rows) {
        const unsigned most = row.most_bits(layout->symmetric, has_scales_of_bytes(tensor));
        const bool holds = row.type == Type::q1_0 ? is_of_signs(tensor) : layout->num_bits <= most;
        if (holds && cols % row.block.elements == 0 &&
            (one_group || layout->group_size % row.block.elements == 0)) {
            return row.type;
        }
    }
    return std::nullopt;
}

std::vector<std::byte> pack_blocks(const EncodedTensor& tensor, Type type,
                                   std::span<const std::uint32_t> row_order) {
    const EncodedTensor integer = to_integer(tensor);
    const IntegerLayout layout = *integer_form(integer);
    const auto [n_rows, cols] = matrix_extents(integer.shape);
    const std::size_t groups = groups_per_row(cols, layout.group_size);
    const std::byte* scales = part(integer, "scales").bytes.data();
    const std::byte* zeros = layout.symmetric ? nullptr : part(integer, "zeros").bytes.data();
    const Row& row = row_of(type);
    std::vector<std::byte> packed(n_rows * (cols / row.block.elements) * row.block.bytes);
    std::vector<std::uint8_t> codes(cols);
    std::vector<std::int16_t> difference(row.block.elements);
    std::byte* at = packed.data();
    for (std::size_t i = 0; i < n_rows; ++i) {
        const std::size_t from = row_order.empty() ? i : row_order[i];
        unpack_codes(integer, from, codes.data());
        for (std::size_t begin = 0; begin < cols; begin += row.block.elements) {
            const std::size_t g = from * groups + begin / layout.group_size;
            Content content{difference.data(), middle_code(layout.num_bits), 0};
            if (zeros != nullptr) {
                content.zero = std::to_integer<std::uint8_t>(zeros[g]);
            }
            std::memcpy(&content.scale, scales + g * 2, sizeof(content.scale));
            for (std::size_t j = 0; j < row.block.elements; ++j) {
                difference[j] = static_cast<std::int16_t>(codes[begin + j] - content.zero);
            }
            row.pack(content, at);
            at += row.block.bytes;
        }
    }
    return packed;
}

}  // namespace lathe::gguf
