#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/file.hpp"
#include "lib/core/file_lock.hpp"
#include "lib/job/task.hpp"
#include "orchestrator/coordinator.hpp"
#include "orchestrator/journal.hpp"
#include "orchestrator/run_schedule.hpp"
#include "orchestrator/source_files.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

/// What a stage took.
struct StageReport {
    std::string name;
    double seconds = 0.0;
    std::size_t tasks = 0;
    std::size_t tasks_reused = 0;  ///< finished by an earlier run
};

/// A task and the artifacts that prove it done.
struct StageTask {
    Task task;
    std::filesystem::path artifact;  ///< empty: the answer in the journal is the proof
    /// The artifacts', if they are the right ones; empty: the first must be there and in the
    /// journal.
    std::string fingerprint;
    std::filesystem::path second_artifact = {};  ///< of the same fingerprint; empty: there is none
};

/// A run directory in the hands of rank 0: locked, checked against the job, with its journal. The
/// stages (stages.hpp) work on it.
class JobRun {
public:
    /// Whether the job in the run directory becomes `context`'s or stays as it is. A question about
    /// a run, asked with other settings than its job's, must not change what the run resumes as.
    enum class Record { replace, keep };

    /// Opens or creates the run directory of `context`'s job. What the job is refused for is found
    /// before the directory is made. The directory of another job is taken over, with a warning, if
    /// none of its tasks has finished.
    /// @throws UsageError  another process works on it; it is another job's (naming the keys that
    ///   differ and both values); the directory is not a run directory and not empty
    /// @throws DataError   the model or the texts are not those the run began with
    /// @throws IoError
    JobRun(std::unique_ptr<const JobContext> context, Coordinator& coordinator,
           Record record = Record::replace);

    [[nodiscard]] const JobConfig& job() const { return given_->job; }
    [[nodiscard]] const RunDirectory& run() const { return given_->run; }
    [[nodiscard]] const JobSamples& samples() const { return samples_; }
    [[nodiscard]] int n_ranks() const { return given_->world->size(); }
    /// The ranks to cut tasks for, where that may depend on their number: those the run began with,
    /// so that another start finds the answers that are there.
    [[nodiscard]] int first_ranks() const { return first_ranks_; }

    /// Of the model the job was given: for calibration and slicing.
    [[nodiscard]] const JobContext& given_context() const { return *given_; }
    [[nodiscard]] const SourceModel& given_model() const { return *given_->given; }
    /// Of the model that is compressed: the given one or what a job makes of it first.
    /// @throws InternalError  before take_sliced_model() or take_ordered_model() in a job that
    ///   slices or puts neurons in order
    [[nodiscard]] const JobContext& context() const;
    [[nodiscard]] const SourceModel& source() const { return *context().source; }
    [[nodiscard]] const ModelSpec& spec() const { return context().spec(); }

    /// Of an artifact that is made of the given model: of the model, the samples and what `parts`
    /// say of the task. fingerprint(): of one that is made of the compressed model.
    [[nodiscard]] std::string given_fingerprint(const std::vector<std::string>& parts) const;
    [[nodiscard]] std::string fingerprint(const std::vector<std::string>& parts) const;

    /// The sliced model is in its directory: context() is there from now on. `identity` tells it
    /// from sliced models of other settings.
    void take_sliced_model(const std::string& identity);
    /// The same of the orders of its neurons, after slicing if the job slices.
    void take_ordered_model(const std::string& identity);

    /// Runs the tasks of a stage that are not done yet; the coordinator reports the progress.
    /// Returns the answers in the order of `tasks`, reused ones from the journal.
    std::vector<std::string> run_stage(const std::string& name, std::vector<StageTask> tasks);
    /// Times what rank 0 does by itself as (part of) a stage.
    void time_stage(const std::string& name, const std::function<void()>& work);

    [[nodiscard]] const std::vector<StageReport>& stages() const { return stages_; }
    [[nodiscard]] bool is_done(const StageTask& task) const;

private:
    /// Whether the directory is this job's run already; another job's in which no task has finished
    /// is emptied.
    bool continue_existing_run(Record record, const std::string& samples_now);
    void prepare_samples(const std::optional<JobSamples>& made, const std::string& expected);
    void remove_outdated(const JobConfig& before) const;
    StageReport& stage_report(const std::string& name);

    std::unique_ptr<const JobContext> given_;
    std::unique_ptr<const JobContext> compressed_;  ///< null: not known yet
    Coordinator& coordinator_;
    std::optional<FileLock> lock_;
    std::optional<Journal> journal_;
    std::optional<ScheduleRecorder> schedule_;
    std::optional<SourceFiles> source_files_;
    JobSamples samples_;
    std::string given_identity_;  ///< hash of the given model and the samples
    std::string identity_;        ///< of the compressed model and the samples
    std::vector<StageReport> stages_;
    int first_ranks_ = 1;
};

/// What opening a JobRun would refuse, found without writing anything: its directory, and the texts
/// its samples come from. @throws as JobRun
void check_run(const JobContext& context);

}  // namespace lathe
