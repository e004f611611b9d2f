#include "orchestrator/search/search_space.hpp"

#include <algorithm>

namespace lathe {

double sum_of(const CandidateTable& table, const std::vector<std::vector<double>>& numbers,
              const std::vector<Setting>& choice) {
    double sum = 0.0;
    for (std::size_t u = 0; u < table.size(); ++u) {
        const auto found = std::ranges::find(table[u], choice[u], &Candidate::setting);
        sum += numbers[u][static_cast<std::size_t>(found - table[u].begin())];
    }
    return sum;
}

SearchSpace SearchSpace::of(JobRun& run, const Budget& budget) {
    SearchSpace space{read_candidate_table(run), PlanSize::of(run.context(), run.source()), {}, {}};
    space.limits.bytes = budget.limit_bytes(run.given_model().weights.tensor_bytes(),
                                            run.given_model().spec.parameters());
    space.times = product_times(run, space.table);
    const double speedup = run.context().job.search.speedup;
    if (speedup > 0.0) {
        // Sums in another order differ in their last digits.
        space.limits.seconds = space.times->source / speedup * (1.0 + 1e-9);
    }
    return space;
}

std::vector<Gene> SearchSpace::genes(const JobRun& run, const CandidateScores& scores) const {
    const auto seconds = times ? times->candidates : std::vector<std::vector<double>>{};
    return make_genes(run.spec(), table, options_of(size, table, scores, seconds),
                      run.context().job.search.tied_blocks);
}

SearchLimits SearchSpace::limits_of_genes() const {
    return {limits.bytes - std::min(limits.bytes, size.fixed_bytes()), limits.seconds};
}

}  // namespace lathe
