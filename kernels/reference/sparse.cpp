#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/layouts/integer_grid.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace lathe::kernels {
namespace {

float rounded(float w, float scale, float zero, const CodeRange& codes) {
    const float steps = std::nearbyint(w / scale);
    return scale * std::min(codes.highest - zero, std::max(codes.lowest - zero, steps));
}

/// keep of columns [begin, end): 1 at the n of them with the largest w^2 / factor_jj^2.
void choose(const std::vector<double>& now, MatrixView<const float> factor, std::size_t begin,
            std::size_t end, std::size_t n, std::uint8_t* keep) {
    const auto score = [&](std::size_t j) {
        const double ratio = now[j] / static_cast<double>(factor(j, j));
        return ratio * ratio;
    };
    for (std::size_t j = begin; j < end; ++j) {
        std::size_t n_ahead = 0;
        for (std::size_t k = begin; k < end; ++k) {
            n_ahead += score(k) > score(j) || (score(k) == score(j) && k < j) ? 1 : 0;
        }
        keep[j] = n_ahead < n ? 1 : 0;
    }
}

}  // namespace

void ReferenceBackend::do_sweep_sparse(MatrixView<float> w, MatrixView<const float> factor,
                                       NmPattern pattern, MatrixView<std::uint8_t> keep,
                                       const IntegerGridSettings* grid,
                                       MatrixView<const float> scales,
                                       MatrixView<const float> zeros) const {
    const std::size_t d = w.cols;
    for (std::size_t r = 0; r < w.rows; ++r) {
        std::vector<double> now(w.row(r), w.row(r) + d);  // the row, with errors fed back
        for (std::size_t j = 0; j < d; ++j) {
            if (pattern.m > 0 && j % pattern.m == 0) {
                choose(now, factor, j, std::min(j + pattern.m, d), pattern.n, keep.row(r));
            }
            double value = keep(r, j) != 0 ? now[j] : 0.0;
            if (grid != nullptr && keep(r, j) != 0) {
                const std::size_t g = j / grid->group_size;
                value = rounded(static_cast<float>(value), scales(r, g), zeros(r, g),
                                code_range(*grid));
            }
            w(r, j) = static_cast<float>(value);
            const double error = (now[j] - value) / static_cast<double>(factor(j, j));
            for (std::size_t later = j + 1; later < d; ++later) {
                now[later] -= error * static_cast<double>(factor(j, later));
            }
        }
    }
}

void ReferenceBackend::do_conjugate_step(MatrixView<const std::uint8_t> keep,
                                         std::span<const float> inverse_diagonal,
                                         MatrixView<const float> product, MatrixView<float> values,
                                         MatrixView<float> residual,
                                         MatrixView<float> direction) const {
    constexpr double tiny = 1e-30;  // keeps 0 / 0 of a finished row at 0
    for (std::size_t r = 0; r < values.rows; ++r) {
        double before = 0.0;
        double curvature = 0.0;
        for (std::size_t j = 0; j < values.cols; ++j) {
            const double rest = residual(r, j);
            before += rest * rest * static_cast<double>(inverse_diagonal[j]);
            curvature += keep(r, j) != 0 ? static_cast<double>(direction(r, j)) *
                                               static_cast<double>(product(r, j))
                                         : 0.0;
        }
        const auto step = static_cast<float>(before / std::max(curvature, tiny));
        double after = 0.0;
        for (std::size_t j = 0; j < values.cols; ++j) {
            if (keep(r, j) != 0) {
                values(r, j) += step * direction(r, j);
                residual(r, j) -= step * product(r, j);
            }
            const double rest = residual(r, j);
            after += rest * rest * static_cast<double>(inverse_diagonal[j]);
        }
        const auto turn = static_cast<float>(after / std::max(before, tiny));
        for (std::size_t j = 0; j < values.cols; ++j) {
            direction(r, j) = residual(r, j) * inverse_diagonal[j] + turn * direction(r, j);
        }
    }
}

namespace {

/// What it does to the error of row r to drop value p and to keep q instead.
struct Exchange {
    std::size_t p = 0;
    std::size_t q = 0;
    float value = 0.0F;  ///< the best one for q
    float gain = 0.0F;   ///< below 0: the error falls
};

Exchange best_exchange(MatrixView<const float> gram, std::size_t p, std::size_t begin,
                       std::size_t end, const std::uint8_t* keep, const float* values,
                       const float* gradient) {
    Exchange best{p};
    for (std::size_t q = begin; q < end; ++q) {
        if (keep[q] != 0 || gram(q, q) == 0.0F) {
            continue;
        }
        const float dp = -values[p];
        const float slope = gradient[q] + dp * gram(p, q);
        const float gain = 2 * dp * gradient[p] + dp * dp * gram(p, p) - slope * slope / gram(q, q);
        if (gain < best.gain) {
            best = {p, q, -slope / gram(q, q), gain};
        }
    }
    return best;
}

}  // namespace

void ReferenceBackend::do_exchange_places(MatrixView<const float> gram, NmPattern pattern,
                                          std::size_t n_passes, MatrixView<std::uint8_t> keep,
                                          MatrixView<float> values,
                                          MatrixView<float> gradient) const {
    for (std::size_t r = 0; r < values.rows; ++r) {
        bool changed = true;
        for (std::size_t pass = 0; changed && pass < n_passes; ++pass) {
            changed = false;
            for (std::size_t begin = 0; begin < values.cols; begin += pattern.m) {
                const std::size_t end = std::min<std::size_t>(begin + pattern.m, values.cols);
                Exchange best;
                for (std::size_t p = begin; p < end; ++p) {
                    if (keep(r, p) == 0) {
                        continue;
                    }
                    const Exchange found = best_exchange(gram, p, begin, end, keep.row(r),
                                                         values.row(r), gradient.row(r));
                    best = found.gain < best.gain ? found : best;
                }
                if (!(best.gain < 0.0F)) {
                    continue;
                }
                changed = true;
                const float dropped = values(r, best.p);
                for (std::size_t j = 0; j < values.cols; ++j) {
                    gradient(r, j) += best.value * gram(best.q, j) - dropped * gram(best.p, j);
                }
                values(r, best.p) = 0.0F;
                values(r, best.q) = best.value;
                keep(r, best.p) = 0;
                keep(r, best.q) = 1;
            }
        }
    }
}

}  // namespace lathe::kernels
