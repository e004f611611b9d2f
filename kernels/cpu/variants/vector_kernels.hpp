#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/variants/kept_group.hpp"

namespace lathe::kernels {

/// Depth (number of products summed) that one call of a multiplication kernel takes at most, and
/// the distance between rows of its left operand. A fixed distance spares the kernel its address
/// arithmetic; the 16 extra elements keep rows from falling on the same cache sets.
inline constexpr std::size_t depth_block = 384;
inline constexpr std::size_t packed_stride = depth_block + 16;

/// One activation function; y may be an input.
struct ActivationKernels {
    void (*apply)(const float* x, std::size_t n, float* y);
    void (*multiply)(const float* gate, const float* up, std::size_t n, float* y);
};

/// One group of columns of the rows of a tile of packed weights
/// (kernels/cpu/packed/packed_matrix.hpp).
struct LookupGroup {
    /// [tile_rows / 16][n_chunks][n_planes][64 bytes]: a word of 32 bits for each of 16 rows, whose
    /// bit t belongs to column t of its chunk. For lookup() the words stand one after another; for
    /// lookup_coarse() first the lowest bytes of all, then the next. For multiply_codes(), with 4
    /// or 8 planes, [tile_rows / 16][n_chunks][n_planes / 4][4][16 rows][4 bytes]: four bits of a
    /// code at a time, the lowest first; byte b of block k has those of column 8 k + b in its low
    /// half and those of column 8 k + 4 + b in its upper half.
    const std::byte* planes = nullptr;
    /// fp16 [n_scales (+ 1 with an offset)][tile_rows]: the scales, then the offset
    const std::uint16_t* terms = nullptr;
    std::size_t n_chunks = 0;  ///< of 32 columns
    std::size_t n_planes = 0;  ///< 1 .. 8
    /// Plane p has the scale 2^p / 2 times the group's one scale, which multiplies the offset too.
    bool uniform = false;
    bool has_offset = false;
    float usual_offset = 0.0F;  ///< of all groups, else
};
inline constexpr std::size_t lookup_tile_rows = 64;
inline constexpr std::size_t lookup_strip_rows = 16;
inline constexpr std::size_t lookup_chunk = 32;
/// Of one chunk and plane.
inline constexpr std::size_t lookup_block_bytes = lookup_strip_rows * lookup_chunk / 8;
/// Of one chunk: eight tables of 16 entries.
inline constexpr std::size_t coarse_table_bytes = 128;

/// integer_panel_rows rows of whole numbers of 8 bits, and the columns of some tokens, for
/// multiply_blocks(). Columns come in groups of four and in pieces of whole groups; numbers behind
/// the last are 0.
struct IntegerPanel {
    const std::uint8_t* numbers = nullptr;      ///< [groups][rows][4]: q + 128
    const std::uint32_t* piece_ends = nullptr;  ///< [n_pieces] in groups
    std::size_t n_pieces = 0;
    /// The sum of a piece goes `bits` to the left and then to the right, by the shift of the row in
    /// the piece and token_downs together, before it is added up. Their sum is not negative.
    int bits = 0;
    const std::int8_t* row_shifts = nullptr;      ///< [blocks of the rows][rows]
    const std::uint32_t* piece_blocks = nullptr;  ///< [n_pieces]: the block that it lies in
    const std::int32_t* token_downs = nullptr;    ///< [n_pieces][token_stride]
    std::size_t token_stride = 0;
    const std::int8_t* x = nullptr;          ///< [n_tokens][x_stride]: |q| <= 127
    std::size_t x_stride = 0;                ///< a multiple of 4
    const std::int32_t* x_starts = nullptr;  ///< [n_tokens][n_pieces]: -128 times a piece's sum
    std::size_t n_tokens = 0;
};
inline constexpr std::size_t integer_panel_rows = 32;

/// One piece of columns of a few tokens in whole numbers, for multiply_codes():
/// x = scale * sum over d of digit d * 256^d.
struct DigitVectors {
    const std::int8_t* digits = nullptr;  ///< [n_chunks][n_tokens * n_digits][32]
    const float* digit_sums = nullptr;    ///< [n_tokens * n_digits] over the columns
    const float* scales = nullptr;        ///< [n_tokens]
    const float* sums = nullptr;          ///< [n_tokens] of x over the columns
    std::size_t n_tokens = 0;
    std::size_t n_digits = 1;  ///< 1 or 3; n_tokens * n_digits is at most 8
};
inline constexpr std::size_t most_digit_vectors = 8;

/// The inner loops of the `cpu` backend, compiled once for each instruction set from the same
/// sources (kernels/cpu/variants). Pointers and counts only: nothing that could leave code for a
/// newer processor in a function that all of the program shares.
///
/// Names: a *panel* is `panel_width` columns of a right operand, laid out [depth][panel_width].
struct VectorKernels {
    const char* name;          ///< "avx512vbmi", "avx512vnni", "avx512", "avx2", "generic"
    std::size_t panel_height;  ///< rows of the left operand a multiplication takes at most
    std::size_t panel_width;   ///< columns of a panel
    std::size_t strip_width;   ///< columns of a panel that multiply_panels takes from the left

