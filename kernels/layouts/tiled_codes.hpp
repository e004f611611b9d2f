#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/contract/packed_kernels.hpp"
#include "kernels/layouts/host_device.hpp"

/// Uniform codes in the order in which a warp multiplies them on tensor cores: where each code
/// lies, and how two of them become fp16 numbers. Host and device share it;
/// kernels/cuda/packed_tiles.cu has the product.
///
/// The product of an instruction is [16 rows, 16 columns] x [16 columns, 8] (mma.m16n8k16). A warp
/// takes a tile of 64 rows through the columns, 64 at a time: a step. A step is two chunks of 32
/// columns of one group each, so that any size of group does; columns that a group lacks to a whole
/// chunk have the code 0. Of a step a lane holds what it hands to the four instructions of each
/// part of 16 rows:
///
///     rows      lane / 4 and lane / 4 + 8 of the part
///     columns   8 * (lane % 4) .. + 7 of each chunk, four for each instruction; which column is
///               which of an instruction's 16 is free as long as codes and inputs agree
///
/// These are 16 pairs of neighbouring columns, a register of the instruction each. A pair has its
/// codes at the same bits of the two halves of a word: one AND and OR makes the fp16 numbers
/// 2^(10 - b) + code of those that begin at bit b below 10, two or more pairs before the word is
/// shifted. 4 words hold the pairs of 4 bits, 2 of 2 bits, 8 of 8 bits. Of 3 bits a word holds five
/// pairs and bits 15 and 31 are left: the three words of a part have in them bits 0, 1, 2 of the
/// sixteenth pair. So 3 bits take 3 bits, and whole words are read; with one plane of bits a code
/// would take three shifts instead of a third of one.
namespace lathe::kernels::tiled {

inline constexpr std::size_t tile_rows = 64;
inline constexpr std::size_t chunk_cols = 32;
inline constexpr std::size_t step_chunks = 2;
inline constexpr unsigned n_lanes = 32;
inline constexpr unsigned n_parts = tile_rows / 16;
inline constexpr unsigned part_pairs = 16;        ///< of a lane
inline constexpr unsigned step_instructions = 4;  ///< of a part
inline constexpr unsigned words_per_load = 4;     ///< a lane reads 16 bytes at a time
inline constexpr unsigned lane_cols = 8;          ///< of a chunk, neighbours

[[nodiscard]] inline bool can_tile(const CodedMatrix& matrix) {
    const unsigned bits = matrix.num_bits;
    return matrix.uniform && (bits == 2 || bits == 3 || bits == 4 || bits == 8);
}

/// Pairs in a word, but for the sixteenth of 3 bits.
[[nodiscard]] LATHE_HOST_DEVICE constexpr unsigned pairs_per_word(unsigned bits) {
    return 16 / bits;
}
/// Pairs in the ten bits that an fp16 number stores of its fraction.
[[nodiscard]] LATHE_HOST_DEVICE constexpr unsigned pairs_per_shift(unsigned bits) {
    return 10 / bits;
}
/// Which of the places for pairs in a part's words, one word after the other, pair 4 * instruction
/// + register has. Pairs of even numbers are one row's and have a zero in common: with 3 bits the
/// places are dealt out so that each row's codes begin at two of the bits 0, 3 and 6, since each
/// takes a zero of its own.
[[nodiscard]] LATHE_HOST_DEVICE constexpr unsigned pair_slot(unsigned bits, unsigned pair) {
    if (bits != 3) {
        return pair;
    }
    const unsigned row = pair % 2;
    const unsigned next = pair / 2;
    return next < 6 ? next / 2 * 5 + next % 2 * 3 + row : next == 6 ? 2 + 5 * row : 15 - 3 * row;
}
[[nodiscard]] LATHE_HOST_DEVICE constexpr bool is_spread(unsigned bits, unsigned slot) {
    return bits == 3 && slot == part_pairs - 1;
}

/// The bit of its half where a code begins when its pair is made fp16 numbers.
[[nodiscard]] LATHE_HOST_DEVICE constexpr unsigned first_bit(unsigned bits, unsigned slot) {
    return is_spread(bits, slot) ? 0 : slot % pairs_per_word(bits) % pairs_per_shift(bits) * bits;
}

/// 2^(10 - bit) as both fp16 numbers of a word: the last place of the sum with a code that begins
/// at `bit` is that bit.
[[nodiscard]] LATHE_HOST_DEVICE constexpr std::uint32_t two_powers(unsigned bit) {
    return (25U - bit) << 10 | (25U - bit) << 26;
}

/// word & mask | rest. The device's compiler makes two instructions of two constants, where one
/// that takes three operands will do.
[[nodiscard]] LATHE_HOST_DEVICE inline std::uint32_t and_or(std::uint32_t word, std::uint32_t mask,
                                                            std::uint32_t rest) {
#ifdef __CUDA_ARCH__
    std::uint32_t result;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(result) : "r"(word), "r"(mask), "r"(rest));
    return result;
#else
    return (word & mask) | rest;
#endif
}

