#include <algorithm>
#include <memory>
#include <numeric>

#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/integers/cpu_integers.hpp"
#include "kernels/cpu/integers/integer_outputs.hpp"
#include "kernels/cpu/integers/integer_weight.hpp"

namespace lathe::kernels {
namespace {

/// How a panel's sums are aligned for the tokens of a tile. Tokens that there are not count as 0.
struct Alignment {
    /// Of the sums, without their `bits` and the shifts of the rows' coarsest blocks.
    std::int32_t exponents[tokens_per_integer_tile];
    std::vector<std::int32_t> downs;  ///< [pieces][tokens_per_integer_tile]
};

/// The coarsest piece of each token sets the exponent. token_shifts [pieces][a tile's tokens],
/// row_shifts [blocks of the panel's rows].
LATHE_VECTOR_CLONES
void align(const std::int32_t* token_shifts, const std::int8_t* row_shifts,
           const std::vector<std::uint32_t>& piece_blocks, Alignment& alignment) {
    std::int32_t* exponents = alignment.exponents;
    std::int32_t* downs = alignment.downs.data();
    std::fill_n(exponents, tokens_per_integer_tile, 2 * most_shift);
    for (std::size_t p = 0; p < piece_blocks.size(); ++p) {
        const std::int32_t row_shift = row_shifts[piece_blocks[p]];
        for (std::size_t t = 0; t < tokens_per_integer_tile; ++t) {
            const std::int32_t sum = token_shifts[p * tokens_per_integer_tile + t] + row_shift;
            exponents[t] = sum < exponents[t] ? sum : exponents[t];
        }
    }
    for (std::size_t p = 0; p < piece_blocks.size(); ++p) {
        for (std::size_t t = 0; t < tokens_per_integer_tile; ++t) {
            const std::size_t at = p * tokens_per_integer_tile + t;
            downs[at] = token_shifts[at] - exponents[t];
        }
    }
}

/// One call of linear() or logits(): outputs in blocks of `block` rows of the weight.
class Product {
public:
    Product(const BlockedMatrix& x, const PanelWeight& weight, std::size_t block, ThreadPool& pool)
        : x_(x),
          weight_(weight),
          rows_per_tile_(std::lcm(block, integer_panel_rows)),
          tokens_(x, column_pieces(x.cols, x.block_size, weight.block_size()), weight.block_size()),
          is_whole_(are_whole_groups(tokens_.pieces())),
          bits_(fixed_point::sum_bits(x.cols)) {
        const auto count = [](std::size_t n, std::size_t size) { return (n + size - 1) / size; };
        token_tiles_ = count(x.rows, tokens_per_integer_tile);
        // Wide tiles read tokens less often and write longer runs of outputs, as long as there is
        // work for all threads.
        while (rows_per_tile_ < 64 ||
               (rows_per_tile_ < 256 &&
                token_tiles_ * count(weight.rows(), 2 * rows_per_tile_) >= 4 * pool.n_threads())) {
            rows_per_tile_ *= 2;
        }
        row_tiles_ = count(weight.rows(), rows_per_tile_);
        token_shifts_.resize(token_tiles_ * tokens_.pieces().size() * tokens_per_integer_tile);
        pool.for_each(token_tiles_, [&](std::size_t tile) {
            const std::size_t begin = tile * tokens_per_integer_tile;
            const std::size_t end = std::min(begin + tokens_per_integer_tile, x.rows);
            for (std::size_t t = begin; t < end; ++t) {
                set_token(t);
            }
        });
    }

    [[nodiscard]] std::size_t n_tiles() const { return token_tiles_ * row_tiles_; }
    [[nodiscard]] std::size_t rows_per_tile() const { return rows_per_tile_; }

    /// Fills `tile`, which has room for rows_per_tile() rows.
    void run_tile(std::size_t index, OutputTile& tile) const {
        tile.first_row = index / token_tiles_ * rows_per_tile_;
        tile.first_token = index % token_tiles_ * tokens_per_integer_tile;
        tile.n_rows = std::min(rows_per_tile_, weight_.rows() - tile.first_row);
        tile.n_tokens = std::min(tokens_per_integer_tile, x_.rows - tile.first_token);
        const std::size_t n_panels = (tile.n_rows + integer_panel_rows - 1) / integer_panel_rows;
        Alignment alignment;
        alignment.downs.resize(tokens_.pieces().size() * tokens_per_integer_tile);
        for (std::size_t p = 0; p < n_panels; ++p) {
            const std::size_t panel = tile.first_row / integer_panel_rows + p;
            align(token_shifts(index % token_tiles_), weight_.least(panel), tokens_.piece_blocks(),
                  alignment);
            for (std::size_t t = 0; t < tile.n_tokens; ++t) {
                tile.exponents[p * tokens_per_integer_tile + t] = alignment.exponents[t] + bits_;
            }
            std::int32_t* sums = tile.sums.get() + p * integer_panel_rows;
            if (is_whole_) {
                multiply_panel(panel, tile, alignment, sums);
            } else {
                multiply_plainly(panel, tile, alignment, sums);
            }
        }
    }

private:
    void set_token(std::size_t t) {
        tokens_.finish(t);
        const std::size_t n_pieces = tokens_.pieces().size();
        std::int32_t* shifts = token_shifts_.data() +
                               t / tokens_per_integer_tile * n_pieces * tokens_per_integer_tile +
                               t % tokens_per_integer_tile;
        for (std::size_t p = 0; p < n_pieces; ++p) {
            shifts[p * tokens_per_integer_tile] = x_.shift(t, tokens_.pieces()[p].begin);
        }
    }

