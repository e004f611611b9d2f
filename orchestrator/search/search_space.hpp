#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/job/budget.hpp"
#include "orchestrator/job_run.hpp"
#include "orchestrator/plan_size.hpp"
#include "orchestrator/search/candidate_table.hpp"
#include "orchestrator/search/evolution.hpp"
#include "orchestrator/search/genes.hpp"
#include "orchestrator/search/product_times.hpp"

namespace lathe {

/// The sum of the numbers that belong to the candidates of a choice.
[[nodiscard]] double sum_of(const CandidateTable& table,
                            const std::vector<std::vector<double>>& numbers,
                            const std::vector<Setting>& choice);

/// What a search may choose from.
struct SearchSpace {
    CandidateTable table;
    PlanSize size;
    std::optional<ProductTimes> times;  ///< if the job asks for them
    SearchLimits limits;                ///< of the whole output, and of its products

    [[nodiscard]] static SearchSpace of(JobRun& run, const Budget& budget);

    /// 0 where times are not known.
    [[nodiscard]] double seconds(const std::vector<Setting>& choice) const {
        return times ? sum_of(table, times->candidates, choice) : 0.0;
    }
    [[nodiscard]] std::vector<Gene> genes(const JobRun& run, const CandidateScores& scores) const;
    /// What genes may take beside what every output has.
    [[nodiscard]] SearchLimits limits_of_genes() const;
};

}  // namespace lathe
