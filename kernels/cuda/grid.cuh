#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/layouts/integer_grid.hpp"

/// Device functions on integer grids, step for step as in kernels/reference.
namespace lathe::kernels::cuda {

struct Grid {
    float scale;
    float zero;
};

/// The code nearest to w. A value that is not a number gets the lowest code.
__device__ inline float nearest_code(float w, const Grid& grid, const CodeRange& codes) {
    const float code = rintf(w / grid.scale) + grid.zero;
    return fminf(codes.highest, fmaxf(codes.lowest, code));
}

__device__ inline float value_of(float code, const Grid& grid) {
    return grid.scale * (code - grid.zero);
}

/// Steps of the scale from 0 to the value nearest to w.
__device__ inline float nearest_steps(float w, const Grid& grid, const CodeRange& codes) {
    return fminf(codes.highest - grid.zero, fmaxf(codes.lowest - grid.zero, rintf(w / grid.scale)));
}

/// The grid that covers `factor` times the range [lowest, highest] of a group.
__device__ inline Grid grid_over(float lowest, float highest, float factor,
                                 const IntegerGridSettings& settings) {
    const float highest_code = code_range(settings).highest;
    if (settings.symmetric) {
        const float zero = symmetric_zero(settings.num_bits);
        const float magnitude = (-lowest < highest ? highest : -lowest) * factor;
        return {storable_scale(magnitude / symmetric_reach(settings), settings), zero};
    }
    const float scale = storable_scale((highest - lowest) * factor / highest_code, settings);
    const float zero = rintf(-lowest * factor / scale);
    return {scale, zero < 0.0F ? 0.0F : highest_code < zero ? highest_code : zero};
}

/// Of two tried ranges the better one.
struct Tried {
    double error;
    unsigned k;
};
__device__ inline Tried better(const Tried& a, const Tried& b) {
    return b.error < a.error || (b.error == a.error && b.k < a.k) ? b : a;
}

/// The best grid of a group, on all lanes of the warp: each lane tries ranges of its own.
__device__ inline Grid fit_group(const float* w, const float* importance, std::size_t n,
                                 const IntegerGridSettings& settings, unsigned lane) {
    float lowest = 0.0F;
    float highest = 0.0F;
    for (std::size_t j = lane; j < n; j += warp_size) {
        lowest = w[j] < lowest ? w[j] : lowest;
        highest = highest < w[j] ? w[j] : highest;
    }
    for (unsigned step = warp_size / 2; step > 0; step /= 2) {
        lowest = fminf(lowest, __shfl_xor_sync(all_lanes, lowest, step));
        highest = fmaxf(highest, __shfl_xor_sync(all_lanes, highest, step));
    }
    const CodeRange codes = code_range(settings);
    Tried best{INFINITY, ~0U};
    for (unsigned k = lane; k < n_ranges(settings); k += warp_size) {
        const Grid grid = grid_over(lowest, highest, range_factor(k), settings);
        double error = 0.0;
        for (std::size_t j = 0; j < n; ++j) {
            const double difference = w[j] - value_of(nearest_code(w[j], grid, codes), grid);
            error += static_cast<double>(importance[j]) * difference * difference;
        }
        if (isnan(error)) {
            error = k == 0 ? -INFINITY : INFINITY;  // nothing is less than an error of NaN
        }
        best = better(best, {error, k});
    }
    for (unsigned step = warp_size / 2; step > 0; step /= 2) {
        const Tried other{__shfl_xor_sync(all_lanes, best.error, step),
                          __shfl_xor_sync(all_lanes, best.k, step)};
        best = better(best, other);
    }
    return grid_over(lowest, highest, range_factor(best.k), settings);
}

}  // namespace lathe::kernels::cuda
