#include "orchestrator/simulate/recorded_job.hpp"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "orchestrator/estimate/job_work.hpp"
#include "orchestrator/journal.hpp"

namespace lathe {
namespace {

constexpr double guessed_share = 0.9;

std::unordered_map<std::string, double> seconds_of_tasks(const RunDirectory& run) {
    std::unordered_map<std::string, double> seconds;
    for (const JournalEntry& entry : read_journal(run.journal()).entries) {
        seconds[entry.task] = entry.seconds;
    }
    return seconds;
}

SimulatedTask recorded_task(const RunSchedule& schedule, const Task& task, double seconds,
                            double divisible) {
    SimulatedTask result{task, {}};
    result.cost.seconds = seconds;
    if (task.rank == all_ranks) {
        // Measured with the parts shared out: back to what one rank would take.
        const auto n = static_cast<std::size_t>(schedule.n_ranks);
        const auto most = static_cast<double>((schedule.parts + n - 1) / n);
        result.cost.divisible = divisible;
        result.cost.parts = schedule.parts;
        result.cost.seconds /=
            divisible * most / static_cast<double>(schedule.parts) + 1.0 - divisible;
    } else if (task.rank != any_rank) {
        result.cost.batches = schedule.batches;
    }
    return result;
}

JobOutline outline_of(const RunDirectory& run) {
    JobConfig job = read_job(read_file(run.job()), run.job().string(), {});
    return outline_job(std::move(job));
}

void require_run(const RunDirectory& run) {
    std::error_code ignored;
    if (!std::filesystem::exists(run.schedule(), ignored)) {
        throw MissingInputError(run.root().string() +
                                " has no schedule.jsonl: it is no run directory, or of a run by "
                                "a version of lathe that wrote none");
    }
}

/// Seconds of the journal's tasks of a stage.
double measured_seconds(const RunDirectory& run, const std::string& stage) {
    double seconds = 0.0;
    for (const JournalEntry& entry : read_journal(run.journal()).entries) {
        seconds += entry.stage == stage ? entry.seconds : 0.0;
    }
    return seconds;
}

}  // namespace

RecordedJob read_recorded_job(const RunDirectory& run) {
    require_run(run);
    RecordedJob job;
    job.schedule = read_schedule(run.schedule());
    const auto seconds = seconds_of_tasks(run);
    const double divisible = divisible_share(run);
    double last = 0.0;
    bool was_resumed = false;
    std::unordered_set<std::string> seen;
    for (const ScheduledCall& call : job.schedule.calls) {
        // What passed before was rank 0's own work, for this call or after the last one.
        const double gap = std::max(0.0, call.began - last);
        SimulatedCall& simulated = job.calls.emplace_back();
        simulated.stage = call.stage;
        simulated.serial_seconds = gap;
        last = call.ended;
        if (call.tasks.empty()) {
            simulated.serial_seconds += call.ended - call.began;
        }
        std::size_t repeated = 0;  // listed again by the same start
        SimulatedCall& tasks = job.calls.emplace_back();
        tasks.stage = call.stage;
        for (const Task& task : call.tasks) {
            repeated += seen.insert(task.id).second ? 0 : 1;
            const auto found = seconds.find(task.id);
            if (found == seconds.end()) {
                throw DataError(run.journal().string() + " has no time of task " + task.id +
                                ", which " + run.schedule().string() + " lists");
            }
            tasks.tasks.push_back(recorded_task(job.schedule, task, found->second, divisible));
            tasks.is_pipeline = tasks.is_pipeline || task.rank >= 0;
        }
        was_resumed = was_resumed || call.reused > repeated;
        auto stage = std::ranges::find(job.measured, call.stage, &RecordedJob::Stage::name);
        if (stage == job.measured.end()) {
            job.measured.push_back({call.stage, 0.0});
            stage = job.measured.end() - 1;
        }
        stage->seconds += gap + call.ended - call.began;
    }
    if (was_resumed) {
        job.measured.clear();
    }
    return job;
}

double divisible_share(const RunDirectory& run) {
    try {
        for (const WorkCall& call : list_work(outline_of(run), 1)) {
            if (call.stage != "refine" || call.parts == 1) {
                continue;
            }
            Work divided;
            Work repeated;
            for (const WorkTask& task : call.tasks) {
                divided += task.work;
                repeated += task.repeated;
            }
            const double flops = divided.forward + divided.gram;
            return flops / (flops + repeated.solve);
        }
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): a guess will do
    }
    return guessed_share;
}

ClusterConfig measured_cluster(const RunDirectory& run) {
    require_run(run);
    if (read_schedule(run.schedule()).n_ranks > 1) {
        throw UsageError(run.root().string() +
                         " was run on several ranks, so that its tasks hold waiting; expected a "
                         "run on one");
    }
    Work calibrated;
    Work compressed;
    for (const WorkCall& call : list_work(outline_of(run), 1)) {
        for (const WorkTask& task : call.tasks) {
            (call.stage == "calibrate" ? calibrated : compressed) += task.work;
        }
        if (call.stage == "compress") {
            break;
        }
    }
    const double passing = measured_seconds(run, "calibrate");
    const double solving = measured_seconds(run, "compress");
    if (passing <= 0.0 || solving <= 0.0 || compressed.solve <= 0.0) {
        throw DataError(run.root().string() +
                        " has no times of calibrate and compress to take speeds from");
    }
    const std::string source = "run " + run.root().string();
    ClusterConfig cluster;
    cluster.name = source;
    cluster.forward = {(calibrated.forward + calibrated.gram) / passing, Certainty::scaled, source};
    cluster.gram = cluster.forward;
    cluster.solve = {compressed.solve / solving, Certainty::scaled, source};
    const ClusterFigure free{std::numeric_limits<double>::max(), Certainty::scaled,
                             "part of the others"};
    cluster.link = cluster.network = cluster.read = cluster.write = cluster.cached = free;
    return cluster;
}

}  // namespace lathe
