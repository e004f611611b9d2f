#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "orchestrator/timekeeper.hpp"

namespace lathe {

/// A clock that stands still while anything computes, and jumps from one event to the next while
/// somebody waits. Events of one moment happen in the order in which they were asked for, so a
/// simulation gives the same answer each time. Not thread-safe.
class VirtualTime final : public Timekeeper {
public:
    [[nodiscard]] Clock::time_point now() const override { return now_; }
    /// To the next event that wakes, whatever is wanted; at most longest_sleep() ahead.
    void sleep(std::chrono::microseconds wanted) override;
    [[nodiscard]] double longest_sleep() const override { return 10.0; }

    /// Seconds since the start.
    [[nodiscard]] double seconds() const;
    /// Has something happen at a time in seconds since the start; at once if that is over.
    void at(double seconds, std::function<void()> event);
    /// Ends the sleep in which the event happens that calls it.
    void wake() { awake_ = true; }
    /// Lets time pass, with all that happens in it.
    void pass(double seconds);

private:
    struct Event {
        Clock::time_point when;
        std::uint64_t number = 0;
        std::function<void()> happen;
        bool operator<(const Event& other) const {  // the queue's largest is the next
            return when != other.when ? when > other.when : number > other.number;
        }
    };
    [[nodiscard]] static Clock::time_point point(double seconds);
    void run_next();

    Clock::time_point now_{};
    std::priority_queue<Event> events_;
    std::uint64_t n_events_ = 0;
    bool awake_ = false;
};

}  // namespace lathe
