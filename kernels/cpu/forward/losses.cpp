#include <algorithm>
#include <cmath>

#include "kernels/contract/host_checks.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"
#include "kernels/cpu/cpu_backend.hpp"

namespace lathe::kernels {
namespace {

/// Where `value` stands first; 0 if it does not, as in a row without numbers.
std::size_t place_of(const float* row, std::size_t n, float value) {
    const float* found = std::find(row, row + n, value);
    return found == row + n ? 0 : static_cast<std::size_t>(found - row);
}

}  // namespace

void CpuBackend::do_cross_entropy(MatrixView<const float> logits,
                                  std::span<const std::uint32_t> targets,
                                  std::span<double> losses) const {
    require_below(targets, logits.cols, "cross_entropy: target");
    const VectorKernels& kernels = vector_kernels();
    pool_.for_each(logits.rows, [&](std::size_t t) {
        const float* row = logits.row(t);
        const double largest = kernels.maximum(row, logits.cols);
        const double sum = kernels.sum_exp(row, largest, logits.cols);
        losses[t] = std::log(sum) - (row[targets[t]] - largest);
    });
}

void CpuBackend::do_kl_divergence(MatrixView<const float> p_logits,
                                  MatrixView<const float> q_logits, std::span<double> kl,
                                  std::span<std::uint8_t> agree) const {
    const VectorKernels& kernels = vector_kernels();
    const std::size_t n = p_logits.cols;
    pool_.for_each(p_logits.rows, [&](std::size_t t) {
        const float* p = p_logits.row(t);
        const float* q = q_logits.row(t);
        const float p_largest = kernels.maximum(p, n);
        const float q_largest = kernels.maximum(q, n);
        double sums[3];
        kernels.divergence_sums(p, p_largest, q, q_largest, n, sums);
        // sum_j p_j (log p_j - log q_j) with the two normalisers taken out of the sum; for equal
        // rows both terms are exactly 0.
        const double value = sums[2] / sums[0] - (std::log(sums[0]) - std::log(sums[1]));
        kl[t] = value < 0.0 ? 0.0 : value;
        agree[t] = place_of(p, n, p_largest) == place_of(q, n, q_largest) ? 1 : 0;
    });
}

}  // namespace lathe::kernels
