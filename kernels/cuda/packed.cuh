#pragma once

#include <algorithm>
#include <vector>

#include <cuda_fp16.h>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"

/// What the two layouts of packed weights have in common: bit planes (packed_planes.cu) and tiles
/// of uniform codes (packed_tiles.cu).
namespace lathe::kernels::cuda {

/// Up to this many tokens are multiplied with codes as they are stored, more with decoded values.
inline constexpr std::size_t most_coded_tokens = 8;

/// A packed matrix on the device.
class CudaPacked : public PackedMatrix {
public:
    /// y = x @ w^T + bias; bias is null or has rows() entries.
    virtual void multiply(Call& call, View<const float> x, const float* bias,
                          View<float> y) const = 0;
    /// y[t] = row ids[t]; ids lie on the device.
    virtual void embed(Call& call, const std::uint32_t* ids, View<float> y) const = 0;
};

/// The arrays of a packed matrix on the device.
class PackedArrays {
public:
    PackedArrays(const Backend& backend, const std::vector<std::uint32_t>& words,
                 const std::vector<std::uint16_t>& scales,
                 const std::vector<std::uint16_t>& offsets)
        : words_(on_device(backend, words)),
          scales_(on_device(backend, scales)),
          offsets_(on_device(backend, offsets)) {}

    [[nodiscard]] const std::uint32_t* words() const { return words_.data(); }
    [[nodiscard]] const __half* scales() const {
        return reinterpret_cast<const __half*>(scales_.data());
    }
    /// Null if there are none.
    [[nodiscard]] const __half* offsets() const {
        return offsets_.size() == 0 ? nullptr : reinterpret_cast<const __half*>(offsets_.data());
    }
    [[nodiscard]] std::size_t size_bytes() const {
        return words_.size() * 4 + (scales_.size() + offsets_.size()) * 2;
    }

private:
    template <class T>
    [[nodiscard]] static Array<T> on_device(const Backend& backend, const std::vector<T>& host) {
        Array<T> array = backend.allocate<T>(host.size());
        backend.copy<T>({host.data(), 1, host.size()}, array.matrix(1, host.size()));
        return array;
    }

    Array<std::uint32_t> words_;
    Array<std::uint16_t> scales_;
    Array<std::uint16_t> offsets_;
};

/// Any codes.
[[nodiscard]] std::unique_ptr<const PackedMatrix> pack_planes(const Backend& backend,
                                                              const CodedMatrix& matrix);
/// Those of tiled::can_tile().
[[nodiscard]] std::unique_ptr<const PackedMatrix> pack_tiles(const Backend& backend,
                                                             const CodedMatrix& matrix);

/// y = bias + the sum of partial[slice], [slices, stride, y.cols], of which a slice has the first
/// y.rows rows; bias is null or has y.cols entries. In an order that only `slices` decides.
void add_slices(const Call& call, const float* partial, std::size_t slices, std::size_t stride,
                const float* bias, View<float> y);

/// Decodes a band of rows at a time for a dense product. `w` has rows, cols and value(row, col).
template <class Weights>
void multiply_decoded(Call& call, const Weights& w, View<const float> x, const float* bias,
                      View<float> y) {
    constexpr std::size_t band_elements = std::size_t{16} << 20;
    const std::size_t band =
        std::clamp<std::size_t>(band_elements / std::max<std::size_t>(w.cols, 1), 1, w.rows);
    const View<float> values = call.scratch<float>(band, w.cols);
    for (std::size_t first = 0; first < w.rows; first += band) {
        const std::size_t count = std::min(band, w.rows - first);
        for_each(call, count, w.cols, [=] __device__(std::size_t r, std::size_t j) {
            values(r, j) = w.value(first + r, j);
        });
        multiply_transposed(call.context(), x, values.row_range(0, count),
                            y.col_range(first, count));
    }
    if (bias != nullptr) {
        for_each(call, y.rows, y.cols,
                 [=] __device__(std::size_t t, std::size_t j) { y(t, j) += bias[j]; });
    }
}

template <class Weights>
void embed_decoded(const Call& call, const Weights& w, const std::uint32_t* ids, View<float> y) {
    for_each(call, y.rows, y.cols,
             [=] __device__(std::size_t t, std::size_t j) { y(t, j) = w.value(ids[t], j); });
}

}  // namespace lathe::kernels::cuda
