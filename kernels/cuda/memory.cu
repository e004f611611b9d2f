#include <algorithm>
#include <cstdio>
#include <exception>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda_interface.hpp"
#include "kernels/cuda_plugin.hpp"
#include "lib/core/dtype.hpp"
#include "lib/core/errors.hpp"

namespace lathe::kernels {

using cuda::Call;
using cuda::check;
using cuda::View;

std::shared_ptr<void> CudaBackend::do_allocate(std::size_t bytes) const {
    context_->enter();
    void* const memory = context_->allocate(std::max<std::size_t>(bytes, 1));
    std::shared_ptr<void> owner(memory, [context = context_](void* p) { context->free(p); });
    check(cudaMemsetAsync(memory, 0, std::max<std::size_t>(bytes, 1), context_->stream()),
          "cudaMemsetAsync");
    return owner;
}

void CudaBackend::do_copy(const void* from, std::size_t from_pitch, void* to, std::size_t to_pitch,
                          std::size_t row_bytes, std::size_t rows) const {
    context_->enter();
    cuda::copy_rows(*context_, from, from_pitch, to, to_pitch, row_bytes, rows);
    if (!cuda::is_on_device(to) || !cuda::is_on_device(from)) {
        context_->synchronize();
    }
}

namespace {

/// Elements of a type as floats. y[first + i] = from[i], i below n, y counted row after row.
template <class T>
void convert(const Call& call, const void* from, View<float> y, std::size_t first, std::size_t n) {
    const T* const source = static_cast<const T*>(from);
    cuda::for_each(call, 1, n, [=] __device__(std::size_t, std::size_t i) {
        const std::size_t at = first + i;
        y(at / y.cols, at % y.cols) = static_cast<float>(source[i]);
    });
}

void convert(const Call& call, DType dtype, const void* from, View<float> y, std::size_t first,
             std::size_t n) {
    switch (dtype) {
        case DType::f64:
            return convert<double>(call, from, y, first, n);
        case DType::f32:
            return convert<float>(call, from, y, first, n);
        case DType::f16:
            return convert<__half>(call, from, y, first, n);
        case DType::bf16:
            return convert<__nv_bfloat16>(call, from, y, first, n);
        default:
            throw InternalError("upload: " + std::string(lathe::name(dtype)) +
                                " is not a floating type");
    }
}

}  // namespace

void CudaBackend::do_upload(const std::byte* host, DType dtype, MatrixView<float> y) const {
    Call call(*context_);
    const View<float> target = call.inout(y);
    const std::size_t element = size_bytes(dtype);
    const std::size_t n = y.rows * y.cols;
    const std::size_t step = cuda::Context::staging_bytes / element;
    for (std::size_t first = 0, slot = 0; first < n; first += step, slot = 1 - slot) {
        const std::size_t count = std::min(step, n - first);
        // The host fills one buffer, from a mapped file perhaps, while the other is on its way.
        const cuda::Context::Staging& staging = context_->staging(slot);
        check(cudaEventSynchronize(staging.done), "cudaEventSynchronize");
        std::memcpy(staging.host, host + first * element, count * element);
        check(cudaMemcpyAsync(staging.device, staging.host, count * element, cudaMemcpyHostToDevice,
                              call.stream()),
              "cudaMemcpyAsync");
        convert(call, dtype, staging.device, target, first, count);
        check(cudaEventRecord(staging.done, call.stream()), "cudaEventRecord");
    }
    call.finish();
}

void CudaBackend::do_download(MatrixView<const float> x, float* host) const {
    do_copy(x.data, x.stride * sizeof(float), host, x.cols * sizeof(float), x.cols * sizeof(float),
            x.rows);
}

}  // namespace lathe::kernels

extern "C" const char* lathe_cuda_interface() {
    return lathe::kernels::cuda_interface;
}

extern "C" lathe::kernels::Backend* lathe_cuda_open(std::size_t device, char* reason,
                                                    std::size_t reason_size) {
    try {
        return new lathe::kernels::CudaBackend(device);
    } catch (const std::exception& error) {
        std::snprintf(reason, reason_size, "%s", error.what());
        return nullptr;
    }
}
