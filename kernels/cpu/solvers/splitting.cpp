#include <algorithm>
#include <vector>

#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/solvers/binary_fit.hpp"
#include "kernels/cpu/solvers/grid_lanes.hpp"

// Element-wise work on rows, which do not meet: a tile of rows is one task.

namespace lathe::kernels {
namespace {

constexpr std::size_t rows_per_tile = 16;

/// keep[j] = 1 where fewer than n of its group of m are ahead of it. The comparison of all pairs
/// has no branch that depends on the data.
LATHE_ALWAYS_INLINE void keep_largest(const float* scores, std::size_t m, std::size_t n,
                                      std::uint8_t* keep) {
    for (std::size_t j = 0; j < m; ++j) {
        std::size_t n_ahead = 0;
        for (std::size_t k = 0; k < j; ++k) {
            n_ahead += scores[k] >= scores[j] ? 1 : 0;
        }
        for (std::size_t k = j + 1; k < m; ++k) {
            n_ahead += scores[k] > scores[j] ? 1 : 0;
        }
        keep[j] = n_ahead < n ? 1 : 0;
    }
}

LATHE_VECTOR_CLONES
void keep_largest_of_row(const float* scores, std::size_t cols, NmPattern pattern,
                         std::uint8_t* keep) {
    std::size_t j = 0;
    if (pattern.m == 4) {  // a constant, so that the comparisons are unrolled
        for (; j + 4 <= cols; j += 4) {
            keep_largest(scores + j, 4, pattern.n, keep + j);
        }
    }
    for (; j < cols; j += pattern.m) {
        keep_largest(scores + j, std::min(pattern.m, cols - j), pattern.n, keep + j);
    }
}

LATHE_VECTOR_CLONES
void zero_dropped(const std::uint8_t* keep, std::size_t n, float* values) {
    for (std::size_t j = 0; j < n; ++j) {
        values[j] = keep[j] != 0 ? values[j] : 0.0F;
    }
}

/// The same for groups of 4, where `values` that are not kept become 0: without bytes in between
/// the compiler makes whole registers of it. @returns  how many columns that was for
LATHE_VECTOR_CLONES
std::size_t zero_dropped_of_fours(const float* __restrict scores, std::size_t cols, int n,
                                  float* __restrict values) {
    const std::size_t n_groups = cols / 4;
    for (std::size_t g = 0; g < n_groups; ++g) {
        const float a = scores[4 * g];
        const float b = scores[4 * g + 1];
        const float c = scores[4 * g + 2];
        const float d = scores[4 * g + 3];
        const int ab = a >= b ? 1 : 0;
        const int ac = a >= c ? 1 : 0;
        const int ad = a >= d ? 1 : 0;
        const int bc = b >= c ? 1 : 0;
        const int bd = b >= d ? 1 : 0;
        const int cd = c >= d ? 1 : 0;
        float* v = values + 4 * g;
        v[0] = 3 - ab - ac - ad < n ? v[0] : 0.0F;
        v[1] = ab + 2 - bc - bd < n ? v[1] : 0.0F;
        v[2] = ac + bc + 1 - cd < n ? v[2] : 0.0F;
        v[3] = ad + bd + cd < n ? v[3] : 0.0F;
    }
    return 4 * n_groups;
}

/// importance * (w^2 - (w - value)^2). Not translated for several instruction sets: a fused
/// multiply-add would order nearly equal gains otherwise than the reference does.
void gains_of(const float* w, const float* values, const float* importance, std::size_t n,
              float* gains) {
    for (std::size_t j = 0; j < n; ++j) {
        const float lost = w[j] - values[j];
        gains[j] = importance[j] * (w[j] * w[j] - lost * lost);
    }
}

LATHE_VECTOR_CLONES
void take_up(const float* x, const float* projection, std::size_t n, float* state) {
    for (std::size_t j = 0; j < n; ++j) {
        state[j] = x[j] + (state[j] - projection[j]);
    }
}

LATHE_VECTOR_CLONES
void give_back(const float* target, const float* penalty, float shrink, const float* projection,
               std::size_t n, float* state, float* x) {
    for (std::size_t j = 0; j < n; ++j) {
        const float dual = shrink * (state[j] - projection[j]);
        state[j] = projection[j] + dual;
        x[j] = target[j] + penalty[j] * (projection[j] - dual);
    }
}

/// P(w) of one row after the other, with the memory it needs.
class RowProjection {
public:
    RowProjection(const MatrixLimits& limits, std::size_t cols)
        : limits_(limits), cols_(cols), codes_(cols), keep_(cols), gains_(cols) {}

