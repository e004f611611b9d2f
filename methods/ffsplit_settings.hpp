#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "methods/ffsplit_solver.hpp"

namespace lathe {

/// Settings of method "ffsplit" (methods/ffsplit.hpp), as jobs have them: MethodRow::expand.
[[nodiscard]] std::vector<Setting> expand_ffsplit(const CandidateEntry& entry);

/// As a unit of a feed-forward layer has them: MethodRow::for_unit. One that has to hold a share of
/// the energy has no key `heavy` where that is not known; for a share that takes all neurons
/// `heavy` is all of them.
[[nodiscard]] Setting ffsplit_of_unit(const Setting& setting, const ModelSpec& spec,
                                      const UnitSpec& unit, std::span<const double> held);

/// How many neurons the heavy part of such a setting can have: one number, or if it is not known
/// every multiple of the interval that leaves light ones.
[[nodiscard]] std::vector<std::size_t> heavy_sizes(const Setting& setting);

/// The setting with that many.
[[nodiscard]] FfSplit split_of(const Setting& setting, std::size_t heavy);

}  // namespace lathe
