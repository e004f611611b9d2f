#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "lib/core/activation.hpp"
#include "lib/core/dtype.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe {
class ThreadPool;
}

namespace lathe::kernels {

enum class BackendKind { reference, cpu, cuda };

/// Memory that a backend owns and its kernels may touch. Move-only; zero-filled when allocated.
/// Host code may not: it may be a device's. Backend::copy() and to_host() bring it over.
template <class T>
class Array {
public:
    Array() = default;
    Array(std::shared_ptr<void> memory, std::size_t size)
        : memory_(std::move(memory)), size_(size) {}
    Array(Array&&) noexcept = default;
    Array& operator=(Array&&) noexcept = default;

    [[nodiscard]] T* data() const noexcept { return static_cast<T*>(memory_.get()); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::span<T> span() const noexcept { return {data(), size_}; }
    /// The first rows * cols elements as a matrix.
    [[nodiscard]] MatrixView<T> matrix(std::size_t rows, std::size_t cols) const {
        return {data(), rows, cols};
    }

private:
    std::shared_ptr<void> memory_;
    std::size_t size_ = 0;
};

/// Which queries see which keys. A sequence has `query_length` queries, which are the last of its
/// `key_length` positions; the two differ only in generation with a key-value cache. With `lengths`
/// each sequence has its own length instead.
struct AttentionShape {
    std::size_t n_sequences = 1;
    std::size_t query_length = 0;
    std::size_t key_length = 0;
    std::size_t n_heads = 0;
    /// Divides n_heads; head h reads key-value head h / (n_heads / n_kv_heads).
    std::size_t n_kv_heads = 0;
    std::size_t head_dim = 0;
    float scale = 1.0F;      ///< multiplies q.k before the softmax
    bool causal = true;      ///< a query at position p sees keys 0..p only; false: all keys
    std::size_t window = 0;  ///< if > 0, of those only the last `window`
    /// If not empty [n_sequences]: sequence s has lengths[s] queries and as many keys, 0 allowed;
    /// query_length and key_length are ignored. The rows of one sequence follow those of the one
    /// before without padding.
    std::span<const std::uint32_t> lengths;
    /// If not empty [n_heads]: slope * (key position - query position) is added to the scaled
    /// score. Source: Press et al. 2021, arXiv:2108.12409.
    std::span<const float> alibi_slopes;
};

/// An integer grid. Element j of a row belongs to group j / group_size (the last group may be
/// short). Its value is scale * (code - zero), with codes 0 .. 2^num_bits - 1. A symmetric grid has
/// zero = 2^(num_bits - 1) everywhere and never uses code 0, so that it is symmetric about zero
/// (2 bits: -1, 0, 1).
struct IntegerGridSettings {
    unsigned num_bits = 4;        ///< 2 .. 8
    std::size_t group_size = 64;  ///< elements along a row that share a scale
    bool symmetric = true;
};

[[nodiscard]] inline std::size_t group_count(std::size_t cols, std::size_t group_size) {
    return (cols + group_size - 1) / group_size;
}

/// N:M sparsity: of each m consecutive elements of a row (the last group may be short) at most n
/// are not zero. m = 0: no such limit.
struct NmPattern {
    std::size_t n = 0;
    std::size_t m = 0;

