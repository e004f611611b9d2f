#include <chrono>
#include <cstdint>
#include <ctime>
#include <thread>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/core/log.hpp"
#include "lib/core/standard_streams.hpp"
#include "lib/job/run_directory.hpp"
#include "orchestrator/batch/submission.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/live_view.hpp"
#include "orchestrator/run_records.hpp"
#include "orchestrator/stop_request.hpp"
#include "orchestrator/timekeeper.hpp"

namespace lathe {

namespace {

nlohmann::json to_json(const batch::QueueState& queue, const batch::Submission& submission) {
    nlohmann::json jobs = nlohmann::json::array();
    for (const batch::QueueEntry& entry : queue.answer.entries) {
        nlohmann::json job{{"id", entry.id},
                           {"state", entry.state},
                           {"reason", entry.reason},
                           {"restarts", entry.restarts},
                           {"nodes", entry.nodes}};
        if (entry.start) {
            job["start"] = *entry.start;
        }
        if (entry.end) {
            job["end"] = *entry.end;
        }
        jobs.push_back(job);
    }
    nlohmann::json json{{"job_ids", submission.ids()},
                        {"answered", queue.answer.answered},
                        {"lost", queue.is_lost},
                        {"jobs", jobs}};
    if (!queue.answer.answered) {
        json["problem"] = queue.answer.problem;
    }
    return json;
}

/// Adds the queue's word on a submitted run: `batch`, and in `status` "queued" for a job that waits
/// and "lost" for one that nobody knows of any more.
void add_queue(nlohmann::json& status, const batch::BatchFolder& folder) {
    auto submission = read_submission(folder);
    if (!submission) {
        return;
    }
    const batch::Slurm slurm([](const auto& command) { return batch::run_process(command); });
    const auto now = static_cast<std::int64_t>(seconds_since_1970());
    const auto absent_before = submission->absent_since;
    const batch::QueueState queue = ask_queue(slurm, *submission, now);
    if (submission->absent_since != absent_before) {
        try {
            write_submission(folder, *submission);
        } catch (const Error& e) {  // a reader may have no right to write there
            log_detail(std::string("submission_not_written reason=\"") + e.what() + "\"");
        }
    }
    status["batch"] = to_json(queue, *submission);
    const bool has_ended = status["status"] == "done" || status["status"] == "failed";
    if (status["status"] == "running" || has_ended) {
        return;
    }
    if (queue.is_running) {
        status["status"] = "running";
    } else if (queue.is_waiting) {
        status["status"] = "queued";
    } else if (queue.is_lost && status["tasks_total"] != status["tasks_done"]) {
        status["status"] = "lost";
    }
}

nlohmann::json read_status(const RunDirectory& run) {
    std::error_code ignored;
    const batch::BatchFolder folder{run.batch()};
    const bool is_submitted = std::filesystem::exists(folder.submission(), ignored);
    if (!std::filesystem::exists(run.manifest(), ignored) && !is_submitted) {
        throw MissingInputError(run.root().string() +
                                " is not a run directory: it has no manifest.json");
    }
    nlohmann::json status = parse_json(to_json(read_live_status(run)));
    add_queue(status, folder);
    return status;
}

std::string clock_text(std::int64_t seconds) {
    return fmt::format("{:%F %H:%M}", fmt::localtime(static_cast<std::time_t>(seconds)));
}

/// "job 17: PENDING (Resources), expected to start 2026-11-29 14:05, requeued 2 times".
std::string queue_text(const nlohmann::json& batch) {
    std::string text;
    if (!batch["answered"].get<bool>()) {
        return "queue: " + batch["problem"].get<std::string>() + "\n";
    }
    for (const nlohmann::json& job : batch["jobs"]) {
        const auto state = job["state"].get<std::string>();
        text += "job " + job["id"].get<std::string>() + ": " + state;
        if (state == "PENDING") {
            text += " (" + job["reason"].get<std::string>() + ")";
            text += job.contains("start")
                        ? ", expected to start " + clock_text(job["start"].get<std::int64_t>())
                        : "";
        } else if (state == "RUNNING") {
            text += " on " + job["nodes"].get<std::string>();
            text +=
                job.contains("end") ? ", until " + clock_text(job["end"].get<std::int64_t>()) : "";
        }
        const int restarts = job["restarts"].get<int>();
        text += restarts > 0
                    ? fmt::format(", requeued {} time{}", restarts, restarts == 1 ? "" : "s")
                    : "";
        text += "\n";
    }
    if (batch["jobs"].empty()) {
        text = fmt::format("job {}: unknown to Slurm\n",
                           fmt::join(batch["job_ids"].get<std::vector<std::string>>(), ", "));
    }
    return text;
}

bool may_go_on(const nlohmann::json& status) {
    return status["status"] == "running" || status["status"] == "queued";
}

/// Until the run ends, or somebody ends the watching.
void watch_in_lines(const RunDirectory& run, nlohmann::json& status) {
    while (may_go_on(status) && !StopRequest::requested()) {
        const auto at_work = status["at_work"].get<std::string>();
        const auto job_left = status["job_eta_seconds"].get<double>();
        const bool shown = print_error(fmt::format(
            "{} {}/{}, {} left{}{}\n", status["stage"].get<std::string>(),
            status["tasks_done"].get<std::size_t>(), status["tasks_total"].get<std::size_t>(),
            duration_text(status["eta_seconds"].get<double>()),
            job_left > 0.0 ? "; job " + duration_text(job_left) + " left" : "",
            at_work.empty() ? "" : "; at work: " + at_work));
        if (!shown) {  // nobody watches any more
            throw IoError("cannot write to standard error");
        }
        std::this_thread::sleep_for(std::chrono::seconds(2));
        status = read_status(run);
    }
}

void watch_on_screen(const RunDirectory& run, nlohmann::json& status) {
    constexpr auto look = std::chrono::milliseconds(200);  // at the size of the terminal
    constexpr int looks_a_reading = 5;
    constexpr int readings_a_question = 10;  // to the batch system, which is slow to answer
    FullScreen screen;
    LiveView view;
    for (int tick = 0; may_go_on(status) && !StopRequest::requested(); ++tick) {
        if (tick % looks_a_reading == 0) {
            view = read_live_view(run);
            if (tick % (looks_a_reading * readings_a_question) == 0 ||
                view.status.status != "running") {
                status = read_status(run);
            }
            view.status.status = status["status"].get<std::string>();
        }
        const FullScreen::Size size = FullScreen::size();
        if (!screen.show(view_lines(view, size.columns, size.rows))) {
            throw IoError("cannot write to standard error");
        }
        std::this_thread::sleep_for(look);
    }
}

}  // namespace

CommandOutput run_status(const CommandContext& context) {
    const RunDirectory run(context.line.path);
    nlohmann::json status = read_status(run);
    if (context.line.watch && may_go_on(status)) {
        if (FullScreen::is_possible() && !context.line.json) {
            watch_on_screen(run, status);
        } else {
            watch_in_lines(run, status);
        }
    }
    std::string text =
        fmt::format("{}: {} {}/{} tasks, {} ranks\n", status["status"].get<std::string>(),
                    status["stage"].get<std::string>(), status["tasks_done"].get<std::size_t>(),
                    status["tasks_total"].get<std::size_t>(), status["ranks"].get<int>());
    if (const auto at_work = status["at_work"].get<std::string>(); !at_work.empty()) {
        text += "at work: " + at_work + "\n";
    }
    text += status.contains("batch") ? queue_text(status["batch"]) : "";
    return {status.dump(), text, 0};
}

}  // namespace lathe
