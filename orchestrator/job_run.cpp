#include "orchestrator/job_run.hpp"

#include <unordered_map>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/log.hpp"
#include "lib/job/export_formats.hpp"
#include "lib/template/chat_template.hpp"
#include "orchestrator/ranks_text.hpp"
#include "orchestrator/run_place.hpp"
#include "orchestrator/run_records.hpp"
#include "orchestrator/timekeeper.hpp"
#include "orchestrator/version.hpp"
#include "workers/chain/sample_share.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

std::string hash_of_fields(const std::string& first, const std::vector<std::string>& others) {
    Hasher hasher;
    hasher.add_field(first);
    for (const std::string& field : others) {
        hasher.add_field(field);
    }
    return to_hex(hasher.digest());
}

/// Hash of everything the samples depend on: texts, tokenizer, how many and how long.
std::string samples_fingerprint(const JobConfig& job) {
    Hasher hasher;
    const auto add_file = [&](const fs::path& file) {
        const MappedFile mapped(file);
        hasher.add_field(static_cast<std::uint64_t>(mapped.bytes().size()));
        hasher.add(mapped.bytes());
    };
    for (const fs::path& file : job.calibration.data) {
        add_file(file);
    }
    hasher.add_field("evaluation");
    for (const fs::path& file : job.search.evaluation) {
        add_file(file);
    }
    for (const fs::path& file : tokenizer_files(job.model)) {
        hasher.add_field(file.filename().string());
        add_file(file);
    }
    hasher.add_field(job.calibration.chat_template);
    if (!job.calibration.chat_template.empty()) {
        for (const fs::path& file : chat_template_files(job.model, job.calibration.chat_template)) {
            hasher.add_field(file.filename().string());
            add_file(file);
        }
    }
    hasher.add_field(job.calibration.num_calibration_samples);
    hasher.add_field(job.calibration.max_seq_length);
    hasher.add_field(job.search.num_evaluation_samples);
    return to_hex(hasher.digest());
}

/// Throws what tells a job from the one its run directory was made for. Returns the files of its
/// source, so that nobody has to look at them again.
SourceFiles require_same_job(const JobContext& context, const std::string& samples_now) {
    const RunDirectory& run = context.run;
    JobConfig before = read_job(read_file(run.job()), run.job().string(), {});
    before.output = context.job.output;  // the directory may have been moved
    const auto changes = incompatible_changes(before, context.job);
    if (!changes.empty()) {
        std::string text = run.root().string() + " is the run directory of another job:";
        for (const std::string& change : changes) {
            text += "\n  " + change;
        }
        throw UsageError(text);
    }
    const RunManifest manifest = read_manifest(run.manifest());
    if (manifest.model_fingerprint != to_hex(context.given->weights.fingerprint())) {
        throw DataError("the weights in " + context.given->directory.string() +
                        " are not those this run began with (" + run.root().string() + ")");
    }
    if (manifest.samples_fingerprint != samples_now) {
        throw DataError(
            "the calibration or evaluation texts, or the tokenizer, are not those this "
            "run began with (" +
            run.root().string() + ")");
    }
    return SourceFiles::compare(*context.given, run.sources(), *context.device->pool);
}

JobSamples read_sample_texts(const JobContext& context) {
    const auto tokenizer = open_tokenizer(context.given->directory, context.given->spec);
    return make_samples(context.job, context.given->spec, tokenizer.get());
}

}  // namespace

void check_run(const JobContext& context) {
    require_usable(context.run);
    const std::string samples_now = samples_fingerprint(context.job);
    if (is_run(context.run)) {
        try {
            (void)require_same_job(context, samples_now);
        } catch (const Error&) {
            if (has_finished_task(context.run)) {
                throw;
            }
        }
    }
    if (!has_fingerprint(context.run.samples(), samples_now)) {
        (void)read_sample_texts(context);
    }
}

