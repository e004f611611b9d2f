#pragma once

#include <chrono>
#include <optional>

namespace lathe {

/// When a stage stores the residual streams, so that a restart need not pass again what is done.
/// Always at the first opportunity: however short the time between two stops, a run that gets so
/// far leaves the next one a block ahead. Later only as often as writing takes a small share of the
/// time: streams of a large model are gigabytes. No result depends on it.
class StorePace {
public:
    using Seconds = std::chrono::duration<double>;

    /// `ahead`: the time until the opportunity comes.
    [[nodiscard]] bool is_due(Seconds ahead = Seconds(0)) const {
        return !last_ || (Clock::now() - *last_ + ahead) * largest_share >= cost_;
    }
    /// @param cost  how long it took
    void has_stored(Seconds cost) {
        cost_ = cost;
        last_ = Clock::now();
    }

private:
    using Clock = std::chrono::steady_clock;
    static constexpr double largest_share = 0.05;
    std::optional<Clock::time_point> last_;
    Seconds cost_{0};
};

}  // namespace lathe
