#include <algorithm>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/sweep.cuh"
#include "kernels/layouts/binary_codes.hpp"

// Coordinate descent on tr((V - W) A (V - W)^T). A row is a warp's; columns are taken in pieces
// that lie in one group. Inside a piece the gradient (V - W) A is kept up to date where the piece
// needs it, and the piece's changes reach all columns by a product.

namespace lathe::kernels {

using cuda::all_lanes;
using cuda::Call;
using cuda::Grid;
using cuda::longest_piece;
using cuda::View;
using cuda::warp_size;

namespace {

/// What all steps of a descent work on.
struct Descent {
    View<const float> gram;
    View<float> values;
    View<float> gradient;
    View<float> changes;  ///< [rows, the widest that is changed at once]
    unsigned* changed;    ///< set when anything is
};

/// gradient += changes @ A, changes those of columns [begin, begin + size).
void pass_on(const Call& call, const Descent& descent, std::size_t begin, std::size_t size) {
    cuda::multiply(call.context(), descent.changes.col_range(0, size),
                   descent.gram.row_range(begin, size), descent.gradient, 1.0F, 1.0F);
}

/// The columns [begin, begin + size) of group g, one after the other.
template <class Coder>
void descend_piece(const Call& call, const Descent& descent, const Coder& coder, std::size_t g,
                   std::size_t begin, std::size_t size) {
    const Descent s = descent;
    cuda::for_each_warp(call, s.values.rows, [=] __device__(std::size_t r, unsigned lane) {
        float* const local = cuda::piece_memory();  // the gradient
        for (std::size_t c = lane; c < size; c += warp_size) {
            local[c] = s.gradient(r, begin + c);
        }
        __syncwarp();
        const auto group = coder.group(r, g);
        for (std::size_t i = 0; i < size; ++i) {
            const std::size_t j = begin + i;
            const float curvature = s.gram(j, j);
            const float before = s.values(r, j);
            float change = 0.0F;
            if (curvature != 0.0F && coder.may_change(r, j)) {
                change = group.take(r, j, before - local[i] / curvature, lane) - before;
            }
            __syncwarp();  // all have read the gradient and the value
            if (change != 0.0F) {
                if (lane == 0) {
                    s.values(r, j) = coder.value(r, j);
                    *s.changed = 1;
                }
                const float* const row = s.gram.row(j) + begin;
                for (std::size_t c = lane; c < size; c += warp_size) {
                    local[c] = fmaf(change, row[c], local[c]);
                }
            }
            if (lane == 0) {
                s.changes(r, i) = change;
            }
            __syncwarp();
        }
    });
    pass_on(call, descent, begin, size);
}

/// New scales of group g, columns [begin, begin + size), where they are an improvement.
template <class Coder>
void refit_group(const Call& call, const Descent& descent, const Coder& coder, std::size_t g,
                 std::size_t begin, std::size_t size) {
    const Descent s = descent;
    cuda::for_each_warp(call, s.values.rows, [=] __device__(std::size_t r, unsigned lane) {
        const bool better = coder.refit(s, r, g, begin, size, lane);
        __syncwarp();
        if (better && lane == 0) {
            *s.changed = 1;
        }
        for (std::size_t i = lane; i < size; i += warp_size) {
            const float before = s.values(r, begin + i);
            const float value = better ? coder.value(r, begin + i) : before;
            s.changes(r, i) = value - before;
            s.values(r, begin + i) = value;
        }
    });
    pass_on(call, descent, begin, size);
}

template <class Coder>
void descend(Call& call, View<const float> w, View<const float> gram, View<float> values,
             std::size_t group_size, bool refit, std::size_t n_passes, const Coder& coder) {
    const std::size_t d = w.cols;
    const std::size_t widest = std::min(d, std::max(longest_piece, refit ? group_size : 0));
    const Descent descent{gram, values, call.scratch<float>(w.rows, d),
                          call.scratch<float>(w.rows, widest), call.scratch<unsigned>(1)};
    {
        const View<float> difference = call.scratch<float>(w.rows, d);
        cuda::for_each(call, w.rows, d, [=] __device__(std::size_t r, std::size_t j) {
            values(r, j) = coder.value(r, j);
            difference(r, j) = values(r, j) - w(r, j);
        });
        cuda::multiply(call.context(), difference, gram, descent.gradient);
    }
    for (std::size_t pass = 0; pass < n_passes; ++pass) {
        call.zero(descent.changed, sizeof(unsigned));
        for (std::size_t g = 0; g * group_size < d; ++g) {
            const std::size_t begin = g * group_size;
            const std::size_t end = std::min(begin + group_size, d);
            for (std::size_t at = begin; at < end; at += longest_piece) {
                descend_piece(call, descent, coder, g, at, std::min(longest_piece, end - at));
            }
            if (refit) {
                refit_group(call, descent, coder, g, begin, end - begin);
            }
        }
        if (call.to_host(descent.changed, 1).front() == 0) {
            break;  // every row stays as it is from here on
        }
    }
}

/// Codes on integer grids.
struct GridCoder {
    IntegerGridSettings settings;
    CodeRange range;
    View<const std::uint8_t> keep;  ///< or without rows
    View<float> scales;
    View<const float> zeros;
    View<std::uint8_t> codes;

