#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/contract/blocked_matrix.hpp"
#include "kernels/cpu/integers/integer_weight.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe::kernels {

inline constexpr std::size_t tokens_per_integer_tile = 48;

/// Sums of products of some tokens with some rows of a weight:
/// value = sum * 2^-(exponent + the row's coarsest shift).
struct OutputTile {
    /// Room for `rows` rows, whole panels of them.
    OutputTile(const PanelWeight& own_weight, std::size_t rows)
        : weight(own_weight),
          row_stride(rows),
          sums(std::make_unique_for_overwrite<std::int32_t[]>(tokens_per_integer_tile * rows)),
          exponents(rows / integer_panel_rows * tokens_per_integer_tile) {}

    const PanelWeight& weight;
    std::size_t first_row = 0;  ///< the first of a panel and of a block of outputs
    std::size_t n_rows = 0;
    std::size_t first_token = 0;
    std::size_t n_tokens = 0;
    std::size_t row_stride;
    std::unique_ptr<std::int32_t[]> sums;  ///< [tokens_per_integer_tile][row_stride]
    std::vector<int> exponents;            ///< [panels][tokens_per_integer_tile]
};

/// Adds the bias (or null) and rounds to the blocks of y that the tile covers.
/// As fixed_point::add_output() and BlockNumbers::store() do, in 32 bits where they suffice.
void store_outputs(const OutputTile& tile, const BlockedMatrix* bias, BlockedMatrix& y);

/// Adds the bias (or null) and writes fp32.
void store_outputs(const OutputTile& tile, const BlockedMatrix* bias, MatrixView<float> y);

}  // namespace lathe::kernels