    bool operator==(const NmPattern&) const = default;
};

/// A binary coding. Element j of a row belongs to group j / group_size (the last group may be
/// short). Its value is offset + sum over p of (bit p of its code ? +1 : -1) * scale_p, added up in
/// fp32 in this order: the 2^num_bits levels of its group. Scales and offsets are fp16 numbers.
struct BinaryCodeSettings {
    unsigned num_bits = 3;         ///< 1 .. 4
    std::size_t group_size = 128;  ///< elements along a row that share scales and an offset
    bool offset = false;           ///< else offsets are 0
    std::size_t n_rounds = 15;     ///< of fit_binary_codes()
};

/// Where a binary coding of a matrix [rows, cols] lies.
struct BinaryCodes {
    MatrixView<float> scales;        ///< [rows, group_count * num_bits]
    MatrixView<float> offsets;       ///< [rows, group_count]
    MatrixView<std::uint8_t> codes;  ///< [rows, cols]
};

/// A set of matrices [rows, cols] to project on: all, one or none of these three limits.
struct MatrixLimits {
    const IntegerGridSettings* grid = nullptr;  ///< values lie on this grid
    /// Or values are levels of this binary coding. Not together with `grid`.
    const BinaryCodeSettings* binary = nullptr;
    MatrixView<const float> scales;  ///< [rows, group_count], of the grid, or of BinaryCodes
    MatrixView<const float> zeros;   ///< [rows, group_count]; of a binary coding the offsets
    MatrixView<const std::uint8_t>
        keep;           ///< if not empty [rows, cols]: where it is 0, values are 0
    NmPattern pattern;  ///< not together with `keep`
    /// For `pattern`: what a squared change of each column costs. [cols] >= 0
    std::span<const float> importance;
};

/// How products with packed weights may read x: exactly, or with x or sums of it rounded to 8 bits
/// on a scale for each group of columns, which is less work. A backend may always be exact.
enum class LookupTables { fp32, int8 };

/// A weight matrix of small codes as it is stored, for pack(): of each row the codes [cols], and
///   uniform  one scale and one zero for each group: value = scale * (code - zero)
///   else     num_bits scales and one offset for each group, as in BinaryCodeSettings
/// Scales and offsets are fp16 numbers, zeros codes.
struct CodedMatrix {
    std::size_t rows = 0;
    std::size_t cols = 0;
    unsigned num_bits = 4;  ///< 1 .. 8
    std::size_t group_size = 64;
    bool uniform = true;
    /// Whether zeros or offsets are looked at; else a zero is 2^(num_bits-1), an offset 0.
    bool has_offsets = true;
    LookupTables tables = LookupTables::fp32;
    /// Writes codes, scales [group_count * (uniform ? 1 : num_bits)] and zeros or offsets
    /// [group_count] of a row; without has_offsets it may leave those alone.
    std::function<void(std::size_t row, std::uint8_t* codes, float* scales, float* offsets)> read;
};

struct NmMatrix;  // kernels/nm_matrix.hpp

/// A weight matrix [rows, cols] of codes in the order that a backend's kernels read. Made by
/// Backend::pack(), and of use to that backend only.
class PackedMatrix {
public:
    virtual ~PackedMatrix() = default;
    [[nodiscard]] virtual std::size_t rows() const noexcept = 0;
    [[nodiscard]] virtual std::size_t cols() const noexcept = 0;
    /// Memory that it takes.
    [[nodiscard]] virtual std::size_t size_bytes() const noexcept = 0;
};

/// One of the products of Backend::linear() with packed weights: y = x @ weight^T + bias.
struct PackedProduct {
    const PackedMatrix* weight = nullptr;
    std::span<const float> bias;  ///< [weight.rows] or empty
    MatrixView<float> y;          ///< [T, weight.rows]
};

/// What a column of activations looked like: one entry per column each.
struct ColumnStatistics {
    std::span<double> sum_abs;
    std::span<float> minimum;
    std::span<float> maximum;
};

/// A symmetric eigenproblem and room for its answer, in host memory.
struct SymmetricEigenproblem {
    MatrixView<const double> matrix;  ///< [d, d] symmetric; only the upper triangle is read
    std::span<double> values;         ///< [d] eigenvalues, largest first
    MatrixView<double> vectors;       ///< [d, d] row k is the unit eigenvector of values[k]
};

/// Everything the numerical code asks of a device, on one page.
///
/// `reference` is the definition: plain loops, one thread. Every other backend must agree with it
/// within the tolerance a function states ("exact": bit for bit, given bit-equal inputs).
/// On any backend results do not depend on the number of threads: work is cut into tiles of fixed
/// size, and a tile is computed by one thread.
///
/// Views and spans lie in memory from allocate() or in any host memory; a backend tells them apart
/// by their addresses. One with a memory of its own copies what lies on the host to itself and, if
/// it is written, back: right everywhere, but slow for large matrices that are used again. What a
/// function only says things with (the spans of AttentionShape, an order of columns, a
/// SymmetricEigenproblem) lies on the host.
/// Notation: T tokens, x @ y a matrix product, all matrices row-major.
/// All functions throw ShapeError when extents do not fit together, naming both.
class Backend {
public:
    virtual ~Backend() = default;
    [[nodiscard]] virtual std::string_view name() const noexcept = 0;

    // ---- memory -------------------------------------------------------------------------------

    template <class T>
    [[nodiscard]] Array<T> allocate(std::size_t n) const {
        return Array<T>(do_allocate(n * sizeof(T)), n);
    }
    /// Host to backend, converting `y.rows * y.cols` packed elements of floating type `dtype`.
    /// @throws DataError  if dtype is not floating
    void upload(const std::byte* host, DType dtype, MatrixView<float> y) const;
    /// Backend to host. `host` has room for x.rows * x.cols elements.
    void download(MatrixView<const float> x, float* host) const;
    /// y = x, bit by bit, each of them on the host or the backend's; they do not overlap.
    template <class T>
    void copy(MatrixView<const std::type_identity_t<T>> x, MatrixView<T> y) const {
        require_same_extents(x.rows, x.cols, y.rows, y.cols);
        if (y.rows > 0 && y.cols > 0) {
            do_copy(x.data, x.stride * sizeof(T), y.data, y.stride * sizeof(T), y.cols * sizeof(T),
                    y.rows);
        }
    }
    /// The elements of x, packed, where the host can read them.
    template <class T>
    [[nodiscard]] std::vector<std::remove_const_t<T>> to_host(MatrixView<T> x) const {
        std::vector<std::remove_const_t<T>> host(x.rows * x.cols);
        copy<std::remove_const_t<T>>(x, {host.data(), x.rows, x.cols});
        return host;
    }

