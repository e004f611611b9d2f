#pragma once

#include <functional>
#include <thread>

namespace lathe {

/// Sees to it that a stop request is met in time, whatever this process does: the coordinator waits
/// for running tasks for a while, but rank 0 may be at work of its own that asks nobody, or wait
/// for a file system. What is finished is on disk, so nothing of it is lost.
class StopWatchdog {
public:
    /// From the request to the end of the process. Longer than the coordinator's grace, within the
    /// minute that a batch script may count on.
    static constexpr double limit_seconds = 55.0;

    struct Options {
        double seconds = limit_seconds;
        std::function<bool()> stop_requested;
        /// Called from a thread of its own when the time is over. Does not return, in the program.
        std::function<void()> give_up;
    };
    explicit StopWatchdog(Options options);

private:
    std::jthread thread_;
};

}  // namespace lathe
