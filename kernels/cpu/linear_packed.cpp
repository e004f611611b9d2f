#include <algorithm>
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

/// The tables and sums of all tokens for one cut of the columns.
class Tables {
public:
    Tables(const CpuPacked& weight, MatrixView<const float> x)
        : cut_(weight.cut()),
          pieces_(weight.pieces()),
          n_chunks_(pieces_.empty() ? 0 : pieces_.back().first_chunk + pieces_.back().n_chunks),
          x_(x),
          sums_(x.rows * pieces_.size()) {}

    [[nodiscard]] bool fit(const CpuPacked& weight) const { return weight.cut() == cut_; }
    [[nodiscard]] std::size_t size() const { return x_.rows * n_chunks_ * floats_per_chunk; }
    void place(float* memory) { memory_ = memory; }

    [[nodiscard]] std::size_t n_tasks() const { return x_.rows * pieces_.size(); }
    void build(std::size_t task) {
        const std::size_t token = task / pieces_.size();
        const ColumnCut::Piece& piece = pieces_[task % pieces_.size()];
        const float* x = x_.row(token) + piece.begin;
        double sum = 0.0;
        float chunk[lookup_chunk];
        for (std::size_t c = 0; c < piece.n_chunks; ++c) {
            const std::size_t n = std::min(lookup_chunk, piece.size - c * lookup_chunk);
            std::fill(std::copy_n(x + c * lookup_chunk, n, chunk), chunk + lookup_chunk, 0.0F);
            for (std::size_t j = 0; j < n; ++j) {
                sum += double{chunk[j]};
            }
            vector_kernels().build_tables(chunk, tables_per_chunk,
                                          tables(token, piece) + c * floats_per_chunk);
        }
        sums_[task] = static_cast<float>(sum);
    }

    [[nodiscard]] float* tables(std::size_t token, const ColumnCut::Piece& piece) const {
        return memory_ + (token * n_chunks_ + piece.first_chunk) * floats_per_chunk;
    }
    [[nodiscard]] float sum(std::size_t token, std::size_t piece) const {
        return sums_[token * pieces_.size() + piece];
    }

private:
    const ColumnCut& cut_;
    const std::vector<ColumnCut::Piece>& pieces_;
    std::size_t n_chunks_;
    MatrixView<const float> x_;
    std::vector<float> sums_;
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
            vector_kernels().lookup(group, tables.tables(t, weight.pieces()[i]), tables.sum(t, i),
                                    sums[t]);
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
