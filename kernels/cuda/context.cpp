#include "kernels/cuda/context.hpp"

#include "lib/core/errors.hpp"

namespace lathe::kernels::cuda {
namespace {

[[noreturn]] void refuse(const char* what, const std::string& reason) {
    throw InternalError("CUDA: " + std::string(what) + " failed: " + reason);
}

/// The number of devices. Without a driver the runtime leaves the count alone and returns an error.
int count_devices() {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess) {
        (void)cudaGetLastError();
        throw UsageError("no CUDA device is available: " + std::string(cudaGetErrorString(status)) +
                         " (" + std::to_string(static_cast<int>(status)) + ")");
    }
    if (count == 0) {
        throw UsageError("no CUDA device is available: the driver knows of none");
    }
    return count;
}

}  // namespace

void check(cudaError_t status, const char* what) {
    if (status != cudaSuccess) {
        (void)cudaGetLastError();  // one that is not sticky must not be seen again
        refuse(what, cudaGetErrorString(status));
    }
}

void check(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS) {
        refuse(what, cublasGetStatusString(status));
    }
}

void check(cusolverStatus_t status, const char* what) {
    if (status != CUSOLVER_STATUS_SUCCESS) {
        refuse(what, "cuSOLVER status " + std::to_string(static_cast<int>(status)));
    }
}

Context::Context(std::size_t device)
    : device_(static_cast<int>(device % static_cast<std::size_t>(count_devices()))) {
    enter();
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    open_libraries();
    // What is freed stays in the pool: to return it to the driver would wait for the device.
    cudaMemPool_t pool = nullptr;
    check(cudaDeviceGetDefaultMemPool(&pool, device_), "cudaDeviceGetDefaultMemPool");
    std::uint64_t threshold = ~std::uint64_t{0};
    check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold),
          "cudaMemPoolSetAttribute");
}

void Context::open_libraries() {
    check(cublasCreate(&blas_), "cublasCreate");
    check(cublasSetStream(blas_, stream_), "cublasSetStream");
    // fp32 is fp32: results are compared at 1e-5, and TF32, which has to be asked for, has 1e-3.
    check(cublasSetMathMode(blas_, CUBLAS_DEFAULT_MATH), "cublasSetMathMode");
    check(cublasSetAtomicsMode(blas_, CUBLAS_ATOMICS_NOT_ALLOWED), "cublasSetAtomicsMode");
    check(cusolverDnCreate(&solver_), "cusolverDnCreate");
    check(cusolverDnSetStream(solver_, stream_), "cusolverDnSetStream");
    check(cusolverDnCreateParams(&solver_params_), "cusolverDnCreateParams");
}

Context::~Context() {
    (void)cudaSetDevice(device_);
    (void)cudaStreamSynchronize(stream_);
    for (Staging& slot : staging_) {
        (void)cudaFreeHost(slot.host);
        (void)cudaFree(slot.device);
        if (slot.done != nullptr) {
            (void)cudaEventDestroy(slot.done);
        }
    }
    (void)cusolverDnDestroyParams(solver_params_);
    (void)cusolverDnDestroy(solver_);
    (void)cublasDestroy(blas_);
    (void)cudaStreamDestroy(stream_);
}

void Context::enter() const {
    check(cudaSetDevice(device_), "cudaSetDevice");
}

void* Context::allocate(std::size_t bytes) const {
    if (bytes == 0) {
        return nullptr;
    }
    void* memory = nullptr;
    const cudaError_t status = cudaMallocAsync(&memory, bytes, stream_);
    if (status == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        std::size_t left = 0;
        std::size_t total = 0;
        check(cudaMemGetInfo(&left, &total), "cudaMemGetInfo");
        throw Error(ExitCode::usage, "the CUDA device has no " + std::to_string(bytes) +
                                         " bytes of memory left: " + std::to_string(left) + " of " +
                                         std::to_string(total) + " are free");
    }
    check(status, "cudaMallocAsync");
    return memory;
}

void Context::free(void* memory) const noexcept {
    if (memory != nullptr) {
        (void)cudaSetDevice(device_);
        (void)cudaFreeAsync(memory, stream_);
    }
}

void Context::synchronize() const {
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

const Context::Staging& Context::staging(std::size_t slot) const {
    Staging& staging = staging_[slot];
    if (staging.done == nullptr) {
        check(cudaMallocHost(&staging.host, staging_bytes), "cudaMallocHost");
        check(cudaMalloc(&staging.device, staging_bytes), "cudaMalloc");
        check(cudaEventCreateWithFlags(&staging.done, cudaEventDisableTiming), "cudaEventCreate");
        check(cudaEventRecord(staging.done, stream_), "cudaEventRecord");
    }
    return staging;
}

}  // namespace lathe::kernels::cuda
