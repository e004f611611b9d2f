#include <algorithm>
#include <memory>
#include <numeric>

#include "kernels/cpu/integers/block_loops.hpp"
#include "kernels/cpu/integers/cpu_integers.hpp"
#include "kernels/cpu/integers/integer_panels.hpp"
#include "kernels/layouts/fixed_point.hpp"
#include "kernels/layouts/integer_rows.hpp"

namespace lathe::kernels {
namespace {

using BlockNumbers = fixed_point::BlockNumbers<ClonedLoops>;
using fixed_point::Number;
using RowScratch = fixed_point::RowScratch<ClonedLoops>;

constexpr std::size_t tokens_per_tile = 48;
constexpr std::size_t rows_per_tile = 64;

class PanelWeight final : public IntegerWeight {
public:
    explicit PanelWeight(const BlockedMatrix& matrix)
        : rows_(matrix.rows),
          cols_(matrix.cols),
          block_size_(matrix.block_size),
          blocks_(matrix.blocks()),
          numbers(matrix.rows, matrix.cols),
          shifts_(matrix.shifts) {
        for (std::size_t r = 0; r < rows_; ++r) {
            for (std::size_t j = 0; j < cols_; ++j) {
                numbers.set(r, j, matrix.narrow[r * cols_ + j]);
            }
            coarsest_.push_back(static_cast<std::int8_t>(matrix.coarsest(r)));
        }
    }

    [[nodiscard]] std::size_t rows() const noexcept override { return rows_; }
    [[nodiscard]] std::size_t cols() const noexcept override { return cols_; }
    [[nodiscard]] std::size_t block_size() const { return block_size_; }
    /// Of the blocks of a row.
    [[nodiscard]] const std::int8_t* shifts(std::size_t r) const {
        return shifts_.data() + r * blocks_;
    }
    /// The smallest shift of rows [begin, end).
    [[nodiscard]] int coarsest(std::size_t begin, std::size_t end) const {
        const auto first = coarsest_.begin() + static_cast<std::ptrdiff_t>(begin);
        return *std::min_element(first, first + static_cast<std::ptrdiff_t>(end - begin));
    }

private:
    std::size_t rows_, cols_, block_size_, blocks_;

public:
    RowPanels numbers;

private:
    std::vector<std::int8_t> shifts_;    ///< [rows, blocks]
    std::vector<std::int8_t> coarsest_;  ///< [rows]
};

/// One call of linear() or logits(): outputs in blocks of `block` rows of the weight.
class Product {
public:
    Product(const BlockedMatrix& x, const PanelWeight& weight, std::size_t block, ThreadPool& pool)
        : x_(x),
          weight_(weight),
          block_(block),
          rows_per_tile_(std::lcm(block, integer_panel_rows)),
          tokens_(x.rows, x.cols, column_pieces(x.cols, x.block_size, weight.block_size())),
          is_whole_(are_whole_groups(tokens_.pieces())) {
        while (rows_per_tile_ < rows_per_tile) {
            rows_per_tile_ *= 2;
        }
        for (std::size_t begin = 0; begin < weight.rows(); begin += block) {
            block_coarsest_.push_back(
                weight.coarsest(begin, std::min(begin + block, weight.rows())));
        }
        set_row_ups();
        const auto count = [](std::size_t n, std::size_t size) { return (n + size - 1) / size; };
        token_tiles_ = count(x.rows, tokens_per_tile);
        row_tiles_ = count(weight.rows(), rows_per_tile_);
        coarsest_.resize(x.rows);
        pool.for_each(token_tiles_, [&](std::size_t tile) {
            const std::size_t end = std::min((tile + 1) * tokens_per_tile, x.rows);
            for (std::size_t t = tile * tokens_per_tile; t < end; ++t) {
                set_token(t);
            }
        });
    }

    [[nodiscard]] std::size_t n_tiles() const { return token_tiles_ * row_tiles_; }

    /// use(token, first row of the weight, numbers of up to `block` outputs, their exponent).
    template <class Use>
    void run_tile(std::size_t tile, const Use& use) const {
        const std::size_t row = tile / token_tiles_ * rows_per_tile_;
        const std::size_t token = tile % token_tiles_ * tokens_per_tile;
        const std::size_t rows = std::min(rows_per_tile_, weight_.rows() - row);
        const std::size_t n_tokens = std::min(tokens_per_tile, x_.rows - token);
        const auto sums = std::make_unique_for_overwrite<std::int64_t[]>(n_tokens * rows_per_tile_);
        if (is_whole_) {
            multiply_panels(row, rows, token, n_tokens, sums.get());
        } else {
            multiply_plainly(row, rows, token, n_tokens, sums.get());
        }
        for (std::size_t t = 0; t < n_tokens; ++t) {
            for (std::size_t begin = 0; begin < rows; begin += block_) {
                const std::size_t end = std::min(begin + block_, rows);
                const int exponent = fixed_point::product_bits + coarsest_[token + t] +
                                     block_coarsest_[(row + begin) / block_];
                use(token + t, row + begin, sums.get() + t * rows_per_tile_ + begin, end - begin,
                    exponent);
            }
        }
    }

private:
    void set_token(std::size_t t) {
        coarsest_[t] = x_.coarsest(t);
        std::copy_n(x_.narrow.data() + t * x_.cols, x_.cols, tokens_.row(t));
        tokens_.finish(t);
        for (std::size_t p = 0; p < tokens_.pieces().size(); ++p) {
            tokens_.up(t, p) =
                fixed_point::product_bits + coarsest_[t] - x_.shift(t, tokens_.pieces()[p].begin);
        }
    }

