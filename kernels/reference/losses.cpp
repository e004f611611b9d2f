#include <cmath>
#include <limits>

#include "kernels/contract/host_checks.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace lathe::kernels {
namespace {

/// The largest element that is a number, and where it stands first.
struct Maximum {
    double value = -std::numeric_limits<double>::infinity();
    std::size_t place = 0;
};

Maximum maximum_of(std::span<const float> row) {
    Maximum maximum;
    for (std::size_t j = 0; j < row.size(); ++j) {
        if (row[j] > maximum.value) {
            maximum = {row[j], j};
        }
    }
    return maximum;
}

/// log of the sum of exp(row[j] - shift).
double log_sum_exp(std::span<const float> row, double shift) {
    double sum = 0.0;
    for (const float value : row) {
        sum += std::exp(value - shift);
    }
    return std::log(sum);
}

}  // namespace

void ReferenceBackend::do_cross_entropy(MatrixView<const float> logits,
                                        std::span<const std::uint32_t> targets,
                                        std::span<double> losses) const {
    require_below(targets, logits.cols, "cross_entropy: target");
    for (std::size_t t = 0; t < logits.rows; ++t) {
        const std::span<const float> row(logits.row(t), logits.cols);
        const double largest = maximum_of(row).value;
        losses[t] = log_sum_exp(row, largest) - (row[targets[t]] - largest);
    }
}

void ReferenceBackend::do_kl_divergence(MatrixView<const float> p_logits,
                                        MatrixView<const float> q_logits, std::span<double> kl,
                                        std::span<std::uint8_t> agree) const {
    for (std::size_t t = 0; t < p_logits.rows; ++t) {
        const std::span<const float> p(p_logits.row(t), p_logits.cols);
        const std::span<const float> q(q_logits.row(t), q_logits.cols);
        const Maximum p_maximum = maximum_of(p);
        const Maximum q_maximum = maximum_of(q);
        const double p_log_sum = log_sum_exp(p, p_maximum.value);
        const double q_log_sum = log_sum_exp(q, q_maximum.value);
        double sum = 0.0;
        for (std::size_t j = 0; j < p.size(); ++j) {
            const double log_p = p[j] - p_maximum.value - p_log_sum;
            const double log_q = q[j] - q_maximum.value - q_log_sum;
            const double probability = std::exp(log_p);
            if (probability != 0.0) {
                sum += probability * (log_p - log_q);
            }
        }
        // Rounding can take a divergence of nearly 0 below it; not-a-number stays.
        kl[t] = sum < 0.0 ? 0.0 : sum;
        agree[t] = p_maximum.place == q_maximum.place ? 1 : 0;
    }
}

}  // namespace lathe::kernels
