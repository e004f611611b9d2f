#include "kernels/cpu/integers/integer_outputs.hpp"

#include <algorithm>
#include <span>
#include <type_traits>

#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/integers/block_loops.hpp"
#include "kernels/layouts/integer_rows.hpp"

namespace lathe::kernels {
namespace {

using RowScratch = fixed_point::RowScratch<VectorLoops>;

/// The bias may go to the left by as much and stay below 2^29.
constexpr int most_bias_up = 22;
/// Sums and a bias below 2^30 and half a step of 2^28 are together below 2^31.
constexpr int most_sum_bits = 30;
constexpr int most_small_down = 29;

/// Outputs of one panel whose bias has one shift.
struct OutputPiece {
    std::size_t begin = 0;  ///< rows of the weight
    std::size_t end = 0;
    std::size_t panel = 0;  ///< of the tile
    int finest = 0;         ///< the shift that all are brought to
    int most_up = 0;
    const std::int32_t* ups = nullptr;  ///< what is missing to that
    const std::int8_t* bias = nullptr;
    int bias_shift = 0;
};

/// Those of a tile, those of a block of outputs one after another.
std::vector<OutputPiece> pieces_of(const OutputTile& tile, const BlockedMatrix* bias,
                                   std::size_t block_size) {
    std::vector<OutputPiece> pieces;
    const std::size_t end = tile.first_row + tile.n_rows;
    fixed_point::for_pieces(
        tile.first_row, end,
        {block_size, integer_panel_rows, bias == nullptr ? end : bias->block_size},
        [&](std::size_t first, std::size_t last) {
            const PanelWeight::Panel& panel = tile.weight.panel(first / integer_panel_rows);
            OutputPiece piece{.begin = first,
                              .end = last,
                              .panel = (first - tile.first_row) / integer_panel_rows,
                              .finest = panel.finest,
                              .most_up = panel.most_up,
                              .ups = tile.weight.ups(first)};
            // Zeros have the largest shift; they are left out.
            if (bias != nullptr &&
                std::any_of(bias->narrow.data() + first, bias->narrow.data() + last,
                            [](std::int8_t q) { return q != 0; })) {
                piece.bias = bias->narrow.data() + first;
                piece.bias_shift = bias->shift(0, first);
            }
            pieces.push_back(piece);
        });
    return pieces;
}

/// The largest magnitudes of sums and of values, which are sums with the bias.
struct Largest {
    std::uint32_t sum = 0;
    std::uint32_t value = 0;
};

LATHE_ALWAYS_INLINE std::uint32_t magnitude(std::uint32_t x) {
    const std::uint32_t sign = x >> 31;
    return (x ^ (0U - sign)) + sign;
}

/// use(n) with n as a constant where it is that of a whole panel, so that loops become straight
/// code.
template <class Use>
LATHE_ALWAYS_INLINE auto with_count(std::size_t n, const Use& use) {
    return n == integer_panel_rows ? use(std::integral_constant<std::size_t, integer_panel_rows>{})
                                   : use(n);
}

/// Writes sums * 2^ups + bias * 2^bias_up, which may have gone round where the largest sum says so.
/// No bias: null.
LATHE_ALWAYS_INLINE Largest add_bias(const std::int32_t* sums, const std::int32_t* ups,
                                     const std::int8_t* bias, int bias_up, std::size_t n,
                                     std::int32_t* to) {
    Largest most;
    for (std::size_t i = 0; i < n; ++i) {
        const auto sum = static_cast<std::uint32_t>(sums[i]);
        const std::uint32_t added =
            bias == nullptr ? 0U : static_cast<std::uint32_t>(bias[i]) << bias_up;
        const std::uint32_t value = (sum << (ups[i] & 31)) + added;
        most.sum = most.sum < magnitude(sum) ? magnitude(sum) : most.sum;
        most.value = most.value < magnitude(value) ? magnitude(value) : most.value;
        to[i] = static_cast<std::int32_t>(value);
    }
    return most;
}

/// x * 2^up, rounded half to even, at most `highest` away from 0. -most_small_down <= up
template <class T>
LATHE_ALWAYS_INLINE void store_small(const std::int32_t* x, std::size_t n, int up,
                                     std::int32_t highest, T* to) {
    const int left = up > 0 ? up : 0;
    const int down = up < 0 ? -up : 0;
    const std::int32_t below_half = down == 0 ? 0 : (1 << (down - 1)) - 1;
    const std::int32_t odd = down == 0 ? 0 : 1;
    for (std::size_t i = 0; i < n; ++i) {
        std::int32_t q = x[i] << left;
        q = (q + below_half + ((q >> down) & odd)) >> down;
        q = q < highest ? q : highest;
        q = q > -highest ? q : -highest;
        to[i] = static_cast<T>(q);
    }
}

/// One block of outputs of one token.
class OutputBlock {
public:
    /// `values` has room for a block's numbers.
    OutputBlock(const OutputTile& tile, std::size_t token, std::span<const OutputPiece> pieces,
                std::int32_t* values)
        : tile_(tile), token_(token), pieces_(pieces), values_(values) {}

