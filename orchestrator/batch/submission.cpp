#include "orchestrator/batch/submission.hpp"

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/core/whole_number.hpp"

namespace lathe::batch {

std::vector<std::string> Submission::ids() const {
    std::vector<std::string> ids{job_id};
    if (!budgets_job_id.empty()) {
        ids.push_back(budgets_job_id);
    }
    return ids;
}

std::optional<Submission> read_submission(const BatchFolder& folder) {
    std::error_code ignored;
    if (!std::filesystem::exists(folder.submission(), ignored)) {
        return std::nullopt;
    }
    const auto stored = try_parse_json(read_file(folder.submission()));
    try {
        Submission submission;
        submission.job_id = stored.at("job_id").get<std::string>();
        submission.budgets_job_id = stored.value("budgets_job_id", "");
        if (stored.contains("submitted")) {
            submission.submitted = whole_number<std::int64_t>(stored.at("submitted"));
        }
        if (stored.contains("absent_since")) {
            submission.absent_since = whole_number<std::int64_t>(stored.at("absent_since"));
        }
        return submission;
    } catch (const nlohmann::json::exception&) {
        throw DataError(folder.submission().string() +
                        " is damaged: expected a JSON object with a job_id");
    } catch (const DataError& error) {
        throw DataError(folder.submission().string() + " is damaged: " + error.what());
    }
}

void write_submission(const BatchFolder& folder, const Submission& submission) {
    nlohmann::json json{{"job_id", submission.job_id}, {"submitted", submission.submitted}};
    if (!submission.budgets_job_id.empty()) {
        json["budgets_job_id"] = submission.budgets_job_id;
    }
    if (submission.absent_since) {
        json["absent_since"] = *submission.absent_since;
    }
    make_directories(folder.root);
    write_file(folder.submission(), json.dump() + "\n");
}

QueueState ask_queue(const Slurm& slurm, Submission& submission, std::int64_t now) {
    QueueState state;
    state.answer = slurm.queue(submission.ids());
    if (!state.answer.answered) {
        return state;
    }
    if (!state.answer.entries.empty()) {
        submission.absent_since.reset();
    } else if (!submission.absent_since) {
        submission.absent_since = now;
    }
    state.is_lost = submission.absent_since && *submission.absent_since <= now - lost_after_seconds;
    for (const QueueEntry& entry : state.answer.entries) {
        const bool is_running = entry.state == "RUNNING" || entry.state == "COMPLETING";
        state.is_running = state.is_running || is_running;
        state.is_waiting = state.is_waiting || (!is_running && !entry.has_ended());
    }
    state.is_waiting = state.is_waiting && !state.is_running;
    return state;
}

}  // namespace lathe::batch
