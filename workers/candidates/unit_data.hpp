#pragma once

#include <vector>

#include "kernels/contract/backend.hpp"
#include "methods/method.hpp"
#include "workers/candidates/unit_rows.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

/// The weights of a unit's rows and the statistics of its input, in memory.
struct UnitData {
    std::vector<TensorRows> parts;  ///< of `tensors`
    std::vector<std::vector<float>> weights;
    std::vector<UnitTensor> tensors;
    std::vector<float> gram;
    std::vector<float> row_weights;
    UnitStatistics statistics;  ///< views of what stands above
};

/// The Gram matrix of what a unit reads, [d, d], both triangles. Calibration measured it in the
/// given model's basis and with its neurons as they are stored. For a unit that reads a sliced
/// stream it is turned into the stream's basis and cut; for one that reads neurons these are put in
/// order. @pre  the unit reads no token ids
[[nodiscard]] std::vector<float> read_input_gram(const JobContext& context, const UnitSpec& unit);

/// From the source and what calibration left. @throws DataError  for weights that are not finite
[[nodiscard]] UnitData load_unit(const JobContext& context, const UnitSpec& unit, UnitRows rows);

/// Of each row of the unit's rows the error of a candidate that is all zeros.
[[nodiscard]] std::vector<double> row_energies(const UnitData& data,
                                               const kernels::Backend& backend);

}  // namespace lathe
