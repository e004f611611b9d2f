#include "orchestrator/simulate/simulated_job.hpp"

#include <algorithm>

namespace lathe {
namespace {

/// Bytes a second between two ranks: neighbours in the order of ranks share a node but for one pair
/// a node, and that pair sets the pace.
double bandwidth_between_ranks(const ClusterConfig& cluster, int n_ranks) {
    const bool on_one = static_cast<std::uint64_t>(n_ranks) <= cluster.devices_per_node;
    return on_one ? cluster.link.value : cluster.network.value;
}

/// Messages of a task for all ranks: the sums over each part go to rank 0 but for its own, and the
/// total from there to all others.
double messages_of_sums(const WorkCall& call, int n_ranks) {
    const auto n = static_cast<double>(n_ranks);
    const auto own = static_cast<double>(call.parts / static_cast<std::size_t>(n_ranks));
    return n_ranks == 1 ? 0.0 : static_cast<double>(call.parts) - own + n - 1.0;
}

bool is_joint(const WorkTask& task) {
    return task.task.rank == all_ranks;
}

TaskCost cost_of(const WorkCall& call, const WorkTask& task, const ClusterConfig& cluster,
                 int n_ranks) {
    TaskCost cost;
    const double divided = seconds_of(task.work, cluster, call.working_set);
    cost.seconds =
        divided + seconds_of(task.repeated, cluster, call.working_set) + cluster.task_seconds;
    if (call.is_pipeline) {
        cost.batches = call.batches;
        cost.message_seconds = call.message_bytes / bandwidth_between_ranks(cluster, n_ranks);
    }
    if (is_joint(task)) {
        cost.divisible = cost.seconds > 0.0 ? divided / cost.seconds : 0.0;
        cost.parts = call.parts;
        cost.message_seconds = messages_of_sums(call, n_ranks) * call.message_bytes /
                               bandwidth_between_ranks(cluster, n_ranks);
    }
    return cost;
}

}  // namespace

std::vector<SimulatedCall> calls_on(const std::vector<WorkCall>& job, const ClusterConfig& cluster,
                                    int n_ranks) {
    std::vector<SimulatedCall> calls;
    for (const WorkCall& call : job) {
        SimulatedCall& simulated = calls.emplace_back();
        simulated.stage = call.stage;
        simulated.is_pipeline = call.is_pipeline;
        simulated.serial_seconds = seconds_of(call.alone, cluster, call.working_set);
        for (const WorkTask& task : call.tasks) {
            simulated.tasks.push_back({task.task, cost_of(call, task, cluster, n_ranks)});
        }
    }
    return calls;
}

std::vector<StageDemand> demands_of(const std::vector<WorkCall>& job, const ClusterConfig& cluster,
                                    int n_ranks) {
    std::vector<StageDemand> demands;
    std::vector<Work> work;
    for (const WorkCall& call : job) {
        auto found = std::ranges::find(demands, call.stage, &StageDemand::stage);
        if (found == demands.end()) {
            demands.emplace_back().stage = call.stage;
            work.emplace_back();
            found = demands.end() - 1;
        }
        Work& of_stage = work[static_cast<std::size_t>(found - demands.begin())];
        of_stage += call.alone;
        found->rank_bytes = std::max(found->rank_bytes, call.rank_bytes);
        double messages = 0.0;
        if (call.is_pipeline && n_ranks > 1) {
            messages = static_cast<double>((call.tasks.size() - 1) * call.batches);
        }
        for (const WorkTask& task : call.tasks) {
            of_stage += task.work;
            of_stage += task.repeated;
            messages += is_joint(task) ? messages_of_sums(call, n_ranks) : 0.0;
        }
        found->messages += messages;
        found->message_bytes += messages * call.message_bytes;
    }
    for (std::size_t s = 0; s < demands.size(); ++s) {
        demands[s].disk_bytes = work[s].written;
        demands[s].certainty = certainty_of(work[s], cluster, job.front().working_set);
    }
    return demands;
}

}  // namespace lathe
