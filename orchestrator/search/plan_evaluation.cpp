#include "orchestrator/search/plan_evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "lib/core/hash.hpp"
#include "lib/core/json.hpp"
#include "lib/dataset/paired.hpp"
#include "orchestrator/evaluation_tasks.hpp"
#include "orchestrator/stages/task_lists.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/network/forward.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace {

std::string hash_of(const std::vector<Setting>& choice) {
    Hasher hasher;
    for (const Setting& setting : choice) {
        hasher.add_field(to_string(setting));
    }
    return to_hex(hasher.digest());
}

/// `name`: of the samples, among all that plans are evaluated on.
StageTask evaluation_task(const JobRun& run, const Plan& plan, const TokenSequences& samples,
                          const std::string& name) {
    EvaluationTask evaluation;
    evaluation.choice = plan.choice;
    evaluation.refined = plan.refined;
    evaluation.against_source = true;
    evaluation.samples = samples;
    StageTask task;
    task.task.stage = stage::evaluate_plan;
    std::vector<std::string> parts{hash_of(plan.choice)};
    if (!plan.refined.empty()) {
        parts.push_back(plan.refined);
    }
    task.task.id = "search/" + run.fingerprint(parts) + "/" + name;
    task.task.cost = static_cast<double>(samples.tokens());
    task.task.arguments = to_json(evaluation);
    return task;
}

StageTask variant_task(const JobRun& run, const VariantTask& work) {
    std::vector<std::string> parts{"variants", hash_of(work.base), hash_of(work.samples)};
    for (const Variant& variant : work.variants) {
        parts.push_back(std::to_string(variant.size()));
        for (const UnitChange& change : variant) {
            parts.push_back(std::to_string(change.unit));
            parts.push_back(to_string(change.setting));
        }
    }
    std::vector<std::size_t> first_changes;
    for (const Variant& variant : work.variants) {
        first_changes.push_back(variant.empty()
                                    ? work.base.size()
                                    : std::ranges::min(variant, {}, &UnitChange::unit).unit);
    }
    StageTask task;
    task.task.stage = stage::variants;
    task.task.id = "variants/" + run.fingerprint(parts);
    task.task.cost = variants_cost(work.base.size(), first_changes, work.samples.tokens());
    task.task.arguments = to_json(work);
    return task;
}

/// What the source model makes of some samples.
StageTask reference_task(const JobRun& run, const TokenSequences& samples) {
    const std::string hash = hash_of(samples);
    StageTask task;
    task.task.stage = stage::reference;
    task.task.id = "reference/" + hash;
    task.artifact = run.run().reference(hash);
    task.fingerprint = run.fingerprint({task.task.id});
    task.task.cost = static_cast<double>(samples.tokens());
    task.task.arguments = to_json(ReferenceTask{samples, task.fingerprint});
    return task;
}

/// Those that a task with variants measures on.
std::vector<TokenSequences> parts_of_variants(const TokenSequences& samples) {
    std::vector<TokenSequences> parts;
    for (const SequenceRange& range : samples.ranges(tokens_per_variants_task)) {
        parts.push_back(samples.part(range));
    }
    return parts;
}

/// What the source model makes of the samples of the tasks that are still open: made by one task
/// for each, before those that measure on it.
void make_references(JobRun& run, const std::vector<StageTask>& tasks,
                     const std::vector<TokenSequences>& samples_of_tasks) {
    std::vector<StageTask> references;
    std::set<std::string> seen;
    for (std::size_t t = 0; t < tasks.size(); ++t) {
        const TokenSequences& samples = samples_of_tasks[t % samples_of_tasks.size()];
        const std::string hash = hash_of(samples);
        if (run.is_done(tasks[t]) || !seen.insert(hash).second) {
            continue;
        }
        references.push_back(reference_task(run, samples));
    }
    run.run_stage("search", std::move(references));
}

}  // namespace

