#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/file_lock.hpp"
#include "lib/core/json.hpp"
#include "lib/core/standard_streams.hpp"
#include "lib/job/run_directory.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/stop_request.hpp"

namespace lathe {

namespace {

/// What status.json says, corrected by what the lock says: a killed process leaves "running".
nlohmann::json read_status(const RunDirectory& run) {
    std::error_code ignored;
    if (!std::filesystem::exists(run.manifest(), ignored)) {
        throw MissingInputError(run.root().string() +
                                " is not a run directory: it has no manifest.json");
    }
    nlohmann::json status{{"stage", ""},        {"tasks_done", 0}, {"tasks_total", 0},
                          {"eta_seconds", 0.0}, {"ranks", 0},      {"status", "stopped"}};
    if (std::filesystem::exists(run.status(), ignored)) {
        const auto stored = try_parse_json(read_file(run.status()));
        if (stored.is_object()) {
            status.update(stored);
        }
    }
    if (FileLock::is_held(run.lock())) {
        status["status"] = "running";
    } else if (status["status"] == "running") {
        status["status"] = "stopped";
    }
    return status;
}

}  // namespace

CommandOutput run_status(const CommandContext& context) {
    const RunDirectory run(context.line.path);
    nlohmann::json status = read_status(run);
    while (context.line.watch && status["status"] == "running" && !StopRequest::requested()) {
        const bool shown = print_error(fmt::format(
            "{} {}/{}, {} left\n", status["stage"].get<std::string>(),
            status["tasks_done"].get<std::size_t>(), status["tasks_total"].get<std::size_t>(),
            duration_text(status["eta_seconds"].get<double>())));
        if (!shown) {  // nobody watches any more
            throw IoError("cannot write to standard error");
        }
        std::this_thread::sleep_for(std::chrono::seconds(2));
        status = read_status(run);
    }
    return {status.dump(),
            fmt::format("{}: {} {}/{} tasks, {} ranks\n", status["status"].get<std::string>(),
                        status["stage"].get<std::string>(), status["tasks_done"].get<std::size_t>(),
                        status["tasks_total"].get<std::size_t>(), status["ranks"].get<int>()),
            0};
}

}  // namespace lathe
