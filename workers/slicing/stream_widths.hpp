#pragma once

#include <vector>

#include "workers/job/job_context.hpp"

namespace lathe {

// How wide a sliced model's stream is at each boundary (lib/model/stream.hpp).

/// Widths at all boundaries when all that are cut have the same, by sparsity or
/// parameter_reduction.
/// @throws InfeasibleError  if nothing is left, or no width removes that many parameters
[[nodiscard]] std::vector<std::size_t> constant_widths(const SourceModel& source,
                                                       const SliceConfig& slice);

/// Widths of about as many parameters in all as constant_widths(), chosen so that the same share of
/// the stream's energy is cut off everywhere. eigenvalues[b]: of boundary b, largest first; empty
/// where the stream is not cut.
[[nodiscard]] std::vector<std::size_t> energy_widths(
    const SourceModel& source, const SliceConfig& slice,
    const std::vector<std::vector<double>>& eigenvalues);

/// What cutting the stream at one boundary to a width adds to what cuts at the others do to the
/// model's output.
struct WidthEffect {
    std::size_t width = 0;
    double effect = 0.0;
};

/// Widths at which the effects are measured for effect_widths(): that of constant_widths(), one
/// between it and the whole, one as much below it.
[[nodiscard]] std::vector<std::size_t> probe_widths(const SourceModel& source,
                                                    const SliceConfig& slice);

/// Widths of at most as many parameters as constant_widths() with the smallest sum of effects.
/// Between and beyond the measured widths the effect of a boundary is a power of the energy that is
/// cut off. Multiples of the round interval, at most 64 different ones, or the whole.
///   eigenvalues  as for energy_widths()
///   effects[b]   of boundary b, widest first; empty where the stream is not cut
/// The parameters of a shortcut are a product of neighbouring widths, so that for a given price of
/// a parameter the best widths are a shortest path along the boundaries; the price is found by
/// halving.
[[nodiscard]] std::vector<std::size_t> effect_widths(
    const SourceModel& source, const SliceConfig& slice,
    const std::vector<std::vector<double>>& eigenvalues,
    const std::vector<std::vector<WidthEffect>>& effects);

}  // namespace lathe
