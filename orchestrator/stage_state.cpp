#include "orchestrator/stage_state.hpp"

#include <algorithm>
#include <utility>

namespace lathe {
namespace {

constexpr std::size_t max_attempts = 2;

/// Estimates divide by costs, and a task may be said to cost nothing.
double cost_of(const Task& task) {
    return std::max(task.cost, 1e-9);
}

/// The one or two ranks that a task was tried on.
std::string list_ranks(const std::vector<int>& ranks) {
    if (ranks.size() == 1) {
        return "rank " + std::to_string(ranks[0]);
    }
    if (ranks[0] == ranks[1]) {
        return "rank " + std::to_string(ranks[0]) + ", twice";
    }
    return "ranks " + std::to_string(ranks[0]) + " and " + std::to_string(ranks[1]);
}

}  // namespace

StageState::StageState(std::span<const Task> tasks, int n_ranks, const Timekeeper& time)
    : tasks_(tasks),
      queue_(tasks, n_ranks),
      results_(tasks.size()),
      done_(tasks.size()),
      failed_on_(tasks.size()),
      time_(time),
      pinned_cost_(static_cast<std::size_t>(n_ranks)) {
    for (std::size_t position = 0; position < tasks.size(); ++position) {
        const Task& task = tasks[position];
        if (!positions_.emplace(task.id, position).second) {
            throw InternalError("two tasks of one stage have the id " + task.id);
        }
        open_cost_ += cost_of(task);
        add_pinned_cost(task, cost_of(task));
    }
}

std::optional<std::size_t> StageState::find_open(const std::string& id) const {
    const auto found = positions_.find(id);
    if (found == positions_.end() || done_[found->second]) {
        return std::nullopt;
    }
    return found->second;
}

std::optional<TaskResult> StageState::answer(std::size_t position, TaskResult result) {
    const bool only_stopped = result.exit_code == static_cast<int>(ExitCode::stopped);
    if (tasks_[position].rank != all_ranks || (!result.ok && !only_stopped)) {
        return result;
    }
    answers_.push_back(std::move(result));
    if (answers_.size() < n_ranks()) {
        return std::nullopt;
    }
    std::ranges::sort(answers_, {}, &TaskResult::rank);
    const auto stopped = std::ranges::find(answers_, false, &TaskResult::ok);
    TaskResult of_all = stopped == answers_.end() ? answers_.front() : *stopped;
    of_all.seconds = std::ranges::max(answers_, {}, &TaskResult::seconds).seconds;
    answers_.clear();
    return of_all;
}

void StageState::add_pinned_cost(const Task& task, double cost) {
    for (std::size_t rank = 0; rank < n_ranks(); ++rank) {
        if (task.rank == all_ranks || task.rank == static_cast<int>(rank)) {
            pinned_cost_[rank] += cost;
        }
    }
}

const TaskResult& StageState::finish(std::size_t position, TaskResult result) {
    const Task& task = tasks_[position];
    queue_.finish(position);
    done_[position] = true;
    ++n_done_;
    open_cost_ -= cost_of(task);
    done_cost_ += cost_of(task);
    done_seconds_ += result.seconds;
    add_pinned_cost(task, -cost_of(task));
    results_[position] = std::move(result);
    return results_[position];
}

bool StageState::retry_or_fail(std::size_t position, int rank, Failure failure) {
    const Task& task = tasks_[position];
    std::vector<int>& ranks = failed_on_[position];
    ranks.push_back(rank);
    // What may be an accident of one rank or one moment: out of memory, a broken device; a file
    // system that fails now and then.
    const bool may_pass = failure.code == ExitCode::internal || failure.code == ExitCode::io;
    if (may_pass && task.rank == any_rank && ranks.size() < max_attempts) {
        queue_.put_back(position, rank);
        return true;
    }
    failure.message =
        "task " + task.id + " failed on " + list_ranks(ranks) + ": " + failure.message;
    fail(std::move(failure));
    return false;
}

void StageState::fail(Failure failure) {
    if (!failure_) {
        failure_ = std::move(failure);
    }
}

double StageState::seconds_per_cost() const {
    return done_cost_ > 0.0 ? done_seconds_ / done_cost_ : 0.0;
}

double StageState::estimated_seconds(std::size_t position) const {
    return seconds_per_cost() * cost_of(tasks_[position]);
}

double StageState::estimated_open_seconds() const {
    return n_done_ == tasks_.size() ? 0.0 : seconds_per_cost() * open_cost_;
}

double StageState::estimated_pinned_seconds() const {
    if (n_done_ == tasks_.size()) {
        return 0.0;
    }
    return seconds_per_cost() * *std::ranges::max_element(pinned_cost_);
}

double StageState::elapsed_seconds() const {
    return std::chrono::duration<double>(time_.now() - start_).count();
}

}  // namespace lathe
