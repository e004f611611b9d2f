#include <chrono>
#include <thread>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/job/run_directory.hpp"
#include "orchestrator/batch/submission.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/stop_request.hpp"
#include "orchestrator/stop_watchdog.hpp"

namespace lathe {

namespace {

/// How long a job may take to stop in good order: its own limit, and what Slurm and the script add.
constexpr double patience_seconds = StopWatchdog::limit_seconds + 20.0;

/// The jobs of the submission that have not ended.
std::vector<batch::QueueEntry> open_jobs(const batch::Slurm& slurm,
                                         const batch::Submission& submission) {
    const batch::QueueAnswer answer = slurm.queue(submission.ids());
    if (!answer.answered) {
        throw IoError("the queue cannot be seen: " + answer.problem);
    }
    std::vector<batch::QueueEntry> open;
    for (const batch::QueueEntry& entry : answer.entries) {
        if (!entry.has_ended()) {
            open.push_back(entry);
        }
    }
    return open;
}

}  // namespace

CommandOutput run_cancel(const CommandContext& context) {
    const batch::BatchFolder folder{RunDirectory(context.line.path).batch()};
    const auto submission = read_submission(folder);
    if (!submission) {
        throw UsageError(context.line.path.string() +
                         " was not submitted by lathe submit: there is no " +
                         folder.submission().string());
    }
    const batch::Slurm slurm([](const auto& command) { return batch::run_process(command); });
    write_file(folder.cancelled(), "");  // first, so that no script puts its job back
    for (const std::string& id : submission->ids()) {
        slurm.cancel_waiting(id);
    }
    for (const batch::QueueEntry& entry : open_jobs(slurm, *submission)) {
        slurm.ask_to_stop(entry.id);
    }
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    auto left = open_jobs(slurm, *submission);
    while (!left.empty() && !StopRequest::requested() &&
           std::chrono::duration<double>(Clock::now() - start).count() < patience_seconds) {
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        left = open_jobs(slurm, *submission);
    }
    for (const batch::QueueEntry& entry : left) {
        slurm.cancel(entry.id);
    }
    const bool in_good_order = left.empty();
    std::string text = "cancelled";
    for (const std::string& id : submission->ids()) {
        text += " " + id;
    }
    text += in_good_order ? "" : ", by force";
    return {
        nlohmann::json{
            {"status", "cancelled"}, {"jobs", submission->ids()}, {"in_good_order", in_good_order}}
            .dump(),
        text + ". lathe submit or lathe resume goes on from what is finished\n", 0};
}

}  // namespace lathe
