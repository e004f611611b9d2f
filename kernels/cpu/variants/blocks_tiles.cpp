#include "kernels/cpu/variants/int_lanes.hpp"
#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/simd.hpp"

// multiply_blocks() by matrix instructions on tiles of 16 rows of 64 bytes (AMX): a piece of 64
// columns of 16 tokens and 16 rows is one of them. Panels are stored as these want them, four
// columns of a row side by side.

namespace lathe::kernels::LATHE_ISA {
namespace {

constexpr std::size_t rows = integer_panel_rows;
constexpr std::size_t tile_rows = 16;
constexpr std::size_t tile_groups = 16;
/// With fewer tokens a tile is mostly empty.
constexpr std::size_t least_tokens = 4;

// Numbers of tiles; instructions need them as literals.
#define LATHE_LOWER_NUMBERS 0
#define LATHE_UPPER_NUMBERS 1
#define LATHE_TOKENS 2
#define LATHE_LOWER_SUMS 3
#define LATHE_UPPER_SUMS 4

/// How many tokens a tile holds; each row is 64 bytes.
void configure(std::size_t n_tokens) {
    struct alignas(64) {
        std::uint8_t palette = 1;
        std::uint8_t first_row = 0;
        std::uint8_t reserved[14] = {};
        std::uint16_t row_bytes[16] = {};
        std::uint8_t n_rows[16] = {};
    } settings;
    for (int tile = 0; tile < 5; ++tile) {
        const bool is_numbers = tile == LATHE_LOWER_NUMBERS || tile == LATHE_UPPER_NUMBERS;
        settings.row_bytes[tile] = 64;
        settings.n_rows[tile] = static_cast<std::uint8_t>(is_numbers ? tile_rows : n_tokens);
    }
    _tile_loadconfig(&settings);
}

using Sums = std::int32_t[2][tile_rows * tile_rows];

/// Sums of products of a tile of tokens with the panel's rows in groups [begin, end).
/// `is_loaded`: tiles have the rows' numbers of that piece already.
void multiply_piece(const IntegerPanel& panel, const std::int8_t* x, std::size_t begin,
                    std::size_t end, bool is_loaded, Sums& sums) {
    constexpr std::size_t row_bytes = 4 * rows;
    _tile_zero(LATHE_LOWER_SUMS);
    _tile_zero(LATHE_UPPER_SUMS);
    for (std::size_t group = begin; group < end; group += tile_groups) {
        _tile_loadd(LATHE_TOKENS, x + 4 * group, static_cast<std::ptrdiff_t>(panel.x_stride));
        if (!is_loaded) {
            const std::uint8_t* numbers = panel.numbers + group * row_bytes;
            // A tile waits for all of its rows.
            for (std::size_t g = 2 * tile_groups; g < 3 * tile_groups; ++g) {
                __builtin_prefetch(numbers + g * row_bytes);
                __builtin_prefetch(numbers + g * row_bytes + row_bytes / 2);
            }
            _tile_loadd(LATHE_LOWER_NUMBERS, numbers, row_bytes);
            _tile_loadd(LATHE_UPPER_NUMBERS, numbers + row_bytes / 2, row_bytes);
        }
        _tile_dpbsud(LATHE_LOWER_SUMS, LATHE_TOKENS, LATHE_LOWER_NUMBERS);
        _tile_dpbsud(LATHE_UPPER_SUMS, LATHE_TOKENS, LATHE_UPPER_NUMBERS);
    }
    _tile_stored(LATHE_LOWER_SUMS, sums[0], 4 * tile_rows);
    _tile_stored(LATHE_UPPER_SUMS, sums[1], 4 * tile_rows);
}

/// Adds them to y, aligned as IntegerPanel says.
void add_piece(const IntegerPanel& panel, std::size_t piece, std::size_t token,
               std::size_t n_tokens, const std::int32_t (*sums)[tile_rows * tile_rows],
               std::int32_t* y, std::size_t y_stride) {
    const Bytes bits = broadcast(panel.bits);
    const std::int8_t* row_shifts = panel.row_shifts + panel.piece_blocks[piece] * rows;
    const std::int32_t* downs = panel.token_downs + piece * panel.token_stride + token;
    const std::int32_t* starts = panel.x_starts + token * panel.n_pieces + piece;
    for (std::size_t half = 0; half < 2; ++half) {
        const Bytes row_down = widen(row_shifts + half * tile_rows);
        for (std::size_t t = 0; t < n_tokens; ++t) {
            const Bytes sum =
                add(load_bytes(sums[half] + t * tile_rows), broadcast(starts[t * panel.n_pieces]));
            put_aligned(sum, bits, add(row_down, broadcast(downs[t])), piece == 0,
                        y + (token + t) * y_stride + half * tile_rows);
        }
    }
}

/// Tokens [begin, begin + n_tiles * tile_tokens) in tiles of tile_tokens.
void multiply_tiles(const IntegerPanel& panel, std::size_t begin, std::size_t tile_tokens,
                    std::size_t n_tiles, std::int32_t* y, std::size_t y_stride) {
    configure(tile_tokens);
    // What a tile gave is added when the next one is under way: sums take a while to get from a
    // tile to memory.
    alignas(64) Sums sums[2];
    struct {
        std::size_t piece, token;
    } last{panel.n_pieces, 0};
    std::size_t number = 0;
    std::size_t group = 0;
    for (std::size_t piece = 0; piece < panel.n_pieces; ++piece) {
        const std::size_t end = panel.piece_ends[piece];
        for (std::size_t tile = 0; tile < n_tiles; ++tile, ++number) {
            const std::size_t token = begin + tile * tile_tokens;
            multiply_piece(panel, panel.x + token * panel.x_stride, group, end,
                           tile > 0 && end - group == tile_groups, sums[number % 2]);
            if (number > 0) {
                add_piece(panel, last.piece, last.token, tile_tokens, sums[(number + 1) % 2], y,
                          y_stride);
            }
            last = {piece, token};
        }
        group = end;
    }
    add_piece(panel, last.piece, last.token, tile_tokens, sums[(number + 1) % 2], y, y_stride);
}

bool are_whole_tiles(const IntegerPanel& panel) {
    for (std::size_t piece = 0; piece < panel.n_pieces; ++piece) {
        if (panel.piece_ends[piece] % tile_groups != 0) {
            return false;
        }
    }
    return true;
}

}  // namespace

void multiply_blocks_by_tiles(const IntegerPanel& panel, std::int32_t* y, std::size_t y_stride) {
    if (panel.n_tokens < least_tokens || !are_whole_tiles(panel)) {
        multiply_blocks(panel, y, y_stride);
        return;
    }
    const std::size_t n_tiles = panel.n_tokens / tile_rows;
    const std::size_t left = panel.n_tokens % tile_rows;
    if (n_tiles > 0) {
        multiply_tiles(panel, 0, tile_rows, n_tiles, y, y_stride);
    }
    if (left > 0) {
        multiply_tiles(panel, n_tiles * tile_rows, left, 1, y, y_stride);
    }
    _tile_release();
}

}  // namespace lathe::kernels::LATHE_ISA
