#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cuda/packed.cuh"
#include "kernels/layouts/binary_codes.hpp"

// Codes as bit planes. Few tokens are multiplied by lookup: of every eight inputs a table of the
// 256 sums that eight signs make, which all rows of a block share; a byte of a bit plane is then
// the place of a partial sum. Source: Park et al. 2022 (LUT-GEMM), arXiv:2206.09557.
// An integer code is planes of signs too: with bits b_p = (s_p + 1) / 2 it is
// sum_p 2^(p-1) s_p + (2^q - 1) / 2.

namespace lathe::kernels {

using cuda::Call;
using cuda::div_up;
using cuda::View;

namespace {

constexpr std::size_t word_bits = 32;

/// Where a packed matrix lies. Columns of a group fill words of their own, so that a word has one
/// scale; bits of a word beyond its group are 0. Rows are innermost: threads have neighbouring
/// rows.
struct Layout {
    std::size_t rows = 0;
    std::size_t cols = 0;
    unsigned num_bits = 0;
    std::size_t group_size = 0;
    std::size_t n_groups = 0;
    std::size_t words_per_group = 0;
    unsigned n_scales = 0;  ///< of a group
    bool uniform = false;
    float usual_offset = 0.0F;  ///< where there are no others

    const std::uint32_t* planes = nullptr;  ///< [n_groups * words_per_group, num_bits, rows]
    const __half* scales = nullptr;         ///< [n_groups, n_scales, rows]
    const __half* offsets = nullptr;        ///< [n_groups, rows], or null

    __host__ __device__ std::size_t word_place(std::size_t g, std::size_t word, unsigned plane,
                                               std::size_t row) const {
        return ((g * words_per_group + word) * num_bits + plane) * rows + row;
    }
    __device__ float scale(std::size_t g, unsigned p, std::size_t row) const {
        return __half2float(scales[(g * n_scales + p) * rows + row]);
    }
    __device__ float offset(std::size_t g, std::size_t row) const {
        return offsets == nullptr ? usual_offset : __half2float(offsets[g * rows + row]);
    }
    /// One element, as the codes define it.
    __device__ float value(std::size_t row, std::size_t col) const {
        const std::size_t g = col / group_size;
        const std::size_t at = col % group_size;
        unsigned code = 0;
        for (unsigned p = 0; p < num_bits; ++p) {
            const std::uint32_t word = planes[word_place(g, at / word_bits, p, row)];
            code |= (word >> at % word_bits & 1U) << p;
        }
        float own[8];
        for (unsigned p = 0; p < n_scales; ++p) {
            own[p] = scale(g, p, row);
        }
        return coded_value(code, own, offset(g, row), num_bits, uniform);
    }
};

class PackedPlanes final : public cuda::CudaPacked {
public:
    PackedPlanes(const Layout& layout, cuda::PackedArrays arrays)
        : layout_(layout), arrays_(std::move(arrays)) {
        layout_.planes = arrays_.words();
        layout_.scales = arrays_.scales();
        layout_.offsets = arrays_.offsets();
    }
    [[nodiscard]] std::size_t rows() const noexcept override { return layout_.rows; }
    [[nodiscard]] std::size_t cols() const noexcept override { return layout_.cols; }
    [[nodiscard]] std::size_t size_bytes() const noexcept override { return arrays_.size_bytes(); }
    void multiply(Call& call, View<const float> x, const float* bias, View<float> y) const override;
    void embed(Call& call, const std::uint32_t* ids, View<float> y) const override {
        cuda::embed_decoded(call, layout_, ids, y);
    }

private:
    Layout layout_;
    cuda::PackedArrays arrays_;
};

/// A packed matrix while it is put together on the host.
struct HostPlanes {
    std::vector<std::uint32_t> planes;
    std::vector<std::uint16_t> scales;
    std::vector<std::uint16_t> offsets;

