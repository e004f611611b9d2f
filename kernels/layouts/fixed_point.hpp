#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "kernels/contract/blocked_matrix.hpp"

// Arithmetic on whole numbers with a binary point, for the operators on blocks (Integers): what all
// of them round by, and how a row's numbers become blocks.

namespace lathe::kernels::fixed_point {

/// Bits of the largest magnitude that two terms of a sum may have.
inline constexpr int term_bits = 61;

[[nodiscard]] constexpr int bit_length(std::uint64_t x) {
    return 64 - std::countl_zero(x);
}
[[nodiscard]] constexpr std::uint64_t magnitude(std::int64_t x) {
    return x < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(x) : static_cast<std::uint64_t>(x);
}

/// x / 2^bits to nearest, half to even, without a branch. 1 <= bits <= 30 for |x| < 2^30, else 1 <=
/// bits <= 62
template <class Int>
[[nodiscard]] constexpr Int round_right(Int x, Int bits) {
    return (x + ((Int{1} << (bits - 1)) - 1) + ((x >> bits) & 1)) >> bits;
}

/// x / 2^bits to nearest, half to even. bits >= 0, |x| < 2^62
[[nodiscard]] constexpr std::int64_t shift_right(std::int64_t x, int bits) {
    if (bits <= 0) {
        return x;
    }
    if (bits > 62) {
        return 0;
    }
    return round_right<std::int64_t>(x, bits);
}

/// x * 2^bits, rounded as shift_right() does. @pre  what goes to the left fits; 0 may go anywhere
[[nodiscard]] constexpr std::int64_t shifted(std::int64_t x, int bits) {
    return bits >= 0 ? x << std::min(bits, 62) : shift_right(x, -bits);
}

/// Bits behind the binary point that a sum of `n` products of 8 bits has room for in 32 bits: what
/// such a sum is shifted to the left by before its pieces are aligned.
[[nodiscard]] constexpr int sum_bits(std::size_t n) {
    return std::max(0, 30 - bit_length(std::uint64_t{127 * 127} * n));
}
/// What a piece adds to such a sum: `bits` to the left, then `down` to the right, where bits that
/// leave are dropped. What it is never exceeds what it was, so sums of pieces cannot overflow.
[[nodiscard]] constexpr std::int32_t aligned(std::int32_t piece, int bits, int down) {
    return (piece << bits) >> std::min(down, 31);
}
/// Rows of a weight, counted from the first, whose products are aligned together.
inline constexpr std::size_t rows_per_alignment = 32;

/// mantissa * 2^-exponent.
struct Number {
    std::int64_t mantissa = 0;
    int exponent = 0;
};

/// The finest exponent to which terms of these exponents and lengths in bits can be brought.
[[nodiscard]] constexpr int common_exponent(int exponent_a, int bits_a, int exponent_b,
                                            int bits_b) {
    if (bits_a == 0) {
        return exponent_b;
    }
    if (bits_b == 0) {
        return exponent_a;
    }
    return std::min({std::max(exponent_a, exponent_b), exponent_a + term_bits - bits_a,
                     exponent_b + term_bits - bits_b});
}

[[nodiscard]] constexpr Number sum(const Number& a, const Number& b) {
    const int exponent = common_exponent(a.exponent, bit_length(magnitude(a.mantissa)), b.exponent,
                                         bit_length(magnitude(b.mantissa)));
    const auto part = [&](const Number& n) {
        return n.mantissa == 0 ? 0 : shifted(n.mantissa, exponent - n.exponent);
    };
    return {part(a) + part(b), exponent};
}

[[nodiscard]] inline float to_float(const Number& n) {
    return static_cast<float>(std::ldexp(static_cast<double>(n.mantissa), -n.exponent));
}

/// A positive number of fp32 as one with `bits` bits.
[[nodiscard]] inline Number constant(double value, int bits) {
    if (!(value > 0.0)) {
        return {};
    }
    int exponent = 0;
    const double fraction = std::frexp(value, &exponent);  // [0.5, 1)
    return {static_cast<std::int64_t>(std::nearbyint(std::ldexp(fraction, bits))), bits - exponent};
}

/// 1 / sqrt(x) with 16 bits behind the binary point of a mantissa in [2^16, 2^17]; 0 for 0.
/// Four Newton steps from a line: 2e-11 before the mantissa is rounded.
[[nodiscard]] constexpr Number inverse_root(Number x) {
    if (x.mantissa <= 0) {
        return {};
    }
    // w = mantissa / 2^32 in [1/4, 1), at an even exponent.
    int up = 32 - bit_length(static_cast<std::uint64_t>(x.mantissa));
    if ((x.exponent + up) % 2 != 0) {
        --up;
    }
    const std::int64_t w = up >= 0 ? x.mantissa << up : x.mantissa >> -up;
    constexpr std::int64_t one = std::int64_t{1} << 30;
    // 2.25 - 1.25 w, then y * (3 - w y^2) / 2, with 30 bits behind the point.
    std::int64_t y = (9 * one >> 2) - (5 * (w >> 2) >> 2);
    for (int step = 0; step < 4; ++step) {
        const std::int64_t square = (y * y) >> 30;
        const std::int64_t scaled = static_cast<std::int64_t>(
            (static_cast<std::uint64_t>(w) * static_cast<std::uint64_t>(square)) >> 32);
        y = (y * ((3 * one - scaled) >> 1)) >> 30;
    }
    // x = w 2^32 2^-(exponent + up), so its root has half of that.
    return {shift_right(y, 14), 16 + 16 - (x.exponent + up) / 2};
}

/// Loops over the numbers of a piece. An implementation may bring its own, which do the same.
struct PlainLoops {
    /// The largest magnitude.
    static std::uint64_t largest(const std::int64_t* x, std::size_t n) {
        std::uint64_t most = 0;
        for (std::size_t j = 0; j < n; ++j) {
            most = std::max(most, magnitude(x[j]));
        }
        return most;
    }
    /// own = own * 2^own_up + other * 2^other_up.
    static void add(std::int64_t* own, int own_up, const std::int64_t* other, int other_up,
                    std::size_t n) {
        for (std::size_t j = 0; j < n; ++j) {
            own[j] = shifted(own[j], own_up) + shifted(other[j], other_up);
        }
    }
    /// Values of a table, linear in between: x has `rest_bits` bits behind the steps of the table.
    /// to may be x. @pre  differences of neighbours have at most 31 - rest_bits bits
    static void interpolate(const std::int32_t* values, int rest_bits, const std::int32_t* x,
                            std::size_t n, std::int32_t* to) {
        for (std::size_t j = 0; j < n; ++j) {
            const std::int32_t* place = values + (x[j] >> rest_bits);
            const std::int32_t rest = x[j] & ((1 << rest_bits) - 1);
            to[j] =
                place[0] + (((place[1] - place[0]) * rest + ((1 << rest_bits) >> 1)) >> rest_bits);
        }
    }
    /// to = x * 2^up, at most `highest` away from 0.
    template <class T>
    static void store(const std::int64_t* x, std::size_t n, int up, std::int64_t highest, T* to) {
        for (std::size_t j = 0; j < n; ++j) {
            to[j] = static_cast<T>(std::clamp(shifted(x[j], up), -highest, highest));
        }
    }
};

/// Numbers of a row that are to become a block: pieces of it with an exponent each.
template <class Loops>
class BlockNumbers {
public:
    struct Piece {
        std::size_t begin = 0;  ///< in the block
        std::size_t end = 0;
        int exponent = 0;
    };

