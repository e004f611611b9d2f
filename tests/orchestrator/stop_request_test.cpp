#include "orchestrator/stop_request.hpp"

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

namespace lathe {
namespace {

// A stop request is for the whole process and stays: so each case runs in a process of its own,
// which ends with 0 if all is as expected.
class StopRequestTest : public ::testing::Test {
protected:
    void SetUp() override {
        GTEST_FLAG_SET(death_test_style, "threadsafe");
        ::unsetenv("SLURM_JOB_END_TIME");
    }
};

void expect(bool condition) {
    if (!condition) {
        ::_exit(1);
    }
}

void set_job_end(double seconds_from_now) {
    const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
    const auto end = static_cast<long long>(now.count() + seconds_from_now);
    ::setenv("SLURM_JOB_END_TIME", std::to_string(end).c_str(), 1);
}

void expect_signal_asks(int number, const std::string& name) {
    StopRequest::install();
    expect(!StopRequest::requested() && StopRequest::reason().empty());
    std::raise(number);
    expect(StopRequest::requested() && StopRequest::reason() == name);
    ::_exit(0);
}

TEST_F(StopRequestTest, EachSignalAsks) {
    EXPECT_EXIT(expect_signal_asks(SIGUSR1, "SIGUSR1"), ::testing::ExitedWithCode(0), "");
    EXPECT_EXIT(expect_signal_asks(SIGTERM, "SIGTERM"), ::testing::ExitedWithCode(0), "");
    EXPECT_EXIT(expect_signal_asks(SIGINT, "SIGINT"), ::testing::ExitedWithCode(0), "");
}

TEST_F(StopRequestTest, OnlyASecondInterruptEndsAtOnce) {
    const auto signals = [](int second) {
        StopRequest::install();
        std::raise(SIGINT);
        std::raise(second);
        expect(StopRequest::reason() == "SIGINT");
        ::_exit(0);
    };
    EXPECT_EXIT(signals(SIGTERM), ::testing::ExitedWithCode(0), "");
    EXPECT_EXIT(signals(SIGINT), ::testing::ExitedWithCode(130), "");
}

TEST_F(StopRequestTest, TheEarliestDeadlineCounts) {
    const auto deadlines = [] {
        StopRequest::install();
        StopRequest::set_deadline(HUGE_VAL, "never");
        StopRequest::set_deadline(1e300, "never");
        StopRequest::set_deadline(0.2, "soon");
        StopRequest::set_deadline(3600.0, "later");
        expect(!StopRequest::requested());
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        expect(StopRequest::requested() &&
               StopRequest::reason() == "the time limit is reached (soon)");
        ::_exit(0);
    };
    EXPECT_EXIT(deadlines(), ::testing::ExitedWithCode(0), "");
}

TEST_F(StopRequestTest, ATimeThatIsOverAsksAtOnce) {
    const auto past = [] {
        StopRequest::set_deadline(-5.0, "past");
        expect(StopRequest::requested());
        ::_exit(0);
    };
    EXPECT_EXIT(past(), ::testing::ExitedWithCode(0), "");
}

TEST_F(StopRequestTest, TheEndOfTheSlurmJobIsADeadlineWithAMargin) {
    const auto job_end = [](double seconds, bool wanted) {
        set_job_end(seconds);
        StopRequest::install();
        expect(StopRequest::requested() == wanted);
        expect(StopRequest::warning().empty());
        const bool is_named =
            StopRequest::reason().find("SLURM_JOB_END_TIME=") != std::string::npos;
        expect(is_named == wanted);
        ::_exit(0);
    };
    EXPECT_EXIT(job_end(StopRequest::margin_seconds - 5.0, true), ::testing::ExitedWithCode(0), "");
    EXPECT_EXIT(job_end(StopRequest::margin_seconds + 600.0, false), ::testing::ExitedWithCode(0),
                "");
}

// The environment of another job, or a limit that was extended: nothing to stop for.
TEST_F(StopRequestTest, AJobEndInThePastIsNoDeadlineAndIsNamed) {
    for (const double ago : {1.0, 86400.0}) {
        const auto past = [&] {
            set_job_end(-ago);
            StopRequest::install();
            expect(!StopRequest::requested() && StopRequest::reason().empty());
            expect(StopRequest::warning().find("SLURM_JOB_END_TIME=") != std::string::npos);
            ::_exit(0);
        };
        EXPECT_EXIT(past(), ::testing::ExitedWithCode(0), "") << ago;
    }
}

TEST_F(StopRequestTest, SecondsLeftUntilTheDeadline) {
    const auto left = [] {
        expect(std::isinf(StopRequest::seconds_left()));
        StopRequest::set_deadline(1000.0, "a limit");
        expect(StopRequest::seconds_left() > 990.0 && StopRequest::seconds_left() <= 1000.0);
        StopRequest::set_deadline(0.0, "a limit");
        expect(StopRequest::seconds_left() == 0.0);
        ::_exit(0);
    };
    EXPECT_EXIT(left(), ::testing::ExitedWithCode(0), "");
}

TEST_F(StopRequestTest, AnotherRankMayHaveBeenAsked) {
    const auto elsewhere = [] {
        StopRequest::request_elsewhere();
        expect(StopRequest::requested() && StopRequest::reason() == "a signal to another rank");
        ::_exit(0);
    };
    EXPECT_EXIT(elsewhere(), ::testing::ExitedWithCode(0), "");
}

TEST_F(StopRequestTest, AnOddJobEndIsIgnored) {
    for (const char* text : {"", "soon", "Unlimited", "0", "12x"}) {
        const auto odd = [&] {
            ::setenv("SLURM_JOB_END_TIME", text, 1);
            StopRequest::install();
            expect(!StopRequest::requested());
            ::_exit(0);
        };
        EXPECT_EXIT(odd(), ::testing::ExitedWithCode(0), "") << text;
    }
}

}  // namespace
}  // namespace lathe