    void operator()(const float* w, std::size_t row, float* values) {
        if (limits_.binary != nullptr) {
            const std::size_t group_size = limits_.binary->group_size;
            const unsigned q = limits_.binary->num_bits;
            for (std::size_t g = 0; g < limits_.zeros.cols; ++g) {
                const std::size_t begin = g * group_size;
                const Levels levels(limits_.scales.row(row) + g * q, limits_.zeros(row, g), q);
                round_to_levels(w + begin, std::min(group_size, cols_ - begin), levels,
                                values + begin);
            }
        } else if (limits_.grid == nullptr) {
            std::copy_n(w, cols_, values);
        } else {
            const std::size_t group_size = limits_.grid->group_size;
            for (std::size_t g = 0; g < limits_.scales.cols; ++g) {
                const std::size_t begin = g * group_size;
                round_group(w + begin, std::min(group_size, cols_ - begin), *limits_.grid,
                            limits_.scales(row, g), limits_.zeros(row, g), codes_.data() + begin,
                            values + begin);
            }
        }
        if (limits_.pattern.m > 0) {
            gains_of(w, values, limits_.importance.data(), cols_, gains_.data());
            std::size_t done = 0;
            if (limits_.pattern.m == 4) {
                done = zero_dropped_of_fours(gains_.data(), cols_,
                                             static_cast<int>(limits_.pattern.n), values);
            }
            keep_largest_of_row(gains_.data() + done, cols_ - done, limits_.pattern, keep_.data());
            zero_dropped(keep_.data(), cols_ - done, values + done);
        }
        if (limits_.keep.rows > 0) {
            zero_dropped(limits_.keep.row(row), cols_, values);
        }
    }

private:
    const MatrixLimits& limits_;
    std::size_t cols_;
    std::vector<std::uint8_t> codes_;
    std::vector<std::uint8_t> keep_;
    std::vector<float> gains_;
};

/// Calls visit_tile(begin, end) for tiles of rows.
template <class Visit>
void for_each_tile(ThreadPool& pool, std::size_t rows, const Visit& visit_tile) {
    pool.for_each((rows + rows_per_tile - 1) / rows_per_tile, [&](std::size_t tile) {
        const std::size_t begin = tile * rows_per_tile;
        visit_tile(begin, std::min(begin + rows_per_tile, rows));
    });
}

}  // namespace

void CpuBackend::do_choose_pattern(MatrixView<const float> w, std::span<const float> importance,
                                   NmPattern pattern, MatrixView<std::uint8_t> keep) const {
    for_each_tile(pool_, w.rows, [&](std::size_t begin, std::size_t end) {
        std::vector<float> scores(w.cols);
        for (std::size_t r = begin; r < end; ++r) {
            for (std::size_t j = 0; j < w.cols; ++j) {
                scores[j] = importance[j] * (w(r, j) * w(r, j));
            }
            keep_largest_of_row(scores.data(), w.cols, pattern, keep.row(r));
        }
    });
}

void CpuBackend::do_project(MatrixView<const float> w, const MatrixLimits& limits,
                            MatrixView<float> values) const {
    for_each_tile(pool_, w.rows, [&](std::size_t begin, std::size_t end) {
        RowProjection project_row(limits, w.cols);
        std::vector<float> projection(w.cols);
        for (std::size_t r = begin; r < end; ++r) {
            project_row(w.row(r), r, projection.data());
            std::copy(projection.begin(), projection.end(), values.row(r));
        }
    });
}

void CpuBackend::do_splitting_step(MatrixView<float> x, MatrixView<float> state,
                                   MatrixView<const float> target, std::span<const float> penalty,
                                   float shrink, const MatrixLimits& limits) const {
    for_each_tile(pool_, x.rows, [&](std::size_t begin, std::size_t end) {
        RowProjection project_row(limits, x.cols);
        std::vector<float> projection(x.cols);
        for (std::size_t r = begin; r < end; ++r) {
            float* t = state.row(r);
            project_row(t, r, projection.data());
            take_up(x.row(r), projection.data(), x.cols, t);
            project_row(t, r, projection.data());
            give_back(target.row(r), penalty.data(), shrink, projection.data(), x.cols, t,
                      x.row(r));
        }
    });
}

}  // namespace lathe::kernels
