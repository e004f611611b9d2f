#pragma once

#include <filesystem>
#include <vector>

#include "lib/encoding/encoded_tensor.hpp"
#include "lib/job/candidate.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

/// The candidates of a unit as an artifact has them.
/// @throws DataError
[[nodiscard]] std::vector<Candidate> read_candidates(const std::filesystem::path& file,
                                                     std::size_t unit);

/// For each candidate, in the order of read_candidates(), the mean squared error of each output of
/// the unit. Outputs are the rows of each tensor, the columns of a table that is looked up, and the
/// rows and then the columns of an embedding that is tied to the head. They add up to
/// Candidate::error, in which a tied embedding's columns do not count. Empty for the source's own
/// values.
/// @throws DataError
[[nodiscard]] std::vector<std::vector<double>> read_output_errors(
    const std::filesystem::path& file);

/// Tensor `place` of the unit under a setting: read from the candidates, or from the source.
[[nodiscard]] EncodedTensor read_candidate_tensor(const JobContext& context, std::size_t unit,
                                                  std::size_t place, const Setting& setting);

}  // namespace lathe
