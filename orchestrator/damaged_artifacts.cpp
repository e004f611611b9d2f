#include "orchestrator/damaged_artifacts.hpp"

#include <string>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/log.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// @throws DataError, MissingInputError
void read_all(const ArtifactReader& artifact, const std::string& group) {
    static_cast<void>(artifact.attributes(group.empty() ? "/" : group));
    for (const std::string& name : artifact.children(group.empty() ? "/" : group)) {
        const std::string path = group + "/" + name;
        if (artifact.is_dataset(path)) {
            static_cast<void>(artifact.read(path));
        } else {
            read_all(artifact, path);
        }
    }
}

bool is_sound(const fs::path& file) {
    try {
        read_all(ArtifactReader(file), "");
        return true;
    } catch (const DataError&) {
        return false;
    } catch (const MissingInputError&) {
        return false;  // a link to one that was put aside
    }
}

std::vector<fs::path> artifacts_of(const RunDirectory& run) {
    std::vector<fs::path> files;
    std::error_code error;
    for (auto it = fs::recursive_directory_iterator(run.root(), error);
         !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
        std::error_code ignored;
        if (it->path().extension() == ".h5" && it->is_regular_file(ignored)) {
            files.push_back(it->path());
        }
    }
    return files;
}

}  // namespace

std::vector<fs::path> put_damaged_aside(const RunDirectory& run) {
    std::vector<fs::path> damaged;
    for (const fs::path& file : artifacts_of(run)) {
        if (is_sound(file)) {
            continue;
        }
        const fs::path aside = run.damaged(file);
        std::error_code error;
        fs::create_directories(aside.parent_path(), error);
        fs::rename(file, aside, error);
        log_warning("artifact_damaged file=\"" + file.string() +
                    "\" put_aside=" + (error ? "no reason=\"" + error.message() + "\"" : "yes"));
        if (!error) {
            damaged.push_back(file);
        }
    }
    return damaged;
}

void work_on_artifacts(const RunDirectory& run, const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        const auto damaged =
            error.code() == ExitCode::bad_data ? put_damaged_aside(run) : std::vector<fs::path>{};
        if (damaged.empty()) {
            throw;
        }
        std::string names;
        for (const fs::path& file : damaged) {
            names += " " + file.lexically_relative(run.root()).string();
        }
        throw StoppedError(std::string(error.what()) +
                           ". Damaged files of the run were put aside:" + names +
                           "; run again to make them anew");
    }
}

}  // namespace lathe
