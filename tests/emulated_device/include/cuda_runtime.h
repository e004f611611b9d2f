#pragma once

// What nvcc includes into each source: the words of the language, what a thread knows of itself,
// barriers, and how a kernel is launched. See cuda_runtime_api.h.

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
/// One block runs at a time, on one thread of the host, and nothing else in the plug-in is
/// thread-local: so the plug-in's thread-local memory is a block's shared memory.
#define __shared__ thread_local

using std::isfinite;
using std::isnan;

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};

// The fiber that runs sees its own.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

struct cudaLaunchConfig_t {
    dim3 gridDim;
    dim3 blockDim;
    std::size_t dynamicSmemBytes = 0;
    cudaStream_t stream = nullptr;
    void* attrs = nullptr;
    unsigned numAttrs = 0;
};

namespace emulated {

/// A kernel with its arguments: body() is one thread of it, and calls enter_kernel() once the
/// arguments are its own.
struct Launch {
    cudaLaunchConfig_t config;
    const void* kernel = nullptr;
    std::string name;  ///< in it the types of the arguments, after "Parameters = "
    std::function<void()> body;
};
/// What comes behind is the kernel's, so that what it reads and writes is checked.
void enter_kernel();

cudaError_t launch(Launch launch);
cudaError_t set_shared_limit(const void* kernel, cudaFuncAttribute attribute, int value);

/// Where in the sources something is called.
struct Place {
    const char* file;
    unsigned line;
};
void block_barrier(Place place);
void warp_barrier(unsigned mask, Place place);
/// `bits` of lane `from`, of the lanes of `mask` that have not ended.
std::uint64_t exchange(unsigned mask, std::uint64_t bits, unsigned from);
[[nodiscard]] unsigned lane();
unsigned atomic_max(unsigned* memory, unsigned value);

}  // namespace emulated

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
    std::tuple<std::decay_t<Parameters>...> given(std::forward<Arguments>(arguments)...);
    return emulated::launch(
        {*config, reinterpret_cast<const void*>(kernel), __PRETTY_FUNCTION__, [kernel, given] {
             std::apply(
                 [kernel](const auto&... each) {
                     [kernel](std::decay_t<Parameters>... own) {
                         emulated::enter_kernel();
                         kernel(own...);
                     }(each...);
                 },
                 given);
         }});
}

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
    return emulated::set_shared_limit(reinterpret_cast<const void*>(kernel), attribute, value);
}

inline void __syncthreads(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    emulated::block_barrier({file, line});
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU, const char* file = __builtin_FILE(),
                       unsigned line = __builtin_LINE()) {
    emulated::warp_barrier(mask, {file, line});
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, unsigned lane_mask) {
    static_assert(std::is_arithmetic_v<T> && sizeof(T) <= sizeof(std::uint64_t));
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    bits = emulated::exchange(mask, bits, emulated::lane() ^ lane_mask);
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}

inline unsigned atomicMax(unsigned* memory, unsigned value) {
    return emulated::atomic_max(memory, value);
}
inline float __uint_as_float(unsigned bits) {
    return std::bit_cast<float>(bits);
}
inline unsigned __float_as_uint(float value) {
    return std::bit_cast<unsigned>(value);
}

template <class T>
T min(T a, T b) {
    return b < a ? b : a;
}
template <class T>
T max(T a, T b) {
    return a < b ? b : a;
}
