#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lib/job/run_directory.hpp"

namespace lathe::report {

/// Eigenvalues of the residual stream's second moments at a boundary of a block, largest first.
struct Spectrum {
    std::string place;           ///< "block_0003/0", "head/0", "global/0"
    std::vector<double> values;  ///< all of them
};

struct Spectra {
    std::size_t sweep = 0;  ///< the last one that was found
    std::vector<Spectrum> places;
};

/// Of a run that slices, the rotations it has found so far; none for others.
/// @throws DataError  a file is damaged
[[nodiscard]] Spectra read_spectra(const RunDirectory& run);

}  // namespace lathe::report