    [[nodiscard]] const std::int32_t* token_shifts(std::size_t tile) const {
        return token_shifts_.data() + tile * tokens_.pieces().size() * tokens_per_integer_tile;
    }

    void multiply_panel(std::size_t panel, const OutputTile& tile, const Alignment& alignment,
                        std::int32_t* sums) const {
        IntegerPanel work =
            tokens_.with(weight_.numbers().panel(panel), tile.first_token, tile.n_tokens);
        work.bits = bits_;
        work.row_shifts = weight_.shifts(panel);
        work.token_downs = alignment.downs.data();
        work.token_stride = tokens_per_integer_tile;
        vector_kernels().multiply_blocks(work, sums, rows_per_tile_);
    }

    /// For blocks that end within a group of columns.
    void multiply_plainly(std::size_t panel, const OutputTile& tile, const Alignment& alignment,
                          std::int32_t* sums) const {
        const std::size_t first = panel * integer_panel_rows;
        const std::size_t rows = std::min(integer_panel_rows, weight_.rows() - first);
        for (std::size_t t = 0; t < tile.n_tokens; ++t) {
            for (std::size_t r = 0; r < rows; ++r) {
                std::int32_t total = 0;
                for (std::size_t p = 0; p < tokens_.pieces().size(); ++p) {
                    const ColumnPiece& piece = tokens_.pieces()[p];
                    std::int32_t sum = 0;
                    for (std::size_t j = piece.begin; j < piece.end; ++j) {
                        sum += x_.number(tile.first_token + t, j) *
                               weight_.numbers().number(first + r, j);
                    }
                    const std::size_t block = tokens_.piece_blocks()[p];
                    total += fixed_point::aligned(
                        sum, bits_,
                        alignment.downs[p * tokens_per_integer_tile + t] +
                            weight_.shifts(panel)[block * integer_panel_rows + r]);
                }
                sums[t * rows_per_tile_ + r] = total;
            }
        }
    }

    const BlockedMatrix& x_;
    const PanelWeight& weight_;
    std::size_t rows_per_tile_;
    TokenRows tokens_;
    bool is_whole_;
    int bits_;
    std::vector<std::int32_t> token_shifts_;  ///< [token tiles][pieces][tokens of a tile]
    std::size_t token_tiles_ = 0;
    std::size_t row_tiles_ = 0;
};

/// finish(tile) for all tiles of x @ weight^T, on the pool's threads.
template <class Finish>
void for_output_tiles(const BlockedMatrix& x, const IntegerWeight& weight, std::size_t block,
                      ThreadPool& pool, const Finish& finish) {
    const auto& panels = static_cast<const PanelWeight&>(weight);
    const Product product(x, panels, block, pool);
    pool.for_each(product.n_tiles(), [&](std::size_t index) {
        OutputTile tile(panels, product.rows_per_tile());
        product.run_tile(index, tile);
        finish(tile);
    });
}

}  // namespace

std::unique_ptr<const IntegerWeight> CpuIntegers::do_pack(const BlockedMatrix& weight) const {
    return std::make_unique<PanelWeight>(weight);
}

void CpuIntegers::do_linear(const BlockedMatrix& x, const IntegerWeight& weight,
                            const BlockedMatrix* bias, BlockedMatrix& y) const {
    if (y.rows == 0 || y.cols == 0) {
        return;
    }
    for_output_tiles(x, weight, y.block_size, pool_,
                     [&](OutputTile& tile) { store_outputs(tile, bias, y); });
}

void CpuIntegers::do_logits(const BlockedMatrix& x, const IntegerWeight& weight,
                            const BlockedMatrix* bias, MatrixView<float> y) const {
    if (y.rows == 0 || y.cols == 0) {
        return;
    }
    for_output_tiles(x, weight, integer_panel_rows, pool_,
                     [&](OutputTile& tile) { store_outputs(tile, bias, y); });
}

}  // namespace lathe::kernels
