#include "lib/config/job_keys.hpp"
#include "lib/core/file.hpp"
#include "lib/core/log.hpp"
#include "orchestrator/stages.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/slicing/rotation.hpp"
#include "workers/statistics/neuron_ranking.hpp"
#include "workers/task_table.hpp"

namespace lathe {

namespace {

/// What the orders depend on beside the model and the samples.
std::string order_key(const JobConfig& job) {
    const auto score = job.ffsplit.value_or(FfsplitConfig{}).score;
    const std::string key(neuron_score_names[static_cast<std::size_t>(score)]);
    return score == FfsplitConfig::Score::random ? key + " " + std::to_string(job.seed) : key;
}

}  // namespace

void order_neurons(JobRun& run) {
    const JobContext& given = run.given_context();
    if (!given.orders_neurons()) {
        return;
    }
    make_directories(run.run().neurons());
    const std::string key = order_key(given.job);
    std::vector<StageTask> tasks;
    for (std::size_t block = 0; block < given.spec().n_blocks; ++block) {
        StageTask task;
        task.task.stage = stage::order_neurons;
        task.task.id = "order_neurons/" + block_name(block);
        task.artifact = run.run().neurons(block_name(block));
        task.fingerprint = run.fingerprint({task.task.id, key});
        const std::size_t sweep = given.job.slice ? last_sweep(*given.job.slice) : 0;
        task.task.arguments = to_json(NeuronTask{block, sweep, task.fingerprint});
        tasks.push_back(std::move(task));
    }
    run.run_stage("order_neurons", std::move(tasks));
    run.take_ordered_model("neurons in order: " + key);
    for (const std::string& line : candidates_of_no_use(run.context())) {
        log_warning("candidate_of_no_use " + line);
    }
}

}  // namespace lathe
