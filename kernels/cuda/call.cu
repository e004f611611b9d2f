#include <algorithm>

#include "kernels/cuda/call.cuh"

namespace lathe::kernels::cuda {

bool is_on_device(const void* memory) {
    if (memory == nullptr) {
        return true;
    }
    cudaPointerAttributes attributes{};
    check(cudaPointerGetAttributes(&attributes, memory), "cudaPointerGetAttributes");
    return attributes.type == cudaMemoryTypeDevice;
}

void* Call::temporary(std::size_t bytes) {
    void* const memory = context_.allocate(bytes);
    temporary_.push_back(memory);
    return memory;
}

void copy_rows(const Context& context, const void* from, std::size_t from_pitch, void* to,
               std::size_t to_pitch, std::size_t row_bytes, std::size_t rows) {
    const bool packed = from_pitch == row_bytes && to_pitch == row_bytes;
    if (packed || rows == 1) {  // pitches have a limit of 2 GiB, this has none
        check(cudaMemcpyAsync(to, from, row_bytes * rows, cudaMemcpyDefault, context.stream()),
              "cudaMemcpyAsync");
        return;
    }
    check(cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, row_bytes, rows, cudaMemcpyDefault,
                            context.stream()),
          "cudaMemcpy2DAsync");
}

void Call::copy_in(const void* host, std::size_t pitch, void* device, std::size_t row_bytes,
                   std::size_t rows) {
    copy_rows(context_, host, pitch, device, row_bytes, row_bytes, rows);
}

void Call::finish() {
    check(cudaGetLastError(), "a kernel launch");
    for (const Result& result : results_) {
        copy_rows(context_, result.device, result.row_bytes, result.host, result.host_pitch,
                  result.row_bytes, result.rows);
    }
    if (!results_.empty()) {
        context_.synchronize();
    }
}

namespace {

int extent(std::size_t n) {
    return static_cast<int>(n);
}
/// cuBLAS asks for at least 1, also where nothing is read.
int leading(std::size_t stride) {
    return static_cast<int>(std::max<std::size_t>(stride, 1));
}

}  // namespace

// cuBLAS counts elements down the columns, so that a row-major matrix is its transpose there:
// y^T = w x^T.
void multiply_transposed(const Context& context, View<const float> x, View<const float> w,
                         View<float> y, float alpha, float beta) {
    if (y.rows == 0 || y.cols == 0) {
        return;
    }
    check(cublasSgemm(context.blas(), CUBLAS_OP_T, CUBLAS_OP_N, extent(y.cols), extent(y.rows),
                      extent(x.cols), &alpha, w.data, leading(w.stride), x.data, leading(x.stride),
                      &beta, y.data, leading(y.stride)),
          "cublasSgemm");
}

void multiply(const Context& context, View<const float> x, View<const float> a, View<float> y,
              float alpha, float beta) {
    if (y.rows == 0 || y.cols == 0) {
        return;
    }
    check(cublasSgemm(context.blas(), CUBLAS_OP_N, CUBLAS_OP_N, extent(y.cols), extent(y.rows),
                      extent(x.cols), &alpha, a.data, leading(a.stride), x.data, leading(x.stride),
                      &beta, y.data, leading(y.stride)),
          "cublasSgemm");
}

}  // namespace lathe::kernels::cuda
