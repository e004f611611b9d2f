#pragma once

#include <chrono>

namespace lathe {

/// What time it is for the coordinator, and how it waits. The seam at which a simulation takes the
/// place of the clock (simulate/virtual_time.hpp).
class Timekeeper {
public:
    using Clock = std::chrono::steady_clock;

    Timekeeper() = default;
    virtual ~Timekeeper() = default;
    Timekeeper(const Timekeeper&) = delete;
    Timekeeper& operator=(const Timekeeper&) = delete;

    [[nodiscard]] virtual Clock::time_point now() const = 0;
    /// Between two looks at the messages.
    virtual void sleep(std::chrono::microseconds wanted) = 0;
    /// Seconds that sleep() may last. If more have passed, this process itself stood still.
    [[nodiscard]] virtual double longest_sleep() const = 0;
};

/// The clock of this machine.
[[nodiscard]] Timekeeper& real_time();

/// By the system's clock, for records that people read.
[[nodiscard]] double seconds_since_1970();

}  // namespace lathe