    // ---- matrix products --------------------------------------------------------------------

    /// panel[k][j] = rows[j * stride + k] for j < n_rows, 0 for the other columns of the panel.
    void (*pack_transposed)(const float* rows, std::size_t stride, std::size_t n_rows,
                            std::size_t depth, float* panel);
    /// panel[k][j] = rows[k * stride + j] for j < n_cols, 0 for the other columns of the panel.
    void (*pack)(const float* rows, std::size_t stride, std::size_t n_cols, std::size_t depth,
                 float* panel);
    /// c[i][j] = (accumulate ? c[i][j] : 0) + sum_k a[i * packed_stride + k] * panel[k][j] for
    /// i < n_rows <= panel_height and all panel_width columns j. Each sum runs over k in order, so
    /// an element does not depend on how many rows are asked for. depth <= depth_block.
    /// Meanwhile the two rows next[0 .. depth) and next[next_stride .. next_stride + depth) are
    /// fetched into the cache; `next` may point anywhere.
    void (*multiply)(std::size_t n_rows, std::size_t depth, const float* a, const float* panel,
                     float* c, std::size_t c_stride, bool accumulate, const float* next,
                     std::size_t next_stride);
    /// The same for words of two bfloat16 numbers each in the place of the floats of `a` and
    /// `panel`: of a pair of words the products of the upper halves are added first, then those of
    /// the lower ones, in fp32; the same bits with any instruction set.
    void (*multiply_pairs)(std::size_t n_rows, std::size_t depth, const float* a,
                           const float* panel, float* c, std::size_t c_stride, bool accumulate,
                           const float* next, std::size_t next_stride);
    /// words[i] = x[2 i] rounded to bfloat16 in the lower half, x[2 i + 1] in the upper; 0 for what
    /// is beyond n.  words [(n + 1) / 2]
    void (*round_to_pairs)(const float* x, std::size_t n, float* words);
    /// c[i][j] = (accumulate ? c[i][j] : 0) + sum_k left[k][i] * right[k][j] for two panels, of
    /// which `left` begins at any multiple of strip_width columns, i < strip_width, and all columns
    /// j or, with `second_half`, those of the second half. The sum runs over k in order.
    void (*multiply_panels)(std::size_t depth, const float* left, const float* right, float* c,
                            std::size_t c_stride, bool accumulate, bool second_half);
    /// y[t * y_stride + j] = sum_k x[t][k] * w[j][k], for n_tokens <= 8 and n_rows rows of w: reads
    /// w once, straight from where it lies.
    void (*multiply_few)(const float* x, std::size_t x_stride, std::size_t n_tokens, const float* w,
                         std::size_t w_stride, std::size_t n_rows, std::size_t depth, float* y,
                         std::size_t y_stride);

    // ---- table lookup -----------------------------------------------------------------------

    /// tables[i][c] = sum over b < 4 of (bit b of c ? +1 : -1) * x[4 i + b], for i < n, c < 16.
    void (*build_tables)(const float* x, std::size_t n, float* tables);
    /// y[r] += what the group adds to the product of row r < lookup_tile_rows with x.
    ///   tables  those of the group's chunks, eight to a chunk; sum: of x over the group
    void (*lookup)(const LookupGroup& group, const float* tables, float sum, float* y);
    /// The same tables in 8 bits: entry = 128 + the sum over the scale that is returned, rounded.
    /// For each chunk those of columns 0, 8, 16, 24 on, then those of columns 4, 12, 20, 28 on.
    ///   x [32 n_chunks]; entries [n_chunks * coarse_table_bytes]
    float (*build_coarse_tables)(const float* x, std::size_t n_chunks, std::uint8_t* entries);
    /// lookup() with them. At most 16 chunks.
    void (*lookup_coarse)(const LookupGroup& group, const std::uint8_t* entries, float scale,
                          float sum, float* y);

