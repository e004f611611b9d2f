#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/core/errors.hpp"
#include "lib/job/task.hpp"
#include "orchestrator/task_queue.hpp"
#include "orchestrator/timekeeper.hpp"

namespace lathe {

/// What the coordinator knows of the stage it is running: what is done, what was tried, why it
/// ends. Plain bookkeeping, no messages.
class StageState {
public:
    struct Failure {
        ExitCode code = ExitCode::internal;
        std::string message;
    };

    /// @pre  `time` outlives the object
    /// @throws InternalError  if two tasks have the same id, or one is pinned to no existing rank
    StageState(std::span<const Task> tasks, int n_ranks, const Timekeeper& time = real_time());

    [[nodiscard]] const Task& task(std::size_t position) const { return tasks_[position]; }
    [[nodiscard]] std::size_t n_tasks() const noexcept { return tasks_.size(); }
    [[nodiscard]] std::size_t n_done() const noexcept { return n_done_; }
    /// Position of a task of this stage that is not done; none for others.
    [[nodiscard]] std::optional<std::size_t> find_open(const std::string& id) const;
    [[nodiscard]] TaskQueue& queue() noexcept { return queue_; }

    /// Takes what a rank answers for an open task. Returns what has become of the task. A task for
    /// all ranks gives nothing until all have answered, then rank 0's answer with the longest of
    /// their times. If a rank fails, its answer comes at once, unless it stopped only because
    /// another one failed: that one's answer is still to come.
    std::optional<TaskResult> answer(std::size_t position, TaskResult result);
    /// Keeps the result of an open task. The reference stays good until take_results().
    const TaskResult& finish(std::size_t position, TaskResult result);
    /// Counts an attempt that came to nothing. Either the task is back in the queue and true
    /// returned, or the stage fails with `failure`.
    bool retry_or_fail(std::size_t position, int rank, Failure failure);
    /// The first failure counts.
    void fail(Failure failure);
    [[nodiscard]] const std::optional<Failure>& failure() const noexcept { return failure_; }

    /// Estimated seconds that a task takes, from those done; 0 before the first is done.
    [[nodiscard]] double estimated_seconds(std::size_t position) const;
    /// The same for all open tasks, and for those that are pinned to the rank with most of them.
    [[nodiscard]] double estimated_open_seconds() const;
    [[nodiscard]] double estimated_pinned_seconds() const;
    [[nodiscard]] double elapsed_seconds() const;

    std::vector<TaskResult> take_results() { return std::move(results_); }

private:
    [[nodiscard]] double seconds_per_cost() const;
    [[nodiscard]] std::size_t n_ranks() const { return pinned_cost_.size(); }
    void add_pinned_cost(const Task& task, double cost);

    std::span<const Task> tasks_;
    TaskQueue queue_;
    std::unordered_map<std::string_view, std::size_t> positions_;
    std::vector<TaskResult> results_;
    std::vector<bool> done_;
    std::vector<TaskResult> answers_;          ///< for the running task that is for all ranks
    std::vector<std::vector<int>> failed_on_;  // ranks, for each task
    std::size_t n_done_ = 0;
    std::optional<Failure> failure_;

    const Timekeeper& time_;
    Timekeeper::Clock::time_point start_ = time_.now();
    double done_cost_ = 0.0;
    double done_seconds_ = 0.0;
    double open_cost_ = 0.0;
    std::vector<double> pinned_cost_;  // open, for each rank
};

}  // namespace lathe
