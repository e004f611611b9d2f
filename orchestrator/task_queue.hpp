#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "lib/job/task.hpp"

namespace lathe {

/// Which of the tasks of a stage goes next to which rank. Tasks are known by their position in the
/// list given at the start, which must outlive the queue.
///
/// Tasks for all ranks come before all others, one after another in the order given. Then a rank
/// gets the tasks that are pinned to it, in the order given. The other tasks go longest first
/// (largest cost; ties by position), so that no long one is left for the end. A task that begins
/// after others is not handed out until all of them have finished; then it goes before those that
/// waited for nothing, so that what was made for it can be removed soon.
class TaskQueue {
public:
    /// @throws InternalError  if a task is pinned to a rank that does not exist; if one that
    ///   begins after others is pinned or for all ranks
    TaskQueue(std::span<const Task> tasks, int n_ranks);

    /// Whether there is time for a task, by its position.
    using Fits = std::function<bool(std::size_t)>;

    /// Takes out the next task for all ranks, if there is one and it fits.
    std::optional<std::size_t> take_joint(const Fits& fits = {});
    /// Takes out the next task for `rank` alone that fits, if it has one; of those that are pinned
    /// to it the first or none. A task that was put back goes to another rank than the one to
    /// avoid, unless `is_alone`: then there is no other.
    std::optional<std::size_t> take(int rank, bool is_alone, const Fits& fits = {});
    /// Puts a task that was taken back to the front, to be given to another rank.
    void put_back(std::size_t position, int rank_to_avoid);
    /// Tells that a task is done, and takes it out if it is still in the queue.
    void finish(std::size_t position);
    /// Whether there are tasks that cannot be done without `rank`.
    [[nodiscard]] bool needs(int rank) const;
    [[nodiscard]] bool has_joint() const { return !joint_.empty(); }
    [[nodiscard]] bool is_empty() const;

private:
    void let_followers_wait();
    void take_out(std::size_t position);

    std::span<const Task> tasks_;
    std::deque<std::size_t> joint_;
    std::deque<std::size_t> released_;  // have waited for others; the first goes next
    std::deque<std::size_t> free_;
    std::vector<std::deque<std::size_t>> pinned_;      // for each rank
    std::vector<int> rank_to_avoid_;                   // for each task; -1: none
    std::vector<std::size_t> n_awaited_;               // for each task: how many it still waits for
    std::vector<std::vector<std::size_t>> followers_;  // for each task, that wait for it
    std::size_t n_waiting_ = 0;                        // tasks that wait
};

}  // namespace lathe
