#pragma once

// In the place of kernels/cuda/device_only.cuh where that folder is compiled for the emulated
// device.

#include "cuda_runtime.h"

namespace emulated {

/// As much as an H100 or H200 has for a block.
inline constexpr std::size_t most_shared_bytes = 227 * 1024;

/// Memory of a block, 16-byte aligned.
[[nodiscard]] void* dynamic_shared();
void multiply_add(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                  std::uint32_t b1);

}  // namespace emulated

namespace lathe::kernels::cuda {

template <class T>
T* dynamic_shared() {
    return static_cast<T*>(emulated::dynamic_shared());
}

inline void multiply_add(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                         std::uint32_t b1) {
    emulated::multiply_add(sums, a, b0, b1);
}

}  // namespace lathe::kernels::cuda