    /// How far sums of a piece go to the left for each row, relative to its output block's
    /// coarsest.
    void set_row_ups() {
        const auto& pieces = tokens_.pieces();
        const std::size_t n_panels = weight_.numbers.n_panels();
        row_ups_.assign(n_panels * pieces.size() * integer_panel_rows, 0);
        std::vector<std::size_t> blocks;
        for (const ColumnPiece& piece : pieces) {
            blocks.push_back(piece.begin / weight_.block_size());
        }
        for (std::size_t r = 0; r < weight_.rows(); ++r) {
            const int coarsest = block_coarsest_[r / block_];
            const std::int8_t* shifts = weight_.shifts(r);
            std::int32_t* to = row_ups_.data() +
                               r / integer_panel_rows * pieces.size() * integer_panel_rows +
                               r % integer_panel_rows;
            for (std::size_t i = 0; i < pieces.size(); ++i) {
                to[i * integer_panel_rows] = coarsest - shifts[blocks[i]];
            }
        }
    }

    /// Those of a panel. [pieces][integer_panel_rows]
    [[nodiscard]] const std::int32_t* row_ups(std::size_t panel) const {
        return row_ups_.data() + panel * tokens_.pieces().size() * integer_panel_rows;
    }

    void multiply_panels(std::size_t row, std::size_t rows, std::size_t token, std::size_t n_tokens,
                         std::int64_t* sums) const {
        const std::size_t n_panels = (rows + integer_panel_rows - 1) / integer_panel_rows;
        for (std::size_t p = 0; p < n_panels; ++p) {
            const std::size_t own = row / integer_panel_rows + p;
            vector_kernels().multiply_blocks(
                tokens_.with(weight_.numbers.panel(own), row_ups(own), token, n_tokens),
                sums + p * integer_panel_rows, rows_per_tile_);
        }
    }

    /// For blocks that end within a group of columns.
    void multiply_plainly(std::size_t row, std::size_t rows, std::size_t token,
                          std::size_t n_tokens, std::int64_t* sums) const {
        for (std::size_t t = token; t < token + n_tokens; ++t) {
            for (std::size_t r = row; r < row + rows; ++r) {
                std::int64_t total = 0;
                for (std::size_t i = 0; i < tokens_.pieces().size(); ++i) {
                    const ColumnPiece& piece = tokens_.pieces()[i];
                    std::int32_t sum = 0;
                    for (std::size_t j = piece.begin; j < piece.end; ++j) {
                        sum += x_.number(t, j) * weight_.numbers.number(r, j);
                    }
                    const int up =
                        fixed_point::product_bits + coarsest_[t] - x_.shift(t, piece.begin) +
                        row_ups(
                            r /
                            integer_panel_rows)[i * integer_panel_rows + r % integer_panel_rows];
                    total += up < 0 ? 0 : std::int64_t{sum} << up;
                }
                sums[(t - token) * rows_per_tile_ + (r - row)] = total;
            }
        }
    }

    const BlockedMatrix& x_;
    const PanelWeight& weight_;
    std::size_t block_;
    std::size_t rows_per_tile_;
    TokenRows tokens_;
    bool is_whole_;
    std::vector<int> coarsest_;          ///< [tokens]
    std::vector<int> block_coarsest_;    ///< [blocks of outputs]: of the weight's rows
    std::vector<std::int32_t> row_ups_;  ///< [panels][pieces][integer_panel_rows]
    std::size_t token_tiles_ = 0;
    std::size_t row_tiles_ = 0;
};

/// The outputs of a block and the bias as pieces of scratch.numbers.
void add_outputs(const std::int64_t* sums, std::size_t first, std::size_t n, int exponent,
                 const BlockedMatrix* bias, RowScratch& scratch) {
    scratch.numbers.clear();
    fixed_point::add_outputs(first, first + n, exponent, bias, scratch,
                             [&](std::size_t begin, std::size_t end, std::int64_t* to) {
                                 std::copy(sums + (begin - first), sums + (end - first), to);
                             });
}

const PanelWeight& panels_of(const IntegerWeight& weight) {
    return static_cast<const PanelWeight&>(weight);
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
    const Product product(x, panels_of(weight), y.block_size, pool_);
    pool_.for_each(product.n_tiles(), [&](std::size_t tile) {
        RowScratch scratch(y);
        product.run_tile(tile, [&](std::size_t t, std::size_t first, const std::int64_t* sums,
                                   std::size_t n, int exponent) {
            add_outputs(sums, first, n, exponent, bias, scratch);
            scratch.numbers.store(y, t, first / y.block_size);
        });
    });
}

void CpuIntegers::do_logits(const BlockedMatrix& x, const IntegerWeight& weight,
                            const BlockedMatrix* bias, MatrixView<float> y) const {
    if (y.rows == 0 || y.cols == 0) {
        return;
    }
    const Product product(x, panels_of(weight), fixed_point::logits_block_size, pool_);
    const BlockedMatrix block(0, 0, fixed_point::logits_block_size, 8);
    pool_.for_each(product.n_tiles(), [&](std::size_t tile) {
        RowScratch scratch(block);
        product.run_tile(tile, [&](std::size_t t, std::size_t first, const std::int64_t* sums,
                                   std::size_t n, int exponent) {
            add_outputs(sums, first, n, exponent, bias, scratch);
            scratch.numbers.for_each([&](std::size_t o, const Number& number) {
                y(t, first + o) = fixed_point::to_float(number);
            });
        });
    });
}

}  // namespace lathe::kernels
