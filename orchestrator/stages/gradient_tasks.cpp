#include "orchestrator/stages/gradient_tasks.hpp"

#include "lib/core/file.hpp"
#include "orchestrator/stages.hpp"
#include "workers/calibration/output_gradients.hpp"
#include "workers/network/forward.hpp"
#include "workers/task_table.hpp"

namespace lathe {

std::vector<StageTask> gradient_tasks(
    const char* stage, const JobContext& context, const TokenSequences& samples,
    const std::function<std::string(const std::vector<std::string>& parts)>& fingerprint,
    const std::function<std::filesystem::path(std::size_t part)>& artifact) {
    const std::uint64_t seed = context.job.seed;
    std::vector<StageTask> tasks;
    std::uint64_t first_row = 0;
    for (const SequenceRange& range : samples.ranges(tokens_per_batch)) {
        GradientTask gradient{tasks.size(), seed, first_row, samples.part(range), ""};
        first_row += ForwardPass::head_rows(context.spec(), gradient.samples);
        StageTask task;
        task.task.stage = stage;
        task.task.id = std::string(stage) + "/" + std::to_string(gradient.part);
        task.task.cost = static_cast<double>(range.tokens);
        task.artifact = artifact(gradient.part);
        task.fingerprint =
            fingerprint({task.task.id, std::to_string(seed), hash_of(gradient.samples)});
        gradient.fingerprint = task.fingerprint;
        task.task.arguments = to_json(gradient);
        make_directories(task.artifact.parent_path());
        tasks.push_back(std::move(task));
    }
    return tasks;
}

void weigh_tokens(JobRun& run) {
    if (!run.given_context().weighs_tokens()) {
        return;
    }
    run.run_stage(
        stage::weigh_tokens,
        gradient_tasks(
            stage::weigh_tokens, run.given_context(), run.samples().calibration,
            [&](const std::vector<std::string>& parts) { return run.given_fingerprint(parts); },
            [&](std::size_t part) { return run.run().token_weights(part); }));
}

}  // namespace lathe
