#pragma once

#include "methods/method.hpp"

namespace lathe {

/// Method "ffsplit": a feed-forward layer as two, its heavy neurons and its light ones, each in an
/// encoding of its own (FFSplit, Liu et al. 2024, arXiv:2401.04044). For gate and up, whose rows
/// the neurons are, and for down, whose columns they are; other units are refused. The neurons
/// stand in order when it is solved, the heaviest first, so the heavy part is the first columns or
/// rows.
///   heavy_fraction  share of the neurons in the heavy part (default 0.125 and 0.25)
///   heavy_energy    or how much of the layer's energy the heavy part is to hold: as many neurons
///   as
///                   that takes, another number in each layer. In place of heavy_fraction
///   round_interval  the heavy part is rounded to a multiple of it, for heavy_energy up (default
///   64) heavy           how the heavy part is stored: entries of other methods (default integer
///   with 8
///                   bits by rtn)
///   light           likewise the light part, or "dropped" (default integer with 2, 3 and 4 bits,
///                   and low_rank)
/// A setting of a unit has, in place of heavy_fraction and round_interval, `axis` (rows or
/// columns), `neurons`, `heavy` (how many) and `layers` (2: gate and up in one tensor), and the
/// keys of its parts' methods as `heavy.KEY` and `light.KEY`. It keeps heavy_energy, so that the
/// search finds the same wish in other layers. Before calibration a setting by energy has no
/// `heavy`.
[[nodiscard]] MethodRow ffsplit_method();

}  // namespace lathe
