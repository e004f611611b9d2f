#include "orchestrator/stop_request.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include <unistd.h>

#include "orchestrator/timekeeper.hpp"

namespace lathe {
namespace {

constexpr std::int64_t no_deadline = std::numeric_limits<std::int64_t>::max();

// Only what a signal handler may touch: atomics without locks.
std::atomic<int> received_signal{0};
std::atomic<int> n_interrupts{0};
std::atomic<bool> requested_elsewhere{false};
std::atomic<std::int64_t> deadline_nanoseconds{no_deadline};
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void handle_stop_signal(int number) {
    if (number == SIGINT && n_interrupts.fetch_add(1) > 0) {
        ::_exit(128 + SIGINT);
    }
    int none = 0;
    received_signal.compare_exchange_strong(none, number);
}

std::int64_t now_nanoseconds() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

constexpr const char* job_end_variable = "SLURM_JOB_END_TIME";

/// Written before other threads run.
std::string& deadline_name() {
    static std::string name;
    return name;
}
std::string& install_warning() {
    static std::string text;
    return text;
}

/// Seconds until the Slurm job ends; infinite if it does not say.
double seconds_until_job_end() {
    const char* text = std::getenv(job_end_variable);
    if (text == nullptr) {
        return HUGE_VAL;
    }
    char* end = nullptr;
    const double epoch_seconds = std::strtod(text, &end);
    if (end == text || *end != '\0' || epoch_seconds <= 0.0) {
        return HUGE_VAL;
    }
    return epoch_seconds - seconds_since_1970();
}

}  // namespace

void StopRequest::install() {
    struct sigaction action {};
    action.sa_handler = handle_stop_signal;
    action.sa_flags = SA_RESTART;  // a write in progress continues
    sigemptyset(&action.sa_mask);
    for (const int number : {SIGUSR1, SIGTERM, SIGINT}) {
        ::sigaction(number, &action, nullptr);
    }
    const double left = seconds_until_job_end();
    if (left == HUGE_VAL) {
        return;
    }
    const std::string variable =
        job_end_variable + std::string("=") + std::getenv(job_end_variable);
    if (left <= 0.0) {
        install_warning() = "job_end_is_past " + variable +
                            " seconds_ago=" + std::to_string(std::llround(-left)) +
                            ": not taken for a time limit; unset it, or set "
                            "runtime.max_walltime to have one";
        return;
    }
    set_deadline(
        left - margin_seconds,
        variable + ", " + std::to_string(std::llround(left)) + " s after the start, " +
            std::to_string(std::llround(margin_seconds)) +
            " s of which are kept for the end; unset the variable if it is not this job's");
}

std::string StopRequest::warning() {
    return install_warning();
}

void StopRequest::set_deadline(double seconds_from_now, const std::string& what) {
    constexpr double a_century = 3.2e9;  // seconds; more would overflow and means never
    if (!(seconds_from_now < a_century)) {
        return;
    }
    const auto nanoseconds = static_cast<std::int64_t>(std::max(0.0, seconds_from_now) * 1e9);
    const std::int64_t wanted = now_nanoseconds() + nanoseconds;
    if (wanted < deadline_nanoseconds.load()) {
        deadline_name() = what;
        deadline_nanoseconds.store(wanted);
    }
}

bool StopRequest::requested() noexcept {
    return received_signal.load() != 0 || requested_elsewhere.load() ||
           now_nanoseconds() >= deadline_nanoseconds.load();
}

double StopRequest::seconds_left() noexcept {
    const std::int64_t deadline = deadline_nanoseconds.load();
    if (deadline == no_deadline) {
        return HUGE_VAL;
    }
    return std::max(0.0, static_cast<double>(deadline - now_nanoseconds()) * 1e-9);
}

void StopRequest::request_elsewhere() noexcept {
    requested_elsewhere.store(true);
}

std::string StopRequest::reason() {
    switch (received_signal.load()) {
        case SIGUSR1:
            return "SIGUSR1";
        case SIGTERM:
            return "SIGTERM";
        case SIGINT:
            return "SIGINT";
        default:
            if (requested_elsewhere.load()) {
                return "a signal to another rank";
            }
            return requested() ? "the time limit is reached (" + deadline_name() + ")" : "";
    }
}

}  // namespace lathe
