#include "workers/worker.hpp"

#include <charconv>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <stop_token>
#include <system_error>
#include <thread>

#include "lib/comm/control.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/log.hpp"
#include "lib/core/resident_memory.hpp"
#include "lib/core/task_progress.hpp"

namespace lathe {
namespace {

constexpr int coordinator_rank = 0;

/// Sends a sign of life now and then for as long as it exists.
class Heartbeat {
public:
    Heartbeat(comm::Communicator& communicator, const WorkerOptions& options)
        : thread_([&communicator, options](const std::stop_token& stop) {
              beat(communicator, options, stop);
          }) {}

private:
    static void beat(comm::Communicator& communicator, const WorkerOptions& options,
                     const std::stop_token& stop) {
        const std::chrono::duration<double> pause(options.heartbeat_seconds);
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        try {
            while (!stop.stop_requested()) {
                comm::send_control(communicator, coordinator_rank, comm::ControlKind::heartbeat,
                                   options.instruction_set);
                comm::send_control(
                    communicator, coordinator_rank, comm::ControlKind::progress,
                    std::to_string(task_progress()) + " " + std::to_string(resident_memory()));
                if (options.stop_requested && options.stop_requested()) {
                    comm::send_control(communicator, coordinator_rank, comm::ControlKind::asked);
                }
                never.wait_for(lock, stop, pause, [] { return false; });
            }
        } catch (const std::exception& error) {
            // The worker's own next message meets the same trouble and reports it.
            log_warning(std::string("heartbeat_ended reason=") + error.what());
        }
    }

    std::jthread thread_;
};

TaskResult failed(ExitCode code, const std::string& text) {
    TaskResult result;
    result.exit_code = static_cast<int>(code);
    result.text = text;
    return result;
}

TaskResult try_task(const TaskHandler& handler, const Task& task) {
    try {
        TaskResult result;
        result.text = handler(task);
        result.ok = true;
        return result;
    } catch (const Error& error) {
        return failed(error.code(), error.what());
    } catch (const std::bad_alloc&) {
        return failed(ExitCode::internal, "out of memory");
    } catch (const std::exception& error) {
        return failed(ExitCode::internal, error.what());
    } catch (...) {
        return failed(ExitCode::internal, "an exception of unknown type");
    }
}

TaskResult run_task(const TaskHandler& handler, const Task& task, int rank) {
    const auto start = std::chrono::steady_clock::now();
    begin_progress();
    log_detail("task_begin task=" + task.id);
    TaskResult result = try_task(handler, task);
    result.id = task.id;
    result.rank = rank;
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    log_detail("task_end task=" + task.id + " ok=" + (result.ok ? "yes" : "no") +
               " seconds=" + std::to_string(result.seconds) +
               (result.ok ? "" : " reason=\"" + result.text + "\""));
    return result;
}

/// The exit code of a stop; none if its text is empty.
std::optional<int> exit_code_in(const std::string& text) {
    if (text.empty()) {
        return std::nullopt;
    }
    int code = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
    if (error != std::errc() || end != text.data() + text.size()) {
        throw InternalError("a stop with the text \"" + text + "\": expected an exit code");
    }
    return code;
}

std::optional<int> serve_until_stop(comm::Communicator& communicator, const TaskHandler& handler) {
    while (true) {
        const auto message = communicator.receive(coordinator_rank, comm::Tag::task);
        const comm::Control order = comm::parse_control(*message);
        if (order.kind == comm::ControlKind::stop) {
            return exit_code_in(order.text);
        }
        const TaskResult result =
            run_task(handler, task_from_json(order.text), communicator.rank());
        comm::send_control(communicator, coordinator_rank, comm::ControlKind::result,
                           to_json(result));
    }
}

/// As far as it can: messages may be what fails.
void tell_failure(comm::Communicator& communicator, const char* reason) noexcept {
    try {
        log_warning(std::string("worker_failed reason=\"") + reason + "\"");
        comm::send_control(communicator, coordinator_rank, comm::ControlKind::failed, reason);
    } catch (const std::exception& error) {
        log_warning(error.what());
    }
}

}  // namespace

std::optional<int> serve(comm::Communicator& communicator, const TaskHandler& handler,
                         const WorkerOptions& options) {
    try {
        std::optional<int> exit_code;
        {
            const Heartbeat heartbeat(communicator, options);
            exit_code = serve_until_stop(communicator, handler);
        }
        comm::send_control(communicator, coordinator_rank, comm::ControlKind::stopped);
        return exit_code;
    } catch (const std::exception& error) {
        tell_failure(communicator, error.what());
        throw;
    }
}

}  // namespace lathe
