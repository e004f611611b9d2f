#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lib/config/job_config.hpp"
#include "lib/core/log.hpp"
#include "orchestrator/batch/resources.hpp"
#include "workers/network/generation_options.hpp"
#include "workers/network/integer_parts.hpp"

namespace lathe {

/// What `lathe submit` asks of the batch system; empty and 0: not said.
struct SubmitOptions {
    batch::Wishes wishes;
    std::string time;    ///< as Slurm writes it
    std::string memory;  ///< of a node
    std::string account;
    std::string launcher;  ///< srun or mpirun
    std::filesystem::path site, script_template;
    bool dry_run = false;
    std::vector<std::string> sbatch_options;  ///< what stands behind --
};

/// What `lathe simulate` is told.
struct SimulateOptions {
    int ranks = 0;
    std::filesystem::path cluster;  ///< also of plan; empty: not given
    std::filesystem::path costs;    ///< a run directory
    std::filesystem::path svg;
    double lost_ranks = 0.0;  ///< an hour
    double preempt_every = 0.0, restart_seconds = 60.0;
};

/// The command line, parsed. Which fields matter depends on the command.
struct CommandLine {
    std::string command;
    std::filesystem::path path;  ///< job file, run directory, checkpoint or model directory
    bool json = false;
    std::filesystem::path exit_file;  ///< where rank 0 leaves its exit code; empty: nowhere
    LogLevel log_level = LogLevel::normal;
    LogFormat log_format = LogFormat::text;

    std::filesystem::path model;         ///< --model of plan and run; empty: not given
    std::string preset;                  ///< a job file that comes with the program, by its name
    std::vector<std::string> overrides;  ///< "a.b=value", from --set and the short options
    RuntimeConfig runtime;               ///< for commands outside a job
    /// For commands outside a job. They write no weights, so rows that no text reads do no harm.
    ModelReading reading{{}, true};
    std::vector<std::string> budgets;  ///< search
    bool assemble = false;             ///< search: write the checkpoints too
    bool watch = false;                ///< status

    IntegerParts integer;  ///< eval, generate

    std::vector<std::filesystem::path> texts;  ///< eval
    std::string chat_template;                 ///< eval: text_reader()'s
    std::size_t seqlen = 0;                    ///< 0: the default of what is evaluated
    std::filesystem::path reference;
    std::filesystem::path against;      ///< eval: another model, on the same windows or examples
    std::filesystem::path windows_out;  ///< eval: figures of each window
    std::string task;
    std::filesystem::path data;
    std::size_t limit = 0;  ///< windows of the text or examples of the task; 0: all
    std::filesystem::path ids, logits_out;
    bool hidden = false;

    SubmitOptions submit;
    SimulateOptions simulation;

    std::string prompt;  ///< generate
    GenerationOptions generation;

    std::string format = "hf";                ///< export
    std::filesystem::path output;             ///< also of report and compare
    std::vector<std::filesystem::path> runs;  ///< compare
    bool overwrite = false;
    bool check = false;  ///< read back what is there, write nothing
};

/// Parses the command line. None: help or version was asked for and printed (`print` true).
/// @throws UsageError  with the parser's own words; an argument is no UTF-8, or a relative path
///   lies in a directory whose name is none: tasks and reports, which are JSON, could not hold it
[[nodiscard]] std::optional<CommandLine> parse_command_line(int argc, const char* const* argv,
                                                            bool print);

/// Whether the command works on a job, so that load_job() has something to load.
[[nodiscard]] bool works_on_job(const CommandLine& line);

/// The job a command works on: from its job file and overrides, or from a run directory, with all
/// paths made absolute.
/// @throws UsageError, MissingInputError  a path or the job file that is no UTF-8 is refused
[[nodiscard]] JobConfig load_job(const CommandLine& line);

}  // namespace lathe
