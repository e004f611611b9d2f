#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/contract/backend.hpp"

/// Integer grids for 16 rows at a time, one row in each lane of a vector. Rows do not meet, so a
/// row gets the same grid whichever lane it is in.
namespace lathe::kernels {

inline constexpr std::size_t n_lanes = 16;

/// Chooses the grid of one group of 16 rows, as Backend::fit_integer_grid() says; error sums in
/// fp32.
///   columns    element j of row l at columns[j * stride + l], j < size
///   importance [size]
///   scales, zeros [16], out
void fit_lanes(const float* columns, std::size_t stride, const float* importance, std::size_t size,
               const IntegerGridSettings& settings, float* scales, float* zeros);

/// One panel of the columns of 16 rows, as the error-feedback sweep sees it. [n, 16] unless said.
struct LanePanel {
    float* columns = nullptr;       ///< in: weights; out: values of the chosen codes
    float* errors = nullptr;        ///< out: what each column passed on; rows `error_stride` apart
    std::uint8_t* codes = nullptr;  ///< out: rows `code_stride` apart
    std::size_t error_stride = n_lanes;
    std::size_t code_stride = n_lanes;
};

/// Quantises columns [begin, end) of a panel that all have the same grid and passes each column's
/// error on to the columns after it, up to n.
///   factor  row i of the panel's diagonal block of U at factor[i * factor_stride]
///   scales, zeros [16]
void sweep_lanes(const LanePanel& panel, std::size_t begin, std::size_t end, std::size_t n,
                 const float* factor, std::size_t factor_stride,
                 const IntegerGridSettings& settings, const float* scales, const float* zeros);

/// Rounds `size` elements of one group: exactly what the reference does.
void round_group(const float* w, std::size_t size, const IntegerGridSettings& settings, float scale,
                 float zero, std::uint8_t* codes, float* values);

}  // namespace lathe::kernels
