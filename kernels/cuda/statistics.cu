#include <algorithm>
#include <vector>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/layouts/largest_columns.hpp"

// cuBLAS counts elements down the columns: what is row-major and upper here is lower there.

namespace lathe::kernels {

using cuda::Call;
using cuda::check;
using cuda::View;

namespace {

/// Products of this many tokens are summed in one piece.
constexpr std::size_t tokens_per_chunk = 2048;

/// work(chunk) for all rows of x, a chunk after the other.
template <class Work>
void for_each_chunk(View<const float> x, const Work& work) {
    for (std::size_t first = 0; first < x.rows; first += tokens_per_chunk) {
        work(x.row_range(first, std::min(tokens_per_chunk, x.rows - first)));
    }
}

}  // namespace

void CudaBackend::do_accumulate_gram(MatrixView<const float> x, UpperTriangle<float> gram) const {
    if (x.rows == 0 || x.cols == 0) {
        return;
    }
    Call call(*context_);
    const std::size_t d = x.cols;
    const bool is_packed = gram.stride == 0;
    const View<float> sum =
        is_packed ? View<float>{call.inout(std::span<float>(gram.data, triangle_size(d))), d, d, 0}
                  : call.inout(MatrixView<float>(gram.data, d, d, gram.stride));
    const View<float> part = call.scratch<float>(d, d);
    for_each_chunk(call.in(x), [&](View<const float> chunk) {
        const float one = 1.0F;
        const float zero = 0.0F;
        check(cublasSsyrk(context_->blas(), CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N,
                          static_cast<int>(d), static_cast<int>(chunk.rows), &one, chunk.data,
                          static_cast<int>(chunk.stride), &zero, part.data, static_cast<int>(d)),
              "cublasSsyrk");
        cuda::for_each(call, d, d, [=] __device__(std::size_t i, std::size_t j) {
            if (j >= i) {
                sum.data[(is_packed ? i * d - i * (i + 1) / 2 : i * sum.stride) + j] += part(i, j);
            }
        });
    });
    call.finish();
}

void CudaBackend::do_accumulate_stream_gram(MatrixView<const float> x,
                                            MatrixView<double> gram) const {
    if (x.rows == 0 || x.cols == 0) {
        return;
    }
    Call call(*context_);
    const std::size_t d = x.cols;
    const View<double> sum = call.inout(gram);
    const View<double> wide = call.scratch<double>(std::min(tokens_per_chunk, x.rows), d);
    for_each_chunk(call.in(x), [&](View<const float> chunk) {
        cuda::for_each(call, chunk.rows, d, [=] __device__(std::size_t t, std::size_t j) {
            wide(t, j) = static_cast<double>(chunk(t, j));
        });
        const double one = 1.0;
        check(cublasDsyrk(context_->blas(), CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N,
                          static_cast<int>(d), static_cast<int>(chunk.rows), &one, wide.data,
                          static_cast<int>(d), &one, sum.data, static_cast<int>(sum.stride)),
              "cublasDsyrk");
    });
    call.finish();
}

void CudaBackend::do_accumulate_column_statistics(MatrixView<const float> x,
                                                  const ColumnStatistics& statistics) const {
    Call call(*context_);
    const View<const float> rows = call.in(x);
    double* const sum_abs = call.inout(statistics.sum_abs);
    float* const minimum = call.inout(statistics.minimum);
    float* const maximum = call.inout(statistics.maximum);
    // A thread for each column: the order of the rows is that of the sum.
    cuda::for_each(call, x.rows == 0 ? 0 : 1, x.cols, [=] __device__(std::size_t, std::size_t j) {
        double sum = sum_abs[j];
        float lowest = minimum[j];
        float highest = maximum[j];
        for (std::size_t t = 0; t < rows.rows; ++t) {
            const float value = rows(t, j);
            sum += static_cast<double>(fabsf(value));
            lowest = value < lowest ? value : lowest;
            highest = value > highest ? value : highest;
        }
        sum_abs[j] = sum;
        minimum[j] = lowest;
        maximum[j] = highest;
    });
    call.finish();
}

void CudaBackend::do_scale_rows(MatrixView<const float> x, std::span<const float> factors,
                                MatrixView<float> y) const {
    Call call(*context_);
    const View<const float> rows = call.in(x);
    const float* const scales = call.in(factors);
    const View<float> scaled = call.inout(y);
    cuda::for_each(call, x.rows, x.cols, [=] __device__(std::size_t t, std::size_t j) {
        scaled(t, j) = scales[t] * rows(t, j);
    });
    call.finish();
}

// On the host for now: one pass of selection beside the products of the layer is little.
void CudaBackend::do_count_largest(MatrixView<const float> x, std::span<const float> column_weights,
                                   std::size_t per_token, std::span<double> counts) const {
    const MatrixView<double> sums(counts.data(), 1, x.cols);
    const std::vector<float> rows = to_host(x);
    std::vector<double> host = to_host(sums);
    LargestColumns largest(column_weights, per_token);
    for (std::size_t t = 0; t < x.rows; ++t) {
        largest.find(rows.data() + t * x.cols, [&](std::size_t column) { host[column] += 1.0; });
    }
    copy<double>({host.data(), 1, x.cols}, sums);
}

void CudaBackend::do_multiply(MatrixView<const double> a, bool transpose_a,
                              MatrixView<const double> b, bool transpose_b,
                              MatrixView<double> y) const {
    if (y.rows == 0 || y.cols == 0) {
        return;
    }
    Call call(*context_);
    const View<const double> left = call.in(a);
    const View<const double> right = call.in(b);
    const View<double> result = call.inout(y);
    const std::size_t depth = transpose_a ? a.rows : a.cols;
    const double one = 1.0;
    const double zero = 0.0;
    const auto leading = [](std::size_t stride) {
        return static_cast<int>(std::max<std::size_t>(stride, 1));
    };
    check(cublasDgemm(context_->blas(), transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                      transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, static_cast<int>(y.cols),
                      static_cast<int>(y.rows), static_cast<int>(depth), &one, right.data,
                      leading(right.stride), left.data, leading(left.stride), &zero, result.data,
                      leading(result.stride)),
          "cublasDgemm");
    call.finish();
}

}  // namespace lathe::kernels