    HostPlanes(const CodedMatrix& matrix, const Layout& at)
        : planes(at.n_groups * at.words_per_group * at.num_bits * at.rows),
          scales(at.n_groups * at.n_scales * at.rows),
          offsets(matrix.has_offsets ? at.n_groups * at.rows : 0) {
        std::vector<std::uint8_t> codes(at.cols);
        std::vector<float> row_scales(at.n_groups * at.n_scales);
        std::vector<float> row_offsets(at.n_groups);
        for (std::size_t r = 0; r < at.rows; ++r) {
            matrix.read(r, codes.data(), row_scales.data(), row_offsets.data());
            add_codes(codes, at, r);
            for (std::size_t i = 0; i < row_scales.size(); ++i) {
                scales[i * at.rows + r] = float_to_half(row_scales[i]);
            }
            for (std::size_t g = 0; matrix.has_offsets && g < at.n_groups; ++g) {
                offsets[g * at.rows + r] = float_to_half(row_offsets[g]);
            }
        }
    }

private:
    void add_codes(const std::vector<std::uint8_t>& codes, const Layout& at, std::size_t r) {
        for (std::size_t j = 0; j < at.cols; ++j) {
            const std::size_t g = j / at.group_size;
            const std::size_t place = j % at.group_size;
            for (unsigned p = 0; p < at.num_bits; ++p) {
                planes[at.word_place(g, place / word_bits, p, r)] |=
                    static_cast<std::uint32_t>(codes[j] >> p & 1) << place % word_bits;
            }
        }
    }
};

constexpr unsigned table_size = 256;
constexpr unsigned tables_per_word = word_bits / 8;
constexpr unsigned lookup_threads = 256;  // one for each place of a table
constexpr unsigned rows_per_thread = 4;
constexpr std::size_t rows_per_block = lookup_threads * rows_per_thread;
/// About as many blocks, however many the device holds: results do not depend on the device.
constexpr std::size_t wanted_blocks = 1024;

/// Words whose tables are in shared memory at a time: 32 KiB of tables, or 16 with one token.
template <unsigned tokens>
constexpr unsigned words_per_step = tokens <= 2 ? 4 : 8 / tokens;

struct LookupArguments {
    Layout w;
    View<const float> x;  ///< [up to `tokens`, cols]
    std::size_t steps_per_group;
    std::size_t n_steps;
    std::size_t steps_per_slice;
    float* partial;  ///< [slices, tokens, rows]
};

/// The words of a group whose tables are in shared memory at one time.
struct Step {
    std::size_t group;
    std::size_t first_word;
    unsigned n_words;

