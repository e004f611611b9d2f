#include "kernels/cpu/integers/integer_panels.hpp"

#include <algorithm>

#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/layouts/fixed_point.hpp"

namespace lathe::kernels {

std::vector<ColumnPiece> column_pieces(std::size_t cols, std::size_t size_a, std::size_t size_b) {
    std::vector<ColumnPiece> pieces;
    fixed_point::for_pieces(0, cols, {size_a, size_b}, [&](std::size_t begin, std::size_t end) {
        pieces.push_back({begin, end});
    });
    return pieces;
}

bool are_whole_groups(const std::vector<ColumnPiece>& pieces) {
    return std::ranges::all_of(
        pieces, [](const ColumnPiece& piece) { return piece.begin % columns_per_group == 0; });
}

RowPanels::RowPanels(std::size_t rows, std::size_t cols)
    : n_panels_((rows + integer_panel_rows - 1) / integer_panel_rows),
      panel_bytes_(group_count_of(cols) * columns_per_group * integer_panel_rows),
      numbers_(n_panels_ * panel_bytes_, 128) {}

void RowPanels::set_row(std::size_t row, std::span<const std::int8_t> q) {
    for (std::size_t j = 0; j < q.size(); j += columns_per_group) {
        std::uint8_t* to = numbers_.data() + place(row, j);
        const std::size_t n = std::min(columns_per_group, q.size() - j);
        for (std::size_t b = 0; b < n; ++b) {
            to[b] = static_cast<std::uint8_t>(q[j + b] + 128);
        }
    }
}

void RowPanels::set_column(std::size_t col, std::span<const std::int8_t> q) {
    for (std::size_t r = 0; r < q.size(); r += integer_panel_rows) {
        std::uint8_t* to = numbers_.data() + place(r, col);
        const std::size_t n = std::min(integer_panel_rows, q.size() - r);
        for (std::size_t i = 0; i < n; ++i) {
            to[i * columns_per_group] = static_cast<std::uint8_t>(q[r + i] + 128);
        }
    }
}

TokenRows::TokenRows(std::size_t n_tokens, std::size_t cols, std::vector<ColumnPiece> pieces,
                     std::size_t row_block_size)
    : pieces_(std::move(pieces)),
      stride_(group_count_of(cols) * columns_per_group),
      own_(n_tokens * stride_, 0),
      numbers_(own_.data()),
      starts_(n_tokens * pieces_.size()) {
    set_pieces(row_block_size);
}

TokenRows::TokenRows(const BlockedMatrix& x, std::vector<ColumnPiece> pieces,
                     std::size_t row_block_size)
    : pieces_(std::move(pieces)),
      stride_(group_count_of(x.cols) * columns_per_group),
      own_(stride_ == x.cols ? 0 : x.rows * stride_, 0),
      numbers_(stride_ == x.cols ? x.narrow.data() : own_.data()),
      starts_(x.rows * pieces_.size()) {
    set_pieces(row_block_size);
    for (std::size_t t = 0; !own_.empty() && t < x.rows; ++t) {
        std::copy_n(x.narrow.data() + t * x.cols, x.cols, row(t));
    }
}

void TokenRows::set_pieces(std::size_t row_block_size) {
    for (const ColumnPiece& piece : pieces_) {
        piece_ends_.push_back(static_cast<std::uint32_t>(group_count_of(piece.end)));
        piece_blocks_.push_back(static_cast<std::uint32_t>(piece.begin / row_block_size));
    }
}

namespace {
LATHE_VECTOR_CLONES
std::int32_t sum_of(const std::int8_t* numbers, std::size_t n) {
    std::int32_t sum = 0;
    for (std::size_t j = 0; j < n; ++j) {
        sum += numbers[j];
    }
    return sum;
}
}  // namespace

void TokenRows::finish(std::size_t t) {
    const std::int8_t* numbers = numbers_ + t * stride_;
    for (std::size_t p = 0; p < pieces_.size(); ++p) {
        const std::int32_t sum =
            sum_of(numbers + pieces_[p].begin, pieces_[p].end - pieces_[p].begin);
        // May go round, as the sums that begin with it do.
        starts_[t * pieces_.size() + p] =
            static_cast<std::int32_t>(0U - static_cast<std::uint32_t>(sum) * 128U);
    }
}

IntegerPanel TokenRows::with(const std::uint8_t* numbers, std::size_t begin,
                             std::size_t count) const {
    IntegerPanel panel;
    panel.numbers = numbers;
    panel.piece_ends = piece_ends_.data();
    panel.n_pieces = pieces_.size();
    panel.piece_blocks = piece_blocks_.data();
    panel.x = numbers_ + begin * stride_;
    panel.x_stride = stride_;
    panel.x_starts = starts_.data() + begin * pieces_.size();
    panel.n_tokens = count;
    return panel;
}

}  // namespace lathe::kernels
