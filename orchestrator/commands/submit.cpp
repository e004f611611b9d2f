#include <cstdint>
#include <cstdlib>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/job/run_directory.hpp"
#include "orchestrator/batch/script.hpp"
#include "orchestrator/batch/submission.hpp"
#include "orchestrator/batch_demand.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/timekeeper.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

using batch::BatchOptions;

/// Of this program, which will have to be there on the nodes too.
std::string own_program() {
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    return error ? "lathe" : program.string();
}

std::string site_text(const SubmitOptions& options) {
    if (!options.site.empty()) {
        return read_file(options.site);
    }
    if (const char* file = std::getenv("LATHE_SITE")) {
        return read_file(file);
    }
    const char* const home = std::getenv("HOME");
    const fs::path usual = fs::path(home != nullptr ? home : "/") / ".config/lathe/site.sh";
    std::error_code ignored;
    return fs::exists(usual, ignored) ? read_file(usual)
                                      : std::string(batch::built_in_template("site"));
}

/// A job of this run that is in the queue would find it locked, or be in each other's way.
void require_none_in_queue(const batch::Slurm& slurm, const batch::BatchFolder& folder) {
    const auto submission = read_submission(folder);
    if (!submission) {
        return;
    }
    for (const batch::QueueEntry& entry : slurm.queue(submission->ids()).entries) {
        if (!entry.has_ended()) {
            throw UsageError("job " + entry.id + " of this run is in the queue (" + entry.state +
                             "): lathe status tells how far it is, lathe cancel ends it");
        }
    }
}

/// Where Slurm writes what the script prints; `name` is Slurm's own pattern.
std::string log_pattern(const JobConfig& job, const char* name) {
    return batch::literal_path(RunDirectory(job.output).logs().string()) + "/" + name;
}

/// The options of sbatch that come from the plan and the command line.
BatchOptions batch_options(const JobConfig& job, const SubmitOptions& given,
                           const batch::Resources& resources) {
    BatchOptions options{{"job-name", "lathe-" + job.output.filename().string()},
                         {"nodes", std::to_string(resources.nodes)},
                         {"ntasks-per-node", std::to_string(resources.ntasks_per_node)}};
    if (resources.cpus_per_task > 0) {
        options.emplace_back("cpus-per-task", std::to_string(resources.cpus_per_task));
    }
    if (resources.gpus_per_node > 0) {
        options.emplace_back("gpus-per-node", std::to_string(resources.gpus_per_node));
    }
    options.emplace_back("mem", given.memory == "0"
                                    ? "0"
                                    : fmt::format("{}M", resources.memory_bytes_per_node >> 20));
    options.emplace_back("time", batch::time_text(resources.minutes));
    options.emplace_back("output", log_pattern(job, "%x-%j.out"));
    if (!given.wishes.partition.empty()) {
        options.emplace_back("partition", given.wishes.partition);
    }
    if (!given.account.empty()) {
        options.emplace_back("account", given.account);
    }
    return options;
}

std::string template_text(const SubmitOptions& given, const batch::Resources& resources,
                          const batch::Slurm& slurm) {
    if (!given.script_template.empty()) {
        return read_file(given.script_template);
    }
    if (resources.nodes == 1) {
        return std::string(batch::built_in_template("one_node"));
    }
    const bool by_srun = given.launcher.empty() ? slurm.has_pmix() : given.launcher == "srun";
    return std::string(batch::built_in_template(by_srun ? "many_nodes" : "mpirun"));
}

std::vector<std::string> remarks_of(const batch::Demand& demand,
                                    const batch::Resources& resources) {
    std::vector<std::string> remarks{
        fmt::format("By the plan: {} of memory for a rank, {} in the run directory{}.",
                    bytes_text(demand.memory_bytes_per_rank), bytes_text(demand.disk_bytes),
                    resources.seconds ? ", about " + duration_text(*resources.seconds) : "")};
    for (const std::string& remark : resources.remarks) {
        remarks.push_back("Note: " + remark + ".");
    }
    return remarks;
}

struct Scripts {
    std::string job;
    std::string budgets;  ///< empty: none
};

