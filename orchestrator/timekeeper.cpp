#include "orchestrator/timekeeper.hpp"

#include <thread>

namespace lathe {
namespace {

class RealTime final : public Timekeeper {
public:
    [[nodiscard]] Clock::time_point now() const override { return Clock::now(); }
    void sleep(std::chrono::microseconds wanted) override { std::this_thread::sleep_for(wanted); }
    /// Far below what counts as a pause.
    [[nodiscard]] double longest_sleep() const override { return 0.0; }
};

}  // namespace

Timekeeper& real_time() {
    static RealTime time;
    return time;
}

double seconds_since_1970() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

}  // namespace lathe