    // ---- forward pass ---------------------------------------------------------------------------

    /// y[t] = table[ids[t]].  ids [T], table [V, D], y [T, D]. Exact.
    /// @throws DataError  if an id is not below V
    void embed(std::span<const std::uint32_t> ids, MatrixView<const float> table,
               MatrixView<float> y) const;

    /// y[t] += table[ids[t]], with the shapes and errors of embed. Exact.
    void add_embedding(std::span<const std::uint32_t> ids, MatrixView<const float> table,
                       MatrixView<float> y) const;

    /// y = x @ w^T + bias.  x [T, in], w [out, in], bias [out] or empty, y [T, out]; y not x.
    /// Relative 2-norm difference per row: 1e-5.
    void linear(MatrixView<const float> x, MatrixView<const float> w, std::span<const float> bias,
                MatrixView<float> y) const;

    /// Takes over a coded weight matrix for linear() and embed() below.
    [[nodiscard]] std::unique_ptr<const PackedMatrix> pack(const CodedMatrix& matrix) const;
    /// The same for N:M sparse weights. @throws UsageError  unless multiplies_nm()
    [[nodiscard]] std::unique_ptr<const PackedMatrix> pack(const NmMatrix& matrix) const;
    /// Whether this backend has products with N:M sparse weights.
    [[nodiscard]] virtual bool multiplies_nm() const noexcept { return true; }

    /// y = x @ w^T + bias for each of several packed weights that read the same x [T, in]; what can
    /// be computed from x alone is computed once. No y may be x.
    /// Relative 2-norm difference per row to fp64 on the weights' values: 1e-5; for up to 8 tokens
    /// with tables of int8 1e-2.
    void linear(MatrixView<const float> x, std::span<const PackedProduct> products) const;

    /// y[t] = row ids[t] of a packed table, in the shapes of embed().  Relative 1e-6 to the values
    /// that the codes stand for.
    /// @throws DataError  if an id is not below the number of rows
    void embed(std::span<const std::uint32_t> ids, const PackedMatrix& table,
               MatrixView<float> y) const;

    /// y = x / sqrt(mean(x^2) + epsilon) * weight, row by row; y may be x. Relative 1e-6.
    /// A row is whatever `weight` is as long as: a token, or one head of a token in the view
    /// [T * n_heads, head_dim] of a packed matrix.
    void rms_norm(MatrixView<const float> x, std::span<const float> weight, float epsilon,
                  MatrixView<float> y) const;

    /// y = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias, row by row; the variance is
    /// the mean of the squared deviations. `bias` may be empty, y may be x.
    /// Relative to |y - bias| + |bias|: 1e-6.
    void layer_norm(MatrixView<const float> x, std::span<const float> weight,
                    std::span<const float> bias, float epsilon, MatrixView<float> y) const;

    /// Rotates pairs (i, i + r/2) of the first r = 2 * cos.cols elements of each head of x by the
    /// angle of row positions[t] of the tables (the "half-split" layout of Hugging Face models).
    ///   x [T, n_heads * head_dim] in place; cos, sin [n_positions, r/2]; positions [T]
    void rope(MatrixView<float> x, std::size_t head_dim, MatrixView<const float> cos,
              MatrixView<const float> sin, std::span<const std::uint32_t> positions) const;

    /// Scaled dot-product attention with grouped heads.
    ///   q, y [n_sequences * query_length, n_heads * head_dim]
    ///   k, v [n_sequences * key_length, n_kv_heads * head_dim]
    /// or with shape.lengths all of them [sum of lengths, ...].
    /// What a query does not see does not count, not even NaN or infinity.
    /// Relative 2-norm difference per row: 1e-5.
    void attention(MatrixView<const float> q, MatrixView<const float> k, MatrixView<const float> v,
                   const AttentionShape& shape, MatrixView<float> y) const;

    /// y = f(x), element by element; y may be x.
    /// Relative 1e-6, or absolute 1e-35 where that is more.
    void activate(Activation kind, MatrixView<const float> x, MatrixView<float> y) const;

    /// y = f(gate) * up, element by element; y may be gate or up.
    /// Relative 1e-6, or absolute 1e-35 * |up| where that is more.
    void activate_multiply(Activation kind, MatrixView<const float> gate,
                           MatrixView<const float> up, MatrixView<float> y) const;

