#include <algorithm>

#include "kernels/cuda/binary.cuh"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/sweep.cuh"

namespace lathe::kernels {

using cuda::Call;
using cuda::View;

namespace {

/// BinaryCodes as device code sees them.
struct Codes {
    View<float> scales;
    View<float> offsets;
    View<std::uint8_t> codes;

    Codes(Call& call, const BinaryCodes& given)
        : scales(call.inout(given.scales)),
          offsets(call.inout(given.offsets)),
          codes(call.inout(given.codes)) {}

    __device__ Levels levels(std::size_t r, std::size_t g, unsigned num_bits) const {
        return {scales.row(r) + g * num_bits, offsets(r, g), num_bits};
    }
};

/// Codes of groups [first, first + n_groups) of all rows. keep [rows, cols], or without rows; other
/// [rows, cols] is for the work.
void fit_groups(const Call& call, View<const float> w, const float* importance,
                View<const std::uint8_t> keep, const BinaryCodeSettings& settings,
                std::size_t first, std::size_t n_groups, const Codes& codes,
                View<std::uint8_t> other) {
    const Codes to = codes;
    cuda::for_each(call, w.rows, n_groups, [=] __device__(std::size_t r, std::size_t i) {
        const std::size_t g = first + i;
        const std::size_t begin = g * settings.group_size;
        const std::size_t left = w.cols - begin;
        const std::size_t size = settings.group_size < left ? settings.group_size : left;
        const float* const row = w.row(r) + begin;
        std::uint8_t* const own = to.codes.row(r) + begin;
        float* const scales = to.scales.row(r) + g * settings.num_bits;
        const std::uint8_t* const kept = keep.rows == 0 ? nullptr : keep.row(r) + begin;
        cuda::GroupFit best(row, importance + begin, kept, size, settings, own);
        best.start_greedy();
        best.run_rounds();
        const double error = best.finish();
        best.store_terms(scales, &to.offsets(r, g));
        if (settings.n_rounds <= 1) {
            return;
        }
        std::uint8_t* const tried = other.row(r) + begin;
        cuda::GroupFit second(row, importance + begin, kept, size, settings, tried);
        second.start_uniform();
        second.run_rounds();
        if (second.finish() < error) {
            second.store_terms(scales, &to.offsets(r, g));
            for (std::size_t j = 0; j < size; ++j) {
                own[j] = tried[j];
            }
        }
    });
}

}  // namespace

void CudaBackend::do_fit_binary_codes(MatrixView<const float> w, std::span<const float> importance,
                                      const BinaryCodeSettings& settings,
                                      MatrixView<const std::uint8_t> keep,
                                      const BinaryCodes& codes) const {
    Call call(*context_);
    const View<const float> weight = call.in(w);
    const float* const weights = call.in(importance);
    const Codes to(call, codes);
    fit_groups(call, weight, weights, call.in(keep), settings, 0, codes.offsets.cols, to,
               call.scratch<std::uint8_t>(w.rows, w.cols));
    call.finish();
}

void CudaBackend::do_round_to_levels(MatrixView<const float> w, const BinaryCodeSettings& settings,
                                     const BinaryCodes& codes, MatrixView<float> values) const {
    Call call(*context_);
    const View<const float> weight = call.in(w);
    const Codes to(call, codes);
    const View<float> result = call.inout(values);
    cuda::for_each(call, w.rows, w.cols, [=] __device__(std::size_t r, std::size_t j) {
        const Levels levels = to.levels(r, j / settings.group_size, settings.num_bits);
        const std::size_t place = levels.nearest(weight(r, j));
        to.codes(r, j) = levels.code[place];
        result(r, j) = levels.value[place];
    });
    call.finish();
}

namespace {

/// Rounds to the levels of one group.
struct LevelRounder {
    Codes codes;
    BinaryCodeSettings settings;

    struct Row {
        const LevelRounder& own;
        std::size_t r;
        std::size_t begin;
        Levels levels;

        __device__ void before(const float*, std::size_t, std::size_t, unsigned) const {}
        __device__ float value(std::size_t i, float now, unsigned lane) const {
            const std::size_t place = levels.nearest(now);
            if (lane == 0) {
                own.codes.codes(r, begin + i) = levels.code[place];
            }
            return levels.value[place];
        }
    };
    __device__ Row row(std::size_t r, std::size_t begin, unsigned) const {
        return {*this, r, begin, codes.levels(r, begin / settings.group_size, settings.num_bits)};
    }
};

}  // namespace

void CudaBackend::do_sweep_binary_codes(MatrixView<float> w, MatrixView<const float> factor,
                                        std::span<const float> importance,
                                        const BinaryCodeSettings& settings,
                                        const BinaryCodes& codes) const {
    Call call(*context_);
    const View<float> weight = call.inout(w);
    const View<const float> factors = call.in(factor);
    const float* const weights = call.in(importance);
    const Codes to(call, codes);
    const View<std::uint8_t> other = call.scratch<std::uint8_t>(w.rows, w.cols);
    const View<float> errors = call.scratch<float>(w.rows, cuda::longest_piece);
    const LevelRounder rounder{to, settings};
    for (std::size_t begin = 0; begin < w.cols;) {
        const std::size_t g = begin / settings.group_size;
        if (begin % settings.group_size == 0) {
            fit_groups(call, weight, weights, {}, settings, g, 1, to, other);
        }
        const std::size_t end =
            std::min({begin + cuda::longest_piece, (g + 1) * settings.group_size, w.cols});
        cuda::sweep_piece(call, {weight, factors, errors}, begin, end - begin, rounder);
        begin = end;
    }
    call.finish();
}

}  // namespace lathe::kernels
