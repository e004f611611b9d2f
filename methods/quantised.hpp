#pragma once

#include <cstdint>
#include <vector>

#include "kernels/contract/backend.hpp"

namespace lathe {

/// A matrix [rows, cols] of integer codes with the grids they belong to, in a backend's memory.
struct Quantised {
    kernels::IntegerGridSettings grid;
    std::size_t rows = 0;
    std::size_t cols = 0;
    kernels::Array<float> scale_memory;
    kernels::Array<float> zero_memory;
    kernels::Array<std::uint8_t> code_memory;
    std::vector<double> errors;  ///< squared output error of each row

    Quantised(std::size_t rows_, std::size_t cols_, const kernels::IntegerGridSettings& grid_,
              const kernels::Backend& backend);

    [[nodiscard]] std::size_t n_groups() const {
        return kernels::group_count(cols, grid.group_size);
    }
    [[nodiscard]] MatrixView<float> scales() const { return scale_memory.matrix(rows, n_groups()); }
    [[nodiscard]] MatrixView<float> zeros() const { return zero_memory.matrix(rows, n_groups()); }
    [[nodiscard]] MatrixView<std::uint8_t> codes() const { return code_memory.matrix(rows, cols); }

    /// Writes the values of all codes. values [rows, cols]
    void decode(MatrixView<float> values, const kernels::Backend& backend) const;
    /// What the codes can stand for, with zeros where `keep` (empty, or [rows, cols]) is 0.
    [[nodiscard]] kernels::MatrixLimits limits(MatrixView<const std::uint8_t> keep) const {
        return {.grid = &grid,
                .binary = nullptr,
                .scales = scales(),
                .zeros = zeros(),
                .keep = keep,
                .pattern = {},
                .importance = {}};
    }
    /// Takes the codes of values on the grid. values [rows, cols]
    void take_codes(MatrixView<float> values, const kernels::Backend& backend) const {
        backend.round_to_grid(values, grid, scales(), zeros(), codes(), values);
    }
};

/// A copy in memory of its own.
[[nodiscard]] Quantised copy_of(const Quantised& quantised, const kernels::Backend& backend);

/// Takes over the rows in which `other`, of the same shape, is better.
void keep_better_rows(Quantised& best, const Quantised& other, const kernels::Backend& backend);

}  // namespace lathe
