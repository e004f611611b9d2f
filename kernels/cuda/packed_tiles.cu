#include <algorithm>
#include <vector>

#include "kernels/cuda/packed.cuh"
#include "kernels/cuda/tile_product.cuh"
#include "lib/core/half.hpp"

// Uniform codes in tiles: how they are laid down, and what is launched for a product.

namespace lathe::kernels {

using cuda::Call;
using cuda::div_up;
using cuda::View;

namespace {

/// About as many blocks, however many the device holds: results do not depend on their number.
constexpr std::size_t wanted_blocks = 1024;
constexpr std::size_t least_steps = 4;  ///< of a slice, for what it costs a block to begin
constexpr std::size_t most_steps = 16;  ///< their inputs are in shared memory at a time

template <unsigned bits, unsigned eights, unsigned cuts>
void launch(const Call& call, const cuda::TileArguments& a, dim3 grid) {
    const auto kernel = cuda::tile_kernel<bits, eights, cuts>;
    const std::size_t bytes =
        cuda::n_warps * cuda::stage_count(bits) * sizeof(cuda::Stage<bits, cuts>) +
        a.steps_per_slice * eights * 2 * tiled::n_lanes * sizeof(uint4);
    cuda::check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     static_cast<int>(bytes)),
                "cudaFuncSetAttribute");
    cuda::launch(call, kernel, grid, cuda::tile_threads, bytes, a);
}

template <unsigned bits>
void launch(const Call& call, const cuda::TileArguments& a, dim3 grid) {
    const bool whole = a.w.chunks_per_group % tiled::step_chunks == 0;
    if (a.x.rows <= tiled::tokens_per_eight) {
        whole ? launch<bits, 1, 1>(call, a, grid) : launch<bits, 1, 2>(call, a, grid);
    } else {
        whole ? launch<bits, 2, 1>(call, a, grid) : launch<bits, 2, 2>(call, a, grid);
    }
}

void multiply_tiles(Call& call, const cuda::Tiles& w, View<const float> x, const float* bias,
                    View<float> y) {
    const std::size_t row_blocks = div_up(w.n_tiles, cuda::n_warps);
    const std::size_t wanted_slices = std::max<std::size_t>(wanted_blocks / row_blocks, 1);
    cuda::TileArguments a{w, x, 0, nullptr};
    a.steps_per_slice = std::clamp(div_up(w.n_steps, wanted_slices), least_steps, most_steps);
    const std::size_t slices = div_up(w.n_steps, a.steps_per_slice);
    if (slices > 0) {
        a.partial = call.scratch<float>(slices * x.rows * w.rows);
        const dim3 grid(static_cast<unsigned>(row_blocks), static_cast<unsigned>(slices));
        switch (w.num_bits) {
            case 2:
                launch<2>(call, a, grid);
                break;
            case 3:
                launch<3>(call, a, grid);
                break;
            case 4:
                launch<4>(call, a, grid);
                break;
            default:
                launch<8>(call, a, grid);
        }
    }
    cuda::add_slices(call, a.partial, slices, x.rows, bias, y);
}

/// A packed matrix while it is put together on the host.
struct HostTiles {
    std::vector<std::uint32_t> words;
    std::vector<std::uint16_t> scales;
    std::vector<std::uint16_t> zeros;

    HostTiles(const CodedMatrix& matrix, const cuda::Tiles& at)
        : words(at.n_words()), scales(at.n_terms()), zeros(matrix.has_offsets ? at.n_terms() : 0) {
        std::vector<std::uint8_t> codes(at.cols);
        std::vector<float> row_scales(at.n_groups);
        std::vector<float> row_zeros(at.n_groups);
        for (std::size_t r = 0; r < at.rows; ++r) {
            matrix.read(r, codes.data(), row_scales.data(), row_zeros.data());
            at.put_row(r, codes.data(), words.data());
            for (std::uint32_t g = 0; g < at.n_groups; ++g) {
                scales[at.term_place(g, r)] = float_to_half(row_scales[g]);
                if (matrix.has_offsets) {
                    zeros[at.term_place(g, r)] = float_to_half(row_zeros[g]);
                }
            }
        }
    }
};

class PackedTiles final : public cuda::CudaPacked {
public:
    PackedTiles(const cuda::Tiles& tiles, cuda::PackedArrays arrays)
        : tiles_(tiles), arrays_(std::move(arrays)) {
        tiles_.words = arrays_.words();
        tiles_.scales = arrays_.scales();
        tiles_.zeros = arrays_.offsets();
    }
    [[nodiscard]] std::size_t rows() const noexcept override { return tiles_.rows; }
    [[nodiscard]] std::size_t cols() const noexcept override { return tiles_.cols; }
    [[nodiscard]] std::size_t size_bytes() const noexcept override { return arrays_.size_bytes(); }
    void multiply(Call& call, View<const float> x, const float* bias,
                  View<float> y) const override {
        if (x.rows <= cuda::most_coded_tokens) {
            multiply_tiles(call, tiles_, x, bias, y);
        } else {
            cuda::multiply_decoded(call, tiles_, x, bias, y);
        }
    }
    void embed(Call& call, const std::uint32_t* ids, View<float> y) const override {
        cuda::embed_decoded(call, tiles_, ids, y);
    }

private:
    cuda::Tiles tiles_;
    cuda::PackedArrays arrays_;
};

}  // namespace

std::unique_ptr<const PackedMatrix> cuda::pack_tiles(const Backend& backend,
                                                     const CodedMatrix& matrix) {
    const cuda::Tiles tiles(matrix);
    const HostTiles host(matrix, tiles);
    return std::make_unique<PackedTiles>(
        tiles, PackedArrays(backend, host.words, host.scales, host.zeros));
}

}  // namespace lathe::kernels
