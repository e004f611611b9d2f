#pragma once

#include "kernels/layouts/host_device.hpp"
#include "lib/core/half.hpp"

#ifdef __CUDACC__
#include "kernels/cuda/half.cuh"
#endif

namespace lathe::kernels {

/// The fp16 number nearest to `value`, the even one of two equally near ones.
[[nodiscard]] LATHE_HOST_DEVICE inline float rounded_to_half(float value) {
#ifdef __CUDA_ARCH__
    return cuda::rounded_to_half(value);
#else
    return half_to_float(float_to_half(value));
#endif
}

}  // namespace lathe::kernels
