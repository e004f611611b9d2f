#pragma once

#include <string>

namespace lathe {

/// Whether the job has been asked to stop early: by a signal, or because its time is up. There is
/// one for the whole process, since signals are.
class StopRequest {
public:
    /// Handles SIGUSR1, SIGTERM and SIGINT from now on; a second SIGINT ends the process at once,
    /// with code 130. In a Slurm job that tells its end (SLURM_JOB_END_TIME), sets a deadline
    /// `margin_seconds` before it; an end that is past when the process starts is a stale one, of
    /// the job's life before it was requeued or of another job's, and says nothing.
    /// First thing in main: until then a signal kills the process.
    static void install();

    /// Asks for a stop so many seconds from now. Of several deadlines the earliest counts.
    static void set_deadline(double seconds_from_now);

    [[nodiscard]] static bool requested() noexcept;
    /// Until the deadline; 0 if it is past, infinite if there is none.
    [[nodiscard]] static double seconds_left() noexcept;
    /// Why, for the log: "SIGUSR1", "the time limit is reached"; empty if not requested.
    [[nodiscard]] static std::string reason();

    static constexpr double margin_seconds = 60.0;
};

}  // namespace lathe
