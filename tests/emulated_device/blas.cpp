#include <bit>
#include <functional>
#include <vector>

#include <cblas.h>
#include <cublas_v2.h>
#include <lapacke.h>

#include "cusolverDn.h"
#include "emulator.hpp"
#include "memory.hpp"
#include "stream.hpp"

// cuBLAS and cuSOLVER by the host's libraries. What they read must have been written, and what they
// are given must be allocated, element by element.

struct EmulatedBlas {
    cudaStream_t stream = nullptr;
};
struct EmulatedSolver {
    cudaStream_t stream = nullptr;
};
struct EmulatedSolverParams {};

namespace emulated {
namespace {

/// A matrix counted down the columns.
template <class T>
struct Columns {
    T* data;
    int rows;
    int cols;
    int leading;

    void check(const char* what, bool reads, bool writes) const {
        memory::check_rows(what, data, static_cast<std::size_t>(leading) * sizeof(T),
                           static_cast<std::size_t>(rows) * sizeof(T),
                           static_cast<std::size_t>(cols), reads, writes);
        if (!memory::contains(data) && rows > 0 && cols > 0) {
            fault(std::string(what) + " got an address that is not the device's");
        }
    }
    /// Of the triangle that is written only what lies in it.
    void check_triangle(const char* what, bool lower, bool reads, bool writes) const {
        for (int c = 0; c < cols && !has_fault(); ++c) {
            const int first = lower ? c : 0;
            const int n = lower ? rows - c : c + 1;
            Columns{data + static_cast<std::size_t>(c) * leading + first, n, 1, leading}.check(
                what, reads, writes);
        }
    }
};

CBLAS_TRANSPOSE op_of(cublasOperation_t op) {
    return op == CUBLAS_OP_T ? CblasTrans : CblasNoTrans;
}

template <class T, class Multiply>
cublasStatus_t gemm(const char* what, cublasHandle_t handle, cublasOperation_t op_a,
                    cublasOperation_t op_b, int m, int n, int k, T alpha, const T* a, int lda,
                    const T* b, int ldb, T beta, T* c, int ldc, const Multiply& multiply) {
    const bool ta = op_a == CUBLAS_OP_T;
    const bool tb = op_b == CUBLAS_OP_T;
    if (m < 0 || n < 0 || k < 0 || lda < std::max(1, ta ? k : m) || ldb < std::max(1, tb ? n : k) ||
        ldc < std::max(1, m)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    enqueue(handle->stream, [=] {
        Columns<const T>{a, ta ? k : m, ta ? m : k, lda}.check(what, true, false);
        Columns<const T>{b, tb ? n : k, tb ? k : n, ldb}.check(what, true, false);
        Columns<T>{c, m, n, ldc}.check(what, beta != T{0}, true);
        if (!has_fault()) {
            multiply(CblasColMajor, op_of(op_a), op_of(op_b), m, n, k, alpha, a, lda, b, ldb, beta,
                     c, ldc);
        }
    });
    return CUBLAS_STATUS_SUCCESS;
}

template <class T, class Multiply>
cublasStatus_t syrk(const char* what, cublasHandle_t handle, cublasFillMode_t fill,
                    cublasOperation_t op, int n, int k, T alpha, const T* a, int lda, T beta, T* c,
                    int ldc, const Multiply& multiply) {
    const bool transposed = op == CUBLAS_OP_T;
    if (n < 0 || k < 0 || lda < std::max(1, transposed ? k : n) || ldc < std::max(1, n)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    enqueue(handle->stream, [=] {
        const bool lower = fill == CUBLAS_FILL_MODE_LOWER;
        Columns<const T>{a, transposed ? k : n, transposed ? n : k, lda}.check(what, true, false);
        Columns<T>{c, n, n, ldc}.check_triangle(what, lower, beta != T{0}, true);
        if (!has_fault()) {
            multiply(CblasColMajor, lower ? CblasLower : CblasUpper, op_of(op), n, k, alpha, a, lda,
                     beta, c, ldc);
        }
    });
    return CUBLAS_STATUS_SUCCESS;
}

/// Of `rows` numbers of each column.
std::vector<float> widened(const std::uint16_t* from, int rows, int cols, int leading) {
    std::vector<float> wide;
    for (int c = 0; c < cols; ++c) {
        for (int r = 0; r < rows; ++r) {
            const std::uint32_t bits = from[static_cast<std::size_t>(c) * leading + r];
            wide.push_back(std::bit_cast<float>(bits << 16));
        }
    }
    return wide;
}

}  // namespace
}  // namespace emulated

using namespace emulated;  // what follows are the libraries' own functions

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
    *handle = new EmulatedBlas;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t handle) {
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) {
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t, cublasAtomicsMode_t) {
    return CUBLAS_STATUS_SUCCESS;
}
const char* cublasGetStatusString(cublasStatus_t status) {
    return status == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE"
                                                 : "CUBLAS_STATUS_NOT_SUPPORTED";
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                           int m, int n, int k, const float* alpha, const float* a, int lda,
                           const float* b, int ldb, const float* beta, float* c, int ldc) {
    return gemm("cublasSgemm()", handle, op_a, op_b, m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc,
                cblas_sgemm);
}
cublasStatus_t cublasDgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                           int m, int n, int k, const double* alpha, const double* a, int lda,
                           const double* b, int ldb, const double* beta, double* c, int ldc) {
    return gemm("cublasDgemm()", handle, op_a, op_b, m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc,
                cblas_dgemm);
}
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                            int m, int n, int k, const void* alpha, const void* a,
                            cudaDataType_t type_a, int lda, const void* b, cudaDataType_t type_b,
                            int ldb, const void* beta, void* c, cudaDataType_t type_c, int ldc,
                            cublasComputeType_t, cublasGemmAlgo_t) {
    if (op_a != CUBLAS_OP_T || op_b != CUBLAS_OP_N || type_a != CUDA_R_16BF ||
        type_b != CUDA_R_16BF || type_c != CUDA_R_32F) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (m < 0 || n < 0 || k < 0 || lda < std::max(1, k) || ldb < std::max(1, k) ||
        ldc < std::max(1, m)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const float factor = *static_cast<const float*>(alpha);
    const float kept = *static_cast<const float*>(beta);
    enqueue(handle->stream, [=] {
        const auto* const left = static_cast<const std::uint16_t*>(a);
        const auto* const right = static_cast<const std::uint16_t*>(b);
        auto* const result = static_cast<float*>(c);
        Columns<const std::uint16_t>{left, k, m, lda}.check("cublasGemmEx()", true, false);
        Columns<const std::uint16_t>{right, k, n, ldb}.check("cublasGemmEx()", true, false);
        Columns<float>{result, m, n, ldc}.check("cublasGemmEx()", kept != 0.0F, true);
        if (!has_fault()) {
            cblas_sgemm(CblasColMajor, CblasTrans, CblasNoTrans, m, n, k, factor,
                        widened(left, k, m, lda).data(), std::max(1, k),
                        widened(right, k, n, ldb).data(), std::max(1, k), kept, result, ldc);
        }
    });
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSsyrk(cublasHandle_t handle, cublasFillMode_t fill, cublasOperation_t op,
                           int n, int k, const float* alpha, const float* a, int lda,
                           const float* beta, float* c, int ldc) {
    return syrk("cublasSsyrk()", handle, fill, op, n, k, *alpha, a, lda, *beta, c, ldc,
                cblas_ssyrk);
}
cublasStatus_t cublasDsyrk(cublasHandle_t handle, cublasFillMode_t fill, cublasOperation_t op,
                           int n, int k, const double* alpha, const double* a, int lda,
                           const double* beta, double* c, int ldc) {
    return syrk("cublasDsyrk()", handle, fill, op, n, k, *alpha, a, lda, *beta, c, ldc,
                cblas_dsyrk);
}

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle) {
    *handle = new EmulatedSolver;
    return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle) {
    delete handle;
    return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream) {
    handle->stream = stream;
    return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* params) {
    *params = new EmulatedSolverParams;
    return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params) {
    delete params;
    return CUSOLVER_STATUS_SUCCESS;
}

namespace {

/// So much is asked for, and spoilt by each call.
constexpr std::size_t device_room = 256;
constexpr std::size_t host_room = 64;

struct Room {
    void* device;
    std::size_t device_bytes;
    void* host;
    std::size_t host_bytes;

    [[nodiscard]] bool is_enough() const {
        return device_bytes >= device_room && host_bytes >= host_room && host != nullptr;
    }
    void spoil(const char* what) const {
        memory::check_rows(what, device, device_room, device_room, 1, false, true);
        if (!has_fault()) {
            std::memset(device, junk, device_room);
            std::memset(host, junk, host_room);
        }
    }
};

cusolverStatus_t tell_room(std::size_t* device_bytes, std::size_t* host_bytes) {
    *device_bytes = device_room;
    *host_bytes = host_room;
    return CUSOLVER_STATUS_SUCCESS;
}

char letter(cublasFillMode_t fill) {
    return fill == CUBLAS_FILL_MODE_LOWER ? 'L' : 'U';
}

/// solve(matrix) in place of the matrix, of whose triangle `fill` is read and written; `info` is
/// what it returns.
template <class Solve>
cusolverStatus_t solve_in_place(const char* what, cusolverDnHandle_t handle, cublasFillMode_t fill,
                                std::int64_t n, void* a, std::int64_t lda, const Room& room,
                                int* info, const Solve& solve) {
    if (n < 1 || lda < n || !room.is_enough()) {
        return CUSOLVER_STATUS_INVALID_VALUE;
    }
    enqueue(handle->stream, [=] {
        const Columns<double> matrix{static_cast<double*>(a), static_cast<int>(n),
                                     static_cast<int>(n), static_cast<int>(lda)};
        matrix.check_triangle(what, fill == CUBLAS_FILL_MODE_LOWER, true, true);
        memory::check_rows(what, info, sizeof *info, sizeof *info, 1, false, true);
        room.spoil(what);
        if (!has_fault()) {
            *info = solve(matrix.data);
        }
    });
    return CUSOLVER_STATUS_SUCCESS;
}

}  // namespace

cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t, cusolverDnParams_t,
                                             cusolverEigMode_t, cublasFillMode_t, std::int64_t,
                                             cudaDataType_t, const void*, std::int64_t,
                                             cudaDataType_t, const void*, cudaDataType_t,
                                             std::size_t* device_bytes, std::size_t* host_bytes) {
    return tell_room(device_bytes, host_bytes);
}
cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t handle, cusolverDnParams_t, cusolverEigMode_t,
                                  cublasFillMode_t fill, std::int64_t n, cudaDataType_t, void* a,
                                  std::int64_t lda, cudaDataType_t, void* w, cudaDataType_t,
                                  void* device, std::size_t device_bytes, void* host,
                                  std::size_t host_bytes, int* info) {
    const auto size = static_cast<int>(n);
    return solve_in_place(
        "cusolverDnXsyevd()", handle, fill, n, a, lda, {device, device_bytes, host, host_bytes},
        info, [=](double* matrix) {
            Columns<double>{static_cast<double*>(w), size, 1, size}.check("cusolverDnXsyevd()",
                                                                          false, true);
            Columns<double>{matrix, size, size, static_cast<int>(lda)}.check("cusolverDnXsyevd()",
                                                                             false, true);
            return has_fault() ? -1
                               : LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', letter(fill), size, matrix,
                                                static_cast<int>(lda), static_cast<double*>(w));
        });
}
cusolverStatus_t cusolverDnXpotrf_bufferSize(cusolverDnHandle_t, cusolverDnParams_t,
                                             cublasFillMode_t, std::int64_t, cudaDataType_t,
                                             const void*, std::int64_t, cudaDataType_t,
                                             std::size_t* device_bytes, std::size_t* host_bytes) {
    return tell_room(device_bytes, host_bytes);
}
cusolverStatus_t cusolverDnXpotrf(cusolverDnHandle_t handle, cusolverDnParams_t,
                                  cublasFillMode_t fill, std::int64_t n, cudaDataType_t, void* a,
                                  std::int64_t lda, cudaDataType_t, void* device,
                                  std::size_t device_bytes, void* host, std::size_t host_bytes,
                                  int* info) {
    return solve_in_place("cusolverDnXpotrf()", handle, fill, n, a, lda,
                          {device, device_bytes, host, host_bytes}, info, [=](double* matrix) {
                              return LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, letter(fill),
                                                         static_cast<int>(n), matrix,
                                                         static_cast<int>(lda));
                          });
}
cusolverStatus_t cusolverDnXtrtri_bufferSize(cusolverDnHandle_t, cublasFillMode_t, cublasDiagType_t,
                                             std::int64_t, cudaDataType_t, void*, std::int64_t,
                                             std::size_t* device_bytes, std::size_t* host_bytes) {
    return tell_room(device_bytes, host_bytes);
}
cusolverStatus_t cusolverDnXtrtri(cusolverDnHandle_t handle, cublasFillMode_t fill,
                                  cublasDiagType_t diagonal, std::int64_t n, cudaDataType_t,
                                  void* a, std::int64_t lda, void* device, std::size_t device_bytes,
                                  void* host, std::size_t host_bytes, int* info) {
    return solve_in_place("cusolverDnXtrtri()", handle, fill, n, a, lda,
                          {device, device_bytes, host, host_bytes}, info, [=](double* matrix) {
                              return LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, letter(fill),
                                                         diagonal == CUBLAS_DIAG_UNIT ? 'U' : 'N',
                                                         static_cast<int>(n), matrix,
                                                         static_cast<int>(lda));
                          });
}
