#include <algorithm>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/sweep.cuh"
#include "kernels/layouts/binary_codes.hpp"

namespace lathe::kernels {

using cuda::Call;
using cuda::Grid;
using cuda::View;
using cuda::warp_size;

namespace {

/// Whether element j is among the n of its group [begin, end) with the largest scores, the first of
/// equals.
template <class Score>
__device__ bool is_among_best(std::size_t j, std::size_t begin, std::size_t end, std::size_t n,
                              const Score& score) {
    const auto own = score(j);
    std::size_t n_ahead = 0;
    for (std::size_t k = begin; k < end; ++k) {
        const auto other = score(k);
        n_ahead += other > own || (other == own && k < j) ? 1 : 0;
    }
    return n_ahead < n;
}

/// MatrixLimits as device code sees them.
struct Limits {
    enum class Values { any, grid, levels };
    Values kind = Values::any;
    std::size_t group_size = 1;
    unsigned num_bits = 0;
    CodeRange range;
    View<const float> scales;
    View<const float> zeros;
    View<const std::uint8_t> keep;  ///< or without rows
    NmPattern pattern;
    const float* importance = nullptr;

    Limits(Call& call, const MatrixLimits& limits)
        : keep(call.in(limits.keep)), pattern(limits.pattern) {
        if (limits.grid != nullptr || limits.binary != nullptr) {
            scales = call.in(limits.scales);
            zeros = call.in(limits.zeros);
        }
        if (limits.grid != nullptr) {
            kind = Values::grid;
            group_size = limits.grid->group_size;
            range = code_range(*limits.grid);
        } else if (limits.binary != nullptr) {
            kind = Values::levels;
            group_size = limits.binary->group_size;
            num_bits = limits.binary->num_bits;
        }
        if (pattern.m > 0) {
            importance = call.in(limits.importance);
        }
    }

    /// The nearest value, without a look at places.
    __device__ float rounded(std::size_t r, std::size_t j, float w) const {
        const std::size_t g = j / group_size;
        if (kind == Values::grid) {
            const Grid grid{scales(r, g), zeros(r, g)};
            return grid.scale * cuda::nearest_steps(w, grid, range);
        }
        if (kind == Values::levels) {
            const Levels levels(scales.row(r) + g * num_bits, zeros(r, g), num_bits);
            return levels.value[levels.nearest(w)];
        }
        return w;
    }
};

/// values = P(w); values may be w.
void project_on(Call& call, View<const float> w, const Limits& limits, View<float> values) {
    const bool has_pattern = limits.pattern.m > 0;
    const View<float> gains = has_pattern ? call.scratch<float>(w.rows, w.cols) : View<float>{};
    cuda::for_each(call, w.rows, w.cols, [=] __device__(std::size_t r, std::size_t j) {
        const float before = w(r, j);
        float value = limits.rounded(r, j, before);
        if (has_pattern) {
            const float lost = before - value;
            gains(r, j) = limits.importance[j] * (before * before - lost * lost);
        }
        if (limits.keep.rows > 0 && limits.keep(r, j) == 0) {
            value = 0.0F;
        }
        values(r, j) = value;
    });
    if (!has_pattern) {
        return;
    }
    const NmPattern pattern = limits.pattern;
    cuda::for_each(call, w.rows, w.cols, [=] __device__(std::size_t r, std::size_t j) {
        const std::size_t begin = j / pattern.m * pattern.m;
        const std::size_t end = begin + pattern.m < gains.cols ? begin + pattern.m : gains.cols;
        const float* const row = gains.row(r);
        if (!is_among_best(j, begin, end, pattern.n, [=](std::size_t k) { return row[k]; })) {
            values(r, j) = 0.0F;
        }
    });
}

}  // namespace

void CudaBackend::do_choose_pattern(MatrixView<const float> w, std::span<const float> importance,
                                    NmPattern pattern, MatrixView<std::uint8_t> keep) const {
    Call call(*context_);
    const View<const float> weight = call.in(w);
    const float* const weights = call.in(importance);
    const View<std::uint8_t> places = call.inout(keep);
    cuda::for_each(call, w.rows, w.cols, [=] __device__(std::size_t r, std::size_t j) {
        const std::size_t begin = j / pattern.m * pattern.m;
        const std::size_t end = begin + pattern.m < weight.cols ? begin + pattern.m : weight.cols;
        const float* const row = weight.row(r);
        const auto score = [=](std::size_t k) { return weights[k] * (row[k] * row[k]); };
        places(r, j) = is_among_best(j, begin, end, pattern.n, score) ? 1 : 0;
    });
    call.finish();
}

void CudaBackend::do_project(MatrixView<const float> w, const MatrixLimits& limits,
                             MatrixView<float> values) const {
    Call call(*context_);
    const View<const float> weight = call.in(w);
    project_on(call, weight, Limits(call, limits), call.inout(values));
    call.finish();
}

void CudaBackend::do_splitting_step(MatrixView<float> x, MatrixView<float> state,
                                    MatrixView<const float> target, std::span<const float> penalty,
                                    float shrink, const MatrixLimits& limits) const {
    Call call(*context_);
    const View<float> solution = call.inout(x);
    const View<float> t = call.inout(state);
    const View<const float> aim = call.in(target);
    const float* const penalties = call.in(penalty);
    const Limits within(call, limits);
    const View<float> p = call.scratch<float>(x.rows, x.cols);
    project_on(call, t, within, p);
    cuda::for_each(call, x.rows, x.cols, [=] __device__(std::size_t r, std::size_t j) {
        t(r, j) = solution(r, j) + (t(r, j) - p(r, j));
    });
    project_on(call, t, within, p);
    cuda::for_each(call, x.rows, x.cols, [=] __device__(std::size_t r, std::size_t j) {
        const float dual = shrink * (t(r, j) - p(r, j));
        t(r, j) = p(r, j) + dual;
        solution(r, j) = aim(r, j) + penalties[j] * (p(r, j) - dual);
    });
    call.finish();
}

namespace {

/// Takes values away where keep is 0, which it chooses if there is a pattern, and rounds the
/// others if there is a grid.
struct SparseRounder {
    View<const float> factor;
    NmPattern pattern;
    View<std::uint8_t> keep;
    bool has_grid;
    std::size_t group_size;
    CodeRange range;
    View<const float> scales;
    View<const float> zeros;

