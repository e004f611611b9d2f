#include "kernels/contract/host_checks.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"

namespace lathe::kernels {

using cuda::block_threads;
using cuda::Call;
using cuda::View;

namespace {

/// The largest element that is a number, and where it stands first.
struct Maximum {
    double value;
    std::size_t place;
};

__device__ Maximum maximum_of(const float* row, std::size_t n, unsigned thread) {
    Maximum own{-INFINITY, ~std::size_t{0}};
    for (std::size_t j = thread; j < n; j += block_threads) {
        const double value = row[j];
        if (value > own.value) {
            own = {value, j};
        }
    }
    const Maximum found = cuda::block_reduce(own, [](const Maximum& a, const Maximum& b) {
        const bool second = b.value > a.value || (b.value == a.value && b.place < a.place);
        return second ? b : a;
    });
    // Nowhere above minus infinity: the first.
    return {found.value, found.place == ~std::size_t{0} ? 0 : found.place};
}

/// log of the sum of exp(row[j] - shift).
__device__ double log_sum_exp(const float* row, std::size_t n, double shift, unsigned thread) {
    double sum = 0.0;
    for (std::size_t j = thread; j < n; j += block_threads) {
        sum += exp(static_cast<double>(row[j]) - shift);
    }
    return log(cuda::block_sum(sum));
}

}  // namespace

void CudaBackend::do_cross_entropy(MatrixView<const float> logits,
                                   std::span<const std::uint32_t> targets,
                                   std::span<double> losses) const {
    Call call(*context_);
    const std::uint32_t* const wanted = call.in(targets);
    if (wanted == targets.data()) {
        require_below(call.to_host(wanted, targets.size()), logits.cols, "cross_entropy: target");
    } else {
        require_below(targets, logits.cols, "cross_entropy: target");
    }
    const View<const float> rows = call.in(logits);
    double* const result = call.inout(losses);
    cuda::for_each_block(call, logits.rows, [=] __device__(std::size_t t, unsigned thread) {
        const float* const row = rows.row(t);
        const double largest = maximum_of(row, rows.cols, thread).value;
        const double log_sum = log_sum_exp(row, rows.cols, largest, thread);
        if (thread == 0) {
            result[t] = log_sum - (static_cast<double>(row[wanted[t]]) - largest);
        }
    });
    call.finish();
}

void CudaBackend::do_kl_divergence(MatrixView<const float> p_logits,
                                   MatrixView<const float> q_logits, std::span<double> kl,
                                   std::span<std::uint8_t> agree) const {
    Call call(*context_);
    const View<const float> p_rows = call.in(p_logits);
    const View<const float> q_rows = call.in(q_logits);
    double* const result = call.inout(kl);
    std::uint8_t* const same = call.inout(agree);
    cuda::for_each_block(call, p_logits.rows, [=] __device__(std::size_t t, unsigned thread) {
        const float* const p = p_rows.row(t);
        const float* const q = q_rows.row(t);
        const std::size_t n = p_rows.cols;
        const Maximum p_maximum = maximum_of(p, n, thread);
        const Maximum q_maximum = maximum_of(q, n, thread);
        const double p_log_sum = log_sum_exp(p, n, p_maximum.value, thread);
        const double q_log_sum = log_sum_exp(q, n, q_maximum.value, thread);
        double sum = 0.0;
        for (std::size_t j = thread; j < n; j += block_threads) {
            const double log_p = static_cast<double>(p[j]) - p_maximum.value - p_log_sum;
            const double log_q = static_cast<double>(q[j]) - q_maximum.value - q_log_sum;
            const double probability = exp(log_p);
            if (probability != 0.0) {
                sum += probability * (log_p - log_q);
            }
        }
        sum = cuda::block_sum(sum);
        if (thread == 0) {
            result[t] = sum < 0.0 ? 0.0 : sum;  // rounding; not-a-number stays
            same[t] = p_maximum.place == q_maximum.place ? 1 : 0;
        }
    });
    call.finish();
}

}  // namespace lathe::kernels
