#include "lib/encoding/bit_packing.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

constexpr std::size_t word_bytes = 4;
/// 32 codes of any width fill whole words, so rows are handled in such blocks.
constexpr std::size_t block_codes = 32;

/// Packs `count` <= 32 codes into as many of `n_bits` words as they need.
void pack_block(const std::uint8_t* codes, std::size_t count, unsigned n_bits, std::byte* target) {
    std::array<std::uint32_t, 9> words{};  // 8 and one that a shift may touch with zeros
    for (std::size_t j = 0; j < count; ++j) {
        const std::size_t bit = j * n_bits;
        const std::uint64_t shifted = std::uint64_t{codes[j]} << (bit % 32);
        words[bit / 32] |= static_cast<std::uint32_t>(shifted);
        words[bit / 32 + 1] |= static_cast<std::uint32_t>(shifted >> 32);
    }
    std::memcpy(target, words.data(), (count * n_bits + 31) / 32 * word_bytes);
}

/// 32 codes from n_bits words. Positions are constants here: unrolled, this is shifts and masks.
template <unsigned n_bits>
void unpack_block(const std::byte* source, std::uint8_t* codes) {
    std::array<std::uint32_t, n_bits + 1> words{};
    std::memcpy(words.data(), source, n_bits * word_bytes);
    constexpr std::uint32_t mask = (1U << n_bits) - 1U;
#pragma GCC unroll 32
    for (std::size_t j = 0; j < block_codes; ++j) {
        const std::size_t bit = j * n_bits;
        std::uint32_t code = words[bit / 32] >> (bit % 32);
        if (bit % 32 + n_bits > 32) {
            code |= words[bit / 32 + 1] << (32 - bit % 32);
        }
        codes[j] = static_cast<std::uint8_t>(code & mask);
    }
}

template <unsigned n_bits>
void unpack_row(const std::byte* source, std::size_t cols, std::uint8_t* codes) {
    const std::size_t whole = cols / block_codes;
    for (std::size_t block = 0; block < whole; ++block) {
        unpack_block<n_bits>(source + block * n_bits * word_bytes, codes + block * block_codes);
    }
    const std::size_t rest = cols % block_codes;
    if (rest == 0) {
        return;
    }
    // The last words, padded to a whole block: nothing is read behind the row.
    std::array<std::byte, n_bits * word_bytes> padded{};
    std::array<std::uint8_t, block_codes> unpacked{};
    std::memcpy(padded.data(), source + whole * n_bits * word_bytes,
                (rest * n_bits + 31) / 32 * word_bytes);
    unpack_block<n_bits>(padded.data(), unpacked.data());
    std::copy_n(unpacked.data(), rest, codes + whole * block_codes);
}

/// Widths that divide a byte: plain byte loops, which compilers vectorise best.
template <>
void unpack_row<8>(const std::byte* source, std::size_t cols, std::uint8_t* codes) {
    if (cols > 0) {
        std::memcpy(codes, source, cols);
    }
}

template <>
void unpack_row<4>(const std::byte* source, std::size_t cols, std::uint8_t* codes) {
    const std::size_t pairs = cols / 2;
    for (std::size_t i = 0; i < pairs; ++i) {
        const auto both = std::to_integer<std::uint8_t>(source[i]);
        codes[2 * i] = both & 0xFU;
        codes[2 * i + 1] = both >> 4;
    }
    if (cols % 2 != 0) {
        codes[cols - 1] = std::to_integer<std::uint8_t>(source[pairs]) & 0xFU;
    }
}

}  // namespace

std::size_t words_per_row(std::size_t cols, unsigned num_bits) noexcept {
    // Not cols * num_bits / 32: the extents may come from a file and the product may overflow.
    return cols / block_codes * num_bits + (cols % block_codes * num_bits + 31) / 32;
}

void pack_row(const std::uint8_t* codes, std::size_t cols, unsigned num_bits, std::byte* target) {
    for (std::size_t j = 0; j < cols; j += block_codes) {
        pack_block(codes + j, std::min(block_codes, cols - j), num_bits,
                   target + j / block_codes * num_bits * word_bytes);
    }
}

UnpackRow unpack_row_of(unsigned num_bits) {
    switch (num_bits) {
        case 1:
            return unpack_row<1>;
        case 2:
            return unpack_row<2>;
        case 3:
            return unpack_row<3>;
        case 4:
            return unpack_row<4>;
        case 5:
            return unpack_row<5>;
        case 6:
            return unpack_row<6>;
        case 7:
            return unpack_row<7>;
        case 8:
            return unpack_row<8>;
        default:
            throw InternalError("codes of " + std::to_string(num_bits) + " bits; 1 to 8 are known");
    }
}

}  // namespace lathe