    struct Row {
        const SparseRounder& own;
        std::size_t r;
        std::size_t begin;

        __device__ void before(const float* now, std::size_t i, std::size_t size,
                               unsigned lane) const {
            const NmPattern pattern = own.pattern;
            if (pattern.m == 0 || (begin + i) % pattern.m != 0) {
                return;
            }
            const std::size_t end = i + pattern.m < size ? i + pattern.m : size;
            const auto score = [&](std::size_t c) {
                const double ratio = static_cast<double>(now[c]) /
                                     static_cast<double>(own.factor(begin + c, begin + c));
                return ratio * ratio;
            };
            for (std::size_t c = i + lane; c < end; c += warp_size) {
                own.keep(r, begin + c) = is_among_best(c, i, end, pattern.n, score) ? 1 : 0;
            }
            __syncwarp();
        }
        __device__ float value(std::size_t i, float now, unsigned) const {
            const std::size_t j = begin + i;
            if (own.keep(r, j) == 0) {
                return 0.0F;
            }
            if (!own.has_grid) {
                return now;
            }
            const std::size_t g = j / own.group_size;
            const Grid grid{own.scales(r, g), own.zeros(r, g)};
            return grid.scale * cuda::nearest_steps(now, grid, own.range);
        }
    };
    __device__ Row row(std::size_t r, std::size_t begin, unsigned) const {
        return {*this, r, begin};
    }
};

/// keep of the columns [begin, end), a group of the pattern, for weights as they stand.
void choose_group(const Call& call, View<const float> w, View<const float> factor,
                  std::size_t begin, std::size_t end, std::size_t n, View<std::uint8_t> keep) {
    cuda::for_each(call, w.rows, end - begin, [=] __device__(std::size_t r, std::size_t i) {
        const auto score = [=](std::size_t j) {
            const double ratio = static_cast<double>(w(r, j)) / static_cast<double>(factor(j, j));
            return ratio * ratio;
        };
        keep(r, begin + i) = is_among_best(begin + i, begin, end, n, score) ? 1 : 0;
    });
}

}  // namespace

void CudaBackend::do_sweep_sparse(MatrixView<float> w, MatrixView<const float> factor,
                                  NmPattern pattern, MatrixView<std::uint8_t> keep,
                                  const IntegerGridSettings* grid, MatrixView<const float> scales,
                                  MatrixView<const float> zeros) const {
    Call call(*context_);
    const View<float> weight = call.inout(w);
    const View<const float> factors = call.in(factor);
    SparseRounder rounder{factors, pattern, call.inout(keep), grid != nullptr, 1, {}, {}, {}};
    if (grid != nullptr) {
        rounder.group_size = grid->group_size;
        rounder.range = code_range(*grid);
        rounder.scales = call.in(scales);
        rounder.zeros = call.in(zeros);
    }
    // A piece cuts no group of the pattern; one that is longer than a piece is chosen beforehand.
    const std::size_t m = pattern.m;
    const bool is_long = m > cuda::longest_piece;
    const std::size_t piece = m == 0 || is_long ? cuda::longest_piece : cuda::longest_piece / m * m;
    if (is_long) {
        rounder.pattern = {};
    }
    const View<float> errors = call.scratch<float>(w.rows, cuda::longest_piece);
    for (std::size_t begin = 0; begin < w.cols;) {
        std::size_t end = std::min(begin + piece, w.cols);
        if (is_long) {
            const std::size_t group_end = std::min((begin / m + 1) * m, w.cols);
            end = std::min(end, group_end);
            if (begin % m == 0) {
                choose_group(call, weight, factors, begin, group_end, pattern.n, rounder.keep);
            }
        }
        cuda::sweep_piece(call, {weight, factors, errors}, begin, end - begin, rounder);
        begin = end;
    }
    call.finish();
}

void CudaBackend::do_conjugate_step(MatrixView<const std::uint8_t> keep,
                                    std::span<const float> inverse_diagonal,
                                    MatrixView<const float> product, MatrixView<float> values,
                                    MatrixView<float> residual, MatrixView<float> direction) const {
    Call call(*context_);
    const View<const std::uint8_t> places = call.in(keep);
    const float* const inverse = call.in(inverse_diagonal);
    const View<const float> image = call.in(product);
    const View<float> v = call.inout(values);
    const View<float> rest = call.inout(residual);
    const View<float> way = call.inout(direction);
    cuda::for_each_block(call, values.rows, [=] __device__(std::size_t r, unsigned thread) {
        constexpr double tiny = 1e-30;  // keeps 0 / 0 of a finished row at 0
        constexpr unsigned step_length = cuda::block_threads;
        double before = 0.0;
        double curvature = 0.0;
        for (std::size_t j = thread; j < v.cols; j += step_length) {
            const double own = rest(r, j);
            before += own * own * static_cast<double>(inverse[j]);
            curvature += places(r, j) != 0
                             ? static_cast<double>(way(r, j)) * static_cast<double>(image(r, j))
                             : 0.0;
        }
        before = cuda::block_sum(before);
        curvature = cuda::block_sum(curvature);
        const auto step = static_cast<float>(before / (curvature < tiny ? tiny : curvature));
        double after = 0.0;
        for (std::size_t j = thread; j < v.cols; j += step_length) {
            if (places(r, j) != 0) {
                v(r, j) += step * way(r, j);
                rest(r, j) -= step * image(r, j);
            }
            const double own = rest(r, j);
            after += own * own * static_cast<double>(inverse[j]);
        }
        after = cuda::block_sum(after);
        const auto turn = static_cast<float>(after / (before < tiny ? tiny : before));
        for (std::size_t j = thread; j < v.cols; j += step_length) {
            way(r, j) = rest(r, j) * inverse[j] + turn * way(r, j);
        }
    });
    call.finish();
}

namespace {

/// What it does to the error of a row to drop value p of a group and to keep q instead.
struct Exchange {
    float gain;     ///< below 0: the error falls
    float value;    ///< the best one for q
    unsigned pair;  ///< p * size of the group + q
};

__device__ inline Exchange better(const Exchange& a, const Exchange& b) {
    return b.gain < a.gain || (b.gain == a.gain && b.pair < a.pair) ? b : a;
}

/// The best exchange in columns [first, first + m) of a piece, on all lanes.
__device__ Exchange best_exchange(View<const float> gram, std::size_t column, unsigned m,
                                  const std::uint8_t* keep, const float* values,
                                  const float* gradient, unsigned lane) {
    Exchange best{0.0F, 0.0F, ~0U};
    for (unsigned pair = lane; pair < m * m; pair += warp_size) {
        const unsigned p = pair / m;
        const unsigned q = pair % m;
        const float curvature = gram(column + q, column + q);
        if (keep[p] == 0 || keep[q] != 0 || curvature == 0.0F) {
            continue;
        }
        const float dp = -values[p];
        const float slope = gradient[q] + dp * gram(column + p, column + q);
        const float gain = 2 * dp * gradient[p] + dp * dp * gram(column + p, column + p) -
                           slope * slope / curvature;
        if (gain < best.gain) {
            best = {gain, -slope / curvature, pair};
        }
    }
    for (unsigned step = warp_size / 2; step > 0; step /= 2) {
        const Exchange other{__shfl_xor_sync(cuda::all_lanes, best.gain, step),
                             __shfl_xor_sync(cuda::all_lanes, best.value, step),
                             __shfl_xor_sync(cuda::all_lanes, best.pair, step)};
        best = better(best, other);
    }
    return best;
}

/// Columns [begin, begin + size) of a row for exchanges, by a warp.
struct ExchangePiece {
    View<const float> gram;
    View<std::uint8_t> keep;
    View<float> values;
    View<float> gradient;
    View<float> changes;  ///< [rows, at least size] what the exchanges add to the values
    View<float> near;     ///< [rows, at least size] memory: the gradient of the piece
    std::size_t begin;
    std::size_t size;
    std::size_t group;  ///< columns among which places are exchanged

