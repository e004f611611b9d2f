#include <algorithm>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/core/utf8.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/simulate/simulation_report.hpp"
#include "orchestrator/simulate/timeline.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

constexpr int most_ranks = 1024;

/// A job or a run, for any number of ranks.
struct Subject {
    std::string name;
    std::string costs;
    std::optional<JobOutline> job;
    ClusterConfig cluster;
    std::optional<RecordedJob> run;

    [[nodiscard]] std::vector<SimulatedCall> calls(int n_ranks) const {
        return run ? run->calls : calls_on(list_work(*job, n_ranks), cluster, n_ranks);
    }
};

bool is_run_directory(const fs::path& path) {
    std::error_code ignored;
    return fs::exists(RunDirectory(path).manifest(), ignored);
}

/// A job file, or a model under the settings of the command line.
JobConfig job_of(const CommandLine& line) {
    const auto extension = line.path.extension();
    if (extension == ".yaml" || extension == ".yml") {
        return load_job(line);
    }
    CommandLine model = line;
    model.overrides.push_back("model=" + nlohmann::json(line.path.string()).dump());
    model.overrides.emplace_back("output=simulated");  // nothing is written there
    model.path.clear();
    return load_job(model);
}

ClusterConfig read_cluster_file(const fs::path& file) {
    const std::string yaml = read_file(file);
    if (!is_valid_utf8(yaml)) {
        throw UsageError(file.string() + " is not UTF-8");
    }
    return read_cluster(yaml, file.string());
}

Subject recorded_subject(const fs::path& run) {
    Subject subject;
    subject.name = run.filename().string();
    subject.run = read_recorded_job(RunDirectory(run));
    const int n_ranks = subject.run->schedule.n_ranks;
    subject.costs =
        fmt::format("measured in the run, on {} rank{}", n_ranks, n_ranks == 1 ? "" : "s");
    return subject;
}

Subject listed_subject(const JobConfig& job, ClusterConfig cluster) {
    Subject subject;
    const bool is_file = job.model.extension() == ".json";
    subject.name = (is_file ? job.model.parent_path() : job.model).filename().string();
    subject.job = outline_job(job);
    subject.costs = "figures of " + cluster.name;
    subject.cluster = std::move(cluster);
    return subject;
}

Subject subject_of(const CommandLine& line) {
    const SimulateOptions& options = line.simulation;
    const bool has_speeds = !options.cluster.empty() || !options.costs.empty();
    if (is_run_directory(line.path) && !has_speeds) {
        return recorded_subject(line.path);
    }
    if (!has_speeds) {
        throw UsageError(
            "simulate: how fast is a device? Expected --cluster FILE, or --costs RUN for speeds "
            "that a run on one rank measured, or the directory of a run that is done");
    }
    return listed_subject(job_of(line), options.cluster.empty()
                                            ? measured_cluster(RunDirectory(options.costs))
                                            : read_cluster_file(options.cluster));
}

SimulatedWorld world_of(const SimulateOptions& options, int n_ranks) {
    SimulatedWorld world;
    world.n_ranks = n_ranks;
    // More ranks are lost where there are more.
    world.lost_per_hour = options.lost_ranks * n_ranks / options.ranks;
    world.preempt_every = options.preempt_every;
    world.restart_seconds = options.restart_seconds;
    return world;
}

/// On so many ranks. What one rank would need is that of the tasks that one rank would have: more
/// ranks may have smaller ones, which together take longer.
Simulation simulate_on(const Subject& subject, const SimulateOptions& options, int n_ranks) {
    Simulation simulation = simulate(subject.calls(n_ranks), world_of(options, n_ranks));
    const std::vector<SimulatedCall> alone = subject.calls(1);
    simulation.work = one_rank_seconds(alone);
    for (SimulatedStage& stage : simulation.stages) {
        stage.work = one_rank_seconds(alone, stage.name);
    }
    return simulation;
}

std::vector<SimulationReport::Other> other_ranks(const Subject& subject,
                                                 const SimulateOptions& options) {
    std::vector<SimulationReport::Other> others;
    for (int n = std::max(1, options.ranks / 4); n <= std::min(most_ranks, 4 * options.ranks);
         n *= 2) {
        const Simulation s = simulate_on(subject, options, n);
        others.push_back({n, s.seconds, s.efficiency()});
    }
    return others;
}

std::vector<std::string> notes_of(const Subject& subject, int n_ranks) {
    std::vector<std::string> notes;
    if (subject.run && subject.run->holds_waiting()) {
        notes.push_back(fmt::format(
            "the run had {} ranks: what its tasks of pipelines and for all ranks waited for each "
            "other counts as their work; a run on one rank gives better figures",
            subject.run->schedule.n_ranks));
    }
    if (!subject.run && static_cast<std::uint64_t>(n_ranks) > subject.cluster.n_devices() &&
        subject.cluster.n_devices() > 1) {
        notes.push_back(fmt::format("the cluster has {} devices: taken as if it had more of them",
                                    subject.cluster.n_devices()));
    }
    for (const WorkCall& call :
         subject.job ? list_work(*subject.job, n_ranks) : std::vector<WorkCall>()) {
        if (subject.cluster.memory > 0 &&
            call.rank_bytes > static_cast<double>(subject.cluster.memory)) {
            notes.push_back(fmt::format("stage {} wants {} of a rank, which has {}", call.stage,
                                        bytes_text(static_cast<std::uint64_t>(call.rank_bytes)),
                                        bytes_text(subject.cluster.memory)));
        }
    }
    std::ranges::sort(notes);
    notes.erase(std::ranges::unique(notes).begin(), notes.end());
    return notes;
}

SimulationReport report_on(const Subject& subject, const SimulateOptions& options) {
    SimulationReport report;
    report.subject = subject.name;
    report.costs = subject.costs;
    report.simulation = simulate_on(subject, options, options.ranks);
    if (subject.run) {
        report.measured = subject.run->measured;
        report.measured_ranks = subject.run->schedule.n_ranks;
    } else {
        report.demands =
            demands_of(list_work(*subject.job, options.ranks), subject.cluster, options.ranks);
    }
    report.others = other_ranks(subject, options);
    report.notes = notes_of(subject, options.ranks);
    return report;
}

}  // namespace

CommandOutput simulate_on_cluster(const JobConfig& job, const fs::path& cluster) {
    const Subject subject = listed_subject(job, read_cluster_file(cluster));
    SimulateOptions options;
    options.ranks =
        static_cast<int>(std::min<std::uint64_t>(subject.cluster.n_devices(), most_ranks));
    const SimulationReport report = report_on(subject, options);
    return {to_json(report), to_text(report), 0};
}

CommandOutput run_simulate(const CommandContext& context) {
    const SimulateOptions& options = context.line.simulation;
    const Subject subject = subject_of(context.line);
    const SimulationReport report = report_on(subject, options);
    if (!options.svg.empty()) {
        const std::string title =
            fmt::format("{} on {} ranks, efficiency {:.1f} %", subject.name, options.ranks,
                        100.0 * report.simulation.efficiency());
        write_file(options.svg, timeline_svg(report.simulation, title));
    }
    return {to_json(report), to_text(report), 0};
}

}  // namespace lathe
