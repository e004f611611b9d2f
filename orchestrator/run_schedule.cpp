#include "orchestrator/run_schedule.hpp"

#include <fstream>
#include <set>
#include <sstream>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/core/whole_number.hpp"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

std::string to_line(const RunSchedule& start) {
    return Json{{"ranks", start.n_ranks},
                {"batches", start.batches},
                {"parts", start.parts},
                {"started", start.started},
                {"where", start.where}}
        .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_line(const ScheduledCall& call) {
    Json tasks = Json::array();
    for (const Task& task : call.tasks) {
        Json& entry =
            tasks.emplace_back(Json{{"id", task.id}, {"cost", task.cost}, {"rank", task.rank}});
        if (!task.after.empty()) {
            entry["after"] = task.after;
        }
    }
    return Json{{"stage", call.stage},
                {"began", call.began},
                {"ended", call.ended},
                {"reused", call.reused},
                {"tasks", tasks}}
        .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_line(const UnfinishedTask& task) {
    return Json{{"unfinished", task.task}, {"stage", task.stage},     {"rank", task.rank},
                {"ended", task.ended},     {"seconds", task.seconds}, {"why", task.why}}
        .dump(-1, ' ', false, Json::error_handler_t::replace);
}

ScheduledCall call_from(const Json& line) {
    ScheduledCall call;
    call.stage = line.at("stage").get<std::string>();
    call.began = line.at("began").get<double>();
    call.ended = line.at("ended").get<double>();
    call.reused = whole_number<std::size_t>(line.at("reused"));
    std::set<std::string> seen;
    for (const Json& task : line.at("tasks")) {
        call.tasks.push_back({call.stage, task.at("id").get<std::string>(), "",
                              task.at("cost").get<double>(), whole_number<int>(task.at("rank")),
                              task.value("after", std::vector<std::string>())});
    }
    for (const Task& task : call.tasks) {
        if (task.rank < all_ranks || !seen.insert(task.id).second) {
            throw DataError("task " + task.id + " twice, or of rank " + std::to_string(task.rank));
        }
    }
    return call;
}

void add_line(const std::string& text, RunSchedule& schedule) {
    const Json line = Json::parse(text);
    if (line.contains("unfinished")) {
        return;
    }
    if (!line.contains("ranks")) {
        schedule.calls.push_back(call_from(line));
        return;
    }
    schedule = {whole_number<int>(line.at("ranks")),
                whole_number<std::size_t>(line.at("batches")),
                whole_number<std::size_t>(line.at("parts")),
                {},
                line.value("started", 0.0),
                line.value("where", "")};
    if (schedule.n_ranks < 1 || schedule.batches < 1 || schedule.parts < 1) {
        throw DataError("a start with no ranks, batches or parts");
    }
}

}  // namespace

ScheduleRecorder::ScheduleRecorder(const std::filesystem::path& file, const RunSchedule& start)
    : file_(std::in_place, file) {
    file_->append(to_line(start));
}

double ScheduleRecorder::seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void ScheduleRecorder::record(const ScheduledCall& call) {
    if (file_) {
        file_->append(to_line(call));
    }
}

void ScheduleRecorder::record(const UnfinishedTask& task) {
    if (file_) {
        file_->append(to_line(task));
    }
}

std::optional<int> first_ranks_in(const std::filesystem::path& file) {
    std::ifstream lines(file);
    std::string first;
    RunSchedule schedule;
    try {
        if (std::getline(lines, first)) {
            add_line(first, schedule);
        }
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): damaged, so it does not say
    }
    return schedule.n_ranks > 0 ? std::optional(schedule.n_ranks) : std::nullopt;
}

RunSchedule read_schedule(const std::filesystem::path& file) {
    std::istringstream lines(read_file(file));
    RunSchedule schedule;
    std::string text;
    for (std::size_t number = 1; std::getline(lines, text); ++number) {
        try {
            add_line(text, schedule);
        } catch (const std::exception& error) {
            if (lines.eof()) {
                break;  // cut off where a process was killed
            }
            throw DataError(file.string() + ":" + std::to_string(number) + ": " + error.what());
        }
    }
    if (schedule.n_ranks == 0) {
        throw DataError(file.string() + " has no start of a run");
    }
    return schedule;
}

}  // namespace lathe