    __device__ Step(const LookupArguments& a, std::size_t number, unsigned most_words)
        : group(number / a.steps_per_group),
          first_word(number % a.steps_per_group * most_words),
          n_words(static_cast<unsigned>(a.w.words_per_group - first_word < most_words
                                            ? a.w.words_per_group - first_word
                                            : most_words)) {}
};

/// inputs [n_words * word_bits, tokens]
template <unsigned tokens>
__device__ void load_inputs(const LookupArguments& a, const Step& step, float* inputs) {
    for (unsigned i = threadIdx.x; i < step.n_words * word_bits * tokens; i += lookup_threads) {
        const unsigned t = i % tokens;
        const std::size_t at = step.first_word * word_bits + i / tokens;
        const std::size_t col = step.group * a.w.group_size + at;
        const bool there = at < a.w.group_size && col < a.w.cols && t < a.x.rows;
        inputs[i] = there ? a.x(t, col) : 0.0F;
    }
}

/// Of every eight inputs the sums with all signs: bit b of an entry's place is the sign of input b.
/// tables [n_words * tables_per_word, table_size, tokens]; thread i makes entry i of each.
template <unsigned tokens>
__device__ void make_tables(const float* inputs, unsigned n_words, float* tables) {
    for (unsigned table = 0; table < n_words * tables_per_word; ++table) {
        float entry[tokens] = {};
#pragma unroll
        for (unsigned bit = 0; bit < 8; ++bit) {
            const bool plus = (threadIdx.x >> bit & 1U) != 0;
#pragma unroll
            for (unsigned t = 0; t < tokens; ++t) {
                const float value = inputs[(table * 8 + bit) * tokens + t];
                entry[t] += plus ? value : -value;
            }
        }
#pragma unroll
        for (unsigned t = 0; t < tokens; ++t) {
            tables[(table * table_size + threadIdx.x) * tokens + t] = entry[t];
        }
    }
}

/// Adds to sums [tokens] what a row's words of the step give; all [tokens]: the sums of the inputs.
template <unsigned tokens>
__device__ void add_row(const Layout& w, const Step& step, std::size_t row, const float* tables,
                        const float* all, float* sums) {
    float total[tokens] = {};
    for (unsigned p = 0; p < w.num_bits; ++p) {
        float plane[tokens] = {};
#pragma unroll
        for (unsigned i = 0; i < words_per_step<tokens>; ++i) {
            if (i >= step.n_words) {
                break;
            }
            const std::uint32_t word =
                w.planes[w.word_place(step.group, step.first_word + i, p, row)];
#pragma unroll
            for (unsigned b = 0; b < tables_per_word; ++b) {
                const unsigned place =
                    (i * tables_per_word + b) * table_size + (word >> 8 * b & (table_size - 1));
#pragma unroll
                for (unsigned t = 0; t < tokens; ++t) {
                    plane[t] += tables[place * tokens + t];
                }
            }
        }
        const float factor =
            w.uniform ? 0.5F * static_cast<float>(1U << p) : w.scale(step.group, p, row);
#pragma unroll
        for (unsigned t = 0; t < tokens; ++t) {
            total[t] = fmaf(factor, plane[t], total[t]);
        }
    }
    const float offset = w.offset(step.group, row);
    const float middle = 0.5F * static_cast<float>((1U << w.num_bits) - 1U);
    const float scale = w.uniform ? w.scale(step.group, 0, row) : 1.0F;
    const float shift = w.uniform ? middle - offset : offset;
#pragma unroll
    for (unsigned t = 0; t < tokens; ++t) {
        sums[t] = fmaf(scale, fmaf(shift, all[t], total[t]), sums[t]);
    }
}

/// Block (tile, slice): a tile of rows, of the columns the steps of a slice.
template <unsigned tokens>
__global__ void __launch_bounds__(lookup_threads) lookup_kernel(LookupArguments a) {
    constexpr unsigned most_words = words_per_step<tokens>;
    __shared__ __align__(16) float tables[most_words * tables_per_word * table_size * tokens];
    __shared__ float inputs[most_words * word_bits * tokens];
    const std::size_t first_row = blockIdx.x * rows_per_block + threadIdx.x;
    float sums[rows_per_thread][tokens] = {};
    const std::size_t first = blockIdx.y * a.steps_per_slice;
    const std::size_t last =
        first + a.steps_per_slice < a.n_steps ? first + a.steps_per_slice : a.n_steps;
    for (std::size_t number = first; number < last; ++number) {
        const Step step(a, number, most_words);
        load_inputs<tokens>(a, step, inputs);
        __syncthreads();  // also: the tables before are done with
        make_tables<tokens>(inputs, step.n_words, tables);
        __syncthreads();
        float all[tokens] = {};  // the sum of the inputs: all signs plus
        for (unsigned table = 0; table < step.n_words * tables_per_word; ++table) {
#pragma unroll
            for (unsigned t = 0; t < tokens; ++t) {
                all[t] += tables[(table * table_size + table_size - 1) * tokens + t];
            }
        }
#pragma unroll
        for (unsigned r = 0; r < rows_per_thread; ++r) {
            const std::size_t row = first_row + r * lookup_threads;
            if (row < a.w.rows) {
                add_row<tokens>(a.w, step, row, tables, all, sums[r]);
            }
        }
    }
#pragma unroll
    for (unsigned r = 0; r < rows_per_thread; ++r) {
        const std::size_t row = first_row + r * lookup_threads;
        if (row < a.w.rows) {
#pragma unroll
            for (unsigned t = 0; t < tokens; ++t) {
                a.partial[(blockIdx.y * tokens + t) * a.w.rows + row] = sums[r][t];
            }
        }
    }
}

template <unsigned tokens>
void look_up(Call& call, const Layout& w, View<const float> x, const float* bias, View<float> y) {
    LookupArguments a{w, x, div_up(w.words_per_group, words_per_step<tokens>), 0, 0, nullptr};
    a.n_steps = w.n_groups * a.steps_per_group;
    const std::size_t tiles = div_up(w.rows, rows_per_block);
    const std::size_t slices =
        std::clamp<std::size_t>(wanted_blocks / tiles, 1, std::max<std::size_t>(a.n_steps, 1));
    a.steps_per_slice = div_up(a.n_steps, slices);
    a.partial = call.scratch<float>(slices * tokens * w.rows);
    const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(slices));
    cuda::launch(call, lookup_kernel<tokens>, grid, lookup_threads, 0, a);
    cuda::add_slices(call, a.partial, slices, tokens, bias, y);
}

void PackedPlanes::multiply(Call& call, View<const float> x, const float* bias,
                            View<float> y) const {
    if (x.rows == 1) {
        look_up<1>(call, layout_, x, bias, y);
    } else if (x.rows == 2) {
        look_up<2>(call, layout_, x, bias, y);
    } else if (x.rows <= 4) {
        look_up<4>(call, layout_, x, bias, y);
    } else if (x.rows <= cuda::most_coded_tokens) {
        look_up<8>(call, layout_, x, bias, y);
    } else {
        cuda::multiply_decoded(call, layout_, x, bias, y);
    }
}

}  // namespace

std::unique_ptr<const PackedMatrix> cuda::pack_planes(const Backend& backend,
                                                      const CodedMatrix& matrix) {
    Layout layout;
    layout.rows = matrix.rows;
    layout.cols = matrix.cols;
    layout.num_bits = matrix.num_bits;
    layout.group_size = std::min(matrix.group_size, std::max<std::size_t>(matrix.cols, 1));
    layout.n_groups = group_count(matrix.cols, layout.group_size);
    layout.words_per_group = div_up(layout.group_size, word_bits);
    layout.n_scales = matrix.uniform ? 1 : matrix.num_bits;
    layout.uniform = matrix.uniform;
    layout.usual_offset = usual_offset(matrix);
    const HostPlanes host(matrix, layout);
    return std::make_unique<PackedPlanes>(
        layout, PackedArrays(backend, host.planes, host.scales, host.offsets));
}

}  // namespace lathe::kernels
