#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/comm/control.hpp"
#include "lib/job/task.hpp"
#include "orchestrator/running_task.hpp"
#include "orchestrator/timekeeper.hpp"

namespace lathe {

/// What the coordinator knows of the worker of one rank.
struct Worker {
    bool lost = false;                   ///< it gets no task again
    bool spoke_again = false;            ///< after it was declared lost, so it does live
    bool left = false;                   ///< was told to stop, and did
    std::optional<std::string> failure;  ///< why it cannot go on, in its own words
    std::string instruction_set;         ///< what it computes with, once it has said so
    std::optional<std::string> task;     ///< id of what it does
    bool is_pinned = false;              ///< that task, or for all ranks
    Timekeeper::Clock::time_point task_start;
    double fraction = 0.0;           ///< of it that is done
    std::uint64_t memory_bytes = 0;  ///< resident, as it last told
    Timekeeper::Clock::time_point last_heard;

    [[nodiscard]] bool is_alive() const { return !lost && !left; }
    [[nodiscard]] bool is_busy() const { return task && !lost; }
    [[nodiscard]] bool is_gone() const { return (lost && !spoke_again) || failure; }
};

/// The workers of all ranks. Plain bookkeeping, no messages are sent.
class WorkerTable {
public:
    /// @pre  `time` outlives the object
    WorkerTable(int n_ranks, const Timekeeper& time);

    [[nodiscard]] int n_ranks() const { return static_cast<int>(workers_.size()); }
    [[nodiscard]] Worker& at(int rank) { return workers_[static_cast<std::size_t>(rank)]; }
    [[nodiscard]] const Worker& at(int rank) const {
        return workers_[static_cast<std::size_t>(rank)];
    }
    [[nodiscard]] auto begin() const { return workers_.begin(); }
    [[nodiscard]] auto end() const { return workers_.end(); }

    /// Takes over what a rank says of itself. Results are for the caller.
    void hear(const comm::Control& message);
    /// As if every rank had spoken now.
    void hear_all();
    /// Nobody listened for so long: no rank's silence, and no time that its task took.
    void forgive(Timekeeper::Clock::duration pause);
    /// The rank has this task from now on.
    void give(int rank, const Task& task);

    /// Tasks of ranks that are not lost, the longest at work first.
    [[nodiscard]] std::vector<RunningTask> running_tasks() const;
    /// Whether a rank that is not lost has a task, or a pinned one.
    [[nodiscard]] bool is_running(bool pinned_only) const;
    [[nodiscard]] int n_alive() const;
    [[nodiscard]] std::vector<int> lost_ranks() const;
    [[nodiscard]] std::vector<int> busy_ranks() const;

private:
    void note_instruction_set(int rank, const std::string& name);
    [[nodiscard]] std::vector<int> ranks_where(bool (*condition)(const Worker&)) const;

    const Timekeeper& time_;
    std::vector<Worker> workers_;
    bool told_of_mixed_sets_ = false;
};

}  // namespace lathe