    /// y += x. Exact.
    void add(MatrixView<const float> x, MatrixView<float> y) const;

    /// z = x - y, element by element; z may be x or y. Exact.
    void subtract(MatrixView<const float> x, MatrixView<const float> y, MatrixView<float> z) const;

    /// False if any element is NaN or infinite.
    [[nodiscard]] bool all_finite(MatrixView<const float> x) const;

    // ---- losses ---------------------------------------------------------------------------------

    /// losses[t] = -log softmax(logits[t])[targets[t]], in nats. Relative 1e-6.
    void cross_entropy(MatrixView<const float> logits, std::span<const std::uint32_t> targets,
                       std::span<double> losses) const;

    /// kl[t] = KL(softmax(p_logits[t]) || softmax(q_logits[t])), in nats, summed in fp64; exactly 0
    /// for equal rows. agree[t] = 1 if both have their (first) maximum in the same place.
    void kl_divergence(MatrixView<const float> p_logits, MatrixView<const float> q_logits,
                       std::span<double> kl, std::span<std::uint8_t> agree) const;

    // ---- calibration statistics -----------------------------------------------------------------

    /// gram += x^T @ x, on and above the diagonal; below it nothing is read or written.
    /// x [T, d]; gram [d, d]. Products of at most 2048 tokens are summed in fp32 and added in fp64.
    /// Relative to sqrt(gram_ii gram_jj): 1e-5.
    void accumulate_gram(MatrixView<const float> x, MatrixView<double> gram) const;

    /// Adds |x| to sum_abs and widens minimum and maximum, column by column. Row order is fixed.
    void accumulate_column_statistics(MatrixView<const float> x,
                                      const ColumnStatistics& statistics) const;

    /// The same with products and sums in fp64. Relative to sqrt(gram_ii gram_jj): 1e-13.
    void accumulate_exact_gram(MatrixView<const float> x, MatrixView<double> gram) const;

    // ---- rotations, in fp64 ---------------------------------------------------------------------

    /// y = a @ b, with `a` or `b` taken transposed where said.
    ///   op(a) [m, k], op(b) [k, n], y [m, n]; y neither a nor b. Relative 1e-13 of |a_i| |b_j|.
    void multiply(MatrixView<const double> a, bool transpose_a, MatrixView<const double> b,
                  bool transpose_b, MatrixView<double> y) const;

    /// Solves independent problems side by side. Of each eigenvector the element of largest
    /// magnitude (of equals the first) is positive; eigenvectors of equal eigenvalues are any
    /// orthonormal basis of their space.
    /// @throws DataError  if an element is not finite
    void symmetric_eigen(std::span<const SymmetricEigenproblem> problems) const;

    // ---- compression ----------------------------------------------------------------------------

    /// The factor that error-feedback quantisation needs: U upper triangular with
    /// U^T @ U = (gram + damping * mean(diag gram) * I)^-1; entries below the diagonal become 0.
    ///   gram [d, d] symmetric, both triangles; factor [d, d]
    /// Computed in fp64 as the inverse of the factor R of A = R R^T (R upper), which costs half of
    /// inverting A first. A zero on the diagonal (a dead input) counts as 1, but not in the mean.
    /// @throws DataError  if the damped matrix is not positive definite
    void inverse_factor(MatrixView<const double> gram, double damping,
                        MatrixView<float> factor) const;

    /// y_ij = y_ji = scale_i * scale_j * upper_ij for i <= j, computed in fp64 and rounded once.
    /// What `upper` has below its diagonal is not read.
    ///   upper, y [d, d]; scale [d]
    void symmetric_from_upper(MatrixView<const double> upper, std::span<const double> scale,
                              MatrixView<float> y) const;

    /// errors[r] = d_r @ gram @ d_r^T for each row d_r of `delta`: the squared output error of each
    /// output. delta [rows, d]; gram [d, d] symmetric, both triangles, fp32. Relative 1e-4.
    void row_errors(MatrixView<const float> delta, MatrixView<const float> gram,
                    std::span<double> errors) const;

    /// Chooses scale and zero for each group of each row, minimising
    /// sum_j importance[j] * (w_j - rounded w_j)^2 over shrunk ranges of the group: factors
    /// 1.00, 0.98, ... 0.30 of its largest magnitude (symmetric) or of its range, which always
    /// includes 0 (not symmetric). Of equal errors the larger range wins. Scales are rounded to
    /// fp16 before they are tried (never below 2^-24 or above 65504), zeros are whole codes.
    ///   w [rows, cols]; importance [cols] >= 0; scales, zeros [rows, group_count]
    void fit_integer_grid(MatrixView<const float> w, std::span<const float> importance,
                          const IntegerGridSettings& settings, MatrixView<float> scales,
                          MatrixView<float> zeros) const;

