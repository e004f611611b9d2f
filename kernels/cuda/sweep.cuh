#pragma once

#include <algorithm>

#include "kernels/cuda/launch.cuh"

/// Error feedback over the columns of a matrix, as GPTQ does it: the columns of a piece one after
/// the other, each row by a warp; then the piece's errors reach the columns behind it by a product.
/// Source: Frantar et al. 2022, arXiv:2210.17323, algorithm 1.
namespace lathe::kernels::cuda {

/// The most columns in a piece.
inline constexpr std::size_t longest_piece = 128;

/// A warp's own memory for the part of its row.
__device__ inline float* piece_memory() {
    __shared__ float memory[block_threads / warp_size][longest_piece];
    return memory[threadIdx.x / warp_size];
}

struct Sweep {
    View<float> w;  ///< in: weights, errors of the columns before fed back; out: values
    View<const float> factor;
    View<float> errors;  ///< [rows, longest_piece]
};

/// Columns [begin, begin + size). Rounder::row(r, begin, lane) gives what
/// rounds row r, with
///   before(now, i, size, lane)   called before column begin + i; now [size] is the row as it
///   stands value(i, now_i, lane)        the value of that column, on all lanes; lane 0 writes its
///   code
template <class Rounder>
void sweep_piece(const Call& call, const Sweep& sweep, std::size_t begin, std::size_t size,
                 const Rounder& rounder) {
    const Sweep s = sweep;
    for_each_warp(call, s.w.rows, [=] __device__(std::size_t r, unsigned lane) {
        float* const now = piece_memory();
        for (std::size_t c = lane; c < size; c += warp_size) {
            now[c] = s.w(r, begin + c);
        }
        __syncwarp();
        auto row = rounder.row(r, begin, lane);
        for (std::size_t i = 0; i < size; ++i) {
            row.before(now, i, size, lane);
            const float value = row.value(i, now[i], lane);
            const float* const factor = s.factor.row(begin + i) + begin;
            const float error = (now[i] - value) / factor[i];
            if (lane == 0) {
                s.w(r, begin + i) = value;
                s.errors(r, i) = error;
            }
            for (std::size_t c = i + 1 + lane; c < size; c += warp_size) {
                now[c] = fmaf(-error, factor[c], now[c]);
            }
            __syncwarp();
        }
    });
    const std::size_t end = begin + size;
    if (end < s.w.cols) {
        multiply(call.context(), s.errors.col_range(0, size),
                 s.factor.row_range(begin, size).col_range(end, s.w.cols - end),
                 s.w.col_range(end, s.w.cols - end), -1.0F, 1.0F);
    }
}

}  // namespace lathe::kernels::cuda
