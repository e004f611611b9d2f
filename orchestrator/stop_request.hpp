#pragma once

#include <string>

namespace lathe {

/// Whether the job has been asked to stop early: by a signal, or because its time is up. There is
/// one for the whole process, since signals are.
class StopRequest {
public:
    /// Handles SIGUSR1, SIGTERM and SIGINT from now on; a second SIGINT ends the process at once,
    /// with code 130. In a Slurm job that gives its end time (SLURM_JOB_END_TIME), sets a deadline
    /// `margin_seconds` before it. First thing in main: until then a signal kills the process.
    static void install();

    /// Asks for a stop this many seconds from now. The earliest of several deadlines counts.
    static void set_deadline(double seconds_from_now);

    [[nodiscard]] static bool requested() noexcept;
    /// Why, for the log: "SIGUSR1", "the time limit is reached"; empty if not requested.
    [[nodiscard]] static std::string reason();

    static constexpr double margin_seconds = 60.0;
};

}  // namespace lathe
