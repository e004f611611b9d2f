#include "orchestrator/stop_watchdog.hpp"

#include <atomic>
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

namespace lathe {
namespace {

using std::chrono::milliseconds;

TEST(StopWatchdog, GivesUpSoLongAfterTheRequest) {
    std::atomic<bool> requested = false;
    std::atomic<int> n_given_up = 0;
    StopWatchdog::Options options;
    options.seconds = 0.5;
    options.stop_requested = [&] { return requested.load(); };
    options.give_up = [&] { ++n_given_up; };
    const StopWatchdog watchdog(options);
    std::this_thread::sleep_for(milliseconds(300));
    EXPECT_EQ(n_given_up, 0);
    requested = true;
    std::this_thread::sleep_for(milliseconds(250));
    EXPECT_EQ(n_given_up, 0);
    const auto start = std::chrono::steady_clock::now();
    while (n_given_up == 0 && std::chrono::steady_clock::now() - start < std::chrono::seconds(20)) {
        std::this_thread::sleep_for(milliseconds(10));
    }
    EXPECT_EQ(n_given_up, 1);
}

TEST(StopWatchdog, IsGoneWithItsOwner) {
    std::atomic<int> n_given_up = 0;
    StopWatchdog::Options options;
    options.seconds = 0.3;
    options.stop_requested = [] { return true; };
    options.give_up = [&] { ++n_given_up; };
    { const StopWatchdog watchdog(options); }
    std::this_thread::sleep_for(milliseconds(600));
    EXPECT_EQ(n_given_up, 0);
}

}  // namespace
}  // namespace lathe
