#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <system_error>

#include <unistd.h>

#include "lib/comm/communicator.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/log.hpp"
#include "lib/core/standard_streams.hpp"
#include "orchestrator/command_line.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/exit_file.hpp"
#include "orchestrator/rank_log.hpp"
#include "orchestrator/ranks.hpp"
#include "orchestrator/stop_request.hpp"
#include "orchestrator/stop_watchdog.hpp"
#include "workers/job/device.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace {

void print_message(const std::string& message) {
    print_error("lathe: " + message + "\n");
}

/// @throws IoError  if it cannot be written, or what was written before could not
void print_result(const std::string& text) {
    std::cout << text << std::flush;
    if (!std::cout) {
        throw IoError("cannot write to standard output");
    }
}

/// Ends the process in the midst of what it does, if it does not stop by itself.
StopWatchdog::Options given_up(const CommandLine& line) {
    StopWatchdog::Options options;
    options.stop_requested = [] { return StopRequest::requested(); };
    options.give_up = [&line] {
        print_message("stopped: " + StopRequest::reason() + ", and " +
                      std::to_string(static_cast<int>(StopWatchdog::limit_seconds)) +
                      " s later something was still at work and was given up; run again to "
                      "continue");
        leave_exit_code(line.exit_file, static_cast<int>(ExitCode::stopped));
        ::_exit(static_cast<int>(ExitCode::stopped));
    };
    return options;
}

/// Runs the command on rank 0 and says what came of it. Returns the exit code.
int run_and_report(const CommandContext& context) noexcept {
    std::string status = "failed";
    std::string message;
    int code = static_cast<int>(ExitCode::internal);
    try {
        const CommandOutput output = run_command(context);
        context.progress.finish("done");
        print_result(context.line.json ? output.json + "\n" : output.text);
        return output.exit_code;
    } catch (const Error& e) {
        code = static_cast<int>(e.code());
        message = e.what();
        if (e.code() == ExitCode::stopped) {
            status = "stopped";
        }
    } catch (const std::bad_alloc&) {
        message = "out of memory";
    } catch (const std::exception& e) {
        message = e.what();
    } catch (...) {
        message = "an exception of unknown type";
    }
    context.progress.finish(status);
    print_message(message);
    if (context.line.json) {
        std::cout << error_json(status, code, message) << std::endl;
    }
    return code;
}

/// Rank 0: a worker on a thread of its own, the coordinator on this one.
int lead(comm::Session& session, const CommandLine& line, TaskTable& tasks,
         const WorkerOptions& options) {
    Progress progress(
        line.log_level == LogLevel::quiet ? Progress::Style::silent : Progress::default_style(),
        session.world().size());
    Coordinator::Options coordination;
    coordination.stop_requested = [] { return StopRequest::requested(); };
    coordination.on_rank_asked = [] { StopRequest::request_elsewhere(); };
    coordination.seconds_left = [] { return StopRequest::seconds_left(); };
    coordination.last_words = [&line](int rank) { return last_words(line, rank); };
    coordination.stop_reason = [] { return StopRequest::reason(); };
    coordination.on_progress = [&](const StageProgress& p) { progress.update(p); };
    Coordinator coordinator(session.world(), std::move(coordination));
    const StopWatchdog watchdog(given_up(line));
    const WorkerThread worker(
        session, [&](const Task& task) { return tasks.run(task); }, options);
    const int code = run_and_report({line, session.world(), coordinator, progress});
    leave_exit_code(line.exit_file, code);
    leave_together(session, coordinator, code);
    return code;
}

/// The job's settings of the machine, needed before MPI starts; the defaults where there is no job.
RuntimeConfig runtime_of(const CommandLine& line) {
    try {
        return works_on_job(line) ? load_job(line).runtime : RuntimeConfig();
    } catch (const std::exception&) {
        return {};  // the command itself, or this rank's first task, says so where it is heard
    }
}

/// What BLAS is to be started with for the instruction set of what is computed; empty: it is right
/// as it is.
std::string wanted_blas(const CommandLine& line, const RuntimeConfig& runtime) {
    try {
        const bool computes =
            works_on_job(line) || line.command == "eval" || line.command == "generate";
        return computes ? use_instruction_set(runtime.instruction_set) : "";
    } catch (const std::exception&) {
        return "";
    }
}

