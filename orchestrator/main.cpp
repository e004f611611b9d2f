#include <cstdio>
#include <exception>
#include <iostream>
#include <thread>

#include <unistd.h>

#include "lib/comm/communicator.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/log.hpp"
#include "orchestrator/command_line.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/exit_file.hpp"
#include "orchestrator/rank_log.hpp"
#include "orchestrator/stop_request.hpp"
#include "orchestrator/stop_watchdog.hpp"
#include "workers/task_table.hpp"
#include "workers/worker.hpp"

namespace lathe {
namespace {

/// A rank is gone, or stuck in a task: nothing more can be agreed with it, and the usual end would
/// wait for it.
[[noreturn]] void end_without_mpi(comm::Session& session, int code) {
    session.abandon();
    std::cout.flush();
    std::fflush(nullptr);
    ::_exit(code);
}

/// Ends the process in the midst of what it does, if it does not stop by itself.
StopWatchdog::Options given_up(const CommandLine& line) {
    StopWatchdog::Options options;
    options.stop_requested = [] { return StopRequest::requested(); };
    options.give_up = [&line] {
        std::cerr << "lathe: stopped: " << StopRequest::reason() << ", and "
                  << StopWatchdog::limit_seconds
                  << " s later something was still at work and was given up; run again to continue"
                  << std::endl;
        leave_exit_code(line.exit_file, static_cast<int>(ExitCode::stopped));
        ::_exit(static_cast<int>(ExitCode::stopped));
    };
    return options;
}

/// Runs the command on rank 0 and says what came of it. Returns the exit code.
int run_and_report(const CommandContext& context) {
    std::string status = "failed";
    std::string message;
    int code = static_cast<int>(ExitCode::internal);
    try {
        const CommandOutput output = run_command(context);
        context.progress.finish("done");
        std::cout << (context.line.json ? output.json + "\n" : output.text) << std::flush;
        if (!std::cout) {
            throw IoError("cannot write to standard output");
        }
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
    }
    context.progress.finish(status);
    std::cerr << "lathe: " << message << std::endl;
    if (context.line.json) {
        std::cout << error_json(status, code, message) << std::endl;
    }
    return code;
}

/// Rank 0: a worker on a thread of its own, the coordinator on this one.
int lead(comm::Session& session, const CommandLine& line, TaskTable& tasks) {
    Progress progress(
        line.log_level == LogLevel::quiet ? Progress::Style::silent : Progress::default_style(),
        session.world().size());
    Coordinator::Options options;
    options.stop_requested = [] { return StopRequest::requested(); };
    options.on_rank_asked = [] { StopRequest::request_elsewhere(); };
    options.seconds_left = [] { return StopRequest::seconds_left(); };
    options.last_words = [&line](int rank) { return last_words(line, rank); };
    options.stop_reason = [] { return StopRequest::reason(); };
    options.on_progress = [&](const StageProgress& p) { progress.update(p); };
    Coordinator coordinator(session.world(), std::move(options));
    const StopWatchdog watchdog(given_up(line));
    std::thread worker(
        [&] { serve(session.world(), [&](const Task& task) { return tasks.run(task); }); });
    const int code = run_and_report({line, session.world(), coordinator, progress});
    leave_exit_code(line.exit_file, code);
    if (!coordinator.shut_down(code)) {
        end_without_mpi(session, code);
    }
    worker.join();
    return code;
}

int run_program(int argc, char** argv) {
    comm::Session session(&argc, &argv);
    const bool leads = session.world().rank() == 0;
    try {
        const auto line = parse_command_line(argc, argv, leads);
        if (!line) {
            return 0;
        }
        start_logging(line->log_level, session.world().rank(), line->log_format);
        if (leads && !StopRequest::warning().empty()) {
            log_warning(StopRequest::warning());
        }
        TaskTable tasks(
            session.world(),
            [&line, rank = session.world().rank()] { return load_logged_job(*line, rank); },
            line->runtime);
        if (leads) {
            return lead(session, *line, tasks);
        }
        const auto handler = [&](const Task& task) { return tasks.run(task); };
        WorkerOptions options;
        options.stop_requested = [] { return StopRequest::requested(); };
        if (const auto code = serve(session.world(), handler, options)) {
            end_without_mpi(session, *code);
        }
        return 0;
    } catch (const UsageError& e) {
        if (leads) {
            std::cerr << "lathe: " << e.what() << std::endl;
        }
        return static_cast<int>(e.code());
    }
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) {
    lathe::StopRequest::install();
    try {
        return lathe::run_program(argc, argv);
    } catch (const lathe::Error& e) {
        std::cerr << "lathe: " << e.what() << std::endl;
        return static_cast<int>(e.code());
    } catch (const std::exception& e) {
        std::cerr << "lathe: " << e.what() << std::endl;
        return static_cast<int>(lathe::ExitCode::internal);
    }
}
