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
#include "workers/job_context.hpp"

namespace lathe {

/// What a stage took.
struct StageReport {
    std::string name;
    double seconds = 0.0;
    std::size_t tasks = 0;
    std::size_t tasks_reused = 0;  ///< finished by an earlier run
};

/// A task and the artifact that proves it done.
struct StageTask {
    Task task;
    std::filesystem::path artifact;  ///< empty: the answer in the journal is the proof
    /// The artifact's, if it is the right one; empty: it must be there and in the journal.
    std::string fingerprint;
};

/// A run directory in the hands of rank 0: locked, checked against the job, with its journal. The
/// stages (stages.hpp) work on it.
class JobRun {
public:
    /// Whether the job in the run directory becomes `context`'s, or stays: a question asked of a
    /// run in other words than its job's must not change what it resumes as.
    enum class Record { replace, keep };

    /// Opens or creates the run directory of `context`'s job.
    /// @throws UsageError  another process works on it; it is another job's (naming the keys that
    ///   differ and both values); the directory is not a run directory and not empty
    /// @throws DataError   the model or the texts are not those the run began with
    /// @throws IoError
    JobRun(std::unique_ptr<JobContext> context, Coordinator& coordinator,
           Record record = Record::replace);

    [[nodiscard]] const JobContext& context() const { return *context_; }
    [[nodiscard]] const RunDirectory& run() const { return context_->run; }
    /// What is compressed: the model as given or, after the slice stage, the sliced one.
    [[nodiscard]] const SourceModel& source() const { return *context_->source; }
    [[nodiscard]] const SourceModel& given_model() const { return context_->given_model(); }
    [[nodiscard]] const ModelSpec& spec() const { return context_->source->spec; }
    [[nodiscard]] const JobSamples& samples() const { return samples_; }
    [[nodiscard]] int n_ranks() const { return context_->world->size(); }

    /// Fingerprint of an artifact: of the model, the samples and what `parts` say of the task.
    [[nodiscard]] std::string fingerprint(const std::vector<std::string>& parts) const;

    /// From now on the stages work on the sliced model; what they make depends on its identity.
    void enter_sliced_model(const std::string& identity);

    /// Runs the tasks of a stage that are not done yet; tells how it goes on through the
    /// coordinator. Answers in the order of `tasks`, reused ones from the journal.
    std::vector<std::string> run_stage(const std::string& name, std::vector<StageTask> tasks);
    /// Times what rank 0 does by itself as (part of) a stage.
    void time_stage(const std::string& name, const std::function<void()>& work);

    [[nodiscard]] const std::vector<StageReport>& stages() const { return stages_; }
    [[nodiscard]] bool is_done(const StageTask& task) const;

private:
    void check_existing_run();
    void prepare_samples();
    void remove_outdated(const JobConfig& before) const;
    StageReport& stage_report(const std::string& name);

    std::unique_ptr<JobContext> context_;
    Coordinator& coordinator_;
    std::optional<FileLock> lock_;
    std::optional<Journal> journal_;
    JobSamples samples_;
    std::string identity_;  ///< hash of model and samples
    std::vector<StageReport> stages_;
};

/// Whether an artifact is there, readable, and carries the fingerprint.
[[nodiscard]] bool has_fingerprint(const std::filesystem::path& artifact,
                                   const std::string& fingerprint);

}  // namespace lathe
