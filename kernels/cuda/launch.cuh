#pragma once

#include "kernels/cuda/call.cuh"

/// How kernels are launched, and sums over the threads of a block. Sums have a fixed order: no
/// result depends on which thread comes first, and nothing uses floating-point atomics.
namespace lathe::kernels::cuda {

inline constexpr unsigned warp_size = 32;
inline constexpr unsigned block_threads = 256;
inline constexpr unsigned all_lanes = 0xFFFFFFFFU;

[[nodiscard]] __host__ __device__ inline std::size_t div_up(std::size_t a, std::size_t b) {
    return (a + b - 1) / b;
}

/// Puts kernel(arguments...) on the stream: the one place where that is done. shared_bytes: what
/// dynamic_shared() has in each block.
template <class... Parameters, class... Arguments>
void launch(const Call& call, void (*kernel)(Parameters...), dim3 grid, unsigned threads,
            std::size_t shared_bytes, const Arguments&... arguments) {
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared_bytes;
    config.stream = call.stream();
    check(cudaLaunchKernelEx(&config, kernel, arguments...), "a kernel launch");
}

template <class Index, class F>
__global__ void each_kernel(Index cols, Index n, F f) {
    const Index i = static_cast<Index>(blockIdx.x) * block_threads + threadIdx.x;
    if (i < n) {
        f(static_cast<std::size_t>(i / cols), static_cast<std::size_t>(i % cols));
    }
}

/// f(row, col) for each element, in any order. f is an extended lambda.
template <class F>
void for_each(const Call& call, std::size_t rows, std::size_t cols, const F& f) {
    const std::size_t n = rows * cols;
    if (n == 0) {
        return;
    }
    const auto blocks = static_cast<unsigned>(div_up(n, block_threads));
    if (n < (std::size_t{1} << 31)) {
        launch(call, each_kernel<unsigned, F>, blocks, block_threads, 0,
               static_cast<unsigned>(cols), static_cast<unsigned>(n), f);
    } else {
        launch(call, each_kernel<std::size_t, F>, blocks, block_threads, 0, cols, n, f);
    }
}

template <class F>
__global__ void warps_kernel(std::size_t n, F f) {
    const std::size_t i = static_cast<std::size_t>(blockIdx.x) * (block_threads / warp_size) +
                          threadIdx.x / warp_size;
    if (i < n) {
        f(i, threadIdx.x % warp_size);
    }
}

/// f(i, lane) for i below n, each by a warp. f is an extended lambda.
template <class F>
void for_each_warp(const Call& call, std::size_t n, const F& f) {
    if (n > 0) {
        const auto blocks = static_cast<unsigned>(div_up(n, block_threads / warp_size));
        launch(call, warps_kernel<F>, blocks, block_threads, 0, n, f);
    }
}

template <class F>
__global__ void blocks_kernel(F f) {
    f(static_cast<std::size_t>(blockIdx.x), threadIdx.x);
}

/// f(i, thread) for i below n, each by a block of block_threads threads. f is an extended lambda.
template <class F>
void for_each_block(const Call& call, std::size_t n, const F& f) {
    if (n > 0) {
        launch(call, blocks_kernel<F>, static_cast<unsigned>(n), block_threads, 0, f);
    }
}

/// The sum over the lanes of a warp, on all of them.
template <class T>
__device__ T warp_sum(T value) {
    for (unsigned step = warp_size / 2; step > 0; step /= 2) {
        value += __shfl_xor_sync(all_lanes, value, step);
    }
    return value;
}

/// combine() of all threads of a block, on all of them. Every thread of the block must come here.
template <class T, class Combine>
__device__ T block_reduce(T value, const Combine& combine) {
    __shared__ T parts[block_threads];
    __syncthreads();  // of the call before
    parts[threadIdx.x] = value;
    for (unsigned step = block_threads / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) {
            parts[threadIdx.x] = combine(parts[threadIdx.x], parts[threadIdx.x + step]);
        }
    }
    __syncthreads();
    return parts[0];
}

template <class T>
__device__ T block_sum(T value) {
    return block_reduce(value, [](T a, T b) { return a + b; });
}

}  // namespace lathe::kernels::cuda
