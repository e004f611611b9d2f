#include "orchestrator/run_records.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/file_lock.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

std::string text_in(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::uint64_t count_in(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

constexpr double longest_time = 1e10;  // seconds; centuries are no estimate

/// 0 for what is no number from 0 to `most`.
double number_in(const json& object, const char* key, double most) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_number()) {
        return 0.0;
    }
    const auto number = found->get<double>();
    return number >= 0.0 && number <= most ? number : 0.0;
}

std::optional<int> rank_of(const json& value) {
    const bool is_rank =
        value.is_number_unsigned() && value.get<std::uint64_t>() <= std::numeric_limits<int>::max();
    return is_rank ? std::optional(value.get<int>()) : std::nullopt;
}

std::optional<int> rank_in(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() ? rank_of(*found) : std::nullopt;
}

std::vector<RunningTask> running_in(const json& stored) {
    std::vector<RunningTask> running;
    const auto found = stored.find("running");
    if (found == stored.end() || !found->is_array()) {
        return running;
    }
    for (const json& task : *found) {
        if (!task.is_object() || !rank_in(task, "rank") ||
            running.size() == RunStatus::most_running) {
            continue;
        }
        running.push_back({text_in(task, "task"), *rank_in(task, "rank"),
                           number_in(task, "seconds", longest_time),
                           number_in(task, "fraction", 1.0), count_in(task, "memory_bytes")});
    }
    return running;
}

}  // namespace

std::string to_json(const RunManifest& manifest) {
    return json{{"format_version", 1},
                {"program_version", manifest.program_version},
                {"model_fingerprint", manifest.model_fingerprint},
                {"samples_fingerprint", manifest.samples_fingerprint},
                {"instruction_set", manifest.instruction_set}}
        .dump(1);
}

RunManifest read_manifest(const fs::path& file) {
    const json stored = try_parse_json(read_file(file));
    RunManifest manifest;
    if (stored.is_object()) {
        manifest = {text_in(stored, "model_fingerprint"), text_in(stored, "samples_fingerprint"),
                    text_in(stored, "program_version"), text_in(stored, "instruction_set")};
    }
    if (manifest.model_fingerprint.empty() || manifest.samples_fingerprint.empty()) {
        throw DataError(file.string() + " is damaged; remove the run directory to begin again");
    }
    return manifest;
}

std::string to_json(const RunStatus& status) {
    json running = json::array();
    for (const RunningTask& task : status.running) {
        running.push_back({{"task", task.task},
                           {"rank", task.rank},
                           {"seconds", task.seconds},
                           {"fraction", task.fraction},
                           {"memory_bytes", task.memory_bytes}});
    }
    return json{{"stage", status.stage},
                {"tasks_done", status.tasks_done},
                {"tasks_total", status.tasks_total},
                {"eta_seconds", status.eta_seconds},
                {"ranks", status.ranks},
                {"at_work", status.at_work},
                {"job_eta_seconds", status.job_eta_seconds},
                {"job_share", status.job_share},
                {"running", running},
                {"lost", status.lost},
                {"written", status.written},
                {"status", status.status}}
        .dump();
}

RunStatus read_status_file(const fs::path& file) {
    RunStatus status;
    std::error_code ignored;
    const json stored = fs::exists(file, ignored) ? try_parse_json(read_file(file)) : json();
    if (!stored.is_object()) {
        return status;
    }
    status.stage = text_in(stored, "stage");
    status.at_work = text_in(stored, "at_work");
    status.tasks_total = count_in(stored, "tasks_total");
    status.tasks_done = std::min(count_in(stored, "tasks_done"), status.tasks_total);
    if (const std::string state = text_in(stored, "status"); !state.empty()) {
        status.status = state;
    }
    status.ranks = rank_in(stored, "ranks").value_or(status.ranks);
    status.eta_seconds = number_in(stored, "eta_seconds", longest_time);
    status.job_eta_seconds = number_in(stored, "job_eta_seconds", longest_time);
    status.job_share = number_in(stored, "job_share", 1.0);
    status.running = running_in(stored);
    status.written = number_in(stored, "written", longest_time);
    if (const auto lost = stored.find("lost"); lost != stored.end() && lost->is_array()) {
        for (const json& rank : *lost) {
            if (const auto number = rank_of(rank)) {
                status.lost.push_back(*number);
            }
        }
    }
    return status;
}

std::vector<UnfinishedTask> tasks_at_work(const RunStatus& written, const std::string& why) {
    std::vector<UnfinishedTask> tasks;
    if (written.status == "running" && written.written > 0.0) {
        for (const RunningTask& task : written.running) {
            tasks.push_back(
                {task.task, written.stage, task.rank, written.written, task.seconds, why});
        }
    }
    return tasks;
}

RunStatus read_live_status(const RunDirectory& run) {
    RunStatus status = read_status_file(run.status());
    if (FileLock::is_held(run.lock())) {
        status.status = "running";
    } else if (status.status == "running") {
        status.status = "stopped";
        status.at_work.clear();
        status.running.clear();
    }
    return status;
}

}  // namespace lathe