JobRun::JobRun(std::unique_ptr<const JobContext> context, Coordinator& coordinator, Record record)
    : given_(std::move(context)), coordinator_(coordinator) {
    coordinator_.set_worker_timeout(job().runtime.worker_timeout);
    if (!job().slice && !given_->orders_neurons()) {
        compressed_ = given_->of_compressed_model();
    }
    const fs::path root = run().root();
    require_usable(run());
    // What a job is refused for is found before its directory is made.
    std::optional<JobSamples> samples;
    if (!is_run(run())) {
        samples = read_sample_texts(*given_);
    }
    make_directories(root);
    lock_ = FileLock::try_lock(run().lock());
    if (!lock_) {
        const std::string holder = FileLock::holder(run().lock());
        throw UsageError("another lathe process is working on run directory " + root.string() +
                         (holder.empty() ? "" : ": " + holder));
    }
    const std::string model_now = to_hex(given_model().weights.fingerprint());
    const std::string samples_now = samples_fingerprint(job());
    const bool continues = continue_existing_run(record, samples_now);
    remove_temporary_files(root);
    // Before anything else, so that a run killed right after its start is recognised as a run.
    if (!continues || record == Record::replace) {
        write_file(run().job(), to_yaml(job()));
    }
    if (!continues) {
        const RunManifest manifest{model_now, samples_now, program_version, instruction_set()};
        write_file(run().manifest(), to_json(manifest) + "\n");
    }
    if (!source_files_) {
        source_files_ = SourceFiles::compare(given_model(), run().sources(), *given_->device->pool);
    }
    source_files_->write_record();
    for (const char* folder : {"calibration", "candidates", "search", "logs"}) {
        make_directories(root / folder);
    }
    prepare_samples(samples, samples_now);
    given_identity_ = hash_of_fields(model_now, {samples_now});
    identity_ = given_identity_;
    journal_.emplace(run().journal());
    // Runs of versions without a schedule cut as for one rank.
    const int before = has_finished_task(run()) ? 1 : n_ranks();
    first_ranks_ = first_ranks_in(run().schedule()).value_or(before);
    if (record == Record::keep) {
        schedule_.emplace();
        return;
    }
    const TokenSequences& calibration = samples_.calibration;
    // Of the start before, if it was killed: its status is written over soon.
    const auto killed = tasks_at_work(read_status_file(run().status()), "the program was killed");
    schedule_.emplace(run().schedule(),
                      RunSchedule{n_ranks(),
                                  calibration.ranges(tokens_per_batch).size(),
                                  SampleShare::n_parts(calibration),
                                  {},
                                  seconds_since_1970(),
                                  ranks_text(given_->world->places(), job().runtime.backend,
                                             job().runtime.threads)});
    for (const UnfinishedTask& task : killed) {
        schedule_->record(task);
    }
}

bool JobRun::continue_existing_run(Record record, const std::string& samples_now) {
    if (!is_run(run())) {
        return false;
    }
    try {
        source_files_ = require_same_job(*given_, samples_now);
    } catch (const Error& error) {
        if (record == Record::keep || has_finished_task(run())) {
            throw;
        }
        (void)read_sample_texts(*given_);  // before anything is removed
        log_warning("run_directory_taken_over path=" + run().root().string() +
                    " (no task had finished): " + error.what());
        remove_run_files(run());
        return false;
    }
    remove_outdated(read_job(read_file(run().job()), run().job().string(), {}));
    const RunManifest manifest = read_manifest(run().manifest());
    if (manifest.program_version != program_version) {
        log_warning("run_of_another_version began=\"" + manifest.program_version + "\" this=\"" +
                    program_version + "\" finished_tasks=kept");
    }
    const std::string& set = manifest.instruction_set;
    if (!set.empty() && set != instruction_set()) {
        log_warning("run_of_another_instruction_set began=\"" + set + "\" this=\"" +
                    instruction_set() + "\" results=may_differ_in_their_last_bits");
    }
    return true;
}

/// Where another width or another order of neurons is asked for: files that do not say themselves
/// what they were made from.
void JobRun::remove_outdated(const JobConfig& before) const {
    const auto slice_of = [](JobConfig job) {
        job.candidates.clear();
        job.runtime = {};
        job.evaluate = {};
        job.exports.clear();
        job.refine = {};
        SearchConfig samples;
        samples.evaluation = job.search.evaluation;
        samples.num_evaluation_samples = job.search.num_evaluation_samples;
        job.search = samples;
        return to_yaml(job);
    };
    if (slice_of(before) != slice_of(job())) {
        std::error_code ignored;
        fs::remove_all(run().sliced(), ignored);
        fs::remove_all(run().neurons(), ignored);
        for (const std::string_view format : export_format_names) {
            fs::remove_all(run().exported(std::string(format)), ignored);
        }
    }
}

const JobContext& JobRun::context() const {
    if (!compressed_) {
        throw InternalError("the model to compress was asked for before it was made");
    }
    return *compressed_;
}

