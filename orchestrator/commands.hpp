#pragma once

#include <string>

#include "lib/comm/communicator.hpp"
#include "lib/config/job_config.hpp"
#include "orchestrator/command_line.hpp"
#include "orchestrator/coordinator.hpp"
#include "orchestrator/progress.hpp"
#include "workers/checkpoint/model_to_run.hpp"

namespace lathe {

/// What a command works with, on rank 0.
struct CommandContext {
    const CommandLine& line;
    comm::Communicator& world;
    Coordinator& coordinator;
    Progress& progress;
};

/// What a command says: one JSON object, and the same for people.
struct CommandOutput {
    std::string json;
    std::string text;
    int exit_code = 0;
};

/// What `--json` prints for a command that failed: `status`, `exit_code`, `error`.
[[nodiscard]] std::string error_json(const std::string& status, int exit_code,
                                     const std::string& message);

/// The model a command outside a job works on, opened.
/// @throws UsageError  if `--ignore` names something that neither it nor its reference has
/// @throws DataError   if the reference has other outputs; whatever ModelToRun throws
[[nodiscard]] ModelToRun open_model(const CommandLine& line,
                                    LookupTables tables = LookupTables::fp32);

/// Runs the command of the line. @throws any Error
CommandOutput run_command(const CommandContext& context);

// One file each in commands/.
CommandOutput run_plan(const CommandContext& context);
/// plan --model with a config.json and no weights: parameters, units, bytes, switches.
CommandOutput plan_without_weights(const std::filesystem::path& config);
CommandOutput run_simulate(const CommandContext& context);
/// The same for a job on all devices of a cluster file (of more than 1024 on so many).
[[nodiscard]] CommandOutput simulate_on_cluster(const JobConfig& job,
                                                const std::filesystem::path& cluster);
CommandOutput run_run(const CommandContext& context);  ///< run and resume
CommandOutput run_submit(const CommandContext& context);
CommandOutput run_cancel(const CommandContext& context);
CommandOutput run_status(const CommandContext& context);
CommandOutput run_compare(const CommandContext& context);
CommandOutput run_report(const CommandContext& context);
CommandOutput run_search(const CommandContext& context);
CommandOutput run_inspect(const CommandContext& context);
CommandOutput run_verify(const CommandContext& context);
CommandOutput run_eval(const CommandContext& context);
CommandOutput run_eval_task(const CommandContext& context);  ///< eval --task
CommandOutput run_generate(const CommandContext& context);
CommandOutput run_export_command(const CommandContext& context);

}  // namespace lathe