    struct Group {
        const GridCoder& own;
        Grid grid;

        /// The value nearest to w, whose code is stored.
        __device__ float take(std::size_t r, std::size_t j, float w, unsigned lane) const {
            const float steps = cuda::nearest_steps(w, grid, own.range);
            if (lane == 0) {
                own.codes(r, j) = static_cast<std::uint8_t>(steps + grid.zero);
            }
            return grid.scale * steps;
        }
    };
    __device__ Group group(std::size_t r, std::size_t g) const {
        return {*this, {scales(r, g), zeros(r, g)}};
    }
    __device__ bool may_change(std::size_t r, std::size_t j) const {
        return keep.rows == 0 || keep(r, j) != 0;
    }
    __device__ float steps(std::size_t r, std::size_t j) const {
        return static_cast<float>(codes(r, j)) - zeros(r, j / settings.group_size);
    }
    __device__ float value(std::size_t r, std::size_t j) const {
        return scales(r, j / settings.group_size) * steps(r, j);
    }

    /// The scale that minimises the error, if it is smaller there. Whether it is new.
    __device__ bool refit(const Descent& s, std::size_t r, std::size_t g, std::size_t begin,
                          std::size_t size, unsigned lane) const {
        double slope = 0.0;
        double curvature = 0.0;
        for (std::size_t k = lane; k < size; k += warp_size) {
            slope = fma(double{steps(r, begin + k)}, double{s.gradient(r, begin + k)}, slope);
            double product = 0.0;  // of row k of A with the steps: A is symmetric
            for (std::size_t i = 0; i < size; ++i) {
                product =
                    fma(double{steps(r, begin + i)}, double{s.gram(begin + i, begin + k)}, product);
            }
            curvature = fma(double{steps(r, begin + k)}, product, curvature);
        }
        slope = cuda::warp_sum(slope);
        curvature = cuda::warp_sum(curvature);
        if (!(curvature > 0.0)) {
            return false;
        }
        const float scale = scales(r, g);
        const float found =
            storable_scale(static_cast<float>(double{scale} - slope / curvature), settings);
        const double change = double{found} - double{scale};
        if (found == scale || !(2.0 * change * slope + change * change * curvature < 0.0)) {
            return false;
        }
        __syncwarp();  // all have read the old one
        if (lane == 0) {
            scales(r, g) = found;
        }
        return true;
    }
};

}  // namespace

void CudaBackend::do_descend_on_grid(MatrixView<const float> w, MatrixView<const float> gram,
                                     const IntegerGridSettings& settings, std::size_t n_passes,
                                     MatrixView<const std::uint8_t> keep, MatrixView<float> scales,
                                     MatrixView<const float> zeros, MatrixView<std::uint8_t> codes,
                                     MatrixView<float> values) const {
    Call call(*context_);
    const View<const float> weight = call.in(w);
    const View<const float> a = call.in(gram);
    const GridCoder coder{settings,           code_range(settings), call.in(keep),
                          call.inout(scales), call.in(zeros),       call.inout(codes)};
    descend(call, weight, a, call.inout(values), settings.group_size,
            settings.group_size <= widest_refitted_group, n_passes, coder);
    call.finish();
}

namespace {

/// Codes that are levels.
struct LevelCoder {
    BinaryCodeSettings settings;
    View<const std::uint8_t> keep;  ///< or without rows
    View<float> scales;
    View<float> offsets;
    View<std::uint8_t> codes;

    struct Group {
        const LevelCoder& own;
        Levels levels;

