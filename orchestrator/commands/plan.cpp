#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <optional>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/coverage.hpp"
#include "orchestrator/estimate/job_outline.hpp"
#include "orchestrator/job_run.hpp"
#include "orchestrator/preflight.hpp"

namespace lathe {

namespace {

/// Whether the command line names a model and nothing else of a job.
bool names_a_model_alone(const CommandLine& line) {
    const auto is_of_a_job = [](const std::string& override_) {
        return override_.starts_with("output=") || override_.starts_with("budget=") ||
               override_.starts_with("calibration.");
    };
    return !line.model.empty() && line.path.empty() &&
           std::ranges::none_of(line.overrides, is_of_a_job);
}

/// Shares that slicing takes away.
struct SliceShares {
    double hidden = 0.0;
    double parameters = 0.0;  ///< negative: it adds some

    explicit SliceShares(const Preflight& p)
        : hidden(1.0 -
                 static_cast<double>(p.slice->width) / static_cast<double>(p.slice->hidden_size)),
          parameters(1.0 - static_cast<double>(p.slice->parameters) /
                               static_cast<double>(p.parameters)) {}
};

nlohmann::json memory_json(const Preflight& p) {
    nlohmann::json stages = nlohmann::json::array();
    for (const Preflight::Memory& stage : p.memory) {
        stages.push_back({{"stage", stage.stage},
                          {"bytes", stage.bytes},
                          {"streams_in_files", stage.streams_in_files}});
    }
    return stages;
}

nlohmann::json plan_json(const Preflight& p, const std::vector<TensorCoverage>& tensors) {
    nlohmann::json stages = nlohmann::json::array();
    for (const Preflight::Stage& stage : p.stages) {
        stages.push_back({{"name", stage.name},
                          {"tasks", stage.tasks},
                          {"flops", stage.flops},
                          {"seconds", stage.seconds}});
    }
    nlohmann::json json{{"parameters", p.parameters},
                        {"source_bytes", p.source_bytes},
                        {"budget_bytes", p.budget_bytes},
                        {"feasible", p.feasible()},
                        {"minimum_bytes", p.minimum_bytes},
                        {"minimum_is_lower_bound", p.is_lower_bound},
                        {"peak_memory_bytes_per_rank", p.peak_memory().bytes},
                        {"memory_limit_bytes_per_rank", p.memory_limit.bytes},
                        {"memory", memory_json(p)},
                        {"run_directory_bytes", p.run_directory_bytes},
                        {"tensors", parse_json(to_json(tensors))},
                        {"stages", stages}};
    if (!p.dropped.empty()) {
        json["dropped"] = nlohmann::json::array();
    }
    for (const DroppedSetting& dropped : p.dropped) {
        json["dropped"].push_back({{"setting", dropped.setting},
                                   {"unit", dropped.first_unit},
                                   {"units", dropped.n_units},
                                   {"reason", dropped.reason}});
    }
    if (p.slice) {
        const SliceShares shares(p);
        json["slice"] = {{"hidden_size", p.slice->hidden_size},
                         {"width", p.slice->width},
                         {"sparsity", shares.hidden},
                         {"parameters", p.slice->parameters},
                         {"shortcut_parameters", p.slice->shortcuts},
                         {"projection_parameters", p.slice->projections},
                         {"split_table_parameters", p.slice->split_tables},
                         {"parameter_reduction", shares.parameters}};
    }
    return json;
}

/// What slicing makes of the size, and what of it the source does not have.
std::string slice_text(const Preflight& p) {
    const SliceShares shares(p);
    const auto millions = [](std::uint64_t n) { return 1e-6 * static_cast<double>(n); };
    std::string text = fmt::format(
        "slice: width {} of {} ({:.2f} % smaller), {} parameters ({:.2f} % "
        "{})\n",
        p.slice->width, p.slice->hidden_size, 100.0 * shares.hidden, p.slice->parameters,
        100.0 * std::abs(shares.parameters), shares.parameters < 0.0 ? "more" : "fewer");
    if (p.slice->shortcuts > 0) {
        text += fmt::format("  {:.2f} M of them are shortcut matrices between rotations\n",
                            millions(p.slice->shortcuts));
    }
    if (p.slice->projections > 0) {
        text += fmt::format(
            "  {:.2f} M of them are projections around the one table of embedding and head\n",
            millions(p.slice->projections));
    }
    if (p.slice->split_tables > 0) {
        text += fmt::format(
            "  {:.2f} M of them are tables of embedding and head, which the source has as one "
            "(slice.tables)\n",
            millions(p.slice->split_tables));
    }
    return text;
}

std::string plan_text(const JobContext& context, const Preflight& p,
                      const std::vector<TensorCoverage>& tensors) {
    const std::string slice = p.slice ? slice_text(p) : "";
    std::string table;
    for (const Preflight::Stage& stage : p.stages) {
        table += fmt::format("  {:<10} {:>6} tasks  {:>10.3g} FLOP  about {}\n", stage.name,
                             stage.tasks, stage.flops, duration_text(stage.seconds));
    }
    for (const Preflight::Memory& stage : p.memory) {
        if (stage.streams_in_files) {
            table += "  streams of " + stage.stage + " go by files: there is no room in memory\n";
        }
    }
    const auto& serve = context.job.serve;
    for (const DroppedSetting& dropped : p.dropped) {
        table += fmt::format("serve {}: {}\n", serve->reader, describe(dropped));
    }
    return fmt::format(
        "{}: {} parameters, {}\n{}"
        "budget {}{} = {}, smallest possible {}{}\n"
        "memory of a rank about {} ({}), run directory {} {}\n"
        "tensors: {}\n{}",
        context.spec().family, p.parameters, bytes_text(p.source_bytes), slice,
        to_string(context.job.budget), serve ? " of what " + serve->reader + " loads" : "",
        bytes_text(p.budget_bytes), bytes_text(p.minimum_bytes),
        p.is_lower_bound ? " or more (sizes by energy or error are not known yet)" : "",
        bytes_text(p.peak_memory().bytes), p.peak_memory().stage,
        p.is_lower_bound ? "at least" : "about", bytes_text(p.run_directory_bytes),
        summary(tensors), table);
}

/// The config.json to plan by, if the command line names one and no job.
std::optional<std::filesystem::path> config_of(const CommandLine& line) {
    return names_a_model_alone(line) ? config_without_weights(line.model) : std::nullopt;
}

CommandOutput plan_of_job(const CommandContext& context) {
    const JobConfig job = load_job(context.line);
    const auto opened = JobContext::open(job, context.world);
    const Preflight p = preflight(*opened, check_inputs(*opened));
    if (p.feasible()) {
        check_run(*opened);
    }
    const std::vector<TensorCoverage> tensors = coverage(*opened);
    CommandOutput output{plan_json(p, tensors).dump(), plan_text(*opened, p, tensors)};
    const auto check = [&](const std::function<void()>& require, bool refuses) {
        try {
            require();
        } catch (const InfeasibleError& e) {
            output.text += std::string(refuses ? "infeasible: " : "note: ") + e.what() + "\n";
            if (refuses) {
                output.exit_code = static_cast<int>(ExitCode::infeasible);
            }
        }
    };
    check([&] { require_feasible(p, job.budget); }, true);
    // Without a limit of the job it is this machine's, and the job may be for another one.
    check([&] { require_memory(p); }, p.memory_limit.is_given);
    return output;
}

/// Adds `cluster`: what each stage takes on all its devices.
void add_cluster(const CommandLine& line, CommandOutput& output) {
    CommandLine job = line;
    if (config_of(line)) {
        job.overrides.emplace_back("output=planned");  // nothing is written there
    }
    const CommandOutput simulated = simulate_on_cluster(load_job(job), line.simulation.cluster);
    nlohmann::json json = parse_json(output.json);
    json["cluster"] = parse_json(simulated.json);
    output.json = json.dump();
    output.text += "\n" + simulated.text;
}

}  // namespace

CommandOutput run_plan(const CommandContext& context) {
    const auto config = config_of(context.line);
    CommandOutput output = config ? plan_without_weights(*config) : plan_of_job(context);
    if (!context.line.simulation.cluster.empty()) {
        add_cluster(context.line, output);
    }
    return output;
}

}  // namespace lathe
