#pragma once

#include <cuda_fp16.h>

namespace lathe::kernels::cuda {

__device__ inline float rounded_to_half(float value) {
    return __half2float(__float2half_rn(value));
}

}  // namespace lathe::kernels::cuda
