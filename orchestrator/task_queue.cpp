#include "orchestrator/task_queue.hpp"

#include <algorithm>
#include <string>

#include "lib/core/errors.hpp"

namespace lathe {

TaskQueue::TaskQueue(std::span<const Task> tasks, int n_ranks)
    : tasks_(tasks), pinned_(static_cast<std::size_t>(n_ranks)), rank_to_avoid_(tasks.size(), -1) {
    for (std::size_t position = 0; position < tasks.size(); ++position) {
        const Task& task = tasks[position];
        if (task.rank < all_ranks || task.rank >= n_ranks) {
            throw InternalError("task " + task.id + " is pinned to rank " +
                                std::to_string(task.rank) + ", but there are " +
                                std::to_string(n_ranks) + " ranks");
        }
        (task.rank == all_ranks  ? joint_
         : task.rank == any_rank ? free_
                                 : pinned_[static_cast<std::size_t>(task.rank)])
            .push_back(position);
    }
    std::ranges::stable_sort(
        free_, [&](std::size_t a, std::size_t b) { return tasks_[a].cost > tasks_[b].cost; });
}

std::optional<std::size_t> TaskQueue::take_joint(const Fits& fits) {
    if (joint_.empty() || (fits && !fits(joint_.front()))) {
        return std::nullopt;
    }
    const std::size_t position = joint_.front();
    joint_.pop_front();
    return position;
}

std::optional<std::size_t> TaskQueue::take(int rank, bool is_alone, const Fits& fits) {
    auto& own = pinned_[static_cast<std::size_t>(rank)];
    if (!own.empty()) {
        if (fits && !fits(own.front())) {
            return std::nullopt;
        }
        const std::size_t position = own.front();
        own.pop_front();
        return position;
    }
    const auto found = std::ranges::find_if(free_, [&](std::size_t position) {
        return (is_alone || rank_to_avoid_[position] != rank) && (!fits || fits(position));
    });
    if (found == free_.end()) {
        return std::nullopt;
    }
    const std::size_t position = *found;
    free_.erase(found);
    return position;
}

void TaskQueue::put_back(std::size_t position, int rank_to_avoid) {
    rank_to_avoid_[position] = rank_to_avoid;
    free_.push_front(position);
}

void TaskQueue::remove(std::size_t position) {
    std::erase(joint_, position);
    std::erase(free_, position);
    for (auto& own : pinned_) {
        std::erase(own, position);
    }
}

bool TaskQueue::is_empty() const {
    return joint_.empty() && free_.empty() &&
           std::ranges::all_of(pinned_, [](const auto& own) { return own.empty(); });
}

bool TaskQueue::needs(int rank) const {
    return has_joint() || !pinned_[static_cast<std::size_t>(rank)].empty();
}

}  // namespace lathe
