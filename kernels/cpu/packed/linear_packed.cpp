#include <algorithm>
#include <vector>

#include "kernels/contract/host_checks.hpp"
#include "kernels/cpu/common/scratch.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/packed/coded_inputs.hpp"
#include "kernels/cpu/packed/nm_packed.hpp"
#include "kernels/cpu/packed/packed_matrix.hpp"
#include "lib/core/errors.hpp"

// Products with packed weights. For a few tokens the time goes into reading the codes: each tile of
// 64 rows is read once and multiplied with tables or digits made of x (coded_inputs.hpp), all
// products of a call in one go. For more tokens a band of rows at a time is decoded for the dense
// product.

namespace lathe::kernels {
namespace {

/// Up to this many tokens are multiplied with codes.
constexpr std::size_t few_tokens = 8;
/// Floats of a decoded band at most: 16 MiB, a small part of a model.
constexpr std::size_t band_floats = std::size_t{1} << 22;
constexpr std::size_t least_band_rows = 256;

const CpuPackedMatrix& cpu_packed(const PackedMatrix& matrix) {
    const auto* packed = dynamic_cast<const CpuPackedMatrix*>(&matrix);
    if (packed == nullptr) {
        throw InternalError("a packed matrix of another backend came to backend cpu");
    }
    return *packed;
}

/// The rows of a tile of y, from their sums [tokens, 64].
void write_tile(const PackedProduct& product, std::size_t tile, const float* sums) {
    const std::size_t first = tile * lookup_tile_rows;
    const std::size_t n = std::min(lookup_tile_rows, product.y.cols - first);
    for (std::size_t t = 0; t < product.y.rows; ++t) {
        const float* own = sums + t * lookup_tile_rows;
        for (std::size_t r = 0; r < n; ++r) {
            product.y(t, first + r) =
                product.bias.empty() ? own[r] : own[r] + product.bias[first + r];
        }
    }
}

/// One of the products of a call and which inputs it reads.
struct Product {
    const PackedProduct* product;
    const CpuPacked* weight;
    std::size_t inputs;
    std::size_t first_tile;
};

void multiply_tile(const Product& product, const CodedInputs& inputs, std::size_t tile) {
    const CpuPacked& weight = *product.weight;
    alignas(64) float sums[few_tokens * lookup_tile_rows] = {};
    for (std::size_t i = 0; i < weight.pieces().size(); ++i) {
        inputs.multiply(weight.group(tile, i), i, sums);
    }
    write_tile(*product.product, tile, sums);
}

/// Products with N:M sparse weights.
void multiply_kept(ThreadPool& pool, MatrixView<const float> x,
                   std::span<const PackedProduct> products) {
    const std::size_t stride = x.cols + kept_overhang;
    thread_local Scratch scratch;
    float* padded = scratch.floats(x.rows * stride);
    for (std::size_t t = 0; t < x.rows; ++t) {
        float* end = std::copy_n(x.row(t), x.cols, padded + t * stride);
        std::fill_n(end, kept_overhang, 0.0F);
    }
    for (const PackedProduct& product : products) {
        const auto& weight = dynamic_cast<const CpuNm&>(*product.weight);
        pool.for_each(weight.n_tiles(), [&](std::size_t tile) {
            alignas(64) float sums[few_tokens * lookup_tile_rows] = {};
            for (std::size_t i = 0; i < weight.n_pieces(); ++i) {
                vector_kernels().multiply_kept(weight.group(tile, i), padded + weight.begin(i),
                                               stride, x.rows, sums, lookup_tile_rows);
            }
            write_tile(product, tile, sums);
        });
    }
}

/// Products with codes.
void multiply_codes(ThreadPool& pool, MatrixView<const float> x,
                    std::span<const PackedProduct> products) {
    std::vector<CodedInputs> inputs;
    std::vector<Product> parts;
    std::size_t n_tiles = 0;
    for (const PackedProduct& product : products) {
        const auto& weight = dynamic_cast<const CpuPacked&>(*product.weight);
        std::size_t own = 0;
        while (own < inputs.size() && !inputs[own].fit(weight)) {
            ++own;
        }
        if (own == inputs.size()) {
            inputs.emplace_back(weight, x);
        }
        parts.push_back({&product, &weight, own, n_tiles});
        n_tiles += weight.n_tiles();
    }
    std::size_t n_floats = 0;
    for (const CodedInputs& own : inputs) {
        n_floats += own.size();
    }
    thread_local Scratch scratch;
    float* memory = scratch.floats(n_floats);
    for (CodedInputs& own : inputs) {
        own.place(memory);
        memory += own.size();
        // A few pieces at a time: one takes less time than handing it to a thread.
        constexpr std::size_t step = 8;
        pool.for_each((own.n_tasks() + step - 1) / step, [&own](std::size_t tile) {
            const std::size_t end = std::min(own.n_tasks(), (tile + 1) * step);
            for (std::size_t task = tile * step; task < end; ++task) {
                own.build(task);
            }
        });
    }
    pool.for_each(n_tiles, [&](std::size_t tile) {
        std::size_t i = parts.size() - 1;
        while (parts[i].first_tile > tile) {
            --i;
        }
        multiply_tile(parts[i], inputs[parts[i].inputs], tile - parts[i].first_tile);
    });
}

}  // namespace

std::unique_ptr<const PackedMatrix> CpuBackend::do_pack(const CodedMatrix& matrix) const {
    return std::make_unique<CpuPacked>(matrix, pool_);
}

std::unique_ptr<const PackedMatrix> CpuBackend::do_pack_nm(const NmMatrix& matrix) const {
    return std::make_unique<CpuNm>(matrix, pool_);
}

void CpuBackend::do_linear_packed(MatrixView<const float> x,
                                  std::span<const PackedProduct> products) const {
    if (x.rows <= few_tokens) {
        std::vector<PackedProduct> coded;
        std::vector<PackedProduct> kept;
        for (const PackedProduct& product : products) {
            const bool sparse = cpu_packed(*product.weight).is_sparse();
            (sparse ? kept : coded).push_back(product);
        }
        multiply_codes(pool_, x, coded);
        if (!kept.empty()) {
            multiply_kept(pool_, x, kept);
        }
        return;
    }
    for (const PackedProduct& product : products) {
        const CpuPackedMatrix& weight = cpu_packed(*product.weight);
        const std::size_t step =
            std::max(least_band_rows, band_floats / std::max<std::size_t>(1, weight.cols()));
        const std::size_t most = std::min(step, weight.rows());
        const Array<float> memory = allocate<float>(most * weight.cols());
        for (std::size_t first = 0; first < weight.rows(); first += step) {
            const std::size_t n = std::min(step, weight.rows() - first);
            const MatrixView<float> band = memory.matrix(n, weight.cols());
            pool_.for_each(n, [&](std::size_t r) { weight.decode_row(first + r, band.row(r)); });
            do_linear(x, band, product.bias.empty() ? product.bias : product.bias.subspan(first, n),
                      product.y.col_range(first, n));
        }
    }
}

void CpuBackend::do_embed_packed(std::span<const std::uint32_t> ids, const PackedMatrix& table,
                                 MatrixView<float> y) const {
    require_below(ids, table.rows(), "id");
    const CpuPackedMatrix& packed = cpu_packed(table);
    for (std::size_t t = 0; t < ids.size(); ++t) {
        packed.decode_row(ids[t], y.row(t));
    }
}

}  // namespace lathe::kernels