        __device__ float take(std::size_t r, std::size_t j, float w, unsigned lane) const {
            const std::size_t place = levels.nearest(w);
            // The codes of equal levels are as good: the old one stays.
            if (lane == 0 && levels.value[place] != own.value(r, j)) {
                own.codes(r, j) = levels.code[place];
            }
            return levels.value[place];
        }
    };
    __device__ Group group(std::size_t r, std::size_t g) const {
        return {*this, {scales.row(r) + g * settings.num_bits, offsets(r, g), settings.num_bits}};
    }
    __device__ bool may_change(std::size_t r, std::size_t j) const {
        return keep.rows == 0 || keep(r, j) != 0;
    }
    /// What unknown i of its group multiplies in an element.
    __device__ double coefficient(std::size_t r, std::size_t j, std::size_t i) const {
        return may_change(r, j) ? sign_of(codes(r, j), i, settings.num_bits) : 0.0;
    }
    __device__ float value(std::size_t r, std::size_t j) const {
        if (!may_change(r, j)) {
            return 0.0F;
        }
        const std::size_t g = j / settings.group_size;
        return coded_value(codes(r, j), scales.row(r) + g * settings.num_bits, offsets(r, g),
                           settings.num_bits, false);
    }

    /// Scales and offset that minimise the error, rounded to fp16, if it is smaller there.
    __device__ bool refit(const Descent& s, std::size_t r, std::size_t g, std::size_t begin,
                          std::size_t size, unsigned lane) const {
        NormalEquations equations(settings);
        for (std::size_t j = lane; j < size; j += warp_size) {
            double products[most_unknowns] = {};  // of row j of A with the signs
            for (std::size_t k = 0; k < size; ++k) {
                const double a = s.gram(begin + k, begin + j);  // A is symmetric
#pragma unroll
                for (unsigned i = 0; i < most_unknowns; ++i) {
                    products[i] += i < equations.n ? a * coefficient(r, begin + k, i) : 0.0;
                }
            }
            for (std::size_t i = 0; i < equations.n; ++i) {
                const double own = coefficient(r, begin + j, i);
                equations.right[i] -= own * double{s.gradient(r, begin + j)};
                for (std::size_t l = 0; l < equations.n; ++l) {
                    equations.matrix[i][l] += own * products[l];
                }
            }
        }
        for (std::size_t i = 0; i < most_unknowns; ++i) {
            equations.right[i] = cuda::warp_sum(equations.right[i]);
            for (std::size_t l = 0; l < most_unknowns; ++l) {
                equations.matrix[i][l] = cuda::warp_sum(equations.matrix[i][l]);
            }
        }
        return take_better(equations, r, g, lane);
    }

private:
    __device__ float term(std::size_t r, std::size_t g, std::size_t i) const {
        return i == settings.num_bits ? offsets(r, g) : scales(r, g * settings.num_bits + i);
    }

    __device__ bool take_better(const NormalEquations& equations, std::size_t r, std::size_t g,
                                unsigned lane) const {
        const auto step = equations.solve();
        float found[most_unknowns] = {};
        double change[most_unknowns] = {};
        bool is_new = false;
        for (std::size_t i = 0; i < equations.n; ++i) {
            found[i] = storable_term(double{term(r, g, i)} + step[i]);
            change[i] = double{found[i]} - double{term(r, g, i)};
            is_new = is_new || change[i] != 0.0;
        }
        double gain = 0.0;
        for (std::size_t i = 0; i < equations.n; ++i) {
            gain += 2.0 * change[i] * equations.right[i];
            for (std::size_t k = 0; k < equations.n; ++k) {
                gain -= change[i] * equations.matrix[i][k] * change[k];
            }
        }
        if (!is_new || !(gain > 0.0)) {
            return false;
        }
        __syncwarp();  // all have read the old ones
        for (std::size_t i = lane; i < equations.n; i += warp_size) {
            (i == settings.num_bits ? offsets(r, g) : scales(r, g * settings.num_bits + i)) =
                found[i];
        }
        return true;
    }
};

}  // namespace

void CudaBackend::do_descend_on_binary_codes(
    MatrixView<const float> w, MatrixView<const float> gram, const BinaryCodeSettings& settings,
    std::size_t n_passes, MatrixView<const std::uint8_t> keep, const BinaryCodes& codes,
    MatrixView<float> values) const {
    Call call(*context_);
    const View<const float> weight = call.in(w);
    const View<const float> a = call.in(gram);
    const LevelCoder coder{settings, call.in(keep), call.inout(codes.scales),
                           call.inout(codes.offsets), call.inout(codes.codes)};
    descend(call, weight, a, call.inout(values), settings.group_size,
            settings.group_size <= widest_refitted_binary_group, n_passes, coder);
    call.finish();
}

}  // namespace lathe::kernels
