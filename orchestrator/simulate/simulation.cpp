#include "orchestrator/simulate/simulation.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "lib/core/errors.hpp"
#include "lib/core/random.hpp"
#include "orchestrator/coordinator.hpp"
#include "orchestrator/stages/task_lists.hpp"

namespace lathe {
namespace {

/// Starts in a row in which no task is finished, before it is called hopeless.
constexpr std::size_t most_vain_starts = 50;

/// With a rank for each link and no time for messages.
double pipeline_seconds(const SimulatedCall& call) {
    const std::size_t n_batches = call.tasks.front().cost.batches;
    std::vector<double> through(n_batches, 0.0);  // when each batch left the last link
    for (const SimulatedTask& task : call.tasks) {
        double free = 0.0;
        for (double& batch : through) {
            free = std::max(free, batch) + task.cost.seconds / static_cast<double>(n_batches);
            batch = free;
        }
    }
    return through.back();
}

/// With as many ranks as anybody could use.
double shortest_seconds(const SimulatedCall& call) {
    if (call.tasks.empty()) {
        return 0.0;
    }
    if (call.is_pipeline) {
        return pipeline_seconds(call);
    }
    double together = 0.0;
    double longest = 0.0;
    for (const auto& [task, cost] : call.tasks) {
        if (task.rank == all_ranks) {
            const double part = cost.divisible / static_cast<double>(cost.parts);
            together += cost.seconds * (part + 1.0 - cost.divisible);
        } else {
            longest = std::max(longest, cost.seconds);
        }
    }
    return together + longest;
}

/// Rank 0 is gone, and the coordinator with it.
struct RankZeroLost : std::exception {};

class Run {
public:
    explicit Run(const SimulatedWorld& world)
        : world_(world),
          ranks_(time_, world.n_ranks, [this](const Task& task) { return costs_.at(task.id); }) {
        result_.n_ranks = world.n_ranks;
        start();
        schedule_loss();
        schedule_preemption();
    }

    void call(const SimulatedCall& call) {
        const double begin = time_.seconds();
        SimulatedStage& stage = stage_named(call.stage);
        add_work(call, stage);
        std::size_t vain = 0;
        while (!is_done(call)) {
            const std::size_t before = done_.size();
            try {
                coordinator_->run(open_tasks(call));
                break;
            } catch (const StoppedError&) {
            } catch (const RankZeroLost&) {
            } catch (const InternalError&) {
                if (world_.lost_per_hour <= 0.0) {
                    throw;
                }  // else a task whose ranks were lost twice
            }
            vain = done_.size() > before ? 0 : vain + 1;
            if (vain == most_vain_starts) {
                throw InfeasibleError("stage " + call.stage + ": in " + std::to_string(vain) +
                                      " starts no task is finished before the next stop");
            }
            start_again();
        }
        serve_alone(call);
        stage.seconds += time_.seconds() - begin;
    }

    Simulation finish() {
        result_.seconds = time_.seconds();
        result_.spans = ranks_.spans();
        std::unordered_map<std::string, SimulatedStage*> by_name;
        for (SimulatedStage& stage : result_.stages) {
            result_.critical_path += stage.critical_path;
            result_.work += stage.work;
            by_name[stage.name] = &stage;
        }
        for (RankSpan& span : result_.spans) {
            span.stage = stage_of_task_.at(span.task);
        }
        result_.spans.insert(result_.spans.end(), alone_.begin(), alone_.end());
        for (const RankSpan& span : result_.spans) {
            SimulatedStage& stage = *by_name.at(span.stage);
            stage.busy += span.busy;
            stage.lost += span.finished ? 0.0 : span.busy;
        }
        for (const SimulatedStage& stage : result_.stages) {
            result_.busy += stage.busy;
        }
        return std::move(result_);
    }

private:
    SimulatedStage& stage_named(const std::string& name) {
        const auto found = std::ranges::find(result_.stages, name, &SimulatedStage::name);
        if (found != result_.stages.end()) {
            return *found;
        }
        result_.stages.emplace_back().name = name;
        return result_.stages.back();
    }

    /// What the call comes to, whatever the ranks.
    void add_work(const SimulatedCall& call, SimulatedStage& stage) {
        for (const SimulatedTask& task : call.tasks) {
            if (!costs_.emplace(task.task.id, task.cost).second) {
                continue;  // was listed before, and is done
            }
            ++stage.tasks;
            stage_of_task_[task.task.id] = call.stage;
            stage.work += task.cost.seconds;
            if (task.cost.seconds > stage.longest_seconds) {
                stage.longest_seconds = task.cost.seconds;
                stage.longest_task = task.task.id;
            }
        }
        stage.work += call.serial_seconds;
        stage.critical_path += (is_done(call) ? 0.0 : shortest_seconds(call)) + call.serial_seconds;
    }

