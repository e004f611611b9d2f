#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/contract/integers.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"

// Operands of products of bytes as multiply_blocks() reads them.

namespace lathe::kernels {

/// Columns of one piece: both operands have one shift in it.
struct ColumnPiece {
    std::size_t begin = 0;
    std::size_t end = 0;
};

/// All columns, cut where blocks of one or the other size end.
[[nodiscard]] std::vector<ColumnPiece> column_pieces(std::size_t cols, std::size_t size_a,
                                                     std::size_t size_b);

/// Columns in whole groups of four: pieces must end at such, the last may be filled up.
inline constexpr std::size_t columns_per_group = 4;
[[nodiscard]] inline std::size_t group_count_of(std::size_t cols) {
    return (cols + columns_per_group - 1) / columns_per_group;
}
[[nodiscard]] bool are_whole_groups(const std::vector<ColumnPiece>& pieces);

/// Rows of numbers in panels, [panels][groups][integer_panel_rows][4] as q + 128; rows behind the
/// last are zeros.
class RowPanels {
public:
    RowPanels(std::size_t rows, std::size_t cols);

    /// Its first q.size() columns.
    void set_row(std::size_t row, std::span<const std::int8_t> q);
    /// Its first q.size() rows.
    void set_column(std::size_t col, std::span<const std::int8_t> q);
    [[nodiscard]] int number(std::size_t row, std::size_t col) const {
        return numbers_[place(row, col)] - 128;
    }
    [[nodiscard]] std::size_t n_panels() const { return n_panels_; }
    [[nodiscard]] const std::uint8_t* panel(std::size_t p) const {
        return numbers_.data() + p * panel_bytes_;
    }

private:
    [[nodiscard]] std::size_t place(std::size_t row, std::size_t col) const {
        return row / integer_panel_rows * panel_bytes_ +
               (col / columns_per_group * integer_panel_rows + row % integer_panel_rows) *
                   columns_per_group +
               col % columns_per_group;
    }

    std::size_t n_panels_;
    std::size_t panel_bytes_;
    std::vector<std::uint8_t> numbers_;
};

/// Rows of bytes, filled up with zeros to whole groups, and the sums of their pieces.
class TokenRows {
public:
    /// Room for `n_tokens` rows with these pieces. `row_block_size`: of the rows of panels that
    /// they are multiplied with; a piece lies in one block.
    TokenRows(std::size_t n_tokens, std::size_t cols, std::vector<ColumnPiece> pieces,
              std::size_t row_block_size);
    /// The rows of x, which stay where they are if they are whole groups.
    /// @pre  `x` outlives the object
    TokenRows(const BlockedMatrix& x, std::vector<ColumnPiece> pieces, std::size_t row_block_size);

    /// To be written to. @pre  they are not those of a matrix
    [[nodiscard]] std::int8_t* row(std::size_t t) { return own_.data() + t * stride_; }
    /// After the row was written: sums its pieces.
    void finish(std::size_t t);
    [[nodiscard]] const std::vector<ColumnPiece>& pieces() const { return pieces_; }
    /// Of a panel's rows: in which a piece lies. [pieces]
    [[nodiscard]] const std::vector<std::uint32_t>& piece_blocks() const { return piece_blocks_; }

    /// Products of tokens [begin, begin + count) with the panel at `numbers`; how they are aligned
    /// is for the caller to add.
    [[nodiscard]] IntegerPanel with(const std::uint8_t* numbers, std::size_t begin,
                                    std::size_t count) const;

    TokenRows(const TokenRows&) = delete;
    TokenRows& operator=(const TokenRows&) = delete;

private:
    void set_pieces(std::size_t row_block_size);

    std::vector<ColumnPiece> pieces_;
    std::vector<std::uint32_t> piece_ends_;
    std::vector<std::uint32_t> piece_blocks_;
    std::size_t stride_;
    std::vector<std::int8_t> own_;
    const std::int8_t* numbers_;
    std::vector<std::int32_t> starts_;
};

}  // namespace lathe::kernels
