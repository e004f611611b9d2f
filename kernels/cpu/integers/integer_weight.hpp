#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/cpu/integers/integer_panels.hpp"
#include "kernels/layouts/fixed_point.hpp"

namespace lathe::kernels {

/// A weight in panels, and the shifts of its blocks as its products read them.
class PanelWeight final : public IntegerWeight {
public:
    explicit PanelWeight(const BlockedMatrix& matrix)
        : rows_(matrix.rows),
          cols_(matrix.cols),
          block_size_(matrix.block_size),
          blocks_(matrix.blocks()),
          numbers_(matrix.rows, matrix.cols),
          shifts_(numbers_.n_panels() * blocks_ * integer_panel_rows, most_shift),
          least_(numbers_.n_panels() * blocks_, most_shift),
          coarsest_(numbers_.n_panels() * integer_panel_rows, most_shift),
          ups_(coarsest_.size(), 0),
          panels_(numbers_.n_panels()) {
        for (std::size_t r = 0; r < rows_; ++r) {
            numbers_.set_row(r, {matrix.narrow.data() + r * cols_, cols_});
            set_shifts(matrix, r);
        }
        for (std::size_t r = 0; r < rows_; ++r) {
            if (!is_zero(matrix, r)) {
                Panel& panel = panels_[r / integer_panel_rows];
                panel.finest = std::max(panel.finest, coarsest_[r]);
            }
        }
        for (std::size_t r = 0; r < rows_; ++r) {
            if (!is_zero(matrix, r)) {
                Panel& panel = panels_[r / integer_panel_rows];
                ups_[r] = panel.finest - coarsest_[r];
                panel.most_up = std::max(panel.most_up, ups_[r]);
            }
        }
    }

    /// The rows of a panel that are not zeros.
    struct Panel {
        int finest = least_shift;  ///< the largest of coarsest()
        int most_up = 0;           ///< the largest of ups()
    };

    [[nodiscard]] std::size_t rows() const noexcept override { return rows_; }
    [[nodiscard]] std::size_t cols() const noexcept override { return cols_; }
    [[nodiscard]] std::size_t block_size() const { return block_size_; }
    [[nodiscard]] const RowPanels& numbers() const { return numbers_; }
    [[nodiscard]] const Panel& panel(std::size_t p) const { return panels_[p]; }
    /// The smallest shift of row r.
    [[nodiscard]] int coarsest(std::size_t r) const { return coarsest_[r]; }
    /// How far rows from r on lie above the finest of their panel; 0 for rows of zeros.
    [[nodiscard]] const std::int32_t* ups(std::size_t r) const { return ups_.data() + r; }
    /// Shifts beyond those of the rows' coarsest blocks. [blocks of a row][integer_panel_rows]
    [[nodiscard]] const std::int8_t* shifts(std::size_t panel) const {
        return shifts_.data() + panel * blocks_ * integer_panel_rows;
    }
    /// The smallest of those in each block. [blocks of a row]
    [[nodiscard]] const std::int8_t* least(std::size_t panel) const {
        return least_.data() + panel * blocks_;
    }

private:
    void set_shifts(const BlockedMatrix& matrix, std::size_t r) {
        coarsest_[r] = matrix.coarsest(r);
        for (std::size_t b = 0; b < blocks_; ++b) {
            // More than 127 bits are as good as 127: nothing is left of a sum of 31.
            const auto shift = static_cast<std::int8_t>(
                std::min(matrix.shifts[r * blocks_ + b] - coarsest_[r], most_shift));
            const std::size_t block = r / integer_panel_rows * blocks_ + b;
            shifts_[block * integer_panel_rows + r % integer_panel_rows] = shift;
            least_[block] = std::min(least_[block], shift);
        }
    }
    [[nodiscard]] static bool is_zero(const BlockedMatrix& matrix, std::size_t r) {
        const auto* q = matrix.narrow.data() + r * matrix.cols;
        return std::all_of(q, q + matrix.cols, [](std::int8_t n) { return n == 0; });
    }

    std::size_t rows_, cols_, block_size_, blocks_;
    RowPanels numbers_;
    std::vector<std::int8_t> shifts_;
    std::vector<std::int8_t> least_;
    std::vector<int> coarsest_;
    std::vector<std::int32_t> ups_;
    std::vector<Panel> panels_;
};
static_assert(integer_panel_rows == fixed_point::rows_per_alignment);

}  // namespace lathe::kernels
