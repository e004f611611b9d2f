#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/job/budget.hpp"
#include "lib/job/candidate.hpp"
#include "orchestrator/job_run.hpp"
#include "orchestrator/search/plan_evaluation.hpp"
#include "workers/token_data.hpp"

namespace lathe {

/// The stages of a job, in this order. Each makes tasks, has them run on all ranks and leaves
/// artifacts in the run directory; what is there already is not made again.

/// Statistics of every linear input: RunDirectory::statistics().
void calibrate(JobRun& run);

/// Candidates of every unit: RunDirectory::candidates().
void compress(JobRun& run);

/// What the search found for one budget.
struct SearchResult {
    EvaluatedPlan best;
    std::vector<Candidate> chosen;  ///< of the best plan, for each unit
    std::uint64_t limit_bytes = 0;
    std::vector<EvaluatedPlan> considered;  ///< all that were run on all evaluation samples
};

/// Chooses a candidate for every unit. Contenders are the exact knapsack's answers, once on
/// relative errors weighted by what an error of that unit does to the model's output (measured unit
/// by unit), once on plain relative errors, and every homogeneous plan that fits. All are run on
/// the evaluation samples; evolution goes on from the best of them. The plan with the least
/// divergence from the source wins. Writes RunDirectory::plan(plan_name).
/// @throws InfeasibleError  naming the smallest feasible budget
SearchResult search(JobRun& run, const Budget& budget, const std::string& plan_name = "");

/// A JSON array: for each unit its name, setting, bytes and errors. Part of plan.json and of the
/// checkpoint's master.
[[nodiscard]] std::string units_json(const ModelSpec& spec, const std::vector<Candidate>& chosen);

/// Writes the compressed checkpoint of a plan. Returns its hash.
std::string assemble(JobRun& run, const SearchResult& plan, const Budget& budget,
                     const std::filesystem::path& directory);

/// Reads the checkpoint back, bit for bit. @throws InternalError  if anything is not as written
void verify(JobRun& run, const std::filesystem::path& directory);

/// How a model does on a text.
struct TextEvaluation {
    std::string file;
    std::uint64_t tokens = 0;        ///< predicted ones; of a classifier: all of the texts
    double source_perplexity = 0.0;  ///< NaN for a classifier, like the next
    double perplexity = 0.0;
    double kl = 0.0;  ///< mean KL(source || compressed) per token or text, nats
    double top1_agreement = 0.0;
};

/// Perplexity of source and checkpoint on the texts of `evaluate.perplexity`, and how far apart
/// they are. A classifier has no perplexity: only the latter, over the single texts.
std::vector<TextEvaluation> evaluate(JobRun& run, const std::filesystem::path& directory);

/// Hugging Face directory, dequantised: RunDirectory::hf_export().
void export_checkpoint(JobRun& run, const std::filesystem::path& directory);

/// Bytes of all files below a directory.
[[nodiscard]] std::uint64_t directory_bytes(const std::filesystem::path& directory);

}  // namespace lathe
