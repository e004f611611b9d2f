// What cuBLAS takes for the dense products that device_bench's figures are held against:
//
//     cublas_bench
//
// One to eight tokens times bf16 weights, and square products in fp32, TF32 and bf16. Medians of 20
// calls, timed by events on the stream.

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

namespace {

void check(cudaError_t status) {
    if (status != cudaSuccess) {
        throw std::runtime_error(cudaGetErrorString(status));
    }
}
void check(cublasStatus_t status) {
    if (status != CUBLAS_STATUS_SUCCESS) {
        throw std::runtime_error(cublasGetStatusString(status));
    }
}

class Cublas {
public:
    explicit Cublas(std::size_t bytes) {
        check(cublasCreate(&handle_));
        for (void** memory : {&w_, &x_, &y_}) {
            check(cudaMalloc(memory, bytes));
            check(cudaMemset(*memory, 0, bytes));
        }
        check(cudaEventCreate(&start_));
        check(cudaEventCreate(&stop_));
    }

    /// Median milliseconds of y [tokens, rows] = x [tokens, cols] times w [rows, cols] transposed.
    double product(int tokens, int rows, int cols, cudaDataType type, cublasComputeType_t compute) {
        const float one = 1.0F;
        const float zero = 0.0F;
        std::vector<float> times;
        for (int round = -3; round < 20; ++round) {
            check(cudaEventRecord(start_));
            check(cublasGemmEx(handle_, CUBLAS_OP_T, CUBLAS_OP_N, rows, tokens, cols, &one, w_,
                               type, cols, x_, type, cols, &zero, y_, type, rows, compute,
                               CUBLAS_GEMM_DEFAULT));
            check(cudaEventRecord(stop_));
            check(cudaEventSynchronize(stop_));
            float ms = 0.0F;
            check(cudaEventElapsedTime(&ms, start_, stop_));
            if (round >= 0) {
                times.push_back(ms);
            }
        }
        std::nth_element(times.begin(), times.begin() + 10, times.end());
        return times[10];
    }

private:
    cublasHandle_t handle_ = nullptr;
    cudaEvent_t start_ = nullptr;
    cudaEvent_t stop_ = nullptr;
    void* w_ = nullptr;
    void* x_ = nullptr;
    void* y_ = nullptr;
};

void run() {
    Cublas blas(std::size_t{12288} * 49152 * 2);
    for (const auto& [rows, cols] :
         {std::pair(12288, 49152), {49152, 12288}, {12288, 12288}, {8192, 28672}, {28672, 8192}}) {
        std::printf("%5d x %5d bf16", rows, cols);
        for (const int tokens : {1, 2, 4, 8}) {
            std::printf("  T%d %8.4f ms", tokens,
                        blas.product(tokens, rows, cols, CUDA_R_16BF, CUBLAS_COMPUTE_32F));
        }
        std::printf("\n");
    }
    const int n = 8192;
    const double flops = 2.0 * n * n * static_cast<double>(n);
    const auto print = [&](const char* name, double ms) {
        std::printf("%d^3 %-5s %8.3f ms %9.1f GFLOP/s\n", n, name, ms, flops / ms * 1e-6);
    };
    print("fp32", blas.product(n, n, n, CUDA_R_32F, CUBLAS_COMPUTE_32F));
    print("TF32", blas.product(n, n, n, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32));
    print("bf16", blas.product(n, n, n, CUDA_R_16BF, CUBLAS_COMPUTE_32F));
}

}  // namespace

int main() {
    try {
        run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "cublas_bench: %s\n", error.what());
        return 1;
    }
    return 0;
}
