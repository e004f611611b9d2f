#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/layouts/integer_grid.hpp"
#include "kernels/reference/reference_backend.hpp"
#include "lib/core/errors.hpp"

namespace lathe::kernels {
namespace {

struct Grid {
    float scale = smallest_scale;
    float zero = 0.0F;
};

/// The code nearest to w. A value that is not a number gets the lowest code.
float nearest_code(float w, const Grid& grid, const CodeRange& codes) {
    const float code = std::nearbyint(w / grid.scale) + grid.zero;
    return std::min(codes.highest, std::max(codes.lowest, code));
}

float value_of(float code, const Grid& grid) {
    return grid.scale * (code - grid.zero);
}

/// The grid that covers `factor` times the range [lowest, highest] of a group.
Grid grid_over(float lowest, float highest, float factor, const IntegerGridSettings& settings) {
    const float highest_code = code_range(settings).highest;
    if (settings.symmetric) {
        const float zero = symmetric_zero(settings.num_bits);
        const float magnitude = std::max(-lowest, highest) * factor;
        return {storable_scale(magnitude / symmetric_reach(settings), settings), zero};
    }
    const float scale = storable_scale((highest - lowest) * factor / highest_code, settings);
    return {scale, std::clamp(std::nearbyint(-lowest * factor / scale), 0.0F, highest_code)};
}

Grid fit_group(std::span<const float> w, std::span<const float> importance,
               const IntegerGridSettings& settings) {
    const CodeRange codes = code_range(settings);
    float lowest = 0.0F;
    float highest = 0.0F;
    for (const float value : w) {
        lowest = std::min(lowest, value);
        highest = std::max(highest, value);
    }
    Grid best;
    double best_error = std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < n_ranges(settings); ++k) {
        const Grid grid = grid_over(lowest, highest, range_factor(k), settings);
        double error = 0.0;
        for (std::size_t j = 0; j < w.size(); ++j) {
            const double difference = w[j] - value_of(nearest_code(w[j], grid, codes), grid);
            error += importance[j] * difference * difference;
        }
        if (k == 0 || error < best_error) {
            best = grid;
            best_error = error;
        }
    }
    return best;
}

/// A as FactorSettings has it.
std::vector<double> damped(MatrixView<const float> gram, const FactorSettings& settings) {
    const std::size_t d = gram.rows;
    double trace = 0.0;
    for (std::size_t i = 0; i < d; ++i) {
        trace += static_cast<double>(gram(i, i));
    }
    const double added = settings.damping * trace / static_cast<double>(d);
    const auto place = [&](std::size_t i) {
        return settings.order.empty() ? i : settings.order[i];
    };
    std::vector<double> a(d * d);
    for (std::size_t i = 0; i < d; ++i) {
        for (std::size_t j = 0; j < d; ++j) {
            a[i * d + j] = static_cast<double>(gram(place(i), place(j)));
        }
        double& diagonal = a[i * d + i];
        diagonal = (diagonal == 0.0 ? 1.0 : diagonal) + added;
        diagonal += settings.penalty.empty() ? 0.0 : double{settings.penalty[place(i)]};
    }
    return a;
}

/// Upper R with R @ R^T = A, from the last row up; A is overwritten above and on the diagonal.
void factor_from_the_end(MatrixView<double> a, double damping) {
    const std::size_t d = a.rows;
    for (std::size_t j = d; j-- > 0;) {
        for (std::size_t k = j + 1; k < d; ++k) {
            a(j, j) -= a(j, k) * a(j, k);
        }
        if (!(a(j, j) > 0.0) || !std::isfinite(a(j, j))) {
            throw DataError("Gram matrix " + a.shape_text() + " with damping " +
                            std::to_string(damping) + " is not positive definite (column " +
                            std::to_string(j) + ")");
        }
        a(j, j) = std::sqrt(a(j, j));
        for (std::size_t i = 0; i < j; ++i) {
            for (std::size_t k = j + 1; k < d; ++k) {
                a(i, j) -= a(i, k) * a(j, k);
            }
            a(i, j) /= a(j, j);
        }
    }
}

}  // namespace

void ReferenceBackend::do_inverse_factor(MatrixView<const float> gram,
                                         const FactorSettings& settings,
                                         MatrixView<float> factor) const {
    const std::size_t d = gram.rows;
    if (d == 0) {
        return;
    }
    std::vector<double> work = damped(gram, settings);
    const MatrixView<double> r(work.data(), d, d);
    factor_from_the_end(r, settings.damping);
    // U = R^-1, so that U^T U = R^-T R^-1 = (R R^T)^-1. Column by column, upwards.
    for (std::size_t j = 0; j < d; ++j) {
        std::vector<double> u(d, 0.0);
        u[j] = 1.0 / r(j, j);
        for (std::size_t i = j; i-- > 0;) {
            for (std::size_t k = i + 1; k <= j; ++k) {
                u[i] -= r(i, k) * u[k];
            }
            u[i] /= r(i, i);
        }
        for (std::size_t i = 0; i < d; ++i) {
            factor(i, j) = static_cast<float>(u[i]);
        }
    }
}