void JobRun::take_sliced_model(const std::string& identity) {
    compressed_ = given_->of_sliced_model();
    identity_ = hash_of_fields(given_identity_, {identity});
}

void JobRun::take_ordered_model(const std::string& identity) {
    compressed_ = given_->of_compressed_model();
    identity_ = hash_of_fields(identity_, {identity});
}

void JobRun::prepare_samples(const std::optional<JobSamples>& made, const std::string& expected) {
    if (!has_fingerprint(run().samples(), expected)) {
        write_samples(made ? *made : read_sample_texts(*given_), run().samples(), expected);
    }
    samples_ = read_samples(run().samples());
}

std::string JobRun::given_fingerprint(const std::vector<std::string>& parts) const {
    return hash_of_fields(given_identity_, parts);
}

std::string JobRun::fingerprint(const std::vector<std::string>& parts) const {
    return hash_of_fields(identity_, parts);
}

bool JobRun::is_done(const StageTask& task) const {
    if (!task.fingerprint.empty()) {
        return has_fingerprint(task.artifact, task.fingerprint) &&
               (task.second_artifact.empty() ||
                has_fingerprint(task.second_artifact, task.fingerprint));
    }
    std::error_code ignored;
    return journal_->find(task.task.id).has_value() &&
           (task.artifact.empty() || fs::exists(task.artifact, ignored));
}

StageReport& JobRun::stage_report(const std::string& name) {
    for (StageReport& stage : stages_) {
        if (stage.name == name) {
            return stage;
        }
    }
    stages_.push_back({name});
    return stages_.back();
}

void JobRun::time_stage(const std::string& name, const std::function<void()>& work) {
    const double began = schedule_->seconds();
    work();
    const double ended = schedule_->seconds();
    stage_report(name).seconds += ended - began;
    schedule_->record(ScheduledCall{name, began, ended, 0, {}});
}

std::vector<std::string> JobRun::run_stage(const std::string& name, std::vector<StageTask> tasks) {
    const double began = schedule_->seconds();
    std::vector<Task> open;
    std::vector<std::string> answers(tasks.size());
    std::vector<std::size_t> place;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        if (!is_done(tasks[i])) {
            place.push_back(i);
            open.push_back(tasks[i].task);
        } else if (const auto entry = journal_->find(tasks[i].task.id)) {
            answers[i] = entry->text;
        }
    }
    std::unordered_map<std::string, const StageTask*> by_id;
    for (const StageTask& task : tasks) {
        by_id.emplace(task.task.id, &task);
    }
    coordinator_.set_on_result([&](const Task& task, const TaskResult& result) {
        const fs::path& artifact = by_id.at(task.id)->artifact;
        std::error_code ignored;
        journal_->record({.task = task.id,
                          .stage = name,
                          .seconds = result.seconds,
                          .rank = result.rank,
                          .size_bytes = artifact.empty() ? 0 : fs::file_size(artifact, ignored),
                          .artifact = artifact.lexically_relative(run().root()).string(),
                          .text = result.text,
                          .ended = seconds_since_1970()});
    });
    coordinator_.set_on_unfinished(
        [&](const Task& task, int rank, double seconds, const std::string& why) {
            try {
                schedule_->record({task.id, name, rank, seconds_since_1970(), seconds, why});
            } catch (const Error& error) {  // must not hide why the task came to no end
                log_warning(std::string("schedule_not_written reason=\"") + error.what() + "\"");
            }
        });
    const auto results = coordinator_.run(open, tasks.size() - open.size());
    try {
        source_files_->require_unchanged(*given_->device->pool);
    } catch (const Error&) {
        for (const std::size_t i : place) {  // made of one version of the file or of another
            std::error_code ignored;
            fs::remove(tasks[i].artifact, ignored);
        }
        throw;
    }
    for (std::size_t i = 0; i < results.size(); ++i) {
        answers[place[i]] = results[i].text;
    }
    StageReport& report = stage_report(name);
    report.tasks += tasks.size();
    report.tasks_reused += tasks.size() - open.size();
    const double ended = schedule_->seconds();
    report.seconds += ended - began;
    ScheduledCall call{name, began, ended, tasks.size() - open.size(), {}};
    for (const StageTask& task : tasks) {
        call.tasks.push_back(task.task);
    }
    schedule_->record(call);
    return answers;
}

}  // namespace lathe
