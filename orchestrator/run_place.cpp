#include "orchestrator/run_place.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <unistd.h>

#include "lib/core/errors.hpp"
#include "lib/core/file_lock.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// Not the logs: that of a batch job may be open. The manifest last: until then the directory is
/// known for a run's.
constexpr std::array run_files{"journal.jsonl", "schedule.jsonl", "status.json", "report.json",
                               "calibration",   "candidates",     "search",      "streams",
                               "rotation",      "gradients",      "refined",     "sliced",
                               "sources.json",  "windows.json",   "report.html", "token_weights",
                               "job.yaml",      "manifest.json"};

/// The directory to write in: it, or the nearest above it that is there.
void require_writable(const fs::path& directory) {
    std::error_code error;
    fs::path place = fs::absolute(directory);
    while (!fs::exists(place, error) && place.has_parent_path() && place != place.parent_path()) {
        place = place.parent_path();
    }
    const auto refuse = [&](int reason) {
        throw IoError("cannot write run directory " + directory.string() + ": " + place.string() +
                      ": " + std::strerror(reason));
    };
    if (!fs::is_directory(place, error)) {
        refuse(ENOTDIR);
    }
    if (::access(place.c_str(), W_OK | X_OK) != 0) {
        refuse(errno);
    }
}

}  // namespace

bool is_run(const RunDirectory& run) {
    std::error_code ignored;
    return fs::exists(run.manifest(), ignored);
}

bool has_finished_task(const RunDirectory& run) {
    std::error_code error;
    const auto size = fs::file_size(run.journal(), error);
    return !error && size > 0;
}

void require_usable(const RunDirectory& run) {
    require_writable(run.root());
    std::error_code error;
    if (is_run(run) || !fs::exists(run.root(), error)) {
        return;
    }
    for (const auto& entry : fs::directory_iterator(run.root())) {
        const std::string name = entry.path().filename().string();
        // A job that was submitted has its script and its log there before it begins; `report` of
        // an empty directory leaves a page.
        if (entry.path() == run.lock() || entry.path() == FileLock::stand_in(run.lock()) ||
            entry.path() == run.batch() || entry.path() == run.page() ||
            entry.path() == run.logs() || name.starts_with("job.yaml") ||
            name.starts_with("manifest.json.")) {
            continue;
        }
        throw UsageError("output " + run.root().string() +
                         " is neither empty nor a run directory (it has " + name +
                         " but no manifest.json)");
    }
}

void remove_run_files(const RunDirectory& run) {
    for (const char* name : run_files) {
        std::error_code error;
        fs::remove_all(run.root() / name, error);
        if (error) {
            throw IoError("cannot remove " + (run.root() / name).string() + ": " + error.message());
        }
    }
}

}  // namespace lathe
