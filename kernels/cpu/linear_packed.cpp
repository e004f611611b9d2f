#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/packed_matrix.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/vector_kernels.hpp"
#include "kernels/host_checks.hpp"
#include "lib/core/errors.hpp"

// Products with packed weights. For a few tokens the time goes into reading the codes: each tile of
// 64 rows is read once and looked up in tables made of x, all products of a call in one go. For
// more tokens a band of rows at a time is decoded for the dense product.

namespace lathe::kernels {
namespace {

/// Up to this many tokens each one has tables of its own.
constexpr std::size_t few_tokens = 8;
/// Floats of a decoded band at most: 16 MiB, a small part of a model.
constexpr std::size_t band_floats = std::size_t{1} << 22;
constexpr std::size_t least_band_rows = 256;
constexpr std::size_t tables_per_chunk = lookup_chunk / 4;
constexpr std::size_t floats_per_chunk = tables_per_chunk * 16;

const CpuPacked& cpu_packed(const PackedMatrix& matrix) {
    const auto* packed = dynamic_cast<const CpuPacked*>(&matrix);
    if (packed == nullptr) {
        throw InternalError("a packed matrix of another backend came to backend cpu");
    }
    return *packed;
}

/// The tables and sums of all tokens for one cut of the columns and one kind of tables.
class Tables {
public:
    Tables(const CpuPacked& weight, MatrixView<const float> x)
        : cut_(weight.cut()),
          kind_(weight.tables()),
          pieces_(weight.pieces()),
          n_chunks_(pieces_.empty() ? 0 : pieces_.back().first_chunk + pieces_.back().n_chunks),
          x_(x),
          sums_(x.rows * pieces_.size()),
          scales_(sums_.size()) {}

    [[nodiscard]] bool fit(const CpuPacked& weight) const {
        return weight.cut() == cut_ && weight.tables() == kind_;
    }
    /// Floats of memory.
    [[nodiscard]] std::size_t size() const { return x_.rows * n_chunks_ * per_chunk(); }
    void place(float* memory) { memory_ = memory; }

    [[nodiscard]] std::size_t n_tasks() const { return x_.rows * pieces_.size(); }
    void build(std::size_t task) {
        const std::size_t token = task / pieces_.size();
        const ColumnCut::Piece& piece = pieces_[task % pieces_.size()];
        const float* x = x_.row(token) + piece.begin;
        thread_local Scratch scratch;
        const std::size_t padded = piece.n_chunks * lookup_chunk;
        float* all = scratch.floats(padded);
        std::fill(std::copy_n(x, piece.size, all), all + padded, 0.0F);
        sums_[task] = static_cast<float>(std::accumulate(x, x + piece.size, 0.0));
        float* own = memory_ + (token * n_chunks_ + piece.first_chunk) * per_chunk();
        if (kind_ == LookupTables::int8) {
            scales_[task] = vector_kernels().build_coarse_tables(
                all, piece.n_chunks, reinterpret_cast<std::uint8_t*>(own));
        } else {
            vector_kernels().build_tables(all, piece.n_chunks * tables_per_chunk, own);
        }
    }

    /// y += what a group of rows and the columns of a piece add to the product with a token.
    void look_up(const LookupGroup& group, std::size_t token, std::size_t piece, float* y) const {
        const float* own = memory_ + (token * n_chunks_ + pieces_[piece].first_chunk) * per_chunk();
        const std::size_t task = token * pieces_.size() + piece;
        if (kind_ == LookupTables::int8) {
            vector_kernels().lookup_coarse(group, reinterpret_cast<const std::uint8_t*>(own),
                                           scales_[task], sums_[task], y);
        } else {
            vector_kernels().lookup(group, own, sums_[task], y);
        }
    }

private:
    [[nodiscard]] std::size_t per_chunk() const {
        return kind_ == LookupTables::int8 ? coarse_table_bytes / sizeof(float) : floats_per_chunk;
    }

    const ColumnCut& cut_;
    LookupTables kind_;
    const std::vector<ColumnCut::Piece>& pieces_;
    std::size_t n_chunks_;
    MatrixView<const float> x_;
    std::vector<float> sums_;    ///< of x, for each token and piece
    std::vector<float> scales_;  ///< of tables of int8
    float* memory_ = nullptr;
};

/// One of the products of a call and the tables it reads.
struct Product {
    const PackedProduct* product;
    const CpuPacked* weight;
    std::size_t tables;
    std::size_t first_tile;
};

void multiply_tile(const Product& product, const Tables& tables, std::size_t tile) {
    const CpuPacked& weight = *product.weight;
    const MatrixView<float>& y = product.product->y;
    float sums[few_tokens][lookup_tile_rows] = {};
    for (std::size_t i = 0; i < weight.pieces().size(); ++i) {
        const LookupGroup group = weight.group(tile, i);
        for (std::size_t t = 0; t < y.rows; ++t) {
            tables.look_up(group, t, i, sums[t]);
        }
    }
    const std::size_t first = tile * lookup_tile_rows;
    const std::size_t n = std::min(lookup_tile_rows, weight.rows() - first);
    const std::span<const float> bias = product.product->bias;
    for (std::size_t t = 0; t < y.rows; ++t) {
        for (std::size_t r = 0; r < n; ++r) {
            y(t, first + r) = bias.empty() ? sums[t][r] : sums[t][r] + bias[first + r];
        }
    }
}

void look_up(ThreadPool& pool, MatrixView<const float> x, std::span<const PackedProduct> products) {
    std::vector<Tables> tables;
    std::vector<Product> parts;
    std::size_t n_tiles = 0;
    for (const PackedProduct& product : products) {
        const CpuPacked& weight = cpu_packed(*product.weight);
        std::size_t own = 0;
        while (own < tables.size() && !tables[own].fit(weight)) {
            ++own;
        }
        if (own == tables.size()) {
            tables.emplace_back(weight, x);
        }
        parts.push_back({&product, &weight, own, n_tiles});
        n_tiles += weight.n_tiles();
    }
    std::size_t n_floats = 0;
    for (const Tables& own : tables) {
        n_floats += own.size();
    }
    thread_local Scratch scratch;
    float* memory = scratch.floats(n_floats);
    for (Tables& own : tables) {
        own.place(memory);
        memory += own.size();
        // A few pieces at a time: a table takes less time than handing it to a thread.
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
        multiply_tile(parts[i], tables[parts[i].tables], tile - parts[i].first_tile);
    });
}

}  // namespace

std::unique_ptr<const PackedMatrix> CpuBackend::do_pack(const CodedMatrix& matrix) const {
    return std::make_unique<CpuPacked>(matrix, pool_);
}

void CpuBackend::do_linear_packed(MatrixView<const float> x,
                                  std::span<const PackedProduct> products) const {
    if (x.rows <= few_tokens) {
        return look_up(pool_, x, products);
    }
    for (const PackedProduct& product : products) {
        const CpuPacked& weight = cpu_packed(*product.weight);
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
    const CpuPacked& packed = cpu_packed(table);
    for (std::size_t t = 0; t < ids.size(); ++t) {
        packed.decode_row(ids[t], y.row(t));
    }
}

}  // namespace lathe::kernels
