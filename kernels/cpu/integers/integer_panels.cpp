#include "kernels/cpu/integers/integer_panels.hpp"

#include <algorithm>

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

TokenRows::TokenRows(std::size_t n_tokens, std::size_t cols, std::vector<ColumnPiece> pieces)
    : pieces_(std::move(pieces)),
      stride_(group_count_of(cols) * columns_per_group),
      numbers_(n_tokens * stride_, 0),
      sums_(n_tokens * pieces_.size()),
      ups_(n_tokens * pieces_.size()) {
    for (const ColumnPiece& piece : pieces_) {
        piece_ends_.push_back(static_cast<std::uint32_t>(group_count_of(piece.end)));
    }
}

void TokenRows::finish(std::size_t t) {
    const std::int8_t* numbers = row(t);
    for (std::size_t p = 0; p < pieces_.size(); ++p) {
        std::int32_t sum = 0;
        for (std::size_t j = pieces_[p].begin; j < pieces_[p].end; ++j) {
            sum += numbers[j];
        }
        // May go round, as the sums that it comes off do.
        sums_[t * pieces_.size() + p] =
            static_cast<std::int32_t>(static_cast<std::uint32_t>(sum) * 128U);
    }
}

IntegerPanel TokenRows::with(const std::uint8_t* numbers, const std::int32_t* row_ups,
                             std::size_t begin, std::size_t count) const {
    return {.numbers = numbers,
            .piece_ends = piece_ends_.data(),
            .n_pieces = pieces_.size(),
            .row_ups = row_ups,
            .token_ups = ups_.data() + begin * pieces_.size(),
            .x = numbers_.data() + begin * stride_,
            .x_stride = stride_,
            .x_sums = sums_.data() + begin * pieces_.size(),
            .n_tokens = count};
}

}  // namespace lathe::kernels