    /// Forms the values and finds the largest shift; false where 32 bits may not do.
    LATHE_ALWAYS_INLINE bool add(unsigned num_bits) {
        const auto highest = static_cast<std::int32_t>((1U << (num_bits - 1)) - 1U);
        shift_ = 2 * most_shift;
        bool is_zero = true;
        std::int32_t* to = values_;
        for (const OutputPiece& piece : pieces_) {
            const std::size_t n = piece.end - piece.begin;
            const int bias_up = exponent(piece) - piece.bias_shift;
            if (piece.bias != nullptr && (bias_up < 0 || bias_up > most_bias_up)) {
                return false;
            }
            const std::int32_t* sums = sums_of(piece);
            const Largest most = with_count(
                n, [&](auto count) __attribute__((always_inline)) {
                    return piece.bias == nullptr
                               ? add_bias(sums, piece.ups, nullptr, 0, count, to)
                               : add_bias(sums, piece.ups, piece.bias, bias_up, count, to);
                });
            if (fixed_point::bit_length(most.sum) + piece.most_up > most_sum_bits) {
                return false;
            }
            to += n;
            if (most.value == 0) {
                continue;
            }
            is_zero = false;
            const int up = static_cast<int>(num_bits) - 1 - fixed_point::bit_length(most.value);
            const bool carries = up < 0 && fixed_point::shift_right(most.value, -up) > highest;
            shift_ = std::min(shift_, exponent(piece) + up - (carries ? 1 : 0));
        }
        shift_ = is_zero ? most_shift : std::clamp(shift_, least_shift, most_shift);
        return are_downs_small();
    }

    [[nodiscard]] int shift() const { return shift_; }

    template <class T>
    LATHE_ALWAYS_INLINE void store(unsigned num_bits, T* to) const {
        const auto highest = static_cast<std::int32_t>((1U << (num_bits - 1)) - 1U);
        const std::int32_t* values = values_;
        for (const OutputPiece& piece : pieces_) {
            const std::size_t n = piece.end - piece.begin;
            // Zeros may have any exponent.
            const int up = std::min(shift_ - exponent(piece), static_cast<int>(num_bits));
            with_count(
                n, [&](auto count) __attribute__((always_inline)) {
                    store_small(values, count, up, highest, to);
                });
            values += n;
            to += n;
        }
    }

    /// The same in 64 bits.
    void store_exactly(const BlockedMatrix* bias, RowScratch& scratch, std::size_t block,
                       BlockedMatrix& y) const {
        scratch.numbers.clear();
        add_pieces(bias, scratch);
        scratch.numbers.store(y, tile_.first_token + token_, block);
    }

