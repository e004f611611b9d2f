#include "orchestrator/coordinator.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "lib/comm/backoff.hpp"
#include "lib/comm/control.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/log.hpp"
#include "orchestrator/stage_state.hpp"

namespace lathe {
namespace {

/// How long the coordinator reads messages before it looks at stop requests and idle ranks again:
/// each result is written to the journal, which may be slow.
constexpr double listen_seconds = 0.02;

/// As the error type that belongs to the code, if there is one, so that callers can catch it.
[[noreturn]] void throw_error(ExitCode code, const std::string& message) {
    switch (code) {
        case ExitCode::usage:
            throw UsageError(message);
        case ExitCode::bad_data:
            throw DataError(message);
        case ExitCode::missing_input:
            throw MissingInputError(message);
        case ExitCode::infeasible:
            throw InfeasibleError(message);
        case ExitCode::io:
            throw IoError(message);
        case ExitCode::stopped:
            throw StoppedError(message);
        case ExitCode::internal:
        case ExitCode::done:
            break;
    }
    throw InternalError(message);
}

double seconds_between(std::chrono::steady_clock::time_point from,
                       std::chrono::steady_clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
}

}  // namespace

Coordinator::Coordinator(comm::Communicator& communicator, Options options)
    : communicator_(communicator),
      options_(std::move(options)),
      time_(options_.time != nullptr ? *options_.time : real_time()),
      workers_(communicator.size(), time_) {
    if (communicator.rank() != 0) {
        throw InternalError("the coordinator runs on rank 0, not on rank " +
                            std::to_string(communicator.rank()));
    }
}

std::vector<TaskResult> Coordinator::run(std::span<const Task> tasks, std::size_t n_reused) {
    StageState stage(tasks, communicator_.size(), time_);
    held_back_ = false;
    // Nobody listened between two stages: every rank gets its full time again.
    last_listen_ = time_.now();
    last_report_ = last_listen_;
    workers_.hear_all();

    work(stage, n_reused);
    if (stage.n_done() == stage.n_tasks()) {
        return stage.take_results();
    }
    tell_all_unfinished(stage, stage.failure() ? "another task failed" : "the job stopped");
    if (stage.failure()) {
        throw_error(stage.failure()->code, stage.failure()->message);
    }
    const std::string reason = options_.stop_reason ? options_.stop_reason() : "";
    throw StoppedError("stopped: " + std::to_string(stage.n_done() + n_reused) + " of " +
                       std::to_string(stage.n_tasks() + n_reused) + " tasks of stage " +
                       tasks.front().stage + " are done" + (reason.empty() ? "" : ", " + reason) +
                       "; run again to continue");
}

void Coordinator::work(StageState& stage, std::size_t n_reused) {
    bool stopping = false;
    std::optional<Clock::time_point> ending_since;
    comm::Backoff backoff;
    while (true) {
        if (listen([&](TaskResult result) { accept(stage, std::move(result), n_reused); })) {
            backoff.reset();
        }
        if (stage.n_done() == stage.n_tasks()) {
            return;
        }
        report_signs(stage, n_reused);
        find_lost_ranks(stage);
        stopping = stopping || must_stop(stage);
        if (stopping || stage.failure()) {
            if (!ending_since) {
                ending_since = time_.now();
            }
            const bool in_grace =
                seconds_between(*ending_since, time_.now()) < options_.grace_seconds;
            const bool has_time_limit = stopping || workers_.is_running(/*pinned_only=*/true);
            if (!workers_.is_running(/*pinned_only=*/false) || (has_time_limit && !in_grace)) {
                return;
            }
        } else {
            hand_out(stage);
        }
        time_.sleep(backoff.next());
    }
}

bool Coordinator::must_stop(StageState& stage) const {
    const std::string progress =
        " done=" + std::to_string(stage.n_done()) + " total=" + std::to_string(stage.n_tasks());
    if (asked_rank_) {
        log_info("stop_requested rank=" + std::to_string(*asked_rank_) + progress);
        return true;
    }
    if (options_.stop_requested && options_.stop_requested()) {
        log_info("stop_requested" + progress);
        return true;
    }
    // Idle ranks take what there is time for; when all are idle and tasks are left, there is none.
    if (workers_.is_running(/*pinned_only=*/false) || stage.queue().is_empty() || !held_back_) {
        return false;
    }
    log_info("no_time_for_another_task seconds_left=" +
             std::to_string(std::lround(options_.seconds_left())) + progress);
    return true;
}

bool Coordinator::listen(const std::function<void(TaskResult)>& on_result) {
    forgive_own_pause();
    const auto start = time_.now();
    bool heard = false;
    while (seconds_between(start, time_.now()) < listen_seconds) {
        const auto message = communicator_.try_receive(-1, comm::Tag::result);
        if (!message) {
            break;
        }
        heard = true;
        const comm::Control control = comm::parse_control(*message);
        workers_.hear(control);
        if (control.kind == comm::ControlKind::asked && !asked_rank_) {
            asked_rank_ = control.source;
            if (options_.on_rank_asked) {
                options_.on_rank_asked();
            }
        }
        if (control.kind == comm::ControlKind::result) {
            TaskResult result = task_result_from_json(control.text);
            result.rank = control.source;
            Worker& worker = workers_.at(control.source);
            if (worker.task == result.id) {
                worker.task.reset();
            }
            on_result(std::move(result));
        }
    }
    return heard;
}

void Coordinator::accept(StageState& stage, TaskResult result, std::size_t n_reused) {
    const auto position = stage.find_open(result.id);
    if (!position) {
        log_detail("result_ignored task=" + result.id + " rank=" + std::to_string(result.rank));
        return;
    }
    if (!result.ok && workers_.at(result.rank).lost) {
        return;  // had its failure counted when it fell silent
    }
    auto answer = stage.answer(*position, std::move(result));
    if (answer && answer->ok) {
        const TaskResult& kept = stage.finish(*position, *std::move(answer));
        if (options_.on_result) {
            options_.on_result(stage.task(*position), kept);
        }
        report(stage, n_reused, &kept);
    } else if (answer) {
        handle_failure(stage, *position, *answer);
    }
}

void Coordinator::report(const StageState& stage, std::size_t n_reused, const TaskResult* last) {
    if (!options_.on_progress) {
        return;
    }
    last_report_ = time_.now();
    StageProgress progress;
    progress.stage = stage.task(0).stage;
    progress.done = stage.n_done() + n_reused;
    progress.total = stage.n_tasks() + n_reused;
    progress.reused = n_reused;
    progress.elapsed_seconds = stage.elapsed_seconds();
    progress.eta_seconds = estimate_remaining_seconds(stage);
    progress.last = last;
    progress.running = workers_.running_tasks();
    progress.lost = lost_ranks();
    options_.on_progress(progress);
}

void Coordinator::report_signs(const StageState& stage, std::size_t n_reused) {
    constexpr double report_seconds = 1.0;
    if (seconds_between(last_report_, time_.now()) >= report_seconds) {
        report(stage, n_reused, nullptr);
    }
}

void Coordinator::handle_failure(StageState& stage, std::size_t position,
                                 const TaskResult& result) const {
    // The host is worth a word where there are several.
    const auto& places = communicator_.places();
    const std::string& host = places[static_cast<std::size_t>(result.rank)].host;
    const bool on_one = std::ranges::all_of(places, [&](const auto& p) { return p.host == host; });
    const std::string text = result.text + (on_one ? "" : " (on host " + host + ")");
    const bool retried =
        stage.retry_or_fail(position, result.rank, {static_cast<ExitCode>(result.exit_code), text});
    log_warning("task_failed task=" + result.id + " rank=" + std::to_string(result.rank) +
                " host=" + host + " exit_code=" + std::to_string(result.exit_code) +
                " again=" + (retried ? "yes" : "no") + " reason=\"" + result.text + "\"");
    tell_unfinished(stage.task(position), result.rank, result.seconds, "failed: " + result.text);
}

void Coordinator::tell_unfinished(const Task& task, int rank, double seconds,
                                  const std::string& why) const {
    if (options_.on_unfinished) {
        options_.on_unfinished(task, rank, seconds, why);
    }
}

void Coordinator::tell_all_unfinished(const StageState& stage, const std::string& why) const {
    for (const RunningTask& running : workers_.running_tasks()) {
        if (const auto position = stage.find_open(running.task)) {
            tell_unfinished(stage.task(*position), running.rank, running.seconds, why);
        }
    }
}

void Coordinator::forgive_own_pause() {
    // If this process itself stood still (suspended, an overloaded node), the silence was its own.
    const auto now = time_.now();
    const auto pause = now - std::exchange(last_listen_, now);
    if (seconds_between(now - pause, now) <
        time_.longest_sleep() + std::min(1.0, options_.worker_timeout_seconds / 4)) {
        return;
    }
    workers_.forgive(pause);
}

void Coordinator::find_lost_ranks(StageState& stage) {
    for (int rank = 0; rank < workers_.n_ranks(); ++rank) {
        const Worker& worker = workers_.at(rank);
        const std::string why = worker.lost ? "" : why_lost(stage, worker);
        if (!why.empty()) {
            declare_lost(stage, rank, why);
        }
        if (worker.lost && stage.queue().needs(rank)) {
            stage.fail({ExitCode::stopped, "rank " + std::to_string(rank) +
                                               " was lost, and tasks of this stage are pinned to "
                                               "it; run again to continue"});
        }
    }
    if (workers_.n_alive() > 0) {
        return;
    }
    for (const Worker& worker : workers_) {
        if (worker.failure) {
            stage.fail({ExitCode::internal, "no rank is left to work: " + *worker.failure});
        }
    }
    stage.fail({ExitCode::stopped, "no rank is left to work; run again to continue"});
}

std::string Coordinator::why_lost(const StageState& stage, const Worker& worker) const {
    const auto now = time_.now();
    if (worker.failure) {
        return "failure=\"" + *worker.failure + "\"";
    }
    if (seconds_between(worker.last_heard, now) > options_.worker_timeout_seconds) {
        return "silent_seconds=" + std::to_string(options_.worker_timeout_seconds);
    }
    // A pinned task may wait for those of other ranks, however long they take.
    const bool has_deadline = worker.task && !worker.is_pinned;
    const auto position = has_deadline ? stage.find_open(*worker.task) : std::nullopt;
    const double estimate = position ? stage.estimated_seconds(*position) : 0.0;
    const double seconds = seconds_between(worker.task_start, now);
    if (estimate > 0.0 &&
        seconds > std::max(options_.least_deadline_seconds, options_.deadline_factor * estimate)) {
        return "hangs_seconds=" + std::to_string(std::lround(seconds)) +
               " estimated_seconds=" + std::to_string(estimate);
    }
    return "";
}

void Coordinator::declare_lost(StageState& stage, int rank, const std::string& why) {
    Worker& worker = workers_.at(rank);
    worker.lost = true;
    const std::string task = std::exchange(worker.task, std::nullopt).value_or("");
    const std::string& host = communicator_.places()[static_cast<std::size_t>(rank)].host;
    std::string words = options_.last_words ? options_.last_words(rank) : "";
    if (!words.empty()) {
        words = "\nIts log ends with\n" + words;
    }
    log_warning("rank_lost rank=" + std::to_string(rank) + " host=" + host +
                " task=" + (task.empty() ? "none" : task) + " " + why + words);
    const auto position = stage.find_open(task);
    if (!position) {
        return;
    }
    tell_unfinished(stage.task(*position), rank, seconds_between(worker.task_start, time_.now()),
                    "the rank was lost");
    if (stage.task(*position).rank != any_rank) {
        stage.fail({ExitCode::stopped,
                    "rank " + std::to_string(rank) + " on host " + host + " was lost with task " +
                        task + ", which is pinned to it; run again to continue" + words});
        return;
    }
    // Counted as a failure: a task that kills its rank (out of memory) must not kill them all.
    stage.retry_or_fail(
        *position, rank,
        {ExitCode::internal,
         worker.failure.value_or("the rank on host " + host + " was lost, " + why) + words});
}

void Coordinator::hand_out(StageState& stage) {
    held_back_ = false;
    TaskQueue::Fits fits;
    if (options_.seconds_left) {
        fits = [this, &stage, left = options_.seconds_left()](std::size_t position) {
            const bool is_time = stage.estimated_seconds(position) <= left;
            held_back_ = held_back_ || !is_time;
            return is_time;
        };
    }
    if (stage.queue().has_joint()) {
        // Begun by all or by none, so that a stop leaves no rank waiting for the others.
        if (!workers_.is_running(/*pinned_only=*/false)) {
            const auto position = stage.queue().take_joint(fits);
            for (int rank = 0; position && rank < workers_.n_ranks(); ++rank) {
                give(rank, stage.task(*position));
            }
        }
        return;
    }
    const bool is_alone = workers_.n_alive() == 1;
    for (int rank = 0; rank < workers_.n_ranks(); ++rank) {
        const Worker& worker = workers_.at(rank);
        if (!worker.is_alive() || worker.task) {
            continue;
        }
        if (const auto position = stage.queue().take(rank, is_alone, fits)) {
            give(rank, stage.task(*position));
        }
    }
}

void Coordinator::give(int rank, const Task& task) {
    workers_.give(rank, task);
    comm::send_control(communicator_, rank, comm::ControlKind::task, to_json(task));
}

double Coordinator::estimate_remaining_seconds(const StageState& stage) const {
    double seconds = stage.estimated_open_seconds();
    for (const Worker& worker : workers_) {
        const auto position = worker.task ? stage.find_open(*worker.task) : std::nullopt;
        if (!position) {
            continue;
        }
        seconds -= std::min(seconds_between(worker.task_start, time_.now()),
                            stage.estimated_seconds(*position));
    }
    return std::max(
        {0.0, seconds / std::max(1, workers_.n_alive()), stage.estimated_pinned_seconds()});
}

bool Coordinator::shut_down(int exit_code) {
    listen([](const TaskResult&) {});  // a rank that was taken for lost may have spoken again
    const bool all_leave = busy_ranks().empty() && std::ranges::none_of(workers_, &Worker::is_gone);
    const std::string text = all_leave ? "" : std::to_string(exit_code);
    for (int rank = 0; rank < workers_.n_ranks(); ++rank) {
        const Worker& worker = workers_.at(rank);
        if (worker.is_gone() || worker.left) {
            continue;
        }
        comm::send_control(communicator_, rank, comm::ControlKind::stop, text);
    }
    const auto start = time_.now();
    const auto is_awaited = [](const Worker& worker) {
        return !worker.is_gone() && !worker.left && !worker.task;
    };
    comm::Backoff backoff;
    while (std::ranges::any_of(workers_, is_awaited) &&
           seconds_between(start, time_.now()) < options_.farewell_seconds) {
        listen([](const TaskResult&) {});
        time_.sleep(backoff.next());
    }
    return std::ranges::all_of(workers_, &Worker::left);
}

}  // namespace lathe
