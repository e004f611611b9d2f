#pragma once

#include <cuda_fp16.h>
#include <cuda_pipeline.h>

#include "kernels/cuda/device_only.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/layouts/binary_codes.hpp"
#include "kernels/layouts/tiled_codes.hpp"

// Products of few tokens with uniform codes on tensor cores, since the other units cannot keep up
// with the memory: a multiplication and its share of the decoding for each code and token take them
// longer, from about two tokens on, than the code takes to arrive. Tensor cores multiply a code by
// eight columns at the price of one. They multiply fp16 numbers and add in fp32, and no input is
// rounded to fp16 for that:
//   - a code less its zero is a whole number, which fp16 holds exactly;
//   - an input, times a power of two that a token's inputs of a slice have in common, is the sum of
//     two fp16 numbers but for 2^-23 of it: two of the eight columns, so four tokens at a time.
// Sums are in one order whatever the device, but for the 16 products of an instruction, whose order
// and last bit are the tensor core's.

namespace lathe::kernels::cuda {

inline constexpr unsigned n_warps = 8;  // of a block, a tile of rows each
inline constexpr unsigned tile_threads = n_warps * warp_size;
/// Steps of a warp in shared memory: one to multiply, the others on their way. At least 3 KiB are
/// for each warp, 48 KiB for the two or three blocks of a multiprocessor: more than it takes to
/// keep the memory busy for the microsecond until they are there.
constexpr unsigned stage_count(unsigned bits) {
    return bits == 2 ? 4 : bits == 8 ? 2 : 3;
}

struct Tiles : tiled::TiledLayout {
    float usual_zero = 0.0F;
    const std::uint32_t* words = nullptr;
    const __half* scales = nullptr;
    const __half* zeros = nullptr;  ///< or null: usual_zero

    explicit Tiles(const CodedMatrix& matrix)
        : TiledLayout(matrix), usual_zero(usual_offset(matrix)) {}

    __device__ float value(std::size_t row, std::size_t col) const {
        const std::size_t at = term_place(col / group_size, row);
        const float scale = __half2float(scales[at]);
        const float zero = zeros == nullptr ? usual_zero : __half2float(zeros[at]);
        return coded_value(get(place(row, col), words), &scale, zero, num_bits, true);
    }
};

struct TileArguments {
    Tiles w;
    View<const float> x;  ///< [up to 8, cols]
    std::size_t steps_per_slice;
    float* partial;  ///< [slices, x.rows, w.rows]
};

/// What a warp reads of a step, in shared memory. `cuts`: 2 if its chunks can be of two groups.
template <unsigned bits, unsigned cuts>
struct Stage {
    uint4 codes[bits * tiled::n_lanes];
    /// Scales, then zeros, of rows 16 * part + r and 16 * part + r + 8 at [r][part].
    std::uint32_t terms[cuts][2][8][tiled::n_parts];
};

/// A lane's part in copying a warp's steps to shared memory, ahead of their use.
template <unsigned bits, unsigned cuts>
class Fetch {
public:
    __device__ Fetch(const Tiles& w, std::size_t tile, std::size_t first_step, unsigned n_steps)
        : left_(n_steps),
          chunks_per_group_(w.chunks_per_group),
          last_group_(w.n_groups - 1),
          group_elements_(w.n_tiles * tiled::tile_rows) {
        const std::size_t first = (tile * w.n_steps + first_step) * bits * tiled::n_lanes;
        codes_ = reinterpret_cast<const uint4*>(w.words) + first + lane_;
        // Lanes 0-7 have the scales of the first chunk, 8-15 its zeros, 16-31 those of the second.
        const __half* const terms = lane_ % 16 < 8 ? w.scales : w.zeros;
        const auto chunk = static_cast<std::uint32_t>(first_step * tiled::step_chunks + lane_ / 16);
        if (lane_ / 16 < cuts && terms != nullptr) {
            group_ = w.group_of(chunk);
            terms_ = terms + w.term_place(group_, tile * tiled::tile_rows + lane_ % 8);
        }
        in_group_ = chunk % chunks_per_group_;
    }
    /// Asks for the next step, or for nothing behind the last: each is one group of copies.
    __device__ void next(Stage<bits, cuts>& to) {
        if (left_ > 0) {
            --left_;
#pragma unroll
            for (unsigned load = 0; load < bits; ++load) {
                const unsigned at = load * tiled::n_lanes;
                __pipeline_memcpy_async(&to.codes[at + lane_], codes_ + at, sizeof(uint4));
            }
            codes_ += bits * tiled::n_lanes;
            if (terms_ != nullptr) {
                __pipeline_memcpy_async(to.terms[lane_ / 16][lane_ / 8 % 2][lane_ % 8], terms_,
                                        sizeof(uint4));
            }
            pass_chunks();
        }
        __pipeline_commit();
    }

private:
    __device__ void pass_chunks() {
        in_group_ += tiled::step_chunks;
        while (in_group_ >= chunks_per_group_) {
            in_group_ -= chunks_per_group_;
            if (terms_ != nullptr && group_ < last_group_) {
                ++group_;
                terms_ += group_elements_;
            }
        }
    }