Scripts render(const JobConfig& job, const CommandLine& line, const batch::Demand& demand,
               const batch::Resources& resources, const BatchOptions& passed_on,
               const std::string& site, const batch::Slurm& slurm) {
    const batch::BatchFolder folder{RunDirectory(job.output).batch()};
    batch::ScriptSettings settings;
    settings.options = batch_options(job, line.submit, resources);
    const auto pass_on = [&] {
        for (const auto& [name, value] : passed_on) {
            batch::set_option(settings.options, name, value);
        }
    };
    pass_on();
    settings.lathe = own_program();
    settings.command = {"run", folder.job().string()};
    settings.state = folder.root.string();
    settings.remarks = remarks_of(demand, resources);
    Scripts scripts;
    scripts.job =
        batch::render_script(template_text(line.submit, resources, slurm), site, settings);
    if (line.budgets.empty()) {
        return scripts;
    }
    batch::set_option(settings.options, "job-name",
                      "lathe-" + job.output.filename().string() + "-budgets");
    batch::set_option(settings.options, "output", log_pattern(job, "%x-%A_%a.out"));
    pass_on();
    batch::set_option(settings.options, "nodes", "1");
    // One after another: they work in the same run directory.
    batch::set_option(settings.options, "array", fmt::format("0-{}%1", line.budgets.size() - 1));
    settings.command = {"search", job.output.string(), "--assemble"};
    settings.budgets = line.budgets;
    scripts.budgets = batch::render_script(batch::built_in_template("budgets"), site, settings);
    return scripts;
}

batch::Submission submit(const batch::Slurm& slurm, const JobConfig& job, const Scripts& scripts) {
    const RunDirectory run(job.output);
    const batch::BatchFolder folder{run.batch()};
    make_directories(folder.root);
    make_directories(run.logs());  // Slurm does not make it
    write_file(folder.job(), to_yaml(job));
    write_file(folder.script(), scripts.job);
    std::error_code ignored;
    fs::remove(folder.cancelled(), ignored);
    batch::Submission submission;
    submission.submitted = static_cast<std::int64_t>(seconds_since_1970());
    submission.job_id = slurm.submit(folder.script().string(), {});
    write_submission(folder, submission);
    if (!scripts.budgets.empty()) {
        write_file(folder.budgets_script(), scripts.budgets);
        submission.budgets_job_id = slurm.submit(
            folder.budgets_script().string(),
            {"--dependency=afterok:" + submission.job_id, "--kill-on-invalid-dep=yes"});
        write_submission(folder, submission);
    }
    return submission;
}

}  // namespace

CommandOutput run_submit(const CommandContext& context) {
    const CommandLine& line = context.line;
    const JobConfig job = load_job(line);
    const BatchOptions passed_on = batch::parse_options(line.submit.sbatch_options);
    const std::string site = site_text(line.submit);
    batch::Wishes wishes = wishes_of(line.submit, passed_on);
    if (wishes.partition.empty()) {
        const BatchOptions usual = batch::script_options(site);
        const std::string* const partition = batch::find_option(usual, "partition");
        wishes.partition = partition != nullptr ? *partition : "";
    }
    const batch::Slurm slurm([](const auto& command) { return batch::run_process(command); });
    const batch::BatchFolder folder{RunDirectory(job.output).batch()};
    const batch::Demand demand = demand_of(job, line.budgets, context.world);
    const batch::Resources resources = choose_resources(
        demand, wishes, slurm.limits(wishes.partition), free_bytes_for(job.output));
    const Scripts scripts = render(job, line, demand, resources, passed_on, site, slurm);
    nlohmann::json json{{"run", job.output.string()},
                        {"nodes", resources.nodes},
                        {"ntasks_per_node", resources.ntasks_per_node},
                        {"minutes", resources.minutes},
                        {"memory_bytes_per_node", resources.memory_bytes_per_node}};
    if (line.submit.dry_run) {
        json["script"] = scripts.job;
        json["budgets_script"] = scripts.budgets;
        return {json.dump(), scripts.job + scripts.budgets, 0};
    }
    require_none_in_queue(slurm, folder);
    const batch::Submission submission = submit(slurm, job, scripts);
    json["job_id"] = submission.job_id;
    json["budgets_job_id"] = submission.budgets_job_id;
    std::string text = "job " + submission.job_id + ": " + folder.script().string() + "\n";
    if (!submission.budgets_job_id.empty()) {
        text += "job " + submission.budgets_job_id + ": " + folder.budgets_script().string() + "\n";
    }
    for (const std::string& remark : remarks_of(demand, resources)) {
        text += remark + "\n";
    }
    return {json.dump(), text + "lathe status " + job.output.string() + " tells how far it is\n",
            0};
}

}  // namespace lathe