    // ---- multiplication of codes ------------------------------------------------------------

    /// Writes x [32 n_chunks] as whole numbers of n_digits 1 or 3, whose largest is 127 * 256^d:
    /// digits[c * step + d * 32 + j] of column 32 c + j, and their sums[d]. Returns the scale; if
    /// not all of x is finite it is not either and the digits are 0. A piece with nothing above
    /// 2^-100 counts as 0.
    float (*build_digits)(const float* x, std::size_t n_chunks, std::size_t n_digits,
                          std::size_t step, std::int8_t* digits, float* sums);
    /// y[t * y_stride + r] += what a group of uniform codes of 4 or 8 bits adds to the product of
    /// row r < lookup_tile_rows with token t. At most 16 chunks.
    void (*multiply_codes)(const LookupGroup& group, const DigitVectors& x, float* y,
                           std::size_t y_stride);

    /// y[t * y_stride + r] = the sum over pieces of row r times token t in the piece, aligned as
    /// IntegerPanel says. @pre  it fits
    void (*multiply_blocks)(const IntegerPanel& panel, std::int32_t* y, std::size_t y_stride);

    /// fixed_point::PlainLoops::interpolate().
    void (*interpolate)(const std::int32_t* values, int rest_bits, const std::int32_t* x,
                        std::size_t n, std::int32_t* to);

    /// y[t * y_stride + r] += what a group of N:M sparse weights adds to the product of row r <
    /// lookup_tile_rows with token t, whose columns begin at x + t * x_stride. kept_overhang
    /// elements behind them are read too.
    void (*multiply_kept)(const KeptGroup& group, const float* x, std::size_t x_stride,
                          std::size_t n_tokens, float* y, std::size_t y_stride);

    // ---- attention --------------------------------------------------------------------------

    /// y[j] = x[j] * factor.
    void (*scale)(const float* x, float factor, std::size_t n, float* y);
    /// scores[j] += slope * (first + j).
    void (*add_ramp)(float* scores, float slope, float first, std::size_t n);
    /// One step of the running softmax of a row. Of the n scores those in [begin, end) count, the
    /// others become 0; n is a multiple of panel_width. Turns scores into exp(score - maximum),
    /// widens `maximum`, adds to `sum`, and returns the factor by which what was summed so far has
    /// to be multiplied.
    float (*softmax_step)(float* scores, std::size_t n, std::size_t begin, std::size_t end,
                          float* maximum, float* sum);
    /// y[j] = sum_i p[i] * rows[i * stride + j], for j < n_cols.
    void (*weighted_sum)(const float* p, const float* rows, std::size_t stride, std::size_t n_rows,
                         std::size_t n_cols, float* y);

    // ---- row by row -------------------------------------------------------------------------

    void (*rms_norm)(const float* x, const float* weight, float epsilon, std::size_t n, float* y);
    /// bias may be null.
    void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon,
                       std::size_t n, float* y);
    /// (a, b) becomes (a cos - b sin, b cos + a sin), with a the first n elements of the head and b
    /// the next n.
    void (*rotate)(float* head, const float* cos, const float* sin, std::size_t n);
    void (*add)(const float* x, std::size_t n, float* y);
    bool (*all_finite)(const float* x, std::size_t n);

    // ---- element by element -----------------------------------------------------------------

    const ActivationKernels* silu;
    const ActivationKernels* gelu;
    const ActivationKernels* gelu_tanh;
    const ActivationKernels* relu;
    const ActivationKernels* tanh;

    // ---- losses -----------------------------------------------------------------------------

    /// The largest element that is a number; -infinity if there is none.
    float (*maximum)(const float* x, std::size_t n);
    /// sum_j exp(x[j] - shift), in fp64.
    double (*sum_exp)(const float* x, double shift, std::size_t n);
    /// With d_j = (p[j] - p_shift) - (q[j] - q_shift): sums[0] = sum_j exp(p[j] - p_shift),
    /// sums[1] = sum_j exp(q[j] - q_shift), sums[2] = sum_j exp(p[j] - p_shift) * d_j, where a p[j]
    /// of -infinity adds nothing.
    void (*divergence_sums)(const float* p, double p_shift, const float* q, double q_shift,
                            std::size_t n, double sums[3]);
};

}  // namespace lathe::kernels
