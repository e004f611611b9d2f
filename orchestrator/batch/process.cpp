#include "orchestrator/batch/process.hpp"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <future>
#include <sstream>
#include <system_error>

#include <boost/asio/io_context.hpp>
#include <boost/process.hpp>
#include <unistd.h>

#include "lib/core/errors.hpp"

namespace lathe::batch {
namespace process = boost::process;

namespace {

/// The program of that name on PATH; empty if there is none. (Boost's own search would have to be
/// linked, the rest is headers.)
std::string find_program(const std::string& name) {
    const char* path = std::getenv("PATH");
    std::istringstream folders(path != nullptr ? path : "");
    for (std::string folder; std::getline(folders, folder, ':');) {
        const std::string file = folder + "/" + name;
        if (::access(file.c_str(), X_OK) == 0) {
            return file;
        }
    }
    return "";
}

ProcessResult run_found(const std::string& program, const std::vector<std::string>& arguments,
                        double timeout_seconds) {
    boost::asio::io_context events;
    std::future<std::string> output;
    std::future<std::string> errors;
    process::environment environment = boost::this_process::environment();
    environment["SLURM_TIME_FORMAT"] = "%s";
    process::child child(process::exe = program, process::args = arguments, environment,
                         process::std_in<process::null, process::std_out> output,
                         process::std_err > errors, events);
    ProcessResult result;
    events.run_for(std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::duration<double>(timeout_seconds)));
    if (!events.stopped()) {
        result.timed_out = true;
        ::kill(child.id(), SIGKILL);
        child.wait();
        return result;
    }
    child.wait();
    const int status = child.native_exit_code();
    result.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : child.exit_code();
    result.output = output.get();
    result.errors = errors.get();
    return result;
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& command, double timeout_seconds) {
    const std::string program = find_program(command.front());
    if (program.empty()) {
        throw MissingInputError("there is no program " + command.front() +
                                " on PATH; it belongs to Slurm");
    }
    try {
        return run_found(program, {command.begin() + 1, command.end()}, timeout_seconds);
    } catch (const std::system_error& error) {
        throw IoError("cannot start " + command.front() + ": " + error.what());
    }
}

}  // namespace lathe::batch
