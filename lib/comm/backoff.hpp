#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace lathe::comm {

/// Pauses between polls: 50 microseconds at first, then longer and longer up to 2 milliseconds.
/// A task takes seconds, so this latency costs nothing, and a waiting rank leaves its core to the
/// threads that compute.
class Backoff {
public:
    void reset() noexcept { pause_ = shortest; }
    void sleep() { std::this_thread::sleep_for(next()); }
    /// The pause to make now; the one after it will be longer.
    std::chrono::microseconds next() noexcept {
        const auto pause = pause_;
        pause_ = std::min(longest, pause_ + pause_ / 4);
        return pause;
    }

private:
    static constexpr std::chrono::microseconds shortest{50};
    static constexpr std::chrono::microseconds longest{2000};
    std::chrono::microseconds pause_ = shortest;
};

}  // namespace lathe::comm
