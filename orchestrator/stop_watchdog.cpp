#include "orchestrator/stop_watchdog.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

namespace lathe {
namespace {

using Clock = std::chrono::steady_clock;

void watch(const StopWatchdog::Options& options, const std::stop_token& stop) {
    constexpr std::chrono::milliseconds pause(100);
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    std::optional<Clock::time_point> requested;
    while (!stop.stop_requested()) {
        if (!requested && options.stop_requested()) {
            requested = Clock::now();
        }
        if (requested &&
            std::chrono::duration<double>(Clock::now() - *requested).count() >= options.seconds) {
            options.give_up();
            return;
        }
        never.wait_for(lock, stop, pause, [] { return false; });
    }
}

}  // namespace

StopWatchdog::StopWatchdog(Options options)
    : thread_(
          [options = std::move(options)](const std::stop_token& stop) { watch(options, stop); }) {}

}  // namespace lathe