    explicit BlockNumbers(std::size_t block_size) : mantissas_(block_size) {}

    void clear() { pieces_.clear(); }
    /// Room for the numbers of a piece, which follows the one before.
    [[nodiscard]] std::int64_t* add(std::size_t n, int exponent) {
        const std::size_t begin = pieces_.empty() ? 0 : pieces_.back().end;
        pieces_.push_back({begin, begin + n, exponent});
        return mantissas_.data() + begin;
    }
    void set_exponent(int exponent) { pieces_.back().exponent = exponent; }
    /// Adds another term to the piece that was added last. other [its numbers]
    void add_term(const std::int64_t* other, int exponent) {
        Piece& piece = pieces_.back();
        std::int64_t* own = mantissas_.data() + piece.begin;
        const std::size_t n = piece.end - piece.begin;
        const int common = common_exponent(piece.exponent, bit_length(Loops::largest(own, n)),
                                           exponent, bit_length(Loops::largest(other, n)));
        Loops::add(own, common - piece.exponent, other, common - exponent, n);
        piece.exponent = common;
    }

    /// use(place in the block, number).
    template <class Use>
    void for_each(const Use& use) const {
        for (const Piece& piece : pieces_) {
            for (std::size_t j = piece.begin; j < piece.end; ++j) {
                use(j, Number{mantissas_[j], piece.exponent});
            }
        }
    }

    /// Writes block `block` of row r of y.
    void store(BlockedMatrix& y, std::size_t r, std::size_t block) const {
        const int shift = shift_for(y.num_bits);
        y.shifts[r * y.blocks() + block] = static_cast<std::int8_t>(shift);
        const std::size_t first = r * y.cols + block * y.block_size;
        if (y.is_wide()) {
            write(y.wide.data() + first, shift, y.num_bits);
        } else {
            write(y.narrow.data() + first, shift, y.num_bits);
        }
    }

private:
    /// The largest at which all numbers fit num_bits bits.
    [[nodiscard]] int shift_for(unsigned num_bits) const {
        int shift = 2 * most_shift;
        bool is_zero = true;
        for (const Piece& piece : pieces_) {
            const std::uint64_t most =
                Loops::largest(mantissas_.data() + piece.begin, piece.end - piece.begin);
            if (most == 0) {
                continue;
            }
            is_zero = false;
            const int up = static_cast<int>(num_bits) - 1 - bit_length(most);
            // Rounding may carry into a bit more.
            const std::int64_t highest = (std::int64_t{1} << (num_bits - 1)) - 1;
            const bool carries =
                up < 0 && shift_right(static_cast<std::int64_t>(most), -up) > highest;
            shift = std::min(shift, piece.exponent + up - (carries ? 1 : 0));
        }
        return is_zero ? most_shift : std::clamp(shift, least_shift, most_shift);
    }

    template <class T>
    void write(T* to, int shift, unsigned num_bits) const {
        const std::int64_t highest = (std::int64_t{1} << (num_bits - 1)) - 1;
        for (const Piece& piece : pieces_) {
            const int up = shift - piece.exponent;
            // Zeros may have any exponent.
            const int limited = std::min(up, static_cast<int>(num_bits));
            Loops::store(mantissas_.data() + piece.begin, piece.end - piece.begin, limited, highest,
                         to + piece.begin);
        }
    }

    std::vector<std::int64_t> mantissas_;
    std::vector<Piece> pieces_;
};

/// Cuts [begin, end) where a multiple of one of `sizes` lies, and calls use(begin, end) for each.
template <class Use>
void for_pieces(std::size_t begin, std::size_t end, std::initializer_list<std::size_t> sizes,
                const Use& use) {
    while (begin < end) {
        std::size_t next = end;
        for (const std::size_t size : sizes) {
            next = std::min(next, (begin / size + 1) * size);
        }
        use(begin, next);
        begin = next;
    }
}

}  // namespace lathe::kernels::fixed_point