/// The fp16 numbers 2^(10 - first_bit) + code of the pair in a slot, of the words of a lane's part.
template <unsigned bits>
[[nodiscard]] LATHE_HOST_DEVICE inline std::uint32_t pair_as_halves(const std::uint32_t* words,
                                                                    unsigned slot) {
    if constexpr (bits == 3) {
        if (is_spread(bits, slot)) {
            const std::uint32_t low = and_or(words[0] >> 15, 0x00010001U, two_powers(0));
            return and_or(words[2] >> 13, 0x00040004U, and_or(words[1] >> 14, 0x00020002U, low));
        }
    }
    const unsigned in_word = slot % pairs_per_word(bits);
    const unsigned shift = in_word / pairs_per_shift(bits) * pairs_per_shift(bits) * bits;
    const unsigned bit = first_bit(bits, slot);
    const std::uint32_t mask = (((1U << bits) - 1U) << bit) * 0x00010001U;
    return and_or(words[slot / pairs_per_word(bits)] >> shift, mask, two_powers(bit));
}

/// The power of two that inputs are multiplied with before each is stored as the sum of two fp16
/// numbers, so that the largest, whose fp32 bits without the sign these are, comes to lie between
/// 2^14 and 2^15. What is lost of an input is 2^-23 of it, or 2^-39 of the largest.
[[nodiscard]] LATHE_HOST_DEVICE constexpr int input_power(std::uint32_t largest_bits) {
    const int power = 141 - static_cast<int>(largest_bits >> 23);
    return power < 126 ? power : 126;  // its inverse is a normal number too
}

/// Inputs as an instruction wants them, 16 bytes a lane: eight of a token for each chunk, which are
/// the second matrix of two instructions. Of its eight columns four tokens have two each: what fp16
/// holds of the inputs, and what it holds of the rest. [n_steps, eights, step_chunks, n_lanes]
inline constexpr unsigned tokens_per_eight = 4;

/// The place of a token's inputs that a lane with lane % 4 == `quarter` has of a chunk.
[[nodiscard]] LATHE_HOST_DEVICE constexpr unsigned input_place(unsigned chunk, unsigned quarter,
                                                               unsigned token, bool rest,
                                                               unsigned eights) {
    const unsigned eight = chunk / step_chunks * eights + token / tokens_per_eight;
    const unsigned column = token % tokens_per_eight * 2 + (rest ? 1U : 0U);
    return (eight * unsigned{step_chunks} + chunk % step_chunks) * n_lanes + column * 4 + quarter;
}

/// Of the sums that a lane has of a part: the row of its first and second two, and the token.
[[nodiscard]] LATHE_HOST_DEVICE constexpr unsigned row_of_sum(unsigned lane, unsigned part,
                                                              unsigned second) {
    return part * 16 + second * 8 + lane / 4;
}
[[nodiscard]] LATHE_HOST_DEVICE constexpr unsigned token_of_sum(unsigned lane, unsigned eight) {
    return eight * tokens_per_eight + lane % 4;
}

/// Where the code of an element lies.
struct CodePlace {
    std::size_t tile;
    std::size_t step;
    unsigned lane;
    unsigned part;
    unsigned slot;
    unsigned half;
};

struct TiledLayout {
    std::size_t rows = 0;
    std::size_t cols = 0;
    unsigned num_bits = 0;
    std::size_t group_size = 0;
    std::uint32_t n_groups = 0;  ///< 32 bits: devices are slow at dividing more
    std::uint32_t chunks_per_group = 0;
    std::size_t n_steps = 0;
    std::size_t n_tiles = 0;

    explicit TiledLayout(const CodedMatrix& matrix)
        : rows(matrix.rows),
          cols(matrix.cols),
          num_bits(matrix.num_bits),
          group_size(std::min(matrix.group_size, std::max<std::size_t>(matrix.cols, 1))),
          n_groups(static_cast<std::uint32_t>((cols + group_size - 1) / group_size)),
          chunks_per_group(static_cast<std::uint32_t>((group_size + chunk_cols - 1) / chunk_cols)),
          n_steps((std::size_t{n_groups} * chunks_per_group + step_chunks - 1) / step_chunks),
          n_tiles((rows + tile_rows - 1) / tile_rows) {}

    /// Of codes: [n_tiles, n_steps, num_bits, n_lanes, words_per_load], where a lane's num_bits
    /// loads of a step are the words of its n_parts parts, one part after the other.
    [[nodiscard]] std::size_t n_words() const {
        return n_tiles * n_steps * num_bits * n_lanes * words_per_load;
    }
    /// Of scales, and as many zeros: [n_groups, n_tiles, 8, 8], for a tile's row r at
    /// [r % 8, r / 8], so that a lane finds those of its eight rows side by side.
    [[nodiscard]] std::size_t n_terms() const { return n_groups * n_tiles * tile_rows; }

