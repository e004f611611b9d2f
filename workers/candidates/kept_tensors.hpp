#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lib/encoding/encoded_tensor.hpp"
#include "lib/job/candidate.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

// Tensors of no unit: norms, biases, tables of positions and segments. They are small, so there are
// no files of their candidates: a tensor is made anew whenever it is read.

/// How the job lets them be stored; UsageError as kept_settings() of its entries.
[[nodiscard]] std::vector<Setting> kept_settings(const JobContext& context);

/// Their indices in ModelSpec::tensors.
[[nodiscard]] std::vector<std::size_t> kept_tensors(const ModelSpec& spec);

/// Such a tensor under a setting.
[[nodiscard]] EncodedTensor kept_tensor(const JobContext& context, std::size_t tensor,
                                        const Setting& setting);

/// Payload bytes of such a tensor under a setting.
[[nodiscard]] std::uint64_t kept_bytes(const ModelOutline& source, std::size_t tensor,
                                       const Setting& setting);

/// All of them under a setting. `error` is the sum of squared differences of their values;
/// `relative_error` the mean over the tensors of its share of the sum of squares, so that a norm
/// counts as much as a large table.
[[nodiscard]] Candidate kept_candidate(const JobContext& context, const Setting& setting);

}  // namespace lathe
