#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/job/budget.hpp"
#include "lib/job/candidate.hpp"
#include "orchestrator/job_run.hpp"
#include "workers/token_data.hpp"

namespace lathe {

/// The stages of a job, in this order. Each makes tasks, has them run on all ranks and leaves
/// artifacts in the run directory; what is there already is not made again.

/// Statistics of every linear input: RunDirectory::statistics().
void calibrate(JobRun& run);

/// One sweep of it: of the first, 0, as calibrate(); of later ones with the streams cut to `widths`
/// by the rotations of the sweep before.
void calibrate_sweep(JobRun& run, std::size_t sweep, const std::vector<std::size_t>& widths);

/// What a job did to the model's width.
struct SliceReport {
    std::vector<std::size_t> widths;  ///< of the stream at each boundary
    std::uint64_t parameters = 0;     ///< of the sliced model
};

/// Of a job that slices: calibration and rotations in the order it asks for, then the sliced model,
/// RunDirectory::sliced(), which the later stages work on. Takes the place of calibrate().
SliceReport slice(JobRun& run);

/// Candidates of every unit: RunDirectory::candidates().
void compress(JobRun& run);

/// A plan and how it does on the evaluation samples.
struct EvaluatedPlan {
    Plan plan;
    double kl = 0.0;  ///< mean KL(source || plan) per token (of a classifier: per text), nats
    double perplexity = 0.0;  ///< on the same samples; NaN for a classifier
};

/// What the search found for one budget.
struct SearchResult {
    EvaluatedPlan best;
    std::vector<Candidate> chosen;  ///< of the best plan, for each unit
    std::uint64_t limit_bytes = 0;
    std::vector<EvaluatedPlan> considered;  ///< the searched and all homogeneous plans that fit
};

/// Chooses a candidate for every unit. Contenders are the exact knapsack's answers, once on
/// relative errors weighted by what an error of that unit does to the model's output (measured unit
/// by unit), once on plain relative errors, and every homogeneous plan that fits. All are run on
/// the evaluation samples, and the one with the least divergence from the source wins. Writes
/// RunDirectory::plan(plan_name).
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

/// Samples are evaluated in chunks of about this many tokens: one task each. A constant, so that
/// results do not depend on the number of ranks.
inline constexpr std::size_t tokens_per_evaluation_task = 16384;

/// The samples cut into chunks.
[[nodiscard]] std::vector<TokenSequences> evaluation_chunks(const TokenSequences& samples);

/// Every unit under `setting`, or under the candidate most like it: of its method, with the fewest
/// differing values, then the fewest bytes more, then the least error. None if a unit has no
/// candidate of that method.
[[nodiscard]] std::optional<std::vector<Setting>> homogeneous_choice(
    const std::vector<std::vector<Candidate>>& candidates, const Setting& setting);

}  // namespace lathe
