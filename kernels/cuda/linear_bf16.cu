#include <cuda_bf16.h>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"

// Products on bfloat16 tensor cores with sums in fp32. Both operands are rounded again in each
// call:
// beside the product of a few thousand tokens that is little, and weights stay fp32 for the rest.

namespace lathe::kernels {

using cuda::Call;
using cuda::check;
using cuda::View;

namespace {

/// x rounded to nearest even, packed.
const __nv_bfloat16* rounded(Call& call, View<const float> x) {
    const View<__nv_bfloat16> y = call.scratch<__nv_bfloat16>(x.rows, x.cols);
    cuda::for_each(call, x.rows, x.cols, [=] __device__(std::size_t i, std::size_t j) {
        y(i, j) = __float2bfloat16_rn(x(i, j));
    });
    return y.data;
}

}  // namespace

void CudaBackend::do_linear_bf16(MatrixView<const float> x, MatrixView<const float> w,
                                 std::span<const float> bias, MatrixView<float> y) const {
    Call call(*context_);
    const float* const shift = call.in(bias);
    const View<float> output = call.inout(y);
    cuda::for_each(call, y.rows, y.cols, [=] __device__(std::size_t t, std::size_t j) {
        output(t, j) = shift == nullptr ? 0.0F : shift[j];
    });
    if (x.cols > 0) {
        const auto* const input = rounded(call, call.in(x));
        const auto* const weight = rounded(call, call.in(w));
        const auto depth = static_cast<int>(x.cols);
        const float one = 1.0F;
        // cuBLAS counts down the columns: y^T += w x^T.
        check(
            cublasGemmEx(context_->blas(), CUBLAS_OP_T, CUBLAS_OP_N, static_cast<int>(y.cols),
                         static_cast<int>(y.rows), depth, &one, weight, CUDA_R_16BF, depth, input,
                         CUDA_R_16BF, depth, &one, output.data, CUDA_R_32F,
                         static_cast<int>(output.stride), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            "cublasGemmEx");
    }
    call.finish();
}

}  // namespace lathe::kernels