    unsigned lane_ = threadIdx.x % warp_size;
    unsigned left_;
    std::uint32_t chunks_per_group_;
    std::uint32_t last_group_;
    std::size_t group_elements_;
    const uint4* codes_;
    const __half* terms_ = nullptr;
    std::uint32_t group_ = 0;
    std::uint32_t in_group_;
};

__device__ inline __half2 as_halves(std::uint32_t word) {
    return *reinterpret_cast<const __half2*>(&word);
}
__device__ inline std::uint32_t as_word(__half2 halves) {
    return *reinterpret_cast<const std::uint32_t*>(&halves);
}
__device__ inline std::uint32_t component(const uint4& four, unsigned i) {
    return i == 0 ? four.x : i == 1 ? four.y : i == 2 ? four.z : four.w;
}

/// The power of two of a token's inputs, or its inverse.
__device__ inline float two_to(int power) {
    return __uint_as_float(static_cast<unsigned>(127 + power) << 23);
}

/// Puts a slice of x where the warps of a block read it, as fp16 numbers:
/// [n_steps, eights, chunk of the step, lane], eight columns each.
template <unsigned eights>
__device__ void place_inputs(const TileArguments& a, std::size_t first_step, unsigned n_steps,
                             uint4* inputs, std::uint32_t* largest) {
    constexpr unsigned most_tokens = eights * tiled::tokens_per_eight;
    const unsigned pieces = n_steps * 8;  // of a token: a lane's columns of a chunk
    const auto first_chunk = static_cast<std::uint32_t>(first_step * tiled::step_chunks);
    if (threadIdx.x < most_tokens) {
        largest[threadIdx.x] = 0;
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < pieces * a.x.rows; i += tile_threads) {
        const unsigned t = i / pieces;
        const auto columns = a.w.lane_columns(first_chunk + i % pieces / 4, i % pieces % 4);
        std::uint32_t most = 0;
        for (unsigned k = 0; k < columns.count; ++k) {
            most = max(most, __float_as_uint(a.x(t, columns.begin + k)) & 0x7FFFFFFFU);
        }
        atomicMax(&largest[t], most);  // of whole numbers: in any order the same
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < pieces * most_tokens; i += tile_threads) {
        const unsigned t = i / pieces;
        const unsigned piece = i % pieces;
        const auto columns = a.w.lane_columns(first_chunk + piece / 4, piece % 4);
        const float factor = two_to(tiled::input_power(largest[t]));
        __align__(16) __half high[8];
        __align__(16) __half low[8];
#pragma unroll
        for (unsigned k = 0; k < 8; ++k) {
            const bool there = t < a.x.rows && k < columns.count;
            const float value = there ? a.x(t, columns.begin + k) * factor : 0.0F;
            high[k] = __float2half_rn(value);
            low[k] = __float2half_rn(value - __half2float(high[k]));
        }
        inputs[tiled::input_place(piece / 4, piece % 4, t, false, eights)] =
            *reinterpret_cast<const uint4*>(high);
        inputs[tiled::input_place(piece / 4, piece % 4, t, true, eights)] =
            *reinterpret_cast<const uint4*>(low);
    }
}

template <unsigned eights>
using RowSums = float[tiled::n_parts][eights][2];

/// Adds what one group of a step has to the sums of two rows of a part.
template <unsigned bits, unsigned eights, unsigned loads>
__device__ __forceinline__ void multiply_part(const std::uint32_t (&words)[bits],
                                              unsigned first_pair, __half2 zeros, __half2 scales,
                                              const uint4 (&inputs)[eights][loads],
                                              float (&sums)[eights][2]) {
    constexpr unsigned n_shown = tiled::pairs_per_shift(bits);
    __half2 shown[2][n_shown];  // the zero of each row, as each place in a word shows it
#pragma unroll
    for (unsigned i = 0; i < n_shown; ++i) {
        const __half2 power = as_halves(tiled::two_powers(i * bits));
        shown[0][i] = __hadd2(__low2half2(zeros), power);
        shown[1][i] = __hadd2(__high2half2(zeros), power);
    }
    float products[eights][4] = {};
#pragma unroll
    for (unsigned i = 0; i < 2 * loads; ++i) {  // a load is two instructions' inputs
        std::uint32_t a[4];
#pragma unroll
        for (unsigned reg = 0; reg < 4; ++reg) {
            const unsigned slot = tiled::pair_slot(bits, first_pair + 4 * i + reg);
            a[reg] = as_word(__hsub2(as_halves(tiled::pair_as_halves<bits>(words, slot)),
                                     shown[reg % 2][tiled::first_bit(bits, slot) / bits]));
        }
#pragma unroll
        for (unsigned e = 0; e < eights; ++e) {
            const uint4& b = inputs[e][i / 2];
            multiply_add(products[e], a, i % 2 == 0 ? b.x : b.z, i % 2 == 0 ? b.y : b.w);
        }
    }
    const float2 scale = __half22float2(scales);
#pragma unroll
    for (unsigned e = 0; e < eights; ++e) {
        const auto& p = products[e];  // two columns are the parts of a token's inputs
        sums[e][0] = fmaf(scale.x, p[0] + p[1], sums[e][0]);
        sums[e][1] = fmaf(scale.y, p[2] + p[3], sums[e][1]);
    }
}

/// Adds a step of a tile to the sums of a lane's eight rows.
template <unsigned bits, unsigned eights, unsigned cuts>
__device__ __forceinline__ void multiply_step(const Stage<bits, cuts>& stage, const uint4* inputs,
                                              bool own_zeros, __half2 usual_zero,
                                              RowSums<eights>& sums) {
    constexpr unsigned loads = tiled::step_chunks / cuts;  // of inputs of a group
    const unsigned lane = threadIdx.x % warp_size;
    uint4 input[cuts][eights][loads];
#pragma unroll
    for (unsigned i = 0; i < eights * tiled::step_chunks; ++i) {
        const unsigned chunk = i % tiled::step_chunks;
        input[chunk / loads][i / tiled::step_chunks][chunk % loads] =
            inputs[i * tiled::n_lanes + lane];
    }
    uint4 codes[bits];
#pragma unroll
    for (unsigned load = 0; load < bits; ++load) {
        codes[load] = stage.codes[load * tiled::n_lanes + lane];
    }
#pragma unroll
    for (unsigned part = 0; part < tiled::n_parts; ++part) {
        std::uint32_t words[bits];
#pragma unroll
        for (unsigned i = 0; i < bits; ++i) {
            words[i] = component(codes[(part * bits + i) / 4], (part * bits + i) % 4);
        }
#pragma unroll
        for (unsigned cut = 0; cut < cuts; ++cut) {
            const std::uint32_t* const terms = &stage.terms[cut][0][lane / 4][part];
            const __half2 zeros = own_zeros ? as_halves(terms[8 * 4]) : usual_zero;
            multiply_part<bits, eights, loads>(words, cut * tiled::part_pairs / cuts, zeros,
                                               as_halves(terms[0]), input[cut], sums[part]);
        }
    }
}

/// Block (eight tiles, slice): a tile of rows to a warp, of the columns the steps of a slice, whose
/// inputs are in shared memory at once. The bound on blocks is one on registers: 80, or 128.
template <unsigned bits, unsigned eights, unsigned cuts>
__global__ void __launch_bounds__(tile_threads, eights == 1 && cuts == 1 ? 3 : 2)
    tile_kernel(const __grid_constant__ TileArguments a) {
    constexpr unsigned n_stages = stage_count(bits);
    auto* const shared = dynamic_shared<uint4>();
    __shared__ std::uint32_t largest[eights * tiled::tokens_per_eight];
    const unsigned warp = threadIdx.x / warp_size;
    const unsigned lane = threadIdx.x % warp_size;
    const std::size_t tile = blockIdx.x * n_warps + warp;
    const std::size_t first_step = blockIdx.y * a.steps_per_slice;
    const auto n_steps = static_cast<unsigned>(min(a.steps_per_slice, a.w.n_steps - first_step));

    auto* const stages = reinterpret_cast<Stage<bits, cuts>*>(shared) + warp * n_stages;
    uint4* const inputs = shared + n_warps * n_stages * (sizeof(Stage<bits, cuts>) / sizeof(uint4));
    Fetch<bits, cuts> fetch(a.w, tile, first_step, tile < a.w.n_tiles ? n_steps : 0);
#pragma unroll
    for (unsigned stage = 0; stage + 1 < n_stages; ++stage) {
        fetch.next(stages[stage]);
    }
    place_inputs<eights>(a, first_step, n_steps, inputs, largest);
    __syncthreads();
    if (tile >= a.w.n_tiles) {
        return;
    }

    const __half2 usual_zero = __float2half2_rn(a.w.usual_zero);
    RowSums<eights> sums = {};
    unsigned stage = 0;
    for (unsigned step = 0; step < n_steps; ++step) {
        __pipeline_wait_prior(n_stages - 2);
        __syncwarp();  // this step is there for all lanes, and all are done with the one before
        fetch.next(stages[stage == 0 ? n_stages - 1 : stage - 1]);
        multiply_step<bits, eights, cuts>(stages[stage],
                                          inputs + step * eights * 2 * tiled::n_lanes,
                                          a.w.zeros != nullptr, usual_zero, sums);
        stage = stage + 1 == n_stages ? 0 : stage + 1;
    }
#pragma unroll
    for (unsigned i = 0; i < tiled::n_parts * eights * 2; ++i) {
        const unsigned part = i / (eights * 2);
        const unsigned eight = i / 2 % eights;
        const unsigned t = tiled::token_of_sum(lane, eight);
        const std::size_t row = tile * tiled::tile_rows + tiled::row_of_sum(lane, part, i % 2);
        if (t < a.x.rows && row < a.w.rows) {
            a.partial[(blockIdx.y * a.x.rows + t) * a.w.rows + row] =
                sums[part][eight][i % 2] * two_to(-tiled::input_power(largest[t]));
        }
    }
}

}  // namespace lathe::kernels::cuda
