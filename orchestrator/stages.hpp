#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/job/budget.hpp"
#include "lib/job/candidate.hpp"
#include "orchestrator/evaluation_report.hpp"
#include "orchestrator/job_questions.hpp"
#include "orchestrator/job_run.hpp"
#include "orchestrator/search/plan_evaluation.hpp"
#include "workers/exports/export_format.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// The stages of a job, in this order. Each makes tasks, has them run on all ranks and leaves
/// artifacts in the run directory; what is there already is not made again.

/// Of a job that weighs tokens, their weights: RunDirectory::token_weights(). Else nothing.
void weigh_tokens(JobRun& run);

/// Statistics of every linear input: RunDirectory::statistics().
void calibrate(JobRun& run);

/// One sweep of it: of the first, 0, as calibrate(); of later ones with the streams cut to `widths`
/// by the rotations of the sweep before.
void calibrate_sweep(JobRun& run, std::size_t sweep, const std::vector<std::size_t>& widths);

/// What a job did to the model's width.
/// Widths that were compared by the mean divergence of the model cut so.
struct ConsideredWidths {
    std::string name;  ///< "constant", "energy", "effect"
    std::vector<std::size_t> widths;
    double divergence = 0.0;  ///< nats
};

struct SliceReport {
    std::vector<std::size_t> widths;           ///< of the stream at each boundary
    std::vector<ConsideredWidths> considered;  ///< with `widths: search`
    std::uint64_t parameters = 0;              ///< of the sliced model
};

/// For a job that slices: calibration and rotations in the order it asks for, then the sliced
/// model, RunDirectory::sliced(), which the later stages work on. Takes the place of calibrate().
SliceReport slice(JobRun& run);

/// For a job that wants it (JobContext::orders_neurons()): the neurons of each feed-forward layer
/// by falling score, RunDirectory::neurons(). The later stages work on the model in that order.
void order_neurons(JobRun& run);

/// Candidates of every unit: RunDirectory::candidates().
void compress(JobRun& run);

/// What the search found for one budget.
struct SearchResult {
    EvaluatedPlan best;
    std::vector<Candidate> chosen;  ///< of the best plan: chosen_candidates()
    std::uint64_t limit_bytes = 0;
    /// How many times as fast as the source's the products of the best plan are; 0: not known.
    double speedup = 0.0;
    std::vector<EvaluatedPlan> considered;  ///< all that were run on all evaluation samples
};

/// Chooses a candidate for every unit, and for the tensors of no unit. Contenders are the exact
/// knapsack's answers, once on relative errors weighted by what an error of that unit does to the
/// model's output (measured unit by unit), once on plain relative errors, and every homogeneous
/// plan that fits. All are run on the evaluation samples; evolution starts from the best of them.
/// The plan with the least divergence from the source wins. Writes RunDirectory::plan(plan_name).
/// With search.speedup all of them are also that fast (search/product_times.hpp).
/// @throws InfeasibleError  naming the smallest feasible budget, or the largest feasible speedup
SearchResult search(JobRun& run, const Budget& budget, const std::string& plan_name = "");

/// What refinement did to a plan: mean divergences from the source on the evaluation samples.
struct RefineReport {
    double plan_kl = 0.0;
    double kl = 0.0;
    double perplexity = 0.0;
    bool accepted = false;  ///< `kl` is less: the refined plan is the one to assemble
};

/// Refines the plan that the search chose, if the job wants it and there is anything to refine: the
/// units of each block are compressed again under the plan's settings, for the inputs that the
/// compressed blocks before it make. Puts the refined plan in the place of `found.best` if it
/// diverges less from the source. Writes RunDirectory::refinement(plan_name).
std::optional<RefineReport> refine(JobRun& run, SearchResult& found,
                                   const std::string& plan_name = "");

/// A JSON array: for each unit its name, setting, bytes and errors. Part of plan.json and of the
/// checkpoint's master. `chosen`: chosen_candidates().
[[nodiscard]] std::string units_json(const ModelSpec& spec, const std::vector<Candidate>& chosen);

/// Writes the compressed checkpoint of a plan. Returns its hash.
std::string assemble(JobRun& run, const SearchResult& plan, const Budget& budget,
                     const std::filesystem::path& directory);

/// Reads the checkpoint back, bit for bit. @throws DataError  if anything is not as written
void verify(JobRun& run, const std::filesystem::path& directory);

/// How the checkpoint does on the job's texts and tasks, next to the source model, and on the texts
/// next to the best uniform plan that the search measured, if that is another one. Ranks share the
/// chunks of all texts, then those of all tasks; a finished chunk's answer is in the journal.
/// Writes RunDirectory::windows().
EvaluationReport evaluate(JobRun& run, const JobQuestions& questions, const SearchResult& found,
                          const std::filesystem::path& directory);

/// What an export of the job came to.
struct ExportReport {
    std::string format;
    std::filesystem::path directory;
    ExportSummary summary;
};

/// The checkpoint in the formats that the job asks for, RunDirectory::exported(), each read back
/// and compared with the checkpoint. @throws DataError  if one cannot be had, or does not read back
std::vector<ExportReport> export_checkpoint(JobRun& run, const std::filesystem::path& directory);

/// Bytes of all files below a directory.
[[nodiscard]] std::uint64_t directory_bytes(const std::filesystem::path& directory);

}  // namespace lathe