    /// Round to nearest (ties to even) on a given grid: codes and their values.
    ///   w, values [rows, cols] (values may be w), codes [rows, cols]. Exact.
    void round_to_grid(MatrixView<const float> w, const IntegerGridSettings& settings,
                       MatrixView<const float> scales, MatrixView<const float> zeros,
                       MatrixView<std::uint8_t> codes, MatrixView<float> values) const;

    /// GPTQ: quantises column by column in the given order, adding each column's error to the
    /// columns still to come. With an empty `order` columns go left to right and each group's grid
    /// is fitted to the weights as they stand when its first column comes up; with an order (a
    /// permutation of the columns, on the host) all grids are fitted to the original weights.
    ///   w          [rows, cols]  in: weights; out: values of the chosen codes
    ///   factor     [cols, cols]  inverse_factor of the Gram matrix, rows and columns in `order`
    ///   importance [cols]        diagonal of the Gram matrix, in the columns' own order
    ///   codes      [rows, cols]  out, in the columns' own order
    /// Columns are taken in blocks of 128; the block size changes rounding only.
    /// Source: Frantar et al. 2022, arXiv:2210.17323, algorithm 1.
    void gptq(MatrixView<float> w, MatrixView<const float> factor,
              std::span<const float> importance, std::span<const std::uint32_t> order,
              const IntegerGridSettings& settings, MatrixView<float> scales,
              MatrixView<float> zeros, MatrixView<std::uint8_t> codes) const;

    /// keep = 1 at the n elements of each group of m with the largest importance[j] * w_j^2, of
    /// equals the first; 0 at the others. w, keep [rows, cols]; importance [cols]. A short last
    /// group keeps min(n, its size). Exact.
    void choose_pattern(MatrixView<const float> w, std::span<const float> importance,
                        NmPattern pattern, MatrixView<std::uint8_t> keep) const;

    /// P(w), the nearest matrix within the limits in the norm sum_j importance[j] d_j^2: elements
    /// are rounded to nearest on the grid, set to 0 where `keep` says so, and with a pattern the n
    /// of each m with the largest gain importance * (w^2 - (w - rounded w)^2) stay, of equals the
    /// first. w, values [rows, cols]; values may be w. Exact.
    void project(MatrixView<const float> w, const MatrixLimits& limits,
                 MatrixView<float> values) const;

    /// The element-wise half of an ADMM iteration (scaled dual form) on
    /// min tr((X - W) A (X - W)^T) with X within limits, penalty[j] on column j:
    ///   U = T - P(T);  T' = X + U;  T = P(T') + shrink * (T' - P(T'))
    ///   x = target + penalty * (2 P(T) - T)
    /// so that the other half is X = x @ (A + diag(penalty))^-1. The state T stands for both the
    /// projection P(T) and the dual T - P(T). `shrink` in (0, 1] is the old penalty over the new
    /// one where the penalty grows.
    ///   x [rows, cols] in: X, out: the right side; state, target [rows, cols]; penalty [cols]
    /// Source: Meng et al. 2024 (ALPS), arXiv:2406.07831. Relative 2-norm difference per row: 1e-6.
    void splitting_step(MatrixView<float> x, MatrixView<float> state,
                        MatrixView<const float> target, std::span<const float> penalty,
                        float shrink, const MatrixLimits& limits) const;

    /// Coordinate descent on tr((V - W) A (V - W)^T) over the codes and scales of V, each row by
    /// itself. A pass takes the groups of columns left to right; in a group each column gets the
    /// best code for it, then the group the best scale, as fp16, if that is an improvement. Groups
    /// of more than 512 columns keep their scales. Ends early when a pass changes nothing.
    ///   w [rows, cols]; gram A [cols, cols] symmetric, both triangles; columns with A_jj = 0 stay
    ///   keep    empty, or [rows, cols]: where 0 the code stays
    ///   scales  [rows, group_count] in and out; zeros the same shape, in
    ///   codes   [rows, cols] in and out
    ///   values  [rows, cols] out: of the codes
    /// Sums run in fp32 on `cpu`: a choice between nearly equal values may fall the other way.
    void descend_on_grid(MatrixView<const float> w, MatrixView<const float> gram,
                         const IntegerGridSettings& settings, std::size_t n_passes,
                         MatrixView<const std::uint8_t> keep, MatrixView<float> scales,
                         MatrixView<const float> zeros, MatrixView<std::uint8_t> codes,
                         MatrixView<float> values) const;