    /// Each output as a piece of scratch.numbers.
    void add_pieces(const BlockedMatrix* bias, RowScratch& scratch) const {
        for (const OutputPiece& piece : pieces_) {
            for (std::size_t o = piece.begin; o < piece.end; ++o) {
                const std::int32_t sum = sums_of(piece)[o - piece.begin];
                fixed_point::add_output(
                    o, sum, exponent_without_rows(piece) + tile_.weight.coarsest(o), bias, scratch);
            }
        }
    }

private:
    [[nodiscard]] const std::int32_t* sums_of(const OutputPiece& piece) const {
        return tile_.sums.get() + token_ * tile_.row_stride + (piece.begin - tile_.first_row);
    }
    [[nodiscard]] int exponent_without_rows(const OutputPiece& piece) const {
        return tile_.exponents[piece.panel * tokens_per_integer_tile + token_];
    }
    /// Of the values.
    [[nodiscard]] int exponent(const OutputPiece& piece) const {
        return exponent_without_rows(piece) + piece.finest;
    }
    [[nodiscard]] bool are_downs_small() const {
        return std::ranges::all_of(pieces_, [&](const OutputPiece& piece) {
            return shift_ - exponent(piece) >= -most_small_down;
        });
    }

    const OutputTile& tile_;
    std::size_t token_;
    std::span<const OutputPiece> pieces_;
    std::int32_t* values_;
    int shift_ = 0;
};

/// All blocks of outputs of one token; `blocks` are their pieces.
LATHE_VECTOR_CLONES
void store_token(const OutputTile& tile, std::size_t token,
                 const std::vector<std::span<const OutputPiece>>& blocks, const BlockedMatrix* bias,
                 std::int32_t* values, RowScratch& scratch, BlockedMatrix& y) {
    const std::size_t row = tile.first_token + token;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
        const std::size_t block = tile.first_row / y.block_size + b;
        OutputBlock outputs(tile, token, blocks[b], values);
        if (!outputs.add(y.num_bits)) {
            outputs.store_exactly(bias, scratch, block, y);
            continue;
        }
        y.shifts[row * y.blocks() + block] = static_cast<std::int8_t>(outputs.shift());
        const std::size_t first = row * y.cols + block * y.block_size;
        if (y.is_wide()) {
            outputs.store(y.num_bits, y.wide.data() + first);
        } else {
            outputs.store(y.num_bits, y.narrow.data() + first);
        }
    }
}

/// Asks for the memory of a token's outputs, which lies far from that of the token before.
void prefetch_token(const OutputTile& tile, std::size_t token, BlockedMatrix& y) {
    constexpr std::size_t line = 64;
    const std::size_t first = (tile.first_token + token) * y.cols + tile.first_row;
    const auto ask = [&](const auto* begin) {
        for (std::size_t i = 0; i < tile.n_rows; i += line / sizeof *begin) {
            __builtin_prefetch(begin + i, 1);
        }
    };
    y.is_wide() ? ask(y.wide.data() + first) : ask(y.narrow.data() + first);
}

}  // namespace

void store_outputs(const OutputTile& tile, const BlockedMatrix* bias, BlockedMatrix& y) {
    const std::vector<OutputPiece> pieces = pieces_of(tile, bias, y.block_size);
    std::vector<std::span<const OutputPiece>> blocks;
    for (std::size_t i = 0; i < pieces.size();) {
        std::size_t end = i;
        while (end < pieces.size() &&
               pieces[end].begin / y.block_size == pieces[i].begin / y.block_size) {
            ++end;
        }
        blocks.push_back({pieces.data() + i, end - i});
        i = end;
    }
    RowScratch scratch(y);
    std::vector<std::int32_t> values(y.block_size);
    for (std::size_t t = 0; t < tile.n_tokens; ++t) {
        if (t + 2 < tile.n_tokens) {
            prefetch_token(tile, t + 2, y);
        }
        store_token(tile, t, blocks, bias, values.data(), scratch, y);
    }
}

void store_outputs(const OutputTile& tile, const BlockedMatrix* bias, MatrixView<float> y) {
    const std::vector<OutputPiece> pieces = pieces_of(tile, bias, integer_panel_rows);
    RowScratch scratch(BlockedMatrix(0, 0, integer_panel_rows, 8));
    for (std::size_t t = 0; t < tile.n_tokens; ++t) {
        for (const OutputPiece& piece : pieces) {
            scratch.numbers.clear();
            OutputBlock(tile, t, {&piece, 1}, nullptr).add_pieces(bias, scratch);
            scratch.numbers.for_each([&](std::size_t o, const fixed_point::Number& number) {
                y(tile.first_token + t, piece.begin + o) = fixed_point::to_float(number);
            });
        }
    }
}

}  // namespace lathe::kernels
