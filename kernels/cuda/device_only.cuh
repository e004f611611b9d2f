#pragma once

#include <cstdint>

/// What only the device's compiler understands. The emulated device, which compiles the rest of
/// this folder as it is, has a file of this name (tests/emulated_device/include).
namespace lathe::kernels::cuda {

/// The shared memory that a launch asks for beside what its kernel declares, 16-byte aligned.
template <class T>
__device__ T* dynamic_shared() {
    extern __shared__ uint4 dynamic_memory[];
    return reinterpret_cast<T*>(dynamic_memory);
}

/// sums += a @ b of a warp: a [16, 16], b [16, 8] in fp16, sums [16, 8] in fp32, laid out as the
/// PTX manual says of mma.m16n8k16. All lanes must come here.
__device__ inline void multiply_add(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                    std::uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace lathe::kernels::cuda
