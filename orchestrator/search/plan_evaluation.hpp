#pragma once

#include <span>
#include <vector>

#include "lib/job/candidate.hpp"
#include "orchestrator/job_run.hpp"
#include "workers/evaluation/variants.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// A plan and how it does on the evaluation samples.
struct EvaluatedPlan {
    Plan plan;
    double kl = 0.0;  ///< mean KL(source || plan) per token (of a classifier: per text), nats
    double perplexity = 0.0;         ///< on the same samples; NaN for a classifier
    double kl_standard_error = 0.0;  ///< samples taken for independent; NaN for a single one
};

/// Runs all plans on the evaluation samples, tasks side by side on the ranks. What a plan came to
/// is in the journal: no plan is run twice.
[[nodiscard]] std::vector<EvaluatedPlan> evaluate_plans(JobRun& run, std::vector<Plan> plans);

/// Tasks that say what a plan makes of other samples, beside the source: one a chunk, whose answer
/// is SampleLosses. Equal chunks have equal ids.
[[nodiscard]] std::vector<StageTask> plan_tasks(const JobRun& run, const Plan& plan,
                                                const TokenSequences& samples);

/// Makes what divergences_of_variants() compares with on some ranges of the evaluation samples,
/// side by side, before it is asked for one range after another.
void make_references_ahead(JobRun& run, std::span<const SequenceRange> ranges);

/// Mean KL(source || variant of `base`) per row of the head on `samples`, nats, for each variant:
/// tasks of a few variants and about 512 tokens each.
[[nodiscard]] std::vector<double> divergences_of_variants(JobRun& run,
                                                          const std::vector<Setting>& base,
                                                          const std::vector<Variant>& variants,
                                                          const TokenSequences& samples);

}  // namespace lathe
