#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/utf8.hpp"
#include "lib/job/run_directory.hpp"
#include "lib/template/chat_template.hpp"
#include "orchestrator/command_line.hpp"
#include "orchestrator/paths.hpp"
#include "orchestrator/presets.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// The parser would put other characters in the place of what is no UTF-8, in paths too.
std::string read_job_file(const fs::path& file) {
    std::string yaml = read_file(file);
    if (!is_valid_utf8(yaml)) {
        throw UsageError(file.string() + " is not UTF-8");
    }
    return yaml;
}

/// @throws MissingInputError  listing those that there are
std::string preset_text(const std::string& name) {
    std::string names;
    for (const Preset& preset : presets()) {
        if (preset.name == name) {
            return std::string(preset.yaml);
        }
        names += (names.empty() ? "" : ", ") + std::string(preset.name);
    }
    throw MissingInputError("no preset \"" + name + "\"; presets are " + names);
}

}  // namespace

bool works_on_job(const CommandLine& line) {
    return line.command == "plan" || line.command == "run" || line.command == "resume" ||
           line.command == "search";
}

JobConfig load_job(const CommandLine& line) {
    const bool from_run = line.command == "resume" || line.command == "search";
    JobConfig job;
    if (from_run) {
        const fs::path file = RunDirectory(line.path).job();
        std::error_code ignored;
        if (!fs::exists(file, ignored)) {
            throw MissingInputError(line.path.string() +
                                    " is not a run directory: it has no job.yaml");
        }
        job = read_job(read_job_file(file), file.string(), line.overrides);
        job.output = line.path;  // the directory may have been moved
    } else {
        const std::string yaml = !line.preset.empty() ? preset_text(line.preset)
                                 : line.path.empty()  ? ""
                                                      : read_job_file(line.path);
        const std::string where = !line.preset.empty() ? "preset " + line.preset
                                  : line.path.empty()  ? "command line"
                                                       : line.path.string();
        job = read_job(yaml, where, line.overrides);
    }
    // A run continues from any working directory.
    make_absolute_input(job.model, "model");
    make_absolute(job.output, "output");
    for (fs::path& path : job.calibration.data) {
        make_absolute_input(path, "calibration.data");
    }
    if (is_template_file(job.calibration.chat_template)) {
        fs::path file = job.calibration.chat_template;
        make_absolute_input(file, "calibration.chat_template");
        job.calibration.chat_template = file.string();
    }
    for (fs::path& path : job.search.evaluation) {
        make_absolute_input(path, "search.evaluation");
    }
    for (fs::path& path : job.evaluate.perplexity) {
        make_absolute_input(path, "evaluate.perplexity");
    }
    if (!job.search.kernel_times.empty()) {
        make_absolute_input(job.search.kernel_times, "search.kernel_times");
    }
    for (TaskEntry& entry : job.evaluate.tasks) {
        make_absolute_input(entry.data, "evaluate.tasks");
    }
    return job;
}

}  // namespace lathe
