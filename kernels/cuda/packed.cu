#include "kernels/contract/host_checks.hpp"
#include "kernels/cuda/packed.cuh"
#include "kernels/layouts/tiled_codes.hpp"
#include "lib/core/errors.hpp"

// Products with weights that stay codes, and which layout they get.

namespace lathe::kernels {

using cuda::Call;
using cuda::View;

namespace {

/// Block (columns, row): a column to a lane; each warp adds every eighth slice, since one after the
/// other they would take as long as a small product.
__global__ void __launch_bounds__(cuda::block_threads)
    slices_kernel(const float* partial, std::size_t slices, std::size_t stride, const float* bias,
                  View<float> y) {
    constexpr unsigned n_warps = cuda::block_threads / cuda::warp_size;
    __shared__ float sums[n_warps][cuda::warp_size];
    const unsigned lane = threadIdx.x % cuda::warp_size;
    const unsigned warp = threadIdx.x / cuda::warp_size;
    const std::size_t col = blockIdx.x * std::size_t{cuda::warp_size} + lane;
    float sum = 0.0F;
    if (col < y.cols) {
#pragma unroll 8
        for (std::size_t s = warp; s < slices; s += n_warps) {
            sum += partial[(s * stride + blockIdx.y) * y.cols + col];
        }
    }
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && col < y.cols) {
        for (unsigned w = 1; w < n_warps; ++w) {
            sum += sums[w][lane];
        }
        y(blockIdx.y, col) = bias == nullptr ? sum : bias[col] + sum;
    }
}

}  // namespace

void cuda::add_slices(const Call& call, const float* partial, std::size_t slices,
                      std::size_t stride, const float* bias, View<float> y) {
    const dim3 grid(static_cast<unsigned>(div_up(y.cols, warp_size)),
                    static_cast<unsigned>(y.rows));
    launch(call, slices_kernel, grid, block_threads, 0, partial, slices, stride, bias, y);
}

std::unique_ptr<const PackedMatrix> CudaBackend::do_pack(const CodedMatrix& matrix) const {
    return tiled::can_tile(matrix) ? cuda::pack_tiles(*this, matrix)
                                   : cuda::pack_planes(*this, matrix);
}

std::unique_ptr<const PackedMatrix> CudaBackend::do_pack_nm(const NmMatrix& /*matrix*/) const {
    throw UsageError("cuda has no product with N:M sparse weights as they are stored");
}

void CudaBackend::do_linear_packed(MatrixView<const float> x,
                                   std::span<const PackedProduct> products) const {
    Call call(*context_);
    const View<const float> input = call.in(x);
    for (const PackedProduct& product : products) {
        const auto& weight = dynamic_cast<const cuda::CudaPacked&>(*product.weight);
        if (weight.rows() > 0) {
            const float* const bias = product.bias.empty() ? nullptr : call.in(product.bias);
            weight.multiply(call, input, bias, call.inout(product.y));
        }
    }
    call.finish();
}

void CudaBackend::do_embed_packed(std::span<const std::uint32_t> ids, const PackedMatrix& table,
                                  MatrixView<float> y) const {
    Call call(*context_);
    const std::uint32_t* const rows = call.in(ids);
    if (rows == ids.data()) {
        require_below(call.to_host(rows, ids.size()), table.rows(), "embed: id");
    } else {
        require_below(ids, table.rows(), "embed: id");
    }
    dynamic_cast<const cuda::CudaPacked&>(table).embed(call, rows, call.inout(y));
    call.finish();
}

}  // namespace lathe::kernels
