#pragma once

#include <optional>
#include <vector>

#include "lib/job/kernel_times.hpp"
#include "orchestrator/job_run.hpp"
#include "orchestrator/search/candidate_table.hpp"

namespace lathe {

/// What the products with the weights of a model take, seconds: sums of kernel times. Tables that
/// are looked up take none.
struct ProductTimes {
    double source = 0.0;                          ///< of the model the job was given
    std::vector<std::vector<double>> candidates;  ///< of each unit

    /// How many times as fast as the source's the products of a plan are that take `seconds`.
    [[nodiscard]] double speedup(double seconds) const { return source / seconds; }
};

/// Nothing unless the job sets search.speedup or search.kernel_times. Times come from that file or,
/// without one, from measurements on this rank's backend, which are kept in the run directory
/// (RunDirectory::kernel_times()): a resumed run uses the same table.
/// @throws MissingInputError, DataError  of the file; it lacks an entry
[[nodiscard]] std::optional<ProductTimes> product_times(JobRun& run, const CandidateTable& table);

}  // namespace lathe
