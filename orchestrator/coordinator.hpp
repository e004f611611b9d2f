#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lib/comm/communicator.hpp"
#include "lib/job/task.hpp"
#include "orchestrator/running_task.hpp"
#include "orchestrator/timekeeper.hpp"
#include "orchestrator/worker_table.hpp"

namespace lathe {

class StageState;

/// How far a stage is; reported after each finished task, and once a second.
struct StageProgress {
    std::string stage;
    std::size_t done = 0;    ///< of `total`, those reused from an earlier run included
    std::size_t total = 0;   ///< all tasks of the stage, those reused included
    std::size_t reused = 0;  ///< were finished before this run
    double elapsed_seconds = 0.0;
    /// From the costs of done and open tasks, the time the done ones took, and the ranks alive.
    double eta_seconds = 0.0;
    const TaskResult* last = nullptr;    ///< the task just finished; null: none was
    std::vector<RunningTask> running{};  ///< the longest at work first
    std::vector<int> lost{};             ///< ranks
};

/// Hands out the tasks of one stage after another, from rank 0, to the workers (workers/worker.hpp)
/// on all ranks, rank 0 included. It uses messages only, nothing collective, so a rank that is lost
/// costs its task and nothing else. Not thread-safe: one thread uses it.
class Coordinator {
public:
    using OnUnfinished =
        std::function<void(const Task&, int rank, double seconds, const std::string& why)>;
    struct Options {
        /// A rank that sends nothing for this long, not even a sign of life, is lost. It gets no
        /// task again, and its own task goes to another rank. If its result comes after all, it
        /// counts if it is the first.
        double worker_timeout_seconds = 600.0;
        /// A rank whose task takes longer than this many times its estimate, and longer than the
        /// least deadline, hangs, whatever signs of life it gives: it counts as lost. Estimates
        /// come from the tasks of the stage that are done, so the first ones have none. Pinned
        /// tasks have no deadline: they may wait for each other.
        double deadline_factor = 20.0;
        double least_deadline_seconds = 600.0;
        /// After a stop request, how long tasks that are running may take to finish.
        double grace_seconds = 40.0;
        /// How long shut_down() waits for the workers to leave.
        double farewell_seconds = 30.0;
        /// Asked at least every 50 ms; must be quick. Null: never.
        std::function<bool()> stop_requested;
        /// Called once when a rank tells that it was asked to stop, before the stage stops for it.
        std::function<void()> on_rank_asked;
        /// How long until a stop is due, if that is known: no task is handed out that would take
        /// longer by its estimate. Null: for ever.
        std::function<double()> seconds_left;
        /// Why a stop is asked for, for the error. Null: not told.
        std::function<std::string()> stop_reason;
        std::function<void(const StageProgress&)> on_progress;
        /// The last lines that a rank wrote, to be quoted when it is lost. Null: not known.
        std::function<std::string(int)> last_words;
        /// What time it is and how to wait; must outlive the coordinator. Null: the real time.
        Timekeeper* time = nullptr;
        /// Each finished task, as soon as it is known (for the journal), before on_progress.
        /// Failed attempts are not reported; they are logged.
        std::function<void(const Task&, const TaskResult&)> on_result;
        /// What a rank had for how many seconds without a result, as soon as that is known: it was
        /// lost, failed, or the stage ends without it. Why, in words.
        OnUnfinished on_unfinished;
    };

    /// Works on rank 0 only; `communicator` must outlive it.
    Coordinator(comm::Communicator& communicator, Options options);
    Coordinator(const Coordinator&) = delete;
    Coordinator& operator=(const Coordinator&) = delete;

    /// Runs all tasks of one stage and returns their results, in the order of the tasks.
    ///
    /// A task that fails with ExitCode::internal or io, or whose rank is lost or hangs, is tried
    /// once more, on another rank if there is one. Other codes mean that trying again would not
    /// help. A pinned task (Task::rank) is neither moved nor tried again: it may depend on what its
    /// rank holds. A task for all ranks is handed out when none of them works, and done when all
    /// have answered; its result is rank 0's. When a task has failed for good, nothing more is
    /// handed out. The coordinator waits for running tasks (for pinned ones up to the grace limit:
    /// they may wait for a peer that failed) and throws the error.
    ///
    /// An earlier run finished `n_reused` more tasks of the stage; this is for the progress only.
    ///
    /// @throws Error of the failed task's code, naming the task, the rank and the task's own text
    /// @throws StoppedError  after stop_requested() here or on any rank, or when there is time for
    ///   no task, saying how many tasks are done; if a rank is lost that tasks are pinned to; if no
    ///   rank is left
    /// @throws InternalError  if two tasks have the same id, or one is pinned to no existing rank
    std::vector<TaskResult> run(std::span<const Task> tasks, std::size_t n_reused = 0);

    /// Replaces Options::on_result, between two stages.
    void set_on_result(std::function<void(const Task&, const TaskResult&)> on_result) {
        options_.on_result = std::move(on_result);
    }
    /// The same of Options::on_unfinished.
    void set_on_unfinished(OnUnfinished on_unfinished) {
        options_.on_unfinished = std::move(on_unfinished);
    }

    /// Replaces Options::worker_timeout_seconds, between two stages: jobs have their own.
    void set_worker_timeout(double seconds) { options_.worker_timeout_seconds = seconds; }

    /// Tells the living workers to leave and waits a moment until they say that they do; those
    /// that still run a task are not waited for. Returns whether every rank has left: only then
    /// may MPI be finalized. Else the workers have been told to end with `exit_code` at once (see
    /// serve()). This process must then end last: by Session::abort() if ranks are busy and so hear
    /// nothing, or by Session::abandon() and _exit if ranks are only lost.
    bool shut_down(int exit_code = 0);

    /// Ranks that live, as far as is known, and have not finished their task.
    [[nodiscard]] std::vector<int> busy_ranks() const { return workers_.busy_ranks(); }
    /// Ranks that were lost so far, in order.
    [[nodiscard]] std::vector<int> lost_ranks() const { return workers_.lost_ranks(); }

private:
    using Clock = Timekeeper::Clock;
    void work(StageState& stage, std::size_t n_reused);
    bool listen(const std::function<void(TaskResult)>& on_result);
    void accept(StageState& stage, TaskResult result, std::size_t n_reused);
    void report(const StageState& stage, std::size_t n_reused, const TaskResult* last);
    void report_signs(const StageState& stage, std::size_t n_reused);
    void handle_failure(StageState& stage, std::size_t position, const TaskResult& result) const;
    void forgive_own_pause();
    void find_lost_ranks(StageState& stage);
    void declare_lost(StageState& stage, int rank, const std::string& why);
    /// Why a rank is lost; "": it is not.
    [[nodiscard]] std::string why_lost(const StageState& stage, const Worker& worker) const;
    [[nodiscard]] bool must_stop(StageState& stage) const;
    void hand_out(StageState& stage);
    void give(int rank, const Task& task);
    void tell_unfinished(const Task& task, int rank, double seconds, const std::string& why) const;
    void tell_all_unfinished(const StageState& stage, const std::string& why) const;
    [[nodiscard]] double estimate_remaining_seconds(const StageState& stage) const;

    comm::Communicator& communicator_;
    Options options_;
    Timekeeper& time_;
    WorkerTable workers_;
    Clock::time_point last_listen_;
    Clock::time_point last_report_;
    std::optional<int> asked_rank_;  ///< to stop, the first of them
    bool held_back_ = false;         ///< a task, when they were last handed out, for want of time
};

}  // namespace lathe
