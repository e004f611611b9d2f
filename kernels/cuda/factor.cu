#include <cmath>
#include <string>
#include <vector>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "lib/core/errors.hpp"

namespace lathe::kernels {

using cuda::Call;
using cuda::check;
using cuda::View;

namespace {

/// Room that a function of cuSOLVER asks for, on the device and on the host.
struct Workspace {
    std::size_t device_bytes = 0;
    std::size_t host_bytes = 0;
    void* device = nullptr;
    std::vector<std::byte> host;

    void allocate(Call& call) {
        device = call.scratch<std::byte>(device_bytes);
        host.resize(host_bytes);
    }
};

/// What a function of cuSOLVER says of its success: 0, or where it failed, from 1.
int read_info(Call& call, const int* info) {
    const int place = call.to_host(info, 1).front();
    if (place < 0) {
        throw InternalError("cuSOLVER: argument " + std::to_string(-place) + " is wrong");
    }
    return place;
}

/// Eigenvalues, smallest first, and eigenvectors as rows in place of the matrix, of which the upper
/// triangle is read. matrix [d, d] packed, values [d]
void solve_eigen(Call& call, double* matrix, double* values, std::size_t d) {
    const cusolverDnHandle_t solver = call.context().solver();
    const cusolverDnParams_t params = call.context().solver_params();
    const auto n = static_cast<std::int64_t>(d);
    Workspace work;
    check(cusolverDnXsyevd_bufferSize(solver, params, CUSOLVER_EIG_MODE_VECTOR,
                                      CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, matrix, n, CUDA_R_64F,
                                      values, CUDA_R_64F, &work.device_bytes, &work.host_bytes),
          "cusolverDnXsyevd_bufferSize");
    work.allocate(call);
    auto* const info = call.scratch<int>(1);
    check(cusolverDnXsyevd(solver, params, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, n,
                           CUDA_R_64F, matrix, n, CUDA_R_64F, values, CUDA_R_64F, work.device,
                           work.device_bytes, work.host.data(), work.host_bytes, info),
          "cusolverDnXsyevd");
    const int failed = read_info(call, info);
    if (failed != 0) {
        throw InternalError("symmetric_eigen: cuSOLVER did not converge on a matrix of " +
                            std::to_string(d) + " rows (info " + std::to_string(failed) + ")");
    }
}

}  // namespace

void CudaBackend::do_symmetric_eigen(std::span<const SymmetricEigenproblem> problems) const {
    for (const SymmetricEigenproblem& problem : problems) {
        const std::size_t d = problem.values.size();
        if (d == 0) {
            continue;
        }
        Call call(*context_);
        const View<const double> given = call.in(problem.matrix);
        const View<double> work = call.scratch<double>(d, d);
        cuda::for_each(call, d, d, [=] __device__(std::size_t i, std::size_t j) {
            work(i, j) = given(i < j ? i : j, i < j ? j : i);
        });
        double* const values = call.inout(problem.values);
        solve_eigen(call, work.data, values, d);
        const View<double> vectors = call.inout(problem.vectors);
        cuda::for_each(call, d, d, [=] __device__(std::size_t i, std::size_t j) {
            vectors(i, j) = work(i, j);
        });
        call.finish();
    }
}

namespace {

/// The diagonal of a matrix on the device, or of one whose rows are `stride` apart.
template <class T>
std::vector<T> diagonal_of(const Call& call, const T* matrix, std::size_t stride, std::size_t d) {
    std::vector<T> diagonal(d);
    check(cudaMemcpy2DAsync(diagonal.data(), sizeof(T), matrix, (stride + 1) * sizeof(T), sizeof(T),
                            d, cudaMemcpyDeviceToHost, call.stream()),
          "cudaMemcpy2DAsync");
    call.context().synchronize();
    return diagonal;
}

/// L with L L^T = `matrix` in its place, by columns, then L^-1.
/// @return  0, or the place (from 1) of the first pivot that is not positive
[[nodiscard]] std::size_t invert_cholesky(Call& call, double* matrix, std::size_t d) {
    const cusolverDnHandle_t solver = call.context().solver();
    const cusolverDnParams_t params = call.context().solver_params();
    const auto n = static_cast<std::int64_t>(d);
    constexpr cublasFillMode_t lower = CUBLAS_FILL_MODE_LOWER;
    auto* const info = call.scratch<int>(1);
    Workspace work;
    check(cusolverDnXpotrf_bufferSize(solver, params, lower, n, CUDA_R_64F, matrix, n, CUDA_R_64F,
                                      &work.device_bytes, &work.host_bytes),
          "cusolverDnXpotrf_bufferSize");
    work.allocate(call);
    check(cusolverDnXpotrf(solver, params, lower, n, CUDA_R_64F, matrix, n, CUDA_R_64F, work.device,
                           work.device_bytes, work.host.data(), work.host_bytes, info),
          "cusolverDnXpotrf");
    const int minor = read_info(call, info);
    if (minor > 0) {
        return static_cast<std::size_t>(minor);
    }
    const std::vector<double> pivots = diagonal_of(call, matrix, d, d);
    for (std::size_t i = 0; i < d; ++i) {
        if (!(pivots[i] > 0.0) || !std::isfinite(pivots[i])) {
            return i + 1;
        }
    }
    Workspace inverse_work;
    check(cusolverDnXtrtri_bufferSize(solver, lower, CUBLAS_DIAG_NON_UNIT, n, CUDA_R_64F, matrix, n,
                                      &inverse_work.device_bytes, &inverse_work.host_bytes),
          "cusolverDnXtrtri_bufferSize");
    inverse_work.allocate(call);
    check(cusolverDnXtrtri(solver, lower, CUBLAS_DIAG_NON_UNIT, n, CUDA_R_64F, matrix, n,
                           inverse_work.device, inverse_work.device_bytes, inverse_work.host.data(),
                           inverse_work.host_bytes, info),
          "cusolverDnXtrtri");
    return static_cast<std::size_t>(read_info(call, info));
}

}  // namespace

// With rows and columns in reverse, A = R R^T with R upper is a plain Cholesky factorisation, and
// U = R^-1 is its inverse in reverse.
void CudaBackend::do_inverse_factor(MatrixView<const float> gram, const FactorSettings& settings,
                                    MatrixView<float> factor) const {
    const std::size_t d = gram.rows;
    if (d == 0) {
        return;
    }
    Call call(*context_);
    const View<const float> given = call.in(gram);
    double trace = 0.0;
    for (const float value : diagonal_of(call, given.data, given.stride, d)) {
        trace += static_cast<double>(value);
    }
    const double added = settings.damping * trace / static_cast<double>(d);
    const float* const penalty = settings.penalty.empty() ? nullptr : call.in(settings.penalty);
    const std::uint32_t* const order = settings.order.empty() ? nullptr : call.in(settings.order);
    const View<double> work = call.scratch<double>(d, d);
    cuda::for_each(call, d, d, [=] __device__(std::size_t i, std::size_t j) {
        const std::size_t row = order == nullptr ? d - 1 - i : order[d - 1 - i];
        const std::size_t col = order == nullptr ? d - 1 - j : order[d - 1 - j];
        double value = static_cast<double>(given(row, col));
        if (i == j) {
            value = (value == 0.0 ? 1.0 : value) + added;
            value += penalty == nullptr ? 0.0 : static_cast<double>(penalty[row]);
        }
        work(i, j) = value;
    });
    // Column c of the caller's matrix is column d - 1 - c here.
    if (const std::size_t bad = invert_cholesky(call, work.data, d); bad > 0) {
        throw DataError("Gram matrix [" + std::to_string(d) + ", " + std::to_string(d) +
                        "] with damping " + std::to_string(settings.damping) +
                        " is not positive definite (column " + std::to_string(d - bad) + ")");
    }
    const View<float> result = call.inout(factor);
    cuda::for_each(call, d, d, [=] __device__(std::size_t i, std::size_t j) {
        // Element (d - 1 - i, d - 1 - j) of L^-1, which lies by columns.
        result(i, j) = j < i ? 0.0F : static_cast<float>(work(d - 1 - j, d - 1 - i));
    });
    call.finish();
}

// In fp64 throughout, which costs little here: A = L L^T, A^-1 = L^-T L^-1.
void CudaBackend::do_penalised_inverse(MatrixView<const float> a, std::span<const float> penalty,
                                       MatrixView<float> inverse) const {
    const std::size_t d = a.rows;
    if (d == 0) {
        return;
    }
    Call call(*context_);
    const View<const float> given = call.in(a);
    const float* const added = call.in(penalty);
    const View<double> work = call.scratch<double>(d, d);
    cuda::for_each(call, d, d, [=] __device__(std::size_t i, std::size_t j) {
        const double value = given(i < j ? i : j, i < j ? j : i);
        work(i, j) = i == j ? value + static_cast<double>(added[i]) : value;
    });
    if (const std::size_t bad = invert_cholesky(call, work.data, d); bad > 0) {
        throw DataError("penalised matrix [" + std::to_string(d) + ", " + std::to_string(d) +
                        "] is not positive definite (column " + std::to_string(bad - 1) + ")");
    }
    // L^-1 lies below the diagonal by columns, so above it by rows; the rest is of no use.
    cuda::for_each(call, d, d, [=] __device__(std::size_t i, std::size_t j) {
        if (j < i) {
            work(i, j) = 0.0;
        }
    });
    const View<double> product = call.scratch<double>(d, d);
    const auto n = static_cast<int>(d);
    const double one = 1.0;
    const double zero = 0.0;
    check(cublasDgemm(context_->blas(), CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, &one, work.data, n,
                      work.data, n, &zero, product.data, n),
          "cublasDgemm");
    const View<float> result = call.inout(inverse);
    cuda::for_each(call, d, d, [=] __device__(std::size_t i, std::size_t j) {
        result(i, j) = static_cast<float>(product(i < j ? i : j, i < j ? j : i));
    });
    call.finish();
}

void CudaBackend::do_mirror_upper(MatrixView<float> y) const {
    Call call(*context_);
    const View<float> matrix = call.inout(y);
    cuda::for_each(call, y.rows, y.cols, [=] __device__(std::size_t i, std::size_t j) {
        if (i > j) {
            matrix(i, j) = matrix(j, i);
        }
    });
    call.finish();
}

void CudaBackend::do_row_errors(MatrixView<const float> delta, MatrixView<const float> gram,
                                std::span<double> errors) const {
    Call call(*context_);
    const View<const float> rows = call.in(delta);
    const View<float> product = call.scratch<float>(delta.rows, delta.cols);
    cuda::multiply(*context_, rows, call.in(gram), product);
    double* const result = call.inout(errors);
    cuda::for_each_block(call, delta.rows, [=] __device__(std::size_t r, unsigned thread) {
        double sum = 0.0;
        for (std::size_t j = thread; j < rows.cols; j += cuda::block_threads) {
            sum = fma(static_cast<double>(product(r, j)), static_cast<double>(rows(r, j)), sum);
        }
        sum = cuda::block_sum(sum);
        if (thread == 0) {
            result[r] = sum;
        }
    });
    call.finish();
}

}  // namespace lathe::kernels