    /// Binary coding of each group of each row by itself, minimising
    /// sum_j importance[j] * (w_j - value_j)^2. A greedy start takes plane after plane the signs of
    /// what is left (the sign of 0 is +) and its weighted mean magnitude; with more than one round
    /// there is a second start, codes rounded to nearest on a uniform grid over the group's range.
    /// Then n_rounds rounds of scales and offset by least squares, and of the nearest level for
    /// each element, of two equally near the lower one. At last scales and offset are rounded to
    /// fp16 and the elements once more. Of the starts the better is kept, of equals the greedy one.
    ///   w [rows, cols]; importance [cols] >= 0; codes out
    ///   keep  empty, or [rows, cols]: where 0 the element's importance is 0
    /// Sources: Guo et al. 2017, arXiv:1706.02393 (greedy, refined); Xu et al. 2018,
    /// arXiv:1802.00150 (alternating). Sums are in fp64; ties may fall the other way.
    void fit_binary_codes(MatrixView<const float> w, std::span<const float> importance,
                          const BinaryCodeSettings& settings, MatrixView<const std::uint8_t> keep,
                          const BinaryCodes& codes) const;

    /// The nearest level for each element, of two equally near the lower one, on given scales and
    /// offsets. w, values [rows, cols]; values may be w; codes.codes out. Exact.
    void round_to_levels(MatrixView<const float> w, const BinaryCodeSettings& settings,
                         const BinaryCodes& codes, MatrixView<float> values) const;

    /// gptq() with a binary coding: when the first column of a group comes up, fit_binary_codes()
    /// chooses the group's levels for the weights as they then stand; each column takes the nearest
    /// level and passes its error on to the columns still to come.
    ///   w       [rows, cols]  in: weights; out: values
    ///   factor  [cols, cols]  inverse_factor of the Gram matrix; importance [cols] its diagonal
    void sweep_binary_codes(MatrixView<float> w, MatrixView<const float> factor,
                            std::span<const float> importance, const BinaryCodeSettings& settings,
                            const BinaryCodes& codes) const;

    /// descend_on_grid() with a binary coding, in and out: in a group each column gets the best
    /// level for it, then the group its best scales and offset together (least squares with the
    /// group's block of the Gram matrix), rounded to fp16, if that is an improvement.
    ///   w [rows, cols]; gram [cols, cols] symmetric, both triangles; values [rows, cols] out
    ///   keep  empty, or [rows, cols]: where 0 the value is 0 and the code stays
    void descend_on_binary_codes(MatrixView<const float> w, MatrixView<const float> gram,
                                 const BinaryCodeSettings& settings, std::size_t n_passes,
                                 MatrixView<const std::uint8_t> keep, const BinaryCodes& codes,
                                 MatrixView<float> values) const;

    /// Error feedback over the columns, left to right, of a matrix with zeros: what is taken away
    /// from a column (all of it where keep is 0, else what rounding on the grid takes) is made up
    /// for in the columns after it. With a pattern `keep` is chosen on the way, when the first
    /// column of a group of m comes up: the n of it with the largest w_j^2 / factor_jj^2, of equals
    /// the first. Without one it is given.
    ///   w       [rows, cols]  in: weights; out: kept values
    ///   factor  [cols, cols]  inverse_factor of the Gram matrix
    ///   grid    may be null: kept values are not rounded; else with scales and zeros as everywhere
    /// Columns are taken in blocks of about 128; the block size changes rounding only.
    /// Source: Frantar, Alistarh 2023 (SparseGPT), arXiv:2301.00774, algorithm 1.
    void sweep_sparse(MatrixView<float> w, MatrixView<const float> factor, NmPattern pattern,
                      MatrixView<std::uint8_t> keep, const IntegerGridSettings* grid,
                      MatrixView<const float> scales, MatrixView<const float> zeros) const;

    /// One step of conjugate gradients on min tr((V - W) A (V - W)^T) over the values that `keep`
    /// leaves, with diag(A) as preconditioner and a step length for each row; sums in fp64.
    ///   keep       [rows, cols]
    ///   inverse_diagonal [cols]  1 / A_jj
    ///   product    [rows, cols]  direction @ A
    ///   values, residual, direction [rows, cols] in and out, 0 where keep is 0. Before the first
    ///   step: residual = (W - V) A where keep is 1, direction = residual * inverse_diagonal
    /// Relative 2-norm difference per row: 1e-5.
    void conjugate_step(MatrixView<const std::uint8_t> keep,
                        std::span<const float> inverse_diagonal, MatrixView<const float> product,
                        MatrixView<float> values, MatrixView<float> residual,
                        MatrixView<float> direction) const;

