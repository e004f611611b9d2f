#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/encoding/nm.hpp"
#include "methods/method.hpp"
#include "methods/pruning.hpp"

namespace lathe {

/// How the places of an N:M matrix are found.
struct PlaceTask {
    NmPattern pattern;
    PruningSolver solver = PruningSolver::admm;
    double damping = 0.01;

    bool operator==(const PlaceTask&) const = default;
};

/// What a setting of method "nm" asks for.
struct NmTask {
    PlaceTask places;
    unsigned num_bits = 0;  ///< 0: floating values
    bool binary = false;    ///< codes are binary ones, else integers
    std::size_t group_size = 0;
    std::optional<DType> value_type;  ///< of floating values; none: the source's

    /// The layout of a tensor of this type.
    [[nodiscard]] NmLayout layout(DType source_dtype) const;
};

/// Solutions in the order of `tasks`.
[[nodiscard]] std::vector<UnitSolution> solve_nm(std::span<const NmTask> tasks,
                                                 std::span<const UnitTensor> tensors,
                                                 const UnitStatistics& statistics,
                                                 const kernels::Backend& backend);

}  // namespace lathe
