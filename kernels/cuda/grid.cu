#include <algorithm>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/sweep.cuh"

namespace lathe::kernels {

using cuda::Call;
using cuda::Grid;
using cuda::View;
using cuda::warp_size;

namespace {

/// Grids of groups [first, first + n_groups) of all rows.
void fit_grids(const Call& call, View<const float> w, const float* importance,
               const IntegerGridSettings& settings, std::size_t first, std::size_t n_groups,
               View<float> scales, View<float> zeros) {
    cuda::for_each_warp(call, w.rows * n_groups, [=] __device__(std::size_t i, unsigned lane) {
        const std::size_t r = i / n_groups;
        const std::size_t g = first + i % n_groups;
        const std::size_t begin = g * settings.group_size;
        const std::size_t left = w.cols - begin;
        const std::size_t size = settings.group_size < left ? settings.group_size : left;
        const Grid grid =
            cuda::fit_group(w.row(r) + begin, importance + begin, size, settings, lane);
        if (lane == 0) {
            scales(r, g) = grid.scale;
            zeros(r, g) = grid.zero;
        }
    });
}

}  // namespace

void CudaBackend::do_fit_integer_grid(MatrixView<const float> w, std::span<const float> importance,
                                      const IntegerGridSettings& settings, MatrixView<float> scales,
                                      MatrixView<float> zeros) const {
    Call call(*context_);
    const View<const float> weight = call.in(w);
    const float* const weights = call.in(importance);
    const View<float> to_scales = call.inout(scales);
    fit_grids(call, weight, weights, settings, 0, scales.cols, to_scales, call.inout(zeros));
    call.finish();
}

void CudaBackend::do_round_to_grid(MatrixView<const float> w, const IntegerGridSettings& settings,
                                   MatrixView<const float> scales, MatrixView<const float> zeros,
                                   MatrixView<std::uint8_t> codes, MatrixView<float> values) const {
    Call call(*context_);
    const View<const float> weight = call.in(w);
    const View<const float> from_scales = call.in(scales);
    const View<const float> from_zeros = call.in(zeros);
    const View<std::uint8_t> to_codes = call.inout(codes);
    const View<float> to_values = call.inout(values);
    const CodeRange range = code_range(settings);
    const std::size_t group_size = settings.group_size;
    cuda::for_each(call, w.rows, w.cols, [=] __device__(std::size_t r, std::size_t j) {
        const std::size_t g = j / group_size;
        const Grid grid{from_scales(r, g), from_zeros(r, g)};
        const float code = cuda::nearest_code(weight(r, j), grid, range);
        to_codes(r, j) = static_cast<std::uint8_t>(code);
        to_values(r, j) = cuda::value_of(code, grid);
    });
    call.finish();
}

namespace {

/// Rounds to grids that are there. Column i of the sweep is column order[i] of the matrix.
struct GridRounder {
    View<const float> scales;
    View<const float> zeros;
    View<std::uint8_t> codes;
    const std::uint32_t* order;  ///< or null: left to right
    std::size_t group_size;
    CodeRange range;

    struct Row {
        const GridRounder& own;
        std::size_t r;
        std::size_t begin;

        __device__ void before(const float*, std::size_t, std::size_t, unsigned) const {}
        __device__ float value(std::size_t i, float now, unsigned lane) const {
            const std::size_t j = own.order == nullptr ? begin + i : own.order[begin + i];
            const std::size_t g = j / own.group_size;
            const Grid grid{own.scales(r, g), own.zeros(r, g)};
            const float code = cuda::nearest_code(now, grid, own.range);
            if (lane == 0) {
                own.codes(r, j) = static_cast<std::uint8_t>(code);
            }
            return cuda::value_of(code, grid);
        }
    };
    __device__ Row row(std::size_t r, std::size_t begin, unsigned) const {
        return {*this, r, begin};
    }
};

}  // namespace

void CudaBackend::do_gptq(MatrixView<float> w, MatrixView<const float> factor,
                          std::span<const float> importance, std::span<const std::uint32_t> order,
                          const IntegerGridSettings& settings, MatrixView<float> scales,
                          MatrixView<float> zeros, MatrixView<std::uint8_t> codes) const {
    Call call(*context_);
    const std::size_t d = w.cols;
    const View<float> weight = call.inout(w);
    const float* const weights = call.in(importance);
    const View<float> all_scales = call.inout(scales);
    const View<float> all_zeros = call.inout(zeros);
    const std::uint32_t* const columns = order.empty() ? nullptr : call.in(order);
    const GridRounder rounder{all_scales, all_zeros,           call.inout(codes),
                              columns,    settings.group_size, code_range(settings)};
    const View<float> errors = call.scratch<float>(w.rows, cuda::longest_piece);
    cuda::Sweep sweep{weight, call.in(factor), errors};
    if (order.empty()) {
        for (std::size_t begin = 0; begin < d;) {
            const std::size_t g = begin / settings.group_size;
            if (begin % settings.group_size == 0) {
                fit_grids(call, weight, weights, settings, g, 1, all_scales, all_zeros);
            }
            const std::size_t end =
                std::min({begin + cuda::longest_piece, (g + 1) * settings.group_size, d});
            cuda::sweep_piece(call, sweep, begin, end - begin, rounder);
            begin = end;
        }
    } else {
        fit_grids(call, weight, weights, settings, 0, scales.cols, all_scales, all_zeros);
        const View<float> permuted = call.scratch<float>(w.rows, d);
        cuda::for_each(call, w.rows, d, [=] __device__(std::size_t r, std::size_t i) {
            permuted(r, i) = weight(r, columns[i]);
        });
        sweep.w = permuted;
        for (std::size_t begin = 0; begin < d; begin += cuda::longest_piece) {
            cuda::sweep_piece(call, sweep, begin, std::min(cuda::longest_piece, d - begin),
                              rounder);
        }
        cuda::for_each(call, w.rows, d, [=] __device__(std::size_t r, std::size_t i) {
            weight(r, columns[i]) = permuted(r, i);
        });
    }
    call.finish();
}

}  // namespace lathe::kernels
