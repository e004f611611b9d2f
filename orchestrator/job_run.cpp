#include "orchestrator/job_run.hpp"

#include <chrono>
#include <unordered_map>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/json.hpp"
#include "lib/core/log.hpp"
#include "orchestrator/version.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
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
    for (const char* name : {"tokenizer.json", "tokenizer.model"}) {
        std::error_code ignored;
        if (fs::exists(job.model / name, ignored)) {
            add_file(job.model / name);
        }
    }
    hasher.add_field(job.calibration.num_calibration_samples);
    hasher.add_field(job.calibration.max_seq_length);
    hasher.add_field(job.search.num_evaluation_samples);
    return to_hex(hasher.digest());
}

/// A directory without a manifest may hold what a run killed at its very start leaves, else
/// nothing.
void require_nothing_foreign(const RunDirectory& run) {
    std::error_code error;
    if (!fs::exists(run.root(), error)) {
        return;
    }
    for (const auto& entry : fs::directory_iterator(run.root())) {
        const std::string name = entry.path().filename().string();
        if (entry.path() == run.lock() || entry.path() == FileLock::stand_in(run.lock()) ||
            name.starts_with("job.yaml") || name.starts_with("manifest.json.")) {
            continue;
        }
        throw UsageError("output " + run.root().string() +
                         " is neither empty nor a run directory (it has " + name +
                         " but no manifest.json)");
    }
}

}  // namespace

bool has_fingerprint(const fs::path& artifact, const std::string& fingerprint) {
    std::error_code ignored;
    if (!fs::exists(artifact, ignored)) {
        return false;
    }
    try {
        const Attributes attributes = ArtifactReader(artifact).attributes("/");
        return text_attribute(attributes, "fingerprint", artifact.string()) == fingerprint;
    } catch (const DataError&) {
        return false;
    }  // damaged: made again
}

JobRun::JobRun(std::unique_ptr<JobContext> context, Coordinator& coordinator, Record record)
    : context_(std::move(context)), coordinator_(coordinator) {
    const fs::path root = run().root();
    std::error_code error;
    const auto has_manifest = [&] { return fs::exists(run().manifest(), error); };
    if (!has_manifest()) {
        require_nothing_foreign(run());  // before a lock is left in somebody's directory
    }
    make_directories(root);
    lock_ = FileLock::try_lock(run().lock());
    if (!lock_) {
        const std::string holder = FileLock::holder(run().lock());
        throw UsageError("another lathe process is working on run directory " + root.string() +
                         (holder.empty() ? "" : ": " + holder));
    }
    // Only now: until the lock was ours, another process may have made a run of it.
    const bool is_run = has_manifest();
    if (is_run) {
        check_existing_run();
    }
    remove_temporary_files(root);
    // Before anything else, so that a run killed right after its start is known for one.
    if (!is_run || record == Record::replace) {
        write_file(run().job(), to_yaml(context_->job));
    }
    const nlohmann::json manifest{{"format_version", 1},
                                  {"program_version", program_version},
                                  {"model_fingerprint", to_hex(source().weights.fingerprint())},
                                  {"samples_fingerprint", samples_fingerprint(context_->job)},
                                  {"instruction_set", instruction_set()}};
    if (!is_run) {
        write_file(run().manifest(), manifest.dump(1) + "\n");
    }
    for (const char* folder : {"calibration", "candidates", "search", "logs"}) {
        make_directories(root / folder);
    }
    prepare_samples();
    Hasher identity;
    identity.add_field(manifest.at("model_fingerprint").get<std::string>());
    identity.add_field(manifest.at("samples_fingerprint").get<std::string>());
    identity_ = to_hex(identity.digest());
    journal_.emplace(run().journal());
}

void JobRun::check_existing_run() {
    JobConfig before = read_job(read_file(run().job()), run().job().string(), {});
    before.output = context_->job.output;  // the directory may have been moved
    const auto changes = incompatible_changes(before, context_->job);
    if (!changes.empty()) {
        std::string text = run().root().string() + " is the run directory of another job:";
        for (const std::string& change : changes) {
            text += "\n  " + change;
        }
        throw UsageError(text);
    }
    remove_outdated(before);
    const auto manifest = try_parse_json(read_file(run().manifest()));
    if (!manifest.is_object() || !manifest.contains("model_fingerprint") ||
        !manifest.contains("samples_fingerprint")) {
        throw DataError(run().manifest().string() +
                        " is damaged; remove the run directory to begin again");
    }
    if (manifest["model_fingerprint"] != to_hex(source().weights.fingerprint())) {
        throw DataError("the weights in " + source().directory.string() +
                        " are not those this run began with (" + run().root().string() + ")");
    }
    if (manifest["samples_fingerprint"] != samples_fingerprint(context_->job)) {
        throw DataError(
            "the calibration or evaluation texts, or the tokenizer, are not those this "
            "run began with (" +
            run().root().string() + ")");
    }
    const auto began = manifest.value("program_version", nlohmann::json());
    if (began != program_version) {
        log_warning("run_of_another_version began=" + began.dump() + " this=\"" + program_version +
                    "\" finished_tasks=kept");
    }
    const auto set = manifest.value("instruction_set", nlohmann::json());
    if (set.is_string() && set != instruction_set()) {
        log_warning("run_of_another_instruction_set began=" + set.dump() + " this=\"" +
                    instruction_set() + "\" results=may_differ_in_their_last_bits");
    }
}

/// Where another width is asked for: files that do not say themselves what they were made from.
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
    if (slice_of(before) != slice_of(context_->job)) {
        std::error_code ignored;
        fs::remove_all(run().sliced(), ignored);
        fs::remove_all(run().hf_export(), ignored);
    }
}

void JobRun::enter_sliced_model(const std::string& identity) {
    context_->enter_sliced_model();
    Hasher hasher;
    hasher.add_field(identity_);
    hasher.add_field(identity);
    identity_ = to_hex(hasher.digest());
}

void JobRun::prepare_samples() {
    const std::string expected = samples_fingerprint(context_->job);
    if (!has_fingerprint(run().samples(), expected)) {
        const auto tokenizer = open_tokenizer(source().directory, spec());
        write_samples(make_samples(context_->job, spec(), tokenizer.get()), run().samples(),
                      expected);
    }
    samples_ = read_samples(run().samples());
}

std::string JobRun::fingerprint(const std::vector<std::string>& parts) const {
    Hasher hasher;
    hasher.add_field(identity_);
    for (const std::string& part : parts) {
        hasher.add_field(part);
    }
    return to_hex(hasher.digest());
}

bool JobRun::is_done(const StageTask& task) const {
    if (!task.fingerprint.empty()) {
        return has_fingerprint(task.artifact, task.fingerprint);
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
    const auto start = std::chrono::steady_clock::now();
    work();
    stage_report(name).seconds += seconds_since(start);
}

std::vector<std::string> JobRun::run_stage(const std::string& name, std::vector<StageTask> tasks) {
    const auto start = std::chrono::steady_clock::now();
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
                          .text = result.text});
    });
    const auto results = coordinator_.run(open, tasks.size() - open.size());
    for (std::size_t i = 0; i < results.size(); ++i) {
        answers[place[i]] = results[i].text;
    }
    StageReport& report = stage_report(name);
    report.tasks += tasks.size();
    report.tasks_reused += tasks.size() - open.size();
    report.seconds += seconds_since(start);
    return answers;
}

}  // namespace lathe
