#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "lib/core/matrix_view.hpp"
#include "lib/job/candidate.hpp"
#include "lib/model/model_spec.hpp"
#include "methods/method.hpp"

namespace lathe {

/// Some of the rows of a unit, its tensors standing on top of one another.
struct UnitRows {
    std::size_t first = 0;
    std::size_t count = 0;
};

/// Rows of a tensor that belong to a piece of its unit.
struct TensorRows {
    std::size_t place = 0;  ///< of the tensor in the unit
    std::size_t first = 0;  ///< in the tensor
    std::size_t count = 0;
};

/// What settings of a unit make of its Gram matrix alone, whatever the rows.
struct SharedFactors {
    std::vector<ErrorFeedback> feedbacks;  ///< of make_inverse_factor(), each once
    bool inverses = false;                 ///< GramFactors::inverses of one of them
};

/// None: one of the settings has a method that looks at all rows together.
[[nodiscard]] std::optional<SharedFactors> shared_factors(std::span<const Setting> settings);

[[nodiscard]] std::size_t row_count(const ModelSpec& spec, const UnitSpec& unit);

/// The tensors that have some of the rows, in the unit's order.
[[nodiscard]] std::vector<TensorRows> tensors_of(const ModelSpec& spec, const UnitSpec& unit,
                                                 UnitRows rows);

/// The pieces that a unit's candidates can be made in, each by itself, with the same bytes as in
/// one go: under one Gram matrix each row is solved alone. One piece if the unit is too small for
/// more, or has no shared_factors().
/// A piece begins where kernels would begin a tile, and is large beside what each task makes or
/// reads anew. With `most_rows` it has no more than these, but 256, or 4096 of a look-up, in any
/// case.
[[nodiscard]] std::vector<UnitRows> pieces_of(
    const ModelSpec& spec, const UnitSpec& unit, std::span<const Setting> settings,
    std::size_t most_rows = std::numeric_limits<std::size_t>::max());

/// sums[j] = sum over rows r of weights[r] * (a(r, j) - b(r, j))^2, for each run of
/// lookup_block_rows rows: what is wrong in the columns of a table. [blocks, cols], row by row
inline constexpr std::size_t lookup_block_rows = 4096;
[[nodiscard]] std::vector<double> lookup_errors(MatrixView<const float> a,
                                                MatrixView<const float> b,
                                                std::span<const float> weights);

/// Those of blocks, added up in their order. [cols]
[[nodiscard]] std::vector<double> sum_of_blocks(std::span<const double> blocks, std::size_t cols);

}  // namespace lathe
