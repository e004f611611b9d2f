#include "orchestrator/task_queue.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>

#include "lib/core/errors.hpp"

namespace lathe {

TaskQueue::TaskQueue(std::span<const Task> tasks, int n_ranks)
    : tasks_(tasks),
      pinned_(static_cast<std::size_t>(n_ranks)),
      rank_to_avoid_(tasks.size(), -1),
      n_awaited_(tasks.size()),
      followers_(tasks.size()) {
    let_followers_wait();
    for (std::size_t position = 0; position < tasks.size(); ++position) {
        const Task& task = tasks[position];
        if (task.rank < all_ranks || task.rank >= n_ranks) {
            throw InternalError("task " + task.id + " is pinned to rank " +
                                std::to_string(task.rank) + ", but there are " +
                                std::to_string(n_ranks) + " ranks");
        }
        if (n_awaited_[position] > 0) {
            continue;
        }
        (task.rank == all_ranks  ? joint_
         : task.rank == any_rank ? free_
                                 : pinned_[static_cast<std::size_t>(task.rank)])
            .push_back(position);
    }
    std::ranges::stable_sort(
        free_, [&](std::size_t a, std::size_t b) { return tasks_[a].cost > tasks_[b].cost; });
}

void TaskQueue::let_followers_wait() {
    if (std::ranges::all_of(tasks_, [](const Task& task) { return task.after.empty(); })) {
        return;
    }
    std::unordered_map<std::string_view, std::size_t> positions;
    for (std::size_t position = 0; position < tasks_.size(); ++position) {
        positions.emplace(tasks_[position].id, position);
    }
    for (std::size_t position = 0; position < tasks_.size(); ++position) {
        const Task& task = tasks_[position];
        if (!task.after.empty() && task.rank != any_rank) {
            throw InternalError("task " + task.id + " begins after others and is not for any rank");
        }
        for (const std::string& id : task.after) {
            if (const auto found = positions.find(id); found != positions.end()) {
                followers_[found->second].push_back(position);
                ++n_awaited_[position];
            }
        }
        n_waiting_ += n_awaited_[position] > 0 ? 1 : 0;
    }
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
    const auto may_have = [&](std::size_t position) {
        return (is_alone || rank_to_avoid_[position] != rank) && (!fits || fits(position));
    };
    for (auto* const queue : {&released_, &free_}) {
        const auto found = std::ranges::find_if(*queue, may_have);
        if (found != queue->end()) {
            const std::size_t position = *found;
            queue->erase(found);
            return position;
        }
    }
    return std::nullopt;
}

void TaskQueue::put_back(std::size_t position, int rank_to_avoid) {
    rank_to_avoid_[position] = rank_to_avoid;
    released_.push_front(position);
}

void TaskQueue::finish(std::size_t position) {
    take_out(position);
    for (const std::size_t follower : followers_[position]) {
        if (--n_awaited_[follower] == 0) {
            released_.push_back(follower);
            --n_waiting_;
        }
    }
    followers_[position].clear();
}

void TaskQueue::take_out(std::size_t position) {
    std::erase(joint_, position);
    std::erase(released_, position);
    std::erase(free_, position);
    for (auto& own : pinned_) {
        std::erase(own, position);
    }
}

bool TaskQueue::is_empty() const {
    return joint_.empty() && released_.empty() && free_.empty() && n_waiting_ == 0 &&
           std::ranges::all_of(pinned_, [](const auto& own) { return own.empty(); });
}

bool TaskQueue::needs(int rank) const {
    return has_joint() || !pinned_[static_cast<std::size_t>(rank)].empty();
}

}  // namespace lathe
