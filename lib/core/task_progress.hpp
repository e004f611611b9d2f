#pragma once

#include <cstddef>

namespace lathe {

// How far the task is that this process works on. The thread that does it tells, another one asks
// (workers/worker.hpp); no result depends on it. Code that loops for long calls tell_progress() and
// needs to know nothing of tasks.

/// A new task: nothing of it is done.
void begin_progress() noexcept;
/// `done` of `total` equal steps of the part that this thread works on (ProgressPart; else the
/// whole task) are over. What was told before is never taken back.
void tell_progress(std::size_t done, std::size_t total) noexcept;
/// From 0 to 1.
[[nodiscard]] double task_progress() noexcept;

/// While it exists, what its thread tells is about one of `total` equal steps of the part it was
/// working on, that with number `step`.
class ProgressPart {
public:
    ProgressPart(std::size_t step, std::size_t total) noexcept
        : ProgressPart(step, step + 1, total) {}
    /// The same for the steps from `first` to before `end`.
    ProgressPart(std::size_t first, std::size_t end, std::size_t total) noexcept;
    ~ProgressPart();
    ProgressPart(const ProgressPart&) = delete;
    ProgressPart& operator=(const ProgressPart&) = delete;

private:
    double begin_, length_;  ///< of the part around it
};

}  // namespace lathe