std::vector<EvaluatedPlan> evaluate_plans(JobRun& run, std::vector<Plan> plans) {
    const TokenSequences& all = run.samples().evaluation;
    const std::vector<TokenSequences> chunks =
        evaluation_chunks(all, chunks_wanted(plans.size(), run.first_ranks()));
    // Chunks of another cut are other tasks.
    const bool is_finer = chunks.size() > evaluation_chunks(all).size();
    const std::string cut = is_finer ? "of" + std::to_string(chunks.size()) : "";
    std::vector<StageTask> tasks;
    for (const Plan& plan : plans) {
        for (std::size_t c = 0; c < chunks.size(); ++c) {
            tasks.push_back(evaluation_task(run, plan, chunks[c], std::to_string(c) + cut));
        }
    }
    make_references(run, tasks, chunks);
    const std::vector<std::string> answers = run.run_stage("search", std::move(tasks));
    const auto rows = static_cast<double>(ForwardPass::head_rows(run.spec(), all));
    const auto predicted = static_cast<double>(all.predicted_tokens());
    const bool predicts = run.spec().head == HeadKind::language_model;
    const std::vector<double> rows_of_samples =
        predicts ? std::vector<double>(all.lengths.begin(), all.lengths.end())
                 : std::vector<double>(all.count(), 1.0);
    std::vector<EvaluatedPlan> evaluated;
    for (std::size_t p = 0; p < plans.size(); ++p) {
        std::vector<double> kl_of_samples;
        double nll = 0.0;
        for (std::size_t c = 0; c < chunks.size(); ++c) {
            const SampleLosses losses = sample_losses_from_json(answers[p * chunks.size() + c]);
            kl_of_samples.insert(kl_of_samples.end(), losses.kl.begin(), losses.kl.end());
            nll = std::accumulate(losses.nll.begin(), losses.nll.end(), nll);
        }
        const double kl = std::accumulate(kl_of_samples.begin(), kl_of_samples.end(), 0.0);
        const double perplexity =
            predicts ? std::exp(nll / predicted) : std::numeric_limits<double>::quiet_NaN();
        evaluated.push_back({std::move(plans[p]), kl / rows, perplexity,
                             mean_of_groups(kl_of_samples, rows_of_samples).standard_error});
    }
    return evaluated;
}

std::vector<StageTask> plan_tasks(const JobRun& run, const Plan& plan,
                                  const TokenSequences& samples) {
    std::vector<StageTask> tasks;
    for (const TokenSequences& chunk : evaluation_chunks(samples)) {
        tasks.push_back(evaluation_task(run, plan, chunk, hash_of(chunk)));
    }
    return tasks;
}

void make_references_ahead(JobRun& run, std::span<const SequenceRange> ranges) {
    std::vector<StageTask> references;
    std::set<std::string> seen;
    for (const SequenceRange& range : ranges) {
        for (const TokenSequences& part : parts_of_variants(run.samples().evaluation.part(range))) {
            if (seen.insert(hash_of(part)).second) {
                references.push_back(reference_task(run, part));
            }
        }
    }
    run.run_stage("search", std::move(references));
}

std::vector<double> divergences_of_variants(JobRun& run, const std::vector<Setting>& base,
                                            const std::vector<Variant>& variants,
                                            const TokenSequences& samples) {
    static_assert(most_variants_per_task <= max_variants);
    const std::vector<TokenSequences> parts = parts_of_variants(samples);
    const std::size_t per_task =
        variants_per_task(variants.size(), parts.size(), run.first_ranks());
    std::vector<StageTask> tasks;
    for (std::size_t first = 0; first < variants.size(); first += per_task) {
        const auto begin = variants.begin() + static_cast<std::ptrdiff_t>(first);
        const std::size_t count = std::min(per_task, variants.size() - first);
        for (const TokenSequences& part : parts) {
            tasks.push_back(variant_task(
                run, {base, {begin, begin + static_cast<std::ptrdiff_t>(count)}, part}));
        }
    }
    if (!is_source(base)) {  // else it is the variants' own base
        make_references(run, tasks, parts);
    }
    const std::vector<std::string> answers = run.run_stage("search", std::move(tasks));
    std::vector<double> sums(variants.size(), 0.0);
    for (std::size_t a = 0; a < answers.size(); ++a) {
        const auto values = parse_json(answers[a]).get<std::vector<double>>();
        const std::size_t first = a / parts.size() * per_task;
        for (std::size_t i = 0; i < values.size(); ++i) {
            sums[first + i] += values[i];
        }
    }
    const auto rows = static_cast<double>(ForwardPass::head_rows(run.spec(), samples));
    for (double& sum : sums) {
        sum /= rows;
    }
    return sums;
}

}  // namespace lathe