    /// Sets *changed if a place is exchanged.
    __device__ void exchange(std::size_t r, unsigned lane, unsigned* changed) const {
        float* const local = near.row(r);
        for (std::size_t c = lane; c < size; c += warp_size) {
            local[c] = gradient(r, begin + c);
            changes(r, c) = values(r, begin + c);
        }
        __syncwarp();
        for (std::size_t first = 0; first < size; first += group) {
            const auto m = static_cast<unsigned>(first + group < size ? group : size - first);
            const std::size_t column = begin + first;
            const Exchange best = best_exchange(gram, column, m, keep.row(r) + column,
                                                values.row(r) + column, local + first, lane);
            if (!(best.gain < 0.0F)) {
                continue;
            }
            const std::size_t p = column + best.pair / m;
            const std::size_t q = column + best.pair % m;
            const float dropped = values(r, p);
            __syncwarp();
            for (std::size_t c = lane; c < size; c += warp_size) {
                local[c] += best.value * gram(q, begin + c) - dropped * gram(p, begin + c);
            }
            if (lane == 0) {
                values(r, p) = 0.0F;
                values(r, q) = best.value;
                keep(r, p) = 0;
                keep(r, q) = 1;
                *changed = 1;
            }
            __syncwarp();
        }
        for (std::size_t c = lane; c < size; c += warp_size) {
            changes(r, c) = values(r, begin + c) - changes(r, c);
        }
    }
};

}  // namespace

void CudaBackend::do_exchange_places(MatrixView<const float> gram, NmPattern pattern,
                                     std::size_t n_passes, MatrixView<std::uint8_t> keep,
                                     MatrixView<float> values, MatrixView<float> gradient) const {
    const std::size_t piece = std::max<std::size_t>(cuda::longest_piece / pattern.m, 1) * pattern.m;
    Call call(*context_);
    const View<const float> a = call.in(gram);
    const View<std::uint8_t> places = call.inout(keep);
    const View<float> v = call.inout(values);
    const View<float> slopes = call.inout(gradient);
    const View<float> changes = call.scratch<float>(values.rows, piece);
    const View<float> near = call.scratch<float>(values.rows, piece);
    auto* const changed = call.scratch<unsigned>(1);
    for (std::size_t pass = 0; pass < n_passes; ++pass) {
        call.zero(changed, sizeof(unsigned));
        for (std::size_t begin = 0; begin < values.cols; begin += piece) {
            const std::size_t size = std::min(piece, values.cols - begin);
            const ExchangePiece part{a, places, v, slopes, changes, near, begin, size, pattern.m};
            cuda::for_each_warp(call, values.rows, [=] __device__(std::size_t r, unsigned lane) {
                part.exchange(r, lane, changed);
            });
            cuda::multiply(*context_, changes.col_range(0, size), a.row_range(begin, size), slopes,
                           1.0F, 1.0F);
        }
        if (call.to_host(changed, 1).front() == 0) {
            break;
        }
    }
    call.finish();
}

}  // namespace lathe::kernels
