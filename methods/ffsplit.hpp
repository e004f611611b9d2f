#pragma once

#include "methods/method.hpp"

namespace lathe {

/// Method "ffsplit": a feed-forward layer as two, its heavy neurons and its light ones, each in an
/// encoding of its own (FFSplit, Liu et al. 2024, arXiv:2401.04044). For gate and up, whose rows
/// the neurons are, and for down, whose columns they are; other units are refused. The neurons
/// stand in order when it is solved, the heaviest first, so the heavy part is the first columns or
/// rows.
///   heavy_fraction  share of the neurons in the heavy part (default 0.125 and 0.25)
///   round_interval  the heavy part is rounded to a multiple of it (default 64)
///   heavy           how the heavy part is stored: entries of other methods (default integer with 8
///                   bits by rtn)
///   light           likewise the light part, or "dropped" (default integer with 2, 3 and 4 bits,
///                   and low_rank)
/// A setting of a unit has, in place of the first two, `axis` (rows or columns), `neurons`, `heavy`
/// (how many) and `layers` (2: gate and up in one tensor), and the keys of its parts' methods as
/// `heavy.KEY` and `light.KEY`.
[[nodiscard]] MethodRow ffsplit_method();

}  // namespace lathe