    [[nodiscard]] LATHE_HOST_DEVICE std::size_t term_place(std::size_t group,
                                                           std::size_t row) const {
        const std::size_t in_tile = row % tile_rows;
        return (group * n_tiles + row / tile_rows) * tile_rows + in_tile % 8 * 8 + in_tile / 8;
    }
    /// Of a chunk; the last chunk of the last step may lie behind the columns and counts as the
    /// last group's.
    [[nodiscard]] LATHE_HOST_DEVICE std::size_t group_of(std::uint32_t chunk) const {
        const std::uint32_t group = chunk / chunks_per_group;
        return group < n_groups ? group : n_groups - 1;
    }
    /// The columns [begin, begin + count) that a lane with this lane % 4 has of a chunk.
    struct LaneColumns {
        std::size_t begin;
        std::size_t count;
    };
    [[nodiscard]] LATHE_HOST_DEVICE LaneColumns lane_columns(std::uint32_t chunk,
                                                             unsigned quarter) const {
        const std::size_t group = chunk / chunks_per_group;
        const std::size_t in_group =
            chunk % chunks_per_group * chunk_cols + quarter * std::size_t{lane_cols};
        const std::size_t begin = group * group_size + in_group;
        const std::size_t group_end = (group + 1) * group_size;
        const std::size_t end = group_end < cols ? group_end : cols;
        const std::size_t count = begin < end ? end - begin : 0;
        return {begin, count < lane_cols ? count : lane_cols};
    }

    /// Of column `in_chunk` of a chunk.
    [[nodiscard]] LATHE_HOST_DEVICE CodePlace place(std::size_t row, std::size_t chunk,
                                                    unsigned in_chunk) const {
        const auto in_part = static_cast<unsigned>(row % 16);
        const auto second = static_cast<unsigned>(chunk % step_chunks);
        const unsigned instruction = 2 * second + in_chunk % 8 / 4;
        const unsigned reg = in_part / 8 + 2 * (in_chunk % 4 / 2);
        return {row / tile_rows,
                chunk / step_chunks,
                in_part % 8 * 4 + in_chunk / 8,
                static_cast<unsigned>(row % tile_rows / 16),
                pair_slot(num_bits, 4 * instruction + reg),
                in_chunk % 2};
    }
    [[nodiscard]] LATHE_HOST_DEVICE CodePlace place(std::size_t row, std::size_t col) const {
        const std::size_t in_group = col % group_size;
        return place(row, col / group_size * chunks_per_group + in_group / chunk_cols,
                     static_cast<unsigned>(in_group % chunk_cols));
    }
    /// Of word `word` of the place's part, below num_bits.
    [[nodiscard]] LATHE_HOST_DEVICE std::size_t word_place(const CodePlace& at,
                                                           unsigned word) const {
        const unsigned of_lane = at.part * num_bits + word;
        const std::size_t load =
            (at.tile * n_steps + at.step) * num_bits + of_lane / words_per_load;
        return (load * n_lanes + at.lane) * words_per_load + of_lane % words_per_load;
    }
    /// Into words that are 0 there.
    LATHE_HOST_DEVICE void put(const CodePlace& at, std::uint32_t code,
                               std::uint32_t* words) const {
        if (is_spread(num_bits, at.slot)) {
            for (unsigned b = 0; b < num_bits; ++b) {
                words[word_place(at, b)] |= (code >> b & 1U) << (15 + 16 * at.half);
            }
            return;
        }
        const unsigned per_word = pairs_per_word(num_bits);
        words[word_place(at, at.slot / per_word)] |=
            code << (at.slot % per_word * num_bits + 16 * at.half);
    }
    void put_row(std::size_t row, const std::uint8_t* codes, std::uint32_t* words) const {
        for (std::size_t j = 0, chunk = 0; j < cols; ++chunk) {
            const std::size_t in_group = chunk % chunks_per_group * chunk_cols;
            const std::size_t count = std::min({chunk_cols, group_size - in_group, cols - j});
            for (unsigned i = 0; i < count; ++i, ++j) {
                put(place(row, chunk, i), codes[j], words);
            }
        }
    }
    [[nodiscard]] LATHE_HOST_DEVICE std::uint32_t get(const CodePlace& at,
                                                      const std::uint32_t* words) const {
        if (is_spread(num_bits, at.slot)) {
            std::uint32_t code = 0;
            for (unsigned b = 0; b < num_bits; ++b) {
                code |= (words[word_place(at, b)] >> (15 + 16 * at.half) & 1U) << b;
            }
            return code;
        }
        const unsigned per_word = pairs_per_word(num_bits);
        const std::uint32_t word = words[word_place(at, at.slot / per_word)];
        return word >> (at.slot % per_word * num_bits + 16 * at.half) & ((1U << num_bits) - 1U);
    }
};

}  // namespace lathe::kernels::tiled