/// BLAS takes the instruction set when it is loaded, from the environment: if that says another,
/// this process begins again. Before MPI knows of it.
void choose_instruction_set(const CommandLine& line, const RuntimeConfig& runtime, char** argv) {
    const std::string blas = wanted_blas(line, runtime);
    const char* const set = std::getenv(blas_variable);
    if (blas.empty() || (set != nullptr && set == blas)) {
        return;
    }
    ::setenv(blas_variable, blas.c_str(), 1);
    // By its own path, so that it keeps its name in lists of processes.
    std::error_code error;
    const auto own = std::filesystem::read_symlink("/proc/self/exe", error);
    if (!error) {
        ::execv(own.c_str(), argv);
    }
    ::execv("/proc/self/exe", argv);
    print_message("BLAS goes on with another instruction set: start with " +
                  std::string(blas_variable) + "=" + blas);
}

/// Ranks wait for each other when MPI starts. If one of them is gone, a launcher that goes on
/// without it ends nobody, and the others would wait for ever. Each gives up by itself.
StopWatchdog::Options given_up_at_start(const std::filesystem::path& exit_file, double seconds) {
    StopWatchdog::Options options;
    options.seconds = seconds;
    options.stop_requested = [] { return true; };
    options.give_up = [exit_file, seconds] {
        print_message("the ranks did not find each other within " +
                      std::to_string(static_cast<int>(seconds)) +
                      " s: one of them may be lost; run again (runtime.worker_timeout is how long "
                      "they wait)");
        leave_exit_code(exit_file, static_cast<int>(ExitCode::stopped));
        ::_exit(static_cast<int>(ExitCode::stopped));
    };
    return options;
}

comm::Session start_session(int* argc, char*** argv, const CommandLine& line,
                            const RuntimeConfig& runtime) {
    constexpr double least_seconds = 30.0;
    const StopWatchdog stop(given_up(line));
    const StopWatchdog start(
        given_up_at_start(line.exit_file, std::max(least_seconds, runtime.worker_timeout)));
    return {argc, argv};
}

int run_program(int argc, char** argv) {
    std::optional<CommandLine> line;
    RuntimeConfig runtime;
    std::string refusal;
    try {
        line = parse_command_line(argc, argv, false);
        if (line) {
            runtime = runtime_of(*line);
            choose_instruction_set(*line, runtime, argv);
        }
    } catch (const UsageError& e) {
        refusal = e.what();
    }
    comm::Session session = start_session(&argc, &argv, line.value_or(CommandLine()), runtime);
    const int rank = session.world().rank();
    if (!refusal.empty()) {
        if (rank == 0) {
            print_message(refusal);
        }
        return static_cast<int>(ExitCode::usage);
    }
    if (!line) {  // help or version: printed by one
        static_cast<void>(parse_command_line(argc, argv, rank == 0));
        print_result("");
        return 0;
    }
    // The coordinator's words in a simulation are about ranks that do not exist.
    if (line->command != "simulate" || line->log_level == LogLevel::verbose) {
        start_logging(line->log_level, rank, line->log_format);
    }
    if (rank == 0 && !StopRequest::warning().empty()) {
        log_warning(StopRequest::warning());
    }
    TaskTable tasks(
        session.world(), [&line, rank] { return load_logged_job(*line, rank); }, line->runtime);
    WorkerOptions options;
    options.instruction_set = instruction_set();
    if (rank == 0) {
        return lead(session, *line, tasks, options);
    }
    options.stop_requested = [] { return StopRequest::requested(); };
    return follow(
        session, [&](const Task& task) { return tasks.run(task); }, options);
}

/// Session's word: after an exception went through it, nothing of MPI is to be touched.
[[noreturn]] void end_after(const std::string& message, ExitCode code) {
    print_message(message);
    std::cout.flush();
    ::_exit(static_cast<int>(code));
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) {
    lathe::prepare_standard_streams();
    lathe::StopRequest::install();
    try {
        return lathe::run_program(argc, argv);
    } catch (const lathe::Error& e) {
        lathe::end_after(e.what(), e.code());
    } catch (const std::exception& e) {
        lathe::end_after(e.what(), lathe::ExitCode::internal);
    }
}