    [[nodiscard]] bool is_done(const SimulatedCall& call) const {
        return std::ranges::all_of(
            call.tasks, [&](const SimulatedTask& t) { return done_.contains(t.task.id); });
    }

    /// As a stage lists them at each start.
    std::vector<Task> open_tasks(const SimulatedCall& call) {
        std::vector<Task> tasks;
        if (call.is_pipeline) {
            const auto first = std::ranges::find_if(
                call.tasks, [&](const SimulatedTask& t) { return !done_.contains(t.task.id); });
            const auto begin = static_cast<std::size_t>(first - call.tasks.begin());
            for (const PipelineLink& link :
                 pipeline_links(begin, call.tasks.size(), world_.n_ranks)) {
                Task task = call.tasks[link.block].task;
                task.rank = link.rank;
                costs_[task.id].from = link.from;
                costs_[task.id].to = link.to;
                tasks.push_back(std::move(task));
            }
            return tasks;
        }
        for (const SimulatedTask& task : call.tasks) {
            if (!done_.contains(task.task.id)) {
                tasks.push_back(task.task);
            }
        }
        return tasks;
    }

    void start() {
        Coordinator::Options options;
        options.time = &time_;
        options.worker_timeout_seconds = world_.worker_timeout_seconds;
        options.stop_requested = [this] { return preempted_; };
        options.on_result = [this](const Task& task, const TaskResult&) { done_.insert(task.id); };
        coordinator_ = std::make_unique<Coordinator>(ranks_, std::move(options));
    }

    void start_again() {
        is_running_ = false;
        ranks_.restart();  // what they did ends here
        time_.pass(world_.restart_seconds);
        is_running_ = true;
        preempted_ = false;
        ++result_.starts;
        start();
    }

    /// Rank 0 works by itself; after a stop in that time it begins anew.
    void serve_alone(const SimulatedCall& call) {
        for (std::size_t tries = 0; call.serial_seconds > 0.0; ++tries) {
            RankSpan span{0, time_.seconds(), 0.0, call.serial_seconds, call.stage, "", true};
            try {
                time_.pass(call.serial_seconds);
                span.end = time_.seconds();
                if (!preempted_) {
                    alone_.push_back(std::move(span));
                    return;
                }
            } catch (const RankZeroLost&) {
            }
            if (tries == most_vain_starts) {
                throw InfeasibleError("stage " + call.stage +
                                      ": what rank 0 does by itself takes " +
                                      std::to_string(std::lround(call.serial_seconds)) +
                                      " s, longer than the time between two stops");
            }
            start_again();
        }
    }

    void schedule_loss() {
        if (world_.lost_per_hour <= 0.0) {
            return;
        }
        const double unit = random_unit(world_.seed, 2 * n_losses_);
        const double gap = -std::log1p(-unit) / world_.lost_per_hour * 3600.0;
        time_.at(time_.seconds() + gap, [this] {
            const double which = random_unit(world_.seed, 2 * n_losses_ + 1);
            ++n_losses_;
            const int rank = static_cast<int>(which * world_.n_ranks);
            schedule_loss();
            if (!is_running_) {
                return;
            }
            ++result_.ranks_lost;
            ranks_.lose(rank);
            if (rank == 0) {
                throw RankZeroLost();
            }
        });
    }

    void schedule_preemption() {
        if (world_.preempt_every <= 0.0) {
            return;
        }
        time_.at(time_.seconds() + world_.preempt_every, [this] {
            result_.preemptions += is_running_ ? 1 : 0;
            preempted_ = true;
            time_.wake();
            schedule_preemption();
        });
    }

    const SimulatedWorld& world_;
    VirtualTime time_;
    SimulatedRanks ranks_;
    std::unique_ptr<Coordinator> coordinator_;
    std::unordered_map<std::string, TaskCost> costs_;  // by task
    std::unordered_map<std::string, std::string> stage_of_task_;
    std::unordered_set<std::string> done_;
    std::uint64_t n_losses_ = 0;
    bool preempted_ = false;
    bool is_running_ = true;       ///< false: between a stop and the next start
    std::vector<RankSpan> alone_;  ///< what rank 0 did by itself
    Simulation result_;
};

}  // namespace

double one_rank_seconds(const std::vector<SimulatedCall>& calls, const std::string& stage) {
    std::unordered_set<std::string> seen;
    double seconds = 0.0;
    for (const SimulatedCall& call : calls) {
        if (!stage.empty() && call.stage != stage) {
            continue;
        }
        seconds += call.serial_seconds;
        for (const SimulatedTask& task : call.tasks) {
            seconds += seen.insert(task.task.id).second ? task.cost.seconds : 0.0;
        }
    }
    return seconds;
}

Simulation simulate(const std::vector<SimulatedCall>& calls, const SimulatedWorld& world) {
    Run run(world);
    for (const SimulatedCall& call : calls) {
        run.call(call);
    }
    return run.finish();
}

}  // namespace lathe
