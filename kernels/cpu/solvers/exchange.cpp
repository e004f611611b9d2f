#include <algorithm>

#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/cpu_backend.hpp"

namespace lathe::kernels {
namespace {

constexpr std::size_t rows_per_tile = 16;

/// One row, and the matrix all rows share.
struct Row {
    MatrixView<const float> gram;
    std::uint8_t* keep;
    float* values;
    float* gradient;
};

struct Exchange {
    std::size_t p = 0;   ///< goes
    std::size_t q = 0;   ///< comes
    float value = 0.0F;  ///< of q
    float gain = 0.0F;   ///< change of the row's error; below 0 if it falls
};

Exchange best_exchange(const Row& row, std::size_t begin, std::size_t end) {
    Exchange best;
    for (std::size_t p = begin; p < end; ++p) {
        if (row.keep[p] == 0) {
            continue;
        }
        const float* a = row.gram.row(p);
        const float v = row.values[p];
        const float cost = v * v * a[p] - 2 * v * row.gradient[p];
        for (std::size_t q = begin; q < end; ++q) {
            const float diagonal = row.gram(q, q);
            if (row.keep[q] != 0 || diagonal == 0.0F) {
                continue;
            }
            const float slope = row.gradient[q] - v * a[q];
            const float gain = cost - slope * slope / diagonal;
            if (gain < best.gain) {
                best = {p, q, -slope / diagonal, gain};
            }
        }
    }
    return best;
}

LATHE_VECTOR_CLONES
void update(float* gradient, const float* came, float value, const float* went, float dropped,
            std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) {
        gradient[j] += value * came[j] - dropped * went[j];
    }
}

void make(const Row& row, const Exchange& exchange) {
    update(row.gradient, row.gram.row(exchange.q), exchange.value, row.gram.row(exchange.p),
           row.values[exchange.p], row.gram.cols);
    row.values[exchange.p] = 0.0F;
    row.values[exchange.q] = exchange.value;
    row.keep[exchange.p] = 0;
    row.keep[exchange.q] = 1;
}

/// True if anything changed.
bool pass_over(const Row& row, std::size_t m) {
    bool changed = false;
    for (std::size_t begin = 0; begin < row.gram.cols; begin += m) {
        const Exchange best = best_exchange(row, begin, std::min(begin + m, row.gram.cols));
        if (best.gain < 0.0F) {
            make(row, best);
            changed = true;
        }
    }
    return changed;
}

}  // namespace

void CpuBackend::do_exchange_places(MatrixView<const float> gram, NmPattern pattern,
                                    std::size_t n_passes, MatrixView<std::uint8_t> keep,
                                    MatrixView<float> values, MatrixView<float> gradient) const {
    pool_.for_each((values.rows + rows_per_tile - 1) / rows_per_tile, [&](std::size_t tile) {
        const std::size_t end = std::min((tile + 1) * rows_per_tile, values.rows);
        for (std::size_t r = tile * rows_per_tile; r < end; ++r) {
            const Row row{gram, keep.row(r), values.row(r), gradient.row(r)};
            for (std::size_t pass = 0; pass < n_passes && pass_over(row, pattern.m); ++pass) {
            }
        }
    });
}

}  // namespace lathe::kernels
