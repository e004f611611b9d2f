#pragma once

#include <string>

namespace lathe {

/// Whether the job has been asked to stop early: by a signal, or because its time is up. There is
/// one for the whole process, since signals are.
class StopRequest {
public:
    /// Handles SIGUSR1, SIGTERM and SIGINT from now on; a second SIGINT ends the process at once,
    /// with code 130. In a Slurm job that gives its end time (SLURM_JOB_END_TIME), sets a deadline
    /// `margin_seconds` before it. An end that is past already is not this job's (an environment
    /// kept from another job, a limit that was extended): then there is no deadline, and warning()
    /// says so. First thing in main: until then a signal kills the process.
    static void install();

    /// What install() found odd, for the log; empty if nothing.
    [[nodiscard]] static std::string warning();

    /// Asks for a stop this many seconds from now; `what` says whose limit that is, in reason().
    /// The earliest of several deadlines counts. Only before other threads ask.
    static void set_deadline(double seconds_from_now, const std::string& what);

    [[nodiscard]] static bool requested() noexcept;
    /// Until the deadline; 0 if it is past, infinite if there is none.
    [[nodiscard]] static double seconds_left() noexcept;
    /// Asks for a stop because another rank was asked.
    static void request_elsewhere() noexcept;
    /// Why, for messages: "SIGUSR1", "the time limit is reached (runtime.max_walltime=5)"; empty if
    /// not requested.
    [[nodiscard]] static std::string reason();

    static constexpr double margin_seconds = 60.0;
};

}  // namespace lathe
