#include "orchestrator/batch_demand.hpp"

#include <cstdlib>
#include <limits>

#include "lib/core/errors.hpp"
#include "orchestrator/job_run.hpp"
#include "orchestrator/preflight.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

std::uint64_t bytes_below(const fs::path& folder) {
    std::error_code error;
    std::uint64_t bytes = 0;
    for (auto it = fs::recursive_directory_iterator(folder, error);
         !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
        std::error_code ignored;
        bytes += it->is_regular_file(ignored) ? it->file_size(ignored) : 0;
    }
    return bytes;
}

}  // namespace

batch::Wishes wishes_of(const SubmitOptions& options, const batch::BatchOptions& passed_on) {
    batch::Wishes wishes = options.wishes;
    const auto number = [&](const char* name, int& value) {
        if (const std::string* text = batch::find_option(passed_on, name)) {
            value = std::atoi(text->c_str());
        }
    };
    number("nodes", wishes.nodes);
    number("ntasks-per-node", wishes.ntasks_per_node);
    number("cpus-per-task", wishes.cpus_per_task);
    number("gpus-per-node", wishes.gpus_per_node);
    const auto text_of = [&](const char* name, const std::string& own) {
        const std::string* text = batch::find_option(passed_on, name);
        return text != nullptr ? *text : own;
    };
    wishes.partition = text_of("partition", wishes.partition);
    if (const std::string time = text_of("time", options.time); !time.empty()) {
        wishes.minutes = batch::minutes_in(time);
        if (!wishes.minutes) {
            throw UsageError("--time " + time + ": expected minutes, HH:MM:SS or D-HH:MM:SS");
        }
    }
    // --mem=0 is Slurm's way to say: all of a node.
    if (const std::string mem = text_of("mem", options.memory); !mem.empty()) {
        wishes.memory_bytes_per_node = batch::memory_in(mem);
    }
    return wishes;
}

batch::Demand demand_of(const JobConfig& job, const std::vector<std::string>& budgets,
                        comm::Communicator& world) {
    JobConfig planned = job;
    planned.runtime.backend = "cpu";
    const auto opened = JobContext::open(planned, world);
    const Preflight plan = preflight(*opened, check_inputs(*opened));
    require_feasible(plan, job.budget);
    check_run(*opened);
    for (const std::string& text : budgets) {
        Preflight other = plan;
        const Budget budget = parse_budget(text);
        other.budget_bytes = budget.limit_bytes(plan.source_bytes, plan.parameters);
        require_feasible(other, budget);
    }
    batch::Demand demand;
    demand.memory_bytes_per_rank = plan.peak_memory().bytes;
    demand.disk_bytes = plan.run_directory_bytes;
    demand.disk_there = bytes_below(job.output);
    if (job.runtime.backend != "cuda") {
        const std::size_t threads =
            job.runtime.threads > 0 ? job.runtime.threads : default_threads(world);
        double seconds = 0.0;
        const Preflight::Stage* longest = nullptr;
        for (const Preflight::Stage& stage : plan.stages) {
            seconds += stage.seconds;
            if (longest == nullptr || stage.seconds > longest->seconds) {
                longest = &stage;
            }
        }
        demand.tasks = longest != nullptr ? longest->tasks : 0;
        demand.thread_seconds = seconds * static_cast<double>(threads);
    }
    return demand;
}

std::uint64_t free_bytes_for(fs::path folder) {
    std::error_code error;
    while (!fs::exists(folder, error) && folder.has_relative_path()) {
        folder = folder.parent_path();
    }
    const fs::space_info space = fs::space(folder, error);
    return error ? std::numeric_limits<std::uint64_t>::max() : space.available;
}

}  // namespace lathe