// Gauss-Jordan: sweeping column k of b = -(a + diag(penalty)) solves for its variable, and when all
// are swept b is the inverse.
void ReferenceBackend::do_penalised_inverse(MatrixView<const float> a,
                                            std::span<const float> penalty,
                                            MatrixView<float> inverse) const {
    const std::size_t d = a.rows;
    std::vector<double> memory(d * d);
    const MatrixView<double> b(memory.data(), d, d);
    for (std::size_t i = 0; i < d; ++i) {
        for (std::size_t j = i; j < d; ++j) {
            b(i, j) = b(j, i) = -static_cast<double>(a(i, j));
        }
        b(i, i) -= static_cast<double>(penalty[i]);
    }
    for (std::size_t k = 0; k < d; ++k) {
        const double pivot = -b(k, k);
        if (!(pivot > 0.0) || !std::isfinite(pivot)) {
            throw DataError("penalised matrix " + a.shape_text() +
                            " is not positive definite (column " + std::to_string(k) + ")");
        }
        for (std::size_t i = 0; i < d; ++i) {
            for (std::size_t j = 0; i != k && j < d; ++j) {
                b(i, j) += j != k ? b(i, k) * b(k, j) / pivot : 0.0;
            }
        }
        for (std::size_t i = 0; i < d; ++i) {
            b(i, k) = b(k, i) = i == k ? 1.0 / pivot : b(k, i) / pivot;
        }
    }
    for (std::size_t i = 0; i < d; ++i) {
        std::transform(b.row(i), b.row(i) + d, inverse.row(i),
                       [](double value) { return static_cast<float>(value); });
    }
}

void ReferenceBackend::do_mirror_upper(MatrixView<float> y) const {
    for (std::size_t i = 0; i < y.rows; ++i) {
        for (std::size_t j = i; j < y.cols; ++j) {
            y(j, i) = y(i, j);
        }
    }
}

void ReferenceBackend::do_row_errors(MatrixView<const float> delta, MatrixView<const float> gram,
                                     std::span<double> errors) const {
    for (std::size_t r = 0; r < delta.rows; ++r) {
        double error = 0.0;
        for (std::size_t i = 0; i < delta.cols; ++i) {
            double product = 0.0;
            for (std::size_t j = 0; j < delta.cols; ++j) {
                product += static_cast<double>(gram(i, j)) * static_cast<double>(delta(r, j));
            }
            error += product * static_cast<double>(delta(r, i));
        }
        errors[r] = error;
    }
}

void ReferenceBackend::do_fit_integer_grid(MatrixView<const float> w,
                                           std::span<const float> importance,
                                           const IntegerGridSettings& settings,
                                           MatrixView<float> scales,
                                           MatrixView<float> zeros) const {
    for (std::size_t r = 0; r < w.rows; ++r) {
        for (std::size_t g = 0; g < scales.cols; ++g) {
            const std::size_t begin = g * settings.group_size;
            const std::size_t size = std::min(settings.group_size, w.cols - begin);
            const Grid grid =
                fit_group({w.row(r) + begin, size}, importance.subspan(begin, size), settings);
            scales(r, g) = grid.scale;
            zeros(r, g) = grid.zero;
        }
    }
}

void ReferenceBackend::do_round_to_grid(
    MatrixView<const float> w, const IntegerGridSettings& settings, MatrixView<const float> scales,
    MatrixView<const float> zeros, MatrixView<std::uint8_t> codes, MatrixView<float> values) const {
    const CodeRange range = code_range(settings);
    for (std::size_t r = 0; r < w.rows; ++r) {
        for (std::size_t j = 0; j < w.cols; ++j) {
            const std::size_t g = j / settings.group_size;
            const Grid grid{scales(r, g), zeros(r, g)};
            const float code = nearest_code(w(r, j), grid, range);
            codes(r, j) = static_cast<std::uint8_t>(code);
            values(r, j) = value_of(code, grid);
        }
    }
}

void ReferenceBackend::do_gptq(MatrixView<float> w, MatrixView<const float> factor,
                               std::span<const float> importance,
                               std::span<const std::uint32_t> order,
                               const IntegerGridSettings& settings, MatrixView<float> scales,
                               MatrixView<float> zeros, MatrixView<std::uint8_t> codes) const {
    const CodeRange range = code_range(settings);
    const std::size_t d = w.cols;
    if (!order.empty()) {
        do_fit_integer_grid(w, importance, settings, scales, zeros);
    }
    const auto column = [&](std::size_t i) { return order.empty() ? i : order[i]; };

    for (std::size_t r = 0; r < w.rows; ++r) {
        std::vector<double> now(w.row(r), w.row(r) + d);  // the row, with errors fed back
        for (std::size_t i = 0; i < d; ++i) {
            const std::size_t j = column(i);
            const std::size_t g = j / settings.group_size;
            if (order.empty() && j % settings.group_size == 0) {
                const std::size_t size = std::min(settings.group_size, d - j);
                const std::vector<float> group(now.begin() + static_cast<std::ptrdiff_t>(j),
                                               now.begin() + static_cast<std::ptrdiff_t>(j + size));
                const Grid grid = fit_group(group, importance.subspan(j, size), settings);
                scales(r, g) = grid.scale;
                zeros(r, g) = grid.zero;
            }
            const Grid grid{scales(r, g), zeros(r, g)};
            const float code = nearest_code(static_cast<float>(now[j]), grid, range);
            codes(r, j) = static_cast<std::uint8_t>(code);
            w(r, j) = value_of(code, grid);
            const double error = (now[j] - w(r, j)) / factor(i, i);
            for (std::size_t later = i + 1; later < d; ++later) {
                now[column(later)] -= error * factor(i, later);
            }
        }
    }
}

}  // namespace lathe::kernels