    /// Local search over the places of an N:M matrix V near W: in each group of m columns of a row,
    /// left to right, the exchange of a kept value for a dropped one, which takes the best value
    /// for its place, that lowers tr((V - W) A (V - W)^T) most is made, if any lowers it. At most
    /// `n_passes` times over a row, or until a pass changes nothing.
    ///   gram      [cols, cols]  A, symmetric; a dropped column with A_jj = 0 stays so
    ///   keep, values [rows, cols]  in and out; values are 0 where keep is 0
    ///   gradient  [rows, cols]  in and out: (V - W) A
    /// Decisions may differ between backends where two exchanges gain the same but for rounding.
    void exchange_places(MatrixView<const float> gram, NmPattern pattern, std::size_t n_passes,
                         MatrixView<std::uint8_t> keep, MatrixView<float> values,
                         MatrixView<float> gradient) const;

private:
    static void require_same_extents(std::size_t x_rows, std::size_t x_cols, std::size_t y_rows,
                                     std::size_t y_cols);

    virtual std::shared_ptr<void> do_allocate(std::size_t bytes) const = 0;
    /// `rows` rows of `row_bytes`, which begin `*_pitch` bytes apart.
    virtual void do_copy(const void* from, std::size_t from_pitch, void* to, std::size_t to_pitch,
                         std::size_t row_bytes, std::size_t rows) const = 0;
    virtual void do_upload(const std::byte* host, DType dtype, MatrixView<float> y) const = 0;
    virtual void do_download(MatrixView<const float> x, float* host) const = 0;
    virtual void do_embed(std::span<const std::uint32_t> ids, MatrixView<const float> table,
                          MatrixView<float> y) const = 0;
    virtual void do_add_embedding(std::span<const std::uint32_t> ids, MatrixView<const float> table,
                                  MatrixView<float> y) const = 0;
    virtual void do_linear(MatrixView<const float> x, MatrixView<const float> w,
                           std::span<const float> bias, MatrixView<float> y) const = 0;
    virtual void do_rms_norm(MatrixView<const float> x, std::span<const float> weight,
                             float epsilon, MatrixView<float> y) const = 0;
    virtual void do_layer_norm(MatrixView<const float> x, std::span<const float> weight,
                               std::span<const float> bias, float epsilon,
                               MatrixView<float> y) const = 0;
    virtual void do_rope(MatrixView<float> x, std::size_t head_dim, MatrixView<const float> cos,
                         MatrixView<const float> sin,
                         std::span<const std::uint32_t> positions) const = 0;
    virtual void do_attention(MatrixView<const float> q, MatrixView<const float> k,
                              MatrixView<const float> v, const AttentionShape& shape,
                              MatrixView<float> y) const = 0;
    virtual void do_activate(Activation kind, MatrixView<const float> x,
                             MatrixView<float> y) const = 0;
    virtual void do_activate_multiply(Activation kind, MatrixView<const float> gate,
                                      MatrixView<const float> up, MatrixView<float> y) const = 0;
    virtual void do_add(MatrixView<const float> x, MatrixView<float> y) const = 0;
    virtual void do_subtract(MatrixView<const float> x, MatrixView<const float> y,
                             MatrixView<float> z) const = 0;
    virtual bool do_all_finite(MatrixView<const float> x) const = 0;
    virtual void do_cross_entropy(MatrixView<const float> logits,
                                  std::span<const std::uint32_t> targets,
                                  std::span<double> losses) const = 0;
    virtual void do_kl_divergence(MatrixView<const float> p_logits,
                                  MatrixView<const float> q_logits, std::span<double> kl,
                                  std::span<std::uint8_t> agree) const = 0;
    virtual void do_accumulate_gram(MatrixView<const float> x, MatrixView<double> gram) const = 0;
    virtual void do_accumulate_column_statistics(MatrixView<const float> x,
                                                 const ColumnStatistics& statistics) const = 0;
    virtual void do_accumulate_exact_gram(MatrixView<const float> x,
                                          MatrixView<double> gram) const = 0;
    virtual void do_multiply(MatrixView<const double> a, bool transpose_a,
                             MatrixView<const double> b, bool transpose_b,
                             MatrixView<double> y) const = 0;
    /// Eigenvalues and the rows of vectors in any common order, of any sign.
    virtual void do_symmetric_eigen(std::span<const SymmetricEigenproblem> problems) const = 0;
    virtual void do_inverse_factor(MatrixView<const double> gram, double damping,
                                   MatrixView<float> factor) const = 0;
    virtual void do_symmetric_from_upper(MatrixView<const double> upper,
                                         std::span<const double> scale,
                                         MatrixView<float> y) const = 0;
    virtual void do_row_errors(MatrixView<const float> delta, MatrixView<const float> gram,
                               std::span<double> errors) const = 0;
    virtual void do_fit_integer_grid(MatrixView<const float> w, std::span<const float> importance,
                                     const IntegerGridSettings& settings, MatrixView<float> scales,
                                     MatrixView<float> zeros) const = 0;
    virtual void do_round_to_grid(MatrixView<const float> w, const IntegerGridSettings& settings,
                                  MatrixView<const float> scales, MatrixView<const float> zeros,
                                  MatrixView<std::uint8_t> codes,
                                  MatrixView<float> values) const = 0;
    virtual void do_gptq(MatrixView<float> w, MatrixView<const float> factor,
                         std::span<const float> importance, std::span<const std::uint32_t> order,
                         const IntegerGridSettings& settings, MatrixView<float> scales,
                         MatrixView<float> zeros, MatrixView<std::uint8_t> codes) const = 0;
    virtual void do_choose_pattern(MatrixView<const float> w, std::span<const float> importance,
                                   NmPattern pattern, MatrixView<std::uint8_t> keep) const = 0;
    virtual void do_project(MatrixView<const float> w, const MatrixLimits& limits,
                            MatrixView<float> values) const = 0;
    virtual void do_splitting_step(MatrixView<float> x, MatrixView<float> state,
                                   MatrixView<const float> target, std::span<const float> penalty,
                                   float shrink, const MatrixLimits& limits) const = 0;
    virtual void do_descend_on_grid(MatrixView<const float> w, MatrixView<const float> gram,
                                    const IntegerGridSettings& settings, std::size_t n_passes,
                                    MatrixView<const std::uint8_t> keep, MatrixView<float> scales,
                                    MatrixView<const float> zeros, MatrixView<std::uint8_t> codes,
                                    MatrixView<float> values) const = 0;
    virtual std::unique_ptr<const PackedMatrix> do_pack(const CodedMatrix& matrix) const = 0;
    virtual std::unique_ptr<const PackedMatrix> do_pack_nm(const NmMatrix& matrix) const = 0;
    virtual void do_linear_packed(MatrixView<const float> x,
                                  std::span<const PackedProduct> products) const = 0;
    virtual void do_embed_packed(std::span<const std::uint32_t> ids, const PackedMatrix& table,
                                 MatrixView<float> y) const = 0;
    virtual void do_fit_binary_codes(MatrixView<const float> w, std::span<const float> importance,
                                     const BinaryCodeSettings& settings,
                                     MatrixView<const std::uint8_t> keep,
                                     const BinaryCodes& codes) const = 0;
    virtual void do_round_to_levels(MatrixView<const float> w, const BinaryCodeSettings& settings,
                                    const BinaryCodes& codes, MatrixView<float> values) const = 0;
    virtual void do_sweep_binary_codes(MatrixView<float> w, MatrixView<const float> factor,
                                       std::span<const float> importance,
                                       const BinaryCodeSettings& settings,
                                       const BinaryCodes& codes) const = 0;
    virtual void do_descend_on_binary_codes(MatrixView<const float> w, MatrixView<const float> gram,
                                            const BinaryCodeSettings& settings,
                                            std::size_t n_passes,
                                            MatrixView<const std::uint8_t> keep,
                                            const BinaryCodes& codes,
                                            MatrixView<float> values) const = 0;
    virtual void do_sweep_sparse(MatrixView<float> w, MatrixView<const float> factor,
                                 NmPattern pattern, MatrixView<std::uint8_t> keep,
                                 const IntegerGridSettings* grid, MatrixView<const float> scales,
                                 MatrixView<const float> zeros) const = 0;
    virtual void do_conjugate_step(MatrixView<const std::uint8_t> keep,
                                   std::span<const float> inverse_diagonal,
                                   MatrixView<const float> product, MatrixView<float> values,
                                   MatrixView<float> residual,
                                   MatrixView<float> direction) const = 0;
    virtual void do_exchange_places(MatrixView<const float> gram, NmPattern pattern,
                                    std::size_t n_passes, MatrixView<std::uint8_t> keep,
                                    MatrixView<float> values, MatrixView<float> gradient) const = 0;
};

/// `pool` carries the tiles of the `cpu` backend and must outlive it; the others ignore it.
/// `cuda` is a plug-in, liblathe_cuda.so, that is opened by the first call that asks for it: from
/// the directory in the environment variable LATHE_PLUGIN_DIR, or else from beside the program or
/// ../lib/lathe from there. The CUDA libraries come with it.
/// `device`: which of the machine's devices, modulo their number.
/// @throws UsageError  if this build has no such backend, or no such device is at hand
std::unique_ptr<Backend> make_backend(BackendKind kind, ThreadPool& pool, std::size_t device = 0);

/// The backends of this build that can run on this machine; `reference` is always first.
std::vector<BackendKind> available_backends();

/// "reference", "cpu", "cuda". @throws UsageError  for another name
BackendKind backend_from_name(std::string_view name);

}  // namespace lathe::kernels
