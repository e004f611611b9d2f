#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

#include "lib/core/matrix_view.hpp"

namespace lathe::kernels::cuda {

/// @throws InternalError  naming `what`, the call that failed, and CUDA's reason
void check(cudaError_t status, const char* what);
void check(cublasStatus_t status, const char* what);
void check(cusolverStatus_t status, const char* what);

/// A device with what all calls to it share: one stream, on which everything runs in order, and
/// the libraries' handles. Calls come from one thread at a time.
class Context {
public:
    /// @throws UsageError  with the driver's reason if there is no device
    explicit Context(std::size_t device);
    ~Context();
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    /// Makes this the calling thread's device.
    void enter() const;
    [[nodiscard]] cudaStream_t stream() const { return stream_; }
    [[nodiscard]] cublasHandle_t blas() const { return blas_; }
    [[nodiscard]] cusolverDnHandle_t solver() const { return solver_; }
    [[nodiscard]] cusolverDnParams_t solver_params() const { return solver_params_; }

    /// Memory from the device's pool, with anything in it; null for no bytes.
    [[nodiscard]] void* allocate(std::size_t bytes) const;
    /// Takes effect when what was put on the stream before is done.
    void free(void* memory) const noexcept;
    /// Waits until all that was asked for is done.
    void synchronize() const;

    /// Two buffers of page-locked host memory, for copies that overlap with what fills them.
    struct Staging {
        void* host = nullptr;
        void* device = nullptr;
        cudaEvent_t done = nullptr;
    };
    static constexpr std::size_t staging_bytes = std::size_t{16} << 20;
    [[nodiscard]] const Staging& staging(std::size_t slot) const;

private:
    void open_libraries();

    int device_ = 0;
    cudaStream_t stream_ = nullptr;
    cublasHandle_t blas_ = nullptr;
    cusolverDnHandle_t solver_ = nullptr;
    cusolverDnParams_t solver_params_ = nullptr;  ///< the usual ones
    mutable Staging staging_[2];
};

}  // namespace lathe::kernels::cuda
