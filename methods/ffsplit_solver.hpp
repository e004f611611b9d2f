#pragma once

#include <optional>
#include <span>
#include <vector>

#include "lib/encoding/split.hpp"
#include "methods/method.hpp"

namespace lathe {

/// What a setting of method "ffsplit" asks for in one unit of a feed-forward layer whose neurons
/// stand in order, the heaviest first.
struct FfSplit {
    SplitAxis axis = SplitAxis::rows;  ///< neurons are rows of gate and up, columns of down
    std::size_t neurons = 0;
    std::size_t heavy = 0;  ///< the first of them
    /// Layers in one tensor, one below another: 2 where gate and up are fused.
    std::size_t layers = 1;
    Setting heavy_setting;
    std::optional<Setting> light_setting;  ///< none: dropped

    /// A run of neurons of one layer.
    struct Range {
        std::size_t begin = 0;
        std::size_t count = 0;
        bool is_heavy = false;
    };
    /// In the order in which they stand in a tensor.
    [[nodiscard]] std::vector<Range> ranges() const;
    /// Nothing for a light part that is dropped.
    [[nodiscard]] const Setting* setting_of(const Range& range) const;
    /// The shape of a range of a tensor of `shape`.
    [[nodiscard]] Shape shape_of(const Range& range, const Shape& shape) const;
};

/// Solutions in the order of `splits`. Parts are solved by the methods of their settings.
///   rows     parts do not meet: each is solved for its own outputs. The error of rows that are
///            dropped is that of their values.
///   columns  the heavy part first, with its own Gram matrix; if the light part is dropped, for a
///            target that makes up for it. Then the light part, for what is still missing:
///            W_l + (W_h - W_h') G_hl (G_ll + damping)^-1, W_h' being the compressed heavy part.
[[nodiscard]] std::vector<UnitSolution> solve_ffsplit(std::span<const FfSplit> splits,
                                                      std::span<const UnitTensor> tensors,
                                                      const UnitStatistics& statistics,
                                                      const kernels::Backend& backend);

}  // namespace lathe
